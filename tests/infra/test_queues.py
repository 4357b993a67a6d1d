"""The durable queue: at least once, visibility, dead letters, wakeups, and what a kill leaves."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from chalicelib.storage.queues import MAX_RECEIVES, Depth, NoQueue, SqliteQueue, SqsQueue
from weighbridge.contract.errors import Unavailable

ROOT = Path(__file__).parents[2]


class Clock:
    def __init__(self):
        self.time = 1_000.0

    def __call__(self):
        return self.time


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def queue(tmp_path, clock):
    queue = SqliteQueue(str(tmp_path / "queue.sqlite"), clock)
    yield queue
    queue.close()


def bodies(messages):
    return [message.body for message in messages]


def test_messages_come_in_order_and_only_for_their_topic(queue):
    """Each topic has its own queue; the oldest message is received first."""
    for number in range(3):
        queue.send("index", {"n": number})
    queue.send("render", {"project": "a"})
    assert bodies(queue.receive("index", 2)) == ['{"n":0}', '{"n":1}']
    assert bodies(queue.receive("index", 2)) == ['{"n":2}']
    assert bodies(queue.receive("render")) == ['{"project":"a"}']
    assert queue.receive("index") == []


def test_a_look_that_is_asked_for_and_not_begun_is_not_asked_for_again(queue, clock):
    """One look sees all that was changed before it; once begun, it may have missed what comes then."""
    for project in ("a", "a", "b", "a"):
        queue.send("render", {"project": project})
    assert bodies(queue.receive("render")) == ['{"project":"a"}', '{"project":"b"}']
    queue.send("render", {"project": "a"})
    [again] = queue.receive("render")
    assert again.body == '{"project":"a"}'
    queue.release([again], 0)  # it failed: that it comes back is no promise for what is new
    queue.send("render", {"project": "a"})
    assert len(queue.receive("render")) == 2
    for _ in range(2):  # what tells of a thing of its own always counts
        queue.send("index", {"key": "a"})
    assert len(queue.receive("index")) == 2


def test_a_message_is_hidden_while_somebody_works_on_it_and_then_comes_again(queue, clock):
    """Without a delete the same message is delivered again after its visibility timeout."""
    queue.send("index", {})
    first = queue.receive("index", visibility=30)[0]
    clock.time += 29
    assert queue.receive("index") == []
    clock.time += 1
    again = queue.receive("index")[0]
    assert (again.id, first.receives, again.receives) == (first.id, 1, 2)


def test_a_deleted_message_never_comes_again(queue, clock):
    """Deleting ends a message for good."""
    queue.send("index", {})
    queue.delete(queue.receive("index"))
    clock.time += 10_000
    assert queue.receive("index") == []
    assert queue.depth("index") == Depth()


def test_a_stale_receipt_neither_deletes_nor_releases(queue, clock):
    """Who was too slow cannot end the delivery that somebody else got meanwhile."""
    queue.send("index", {})
    slow = queue.receive("index", visibility=30)
    clock.time += 30
    fast = queue.receive("index", visibility=30)
    queue.delete(slow)
    queue.release(slow, 0)
    assert queue.receive("index") == []
    assert queue.depth("index").in_flight == 1
    queue.delete(fast)
    assert queue.depth("index") == Depth()


def test_a_released_message_comes_again_after_its_rest(queue, clock):
    """A failure is tried again sooner than the visibility timeout."""
    queue.send("index", {})
    queue.release(queue.receive("index", visibility=600), 2)
    clock.time += 1
    assert queue.receive("index") == []
    clock.time += 1
    assert len(queue.receive("index")) == 1


def test_a_message_that_always_fails_becomes_a_dead_letter(queue, clock):
    """After five receives it is put aside, where it is listed and can be sent again."""
    queue.send("index", {"bad": True})
    queue.send("index", {"good": True})
    for _ in range(MAX_RECEIVES):
        received = queue.receive("index", visibility=1)
        queue.delete(m for m in received if "good" in m.body)
        clock.time += 1
    assert queue.receive("index") == []
    assert bodies(queue.dead()) == bodies(queue.dead("index")) == ['{"bad":true}']
    assert queue.dead("render") == []
    assert queue.depth("index") == Depth(dead=1)

    assert queue.redrive("render") == 0
    assert queue.redrive() == 1
    assert queue.receive("index")[0].receives == 1
    assert queue.dead() == []


def test_what_a_dead_worker_had_is_there_at_once_after_recovery(queue):
    """A new worker process does not wait for the timeouts of the one that was killed."""
    queue.send("index", {})
    held = queue.receive("index", visibility=600)
    queue.recover()
    again = queue.receive("index")
    assert again[0].id == held[0].id
    queue.delete(held)
    assert queue.depth("index").in_flight == 1


def test_recovery_leaves_dead_letters_dead(queue, clock):
    """A restart is no reason to try again what failed five times."""
    queue.send("index", {})
    for _ in range(MAX_RECEIVES + 1):
        queue.receive("index", visibility=0)
    queue.recover()
    assert queue.receive("index") == []
    assert len(queue.dead()) == 1


def test_an_unknown_topic_is_a_bug(queue):
    """There are two topics."""
    for one in (queue, NoQueue()):
        with pytest.raises(ValueError, match="no topic"):
            one.send("other", {})


def test_many_receivers_share_the_messages(tmp_path):
    """Every message is received once while nobody fails, by however many threads."""
    path = str(tmp_path / "queue.sqlite")
    queue = SqliteQueue(path)
    received, lock = [], threading.Lock()

    def work():
        while messages := queue.receive("index", 3, 600):
            with lock:
                received.extend(m.id for m in messages)
            queue.delete(messages)

    def send():
        for number in range(25):
            queue.send("index", {"n": number})

    senders = [threading.Thread(target=send) for _ in range(4)]
    for thread in senders:
        thread.start()
    for thread in senders:
        thread.join()
    workers = [threading.Thread(target=work) for _ in range(4)]
    for thread in workers:
        thread.start()
    for thread in workers:
        thread.join()
    queue.close()
    assert len(received) == len(set(received)) == 100


def test_a_sender_wakes_a_waiting_worker_at_once(tmp_path):
    """Two queues on one file in one process share their bell: nobody waits for a poll."""
    path = tmp_path / "queue.sqlite"
    api, worker = SqliteQueue(str(path)), SqliteQueue(str(path.parent / "." / path.name))
    seen = worker.wait(-1, 0)
    began = time.monotonic()
    threading.Timer(0.05, api.send, ("index", {})).start()
    assert worker.wait(seen, 20) == seen + 1
    assert time.monotonic() - began < 10
    assert len(worker.receive("index")) == 1
    api.close()
    worker.close()


def test_nothing_sent_before_waiting_is_missed(queue):
    """A message between receiving and waiting ends the waiting at once."""
    seen = queue.wait(-1, 0)
    queue.send("index", {})
    began = time.monotonic()
    queue.wait(seen, 20)
    assert time.monotonic() - began < 10


SENDER = """
import sys
from chalicelib.storage.queues import SqliteQueue
queue = SqliteQueue(sys.argv[1])
number = 0
while True:
    queue.send("index", {"n": number})
    print(number, flush=True)
    number += 1
"""


def test_every_acknowledged_message_survives_kill_9(tmp_path):
    """A sender is killed ten times in the middle of sending; what it had confirmed is there."""
    path = str(tmp_path / "queue.sqlite")
    env = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'sdk'}"}
    confirmed = 0
    for round_number in range(10):
        sender = subprocess.Popen(
            [sys.executable, "-c", SENDER, path], stdout=subprocess.PIPE, text=True, env=env
        )
        with sender:
            lines = [sender.stdout.readline() for _ in range(5 + 3 * round_number)]
            sender.send_signal(signal.SIGKILL)
            lines += sender.stdout.readlines()
        assert all(lines)
        confirmed += len([line for line in lines if line.endswith("\n")])
    queue = SqliteQueue(path)
    stored = queue.depth("index").waiting
    queue.close()
    # A message may have been stored and its confirmation lost with the process.
    assert confirmed <= stored <= confirmed + 10


class Client:
    def __init__(self, error=None):
        self.sent = []
        self.error = error

    def send_message(self, **message):
        if self.error:
            raise self.error
        self.sent.append(message)


def test_sqs_gets_each_topic_in_its_queue():
    """The two topics are two SQS queues."""
    client = Client()
    queue = SqsQueue("https://sqs/index", "https://sqs/render", client=client)
    queue.send("index", {"b": 1, "a": 2})
    queue.send("render", {"project": "x"})
    assert client.sent == [
        {"QueueUrl": "https://sqs/index", "MessageBody": '{"a":2,"b":1}'},
        {"QueueUrl": "https://sqs/render", "MessageBody": '{"project":"x"}'},
    ]


def test_an_sqs_outage_is_unavailable():
    """Callers see our error, not botocore's."""
    from botocore.exceptions import ClientError, EndpointConnectionError

    for error in (
        EndpointConnectionError(endpoint_url="https://sqs"),
        ClientError({"Error": {"Code": "AccessDenied"}}, "SendMessage"),
    ):
        queue = SqsQueue("a", "b", client=Client(error))
        with pytest.raises(Unavailable):
            queue.send("index", {})
