"""One request computes at a time; who waits lets others go on, and nobody is held up for good."""

import socket
import threading
import time

import pytest

from chalicelib.registry import turns as words
from chalicelib.registry.ports import Item, Key, Put
from chalicelib.storage.s3 import S3Blobs
from chalicelib.storage.sqlite import SqliteTable
from weighbridge.contract.errors import Unavailable
from weighbridge.turns import Turns


def started(work):
    """A thread that does it."""
    thread = threading.Thread(target=work)
    thread.start()
    return thread


def until(condition):
    """Waits for it, half a minute at most."""
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def counted(turns, threads, times, seconds):
    """How many had a turn at the same time, each time that one of the threads had it for so long."""
    inside, counts = [], []

    def work():
        for _ in range(times):
            with turns.turn():
                inside.append(1)
                counts.append(len(inside))
                time.sleep(seconds)
                inside.pop()

    for thread in [started(work) for _ in range(threads)]:
        thread.join()
    assert len(counts) == threads * times
    return counts


def test_one_at_a_time():
    """However many threads there are."""
    assert max(counted(Turns(longest=30), 6, 20, 0.0005)) == 1


def test_who_waits_lets_others_compute():
    """And goes on when it is its turn again."""
    turns, order = Turns(longest=30), []
    answered, others = threading.Event(), threading.Event()

    def first():
        with turns.turn():
            order.append("asks")
            with turns.waiting():
                answered.wait(30)
            order.append("goes on")

    def second():
        with turns.turn():
            order.append("computes")
            answered.set()
            others.wait(30)
            order.append("is done")

    one = started(first)
    until(lambda: order)
    two = started(second)
    until(lambda: len(order) == 2)
    others.set()
    one.join()
    two.join()
    assert order == ["asks", "computes", "is done", "goes on"]


def test_an_error_while_waiting_passes_and_the_turn_ends():
    """Whatever a store raises."""
    turns = Turns(longest=30)
    with pytest.raises(ZeroDivisionError), turns.turn(), turns.waiting():
        raise ZeroDivisionError
    with turns.turn():
        pass


def test_waiting_means_nothing_without_a_turn():
    """Threads that have none take none by it."""
    turns = Turns(longest=30)
    with turns.waiting():
        pass
    with turns.turn(), turns.waiting(), turns.waiting():
        started(lambda: (turns.take(), turns.leave())).join()  # nobody had it


@pytest.mark.parametrize(("work", "together"), [("waits", True), ("computes", False)])
def test_turns_that_are_not_worth_it_are_given_up(work, together):
    """Threads that wait for a slow disk wait at the same time; those that compute do not."""
    # By a clock that stands while a thread waits, all have computed all the time.
    clock = time.monotonic if work == "waits" else time.thread_time
    counts = counted(Turns(longest=30, clock=clock, worth=0.2), 4, 100, 0.001)
    assert max(counts[:250]) == 1
    assert (max(counts) > 1) is together


def test_a_turn_is_taken_from_who_does_not_come_back():
    """One that waits without saying so holds the others up for a moment only; its end disturbs nobody."""
    turns, ends, went = Turns(longest=0.05), threading.Event(), []

    def stuck():
        with turns.turn():
            went.append("stuck")
            ends.wait(30)

    one = started(stuck)
    until(lambda: went)
    threads = [started(lambda: (turns.take(), went.append("on"), turns.leave())) for _ in range(4)]
    for thread in threads:
        thread.join(30)
    assert went.count("on") == 4
    with turns.turn():
        ends.set()
        one.join()
        # What the stuck one gave back is not the turn of today.
        assert not turns._free.acquire(blocking=False)
    assert turns._free.acquire(blocking=False)


@pytest.fixture
def said():
    """What is said wherever somebody waits."""
    heard = []

    class Told:
        def __enter__(self):
            heard.append("waits")

        def __exit__(self, *_):
            heard.append("goes on")

    before = words.taken_by(Told)
    yield heard
    words.taken_by(before)


def test_who_waits_says_so(said):
    """What is called then can be chosen; without a choice it is nothing."""
    with words.waiting():
        said.append("for it")
    assert said == ["waits", "for it", "goes on"]


def test_a_commit_is_waited_for(said, tmp_path):
    """Of what is written; what is read is there at once."""
    table = SqliteTable(str(tmp_path / "table.sqlite"))
    table.write(Put(Item(Key("p", "s"))))
    assert said == ["waits", "goes on"]
    table.get(Key("p", "s"))
    assert len(said) == 2
    table.close()


def test_a_request_to_the_store_is_waited_for(said):
    """Each try of it, also those that fail."""
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    store = S3Blobs(
        "bucket", "us-east-1", f"http://127.0.0.1:{port}", access_key="a", secret_key="b"
    )
    with pytest.raises(Unavailable):
        store.head("key")
    assert said[:2] == ["waits", "goes on"]
    assert len(said) % 2 == 0
