"""The worker: SQS-shaped events into the handlers of a Chalice app, and the schedule."""

import json
import threading
import time

import pytest
from chalice import Chalice

from chalicelib.storage.queues import MAX_RECEIVES, Depth, SqliteQueue
from infra.embedded.listener import Listener
from infra.embedded.worker import Worker, failed, object_created
from tests.infra.asking import ask
from weighbridge.contract.errors import Unavailable


class Handlers:
    """A Chalice app whose event functions write down what they got."""

    def __init__(self):
        self.app = Chalice(app_name="small-events")
        self.got = []
        self.swept = threading.Event()
        self.changed = threading.Condition()

        @self.app.on_sqs_message(queue="small-index", batch_size=10)
        def index_object(event):
            back = []
            for record in event:
                body = json.loads(record.body)
                self.note((body, record.to_dict()["attributes"]["ApproximateReceiveCount"]))
                if body.get("raise"):
                    raise RuntimeError("the whole batch fails")
                if body.get("fail"):
                    back.append({"itemIdentifier": record.to_dict()["messageId"]})
            return {"batchItemFailures": back}

        @self.app.on_sqs_message(queue="small-render", batch_size=10)
        def render_pages(event):
            for record in event:
                self.note(json.loads(record.body))

        @self.app.schedule("rate(5 minutes)")
        def sweep(event):
            self.note(event.detail_type)
            self.swept.set()
            raise RuntimeError("a sweep that fails runs again")

        self.topics = {"index": index_object, "render": render_pages}
        self.sweep = sweep

    def note(self, what):
        with self.changed:
            self.got.append(what)
            self.changed.notify_all()

    def wait(self, count):
        with self.changed:
            assert self.changed.wait_for(lambda: len(self.got) >= count, 20), self.got


@pytest.fixture
def queue(tmp_path):
    queue = SqliteQueue(str(tmp_path / "queue.sqlite"))
    yield queue
    queue.close()


@pytest.fixture
def handlers():
    return Handlers()


@pytest.fixture
def start(queue, handlers):
    workers = []

    def start(**options):
        options = {"first_sweep": 600, "rest": lambda receives: 0.0} | options
        worker = Worker(queue, handlers.topics, handlers.sweep, **options)
        worker.start()
        workers.append(worker)
        return worker

    yield start
    for worker in workers:
        assert worker.stop(20)


def until(condition):
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_messages_reach_their_function_and_are_deleted(queue, handlers, start):
    """Each topic's messages go to its handler, as SQS events, and are gone afterwards."""
    queue.send("index", {"a": 1})
    start()
    queue.send("render", {"project": "p"})
    handlers.wait(2)
    assert ({"a": 1}, "1") in handlers.got
    assert {"project": "p"} in handlers.got
    until(lambda: queue.depth("index") == queue.depth("render") == Depth())


def test_only_what_failed_comes_again_until_it_is_put_aside(queue, handlers, start):
    """Partial batch failure: the good message is handled once, the bad one five times."""
    queue.send("index", {"good": True})
    queue.send("index", {"fail": True})
    start()
    until(lambda: queue.depth("index") == Depth(dead=1))
    counts = [count for body, count in handlers.got if body.get("fail")]
    assert counts == [str(number + 1) for number in range(MAX_RECEIVES)]
    assert len([1 for body, _ in handlers.got if body.get("good")]) == 1


def test_a_handler_that_raises_gets_the_whole_batch_again(queue, handlers, start):
    """An exception fails every message of its batch, as on Lambda; the worker goes on."""
    queue.send("index", {"good": True})
    queue.send("index", {"raise": True})
    start()
    until(lambda: queue.depth("index").dead >= 1 and not queue.depth("index").waiting)
    queue.send("index", {"after": True})
    until(lambda: any("after" in body for body, _ in handlers.got))


def test_a_failure_rests_before_it_comes_again(queue, handlers, start):
    """The rest grows with the number of receives."""
    asked = []
    start(rest=lambda receives: asked.append(receives) or 600.0)
    queue.send("index", {"fail": True})
    until(lambda: queue.depth("index").in_flight == 1 and asked)
    assert asked == [1]
    assert len(handlers.got) == 1


def test_the_sweep_runs_on_its_schedule_even_if_it_fails(queue, handlers, start):
    """The timer goes on after a failure."""
    start(first_sweep=0.01, sweep_seconds=0.01)
    handlers.wait(3)
    assert handlers.got[:3] == ["Scheduled Event"] * 3


def test_a_stop_lets_the_running_batch_end(queue, handlers):
    """What was begun is finished and deleted; nothing new is begun."""
    entered, leave = threading.Event(), threading.Event()

    def slow(event, context):
        entered.set()
        assert leave.wait(20)

    worker = Worker(queue, {"index": slow}, handlers.sweep, first_sweep=600)
    queue.send("index", {})
    worker.start()
    assert entered.wait(20)
    assert not worker.stop(0.05)
    leave.set()
    assert worker.stop(20)
    assert queue.depth("index") == Depth()


def message(number):
    from chalicelib.storage.queues import Message

    return Message(number, "index", "{}", 1, "r", 0.0)


@pytest.mark.parametrize(
    ("answer", "back"),
    [
        (None, []),
        ({}, []),
        ({"batchItemFailures": []}, []),
        ({"batchItemFailures": [{"itemIdentifier": "2"}]}, [2]),
        ({"batchItemFailures": [{"itemIdentifier": "9"}]}, [1, 2, 3]),
        ({"batchItemFailures": [{"itemIdentifier": ""}]}, [1, 2, 3]),
        ({"batchItemFailures": [{}]}, [1, 2, 3]),
        ({"batchItemFailures": ["2"]}, [1, 2, 3]),
    ],
)
def test_partial_failure_is_read_as_lambda_reads_it(answer, back):
    """An answer that names an unknown message fails the whole batch."""
    assert [m.id for m in failed([message(1), message(2), message(3)], answer)] == back


def parse(body):
    return [(body["bucket"], key) for key in body["keys"]]


def test_webhooks_become_events(queue):
    """Objects of our bucket under the two prefixes become events; all else is left out. What was
    taken is written down when the listener ends, at the latest."""
    listener = Listener(queue, "ours", parse)
    keys = ["blobs/p/1", "inbox/p/m/x y/é", "manifests/1", "p/index.html", "blobsx/1"]
    body = json.dumps({"bucket": "ours", "keys": keys}).encode()
    assert ask(listener, listener.path, "POST", body).status == 204
    other = json.dumps({"bucket": "other", "keys": ["blobs/p/1"]}).encode()
    assert ask(listener, listener.path, "POST", other).status == 204
    listener.close()
    found = [json.loads(m.body) for m in queue.receive("index")]
    assert [e["detail"]["object"]["key"] for e in found] == keys[:2]
    assert found[0] == object_created("ours", "blobs/p/1")


def test_events_of_a_moment_wake_the_worker(queue):
    """Nobody has to ask for them: whoever waits for the queue is woken."""
    listener = Listener(queue, "ours", parse)
    seen = queue.wait(-1, 0.0)
    for number in range(20):
        body = json.dumps({"bucket": "ours", "keys": [f"blobs/p/{number}"]}).encode()
        assert ask(listener, listener.path, "POST", body).status == 204
    queue.wait(seen, 30.0)
    assert queue.depth("index").waiting > 0
    listener.close()
    assert queue.depth("index").waiting == 20


class Broken:
    """A queue on a full disk."""

    def send_many(self, topic, messages):
        """Takes nothing."""
        raise Unavailable("the disk is full")


def test_a_queue_that_takes_nothing_does_not_end_the_listener(caplog):
    """Its events are left to the sweep, which the log says."""
    listener = Listener(Broken(), "ours", parse)
    body = json.dumps({"bucket": "ours", "keys": ["blobs/p/1"]}).encode()
    assert ask(listener, listener.path, "POST", body).status == 204
    listener.close()
    assert "1 events are left to the sweep" in caplog.text


def test_indexing_lets_a_push_pass(queue):
    """While somebody pushes, events wait; they are dealt with as soon as nobody does."""
    pushing = threading.Event()
    pushing.set()
    dealt = threading.Event()
    worker = Worker(
        queue, {"index": lambda event, context: dealt.set()}, lambda event, context: None,
        first_sweep=60, pushing=pushing.is_set,
    )  # fmt: skip
    queue.send("index", object_created("ours", "blobs/p/1"))
    worker.start()
    assert not dealt.wait(0.5)
    pushing.clear()
    assert dealt.wait(10)
    assert worker.stop(10)


@pytest.mark.parametrize("path", ["/", "/x", "/\u00ff", ""])
def test_nobody_else_may_announce_objects(queue, path):
    """Without the secret path a caller gets 404 and nothing is queued."""
    listener = Listener(queue, "ours", parse)
    body = json.dumps({"bucket": "ours", "keys": ["blobs/p/1"]}).encode()
    assert ask(listener, path, "POST", body).status == 404
    assert queue.depth("index") == Depth()


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'"x"', b"{}", b"null"])
def test_a_webhook_that_is_not_understood_is_refused(queue, body):
    """Malformed announcements are answered with 400 and logged, not taken."""
    listener = Listener(queue, "ours", parse)
    assert ask(listener, listener.path, "POST", body).status == 400
