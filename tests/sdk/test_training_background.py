"""The bounded queue behind a checkpointer: what waits, what gives way, and what a failure does."""

import threading
from pathlib import Path

import pytest

from weighbridge.contract.errors import InvalidRequest, Unavailable
from weighbridge.training.background import Background, Snapshot

SECONDS = 20


class Store:
    """Takes pushes, one after the other, when it is let."""

    def __init__(self):
        self.open = threading.Event()
        self.begun = threading.Event()
        self.pushed, self.dropped, self.failed = [], [], []
        self.errors = {}

    def push(self, snapshot):
        self.begun.set()
        assert self.open.wait(SECONDS)
        if waiting := self.errors.get(snapshot.step):
            raise waiting.pop(0) if len(waiting) > 1 else waiting[0]
        self.pushed.append(snapshot.step)

    def queue(self, **options):
        """A queue in front of it."""
        return Background(
            self.push, lambda s: self.dropped.append(s.step),
            lambda s, error: self.failed.append((s.step, error)), pauses=(0.0, 0.0), **options,
        )  # fmt: skip


@pytest.fixture
def store():
    """A store that is shut at first."""
    store = Store()
    yield store
    store.open.set()


def snap(step, size=1):
    """A snapshot."""
    return Snapshot(step, "", {}, {}, Path(), size)


def busy(store, queue):
    """Brings the queue to where step 0 is under way and nothing waits."""
    queue.put(snap(0))
    assert store.begun.wait(SECONDS)


def test_everything_is_pushed_in_order(store):
    """With room enough nothing is lost and nothing overtakes."""
    queue = store.queue(waiting=100)
    store.open.set()
    for step in range(50):
        queue.put(snap(step))
    assert queue.flush(SECONDS)
    assert store.pushed == list(range(50))
    assert queue.stop() == []


def test_the_oldest_gives_way(store):
    """`drop_oldest` keeps the newest, and never waits."""
    queue = store.queue(waiting=2)
    busy(store, queue)
    for step in range(1, 6):
        assert queue.admits()
        queue.put(snap(step))
    assert store.dropped == [1, 2, 3]
    store.open.set()
    assert queue.flush(SECONDS)
    assert store.pushed == [0, 4, 5]


def test_the_new_one_is_not_taken(store):
    """`skip` refuses before anything is copied."""
    queue = store.queue(waiting=1, when_full="skip")
    busy(store, queue)
    assert queue.admits()
    queue.put(snap(1))
    assert not queue.admits()
    store.open.set()
    assert queue.flush(SECONDS)
    assert queue.admits()
    assert (store.pushed, store.dropped) == ([0, 1], [])


def test_the_loop_waits_for_room(store):
    """`wait` loses nothing: the loop stands until there is room."""
    queue = store.queue(waiting=1, when_full="wait")
    busy(store, queue)
    queue.put(snap(1))
    went_on = threading.Event()

    def loop():
        queue.admits()
        queue.put(snap(2))
        went_on.set()

    thread = threading.Thread(target=loop)
    thread.start()
    assert not went_on.wait(0.2)
    store.open.set()
    assert went_on.wait(SECONDS)
    thread.join(SECONDS)
    assert queue.flush(SECONDS)
    assert (store.pushed, store.dropped) == ([0, 1, 2], [])


def test_bytes_are_bounded_too_but_one_may_always_wait(store):
    """A snapshot over the limit waits alone."""
    queue = store.queue(waiting=10, most_bytes=100)
    busy(store, queue)
    queue.put(snap(1, 60))
    queue.put(snap(2, 40))
    assert store.dropped == []
    queue.put(snap(3, 1))
    assert store.dropped == [1]
    queue.put(snap(4, 1000))
    assert store.dropped == [1, 2, 3]
    store.open.set()
    assert queue.flush(SECONDS)
    assert store.pushed == [0, 4]


def test_a_failure_is_told_and_the_next_is_pushed(store):
    """An error ends one snapshot, not the thread."""
    store.errors[1] = [ValueError("no")]
    store.open.set()
    queue = store.queue(waiting=10)
    for step in range(3):
        queue.put(snap(step))
    assert queue.flush(SECONDS)
    assert store.pushed == [0, 2]
    [(step, error)] = store.failed
    assert (step, str(error)) == (1, "no")


def test_what_passes_is_tried_again(store):
    """A store that does not answer twice, and then does, has the snapshot."""
    queue = store.queue()
    store.errors[0] = [Unavailable("later"), Unavailable("later"), None]
    store.errors[1] = [Unavailable("never")]
    store.open.set()

    def push(snapshot):
        error = store.errors[snapshot.step]
        if (this := error.pop(0) if len(error) > 1 else error[0]) is not None:
            raise this
        store.pushed.append(snapshot.step)

    queue = Background(
        push, store.dropped.append, lambda s, error: store.failed.append((s.step, error)),
        pauses=(0.0, 0.0),
    )  # fmt: skip
    queue.put(snap(0))
    queue.put(snap(1))
    assert queue.flush(SECONDS)
    assert store.pushed == [0]
    assert [step for step, _ in store.failed] == [1]


def test_waiting_ends_in_time_and_when_somebody_hurries(store):
    """`flush` answers False when it is not done, and at once after `hurry`."""
    queue = store.queue()
    busy(store, queue)
    assert not queue.flush(0.05)
    timer = threading.Timer(0.05, queue.hurry)
    timer.start()
    assert not queue.flush()
    timer.join()


def test_stop_says_what_is_lost(store):
    """What waits when the end comes is answered, not forgotten."""
    queue = store.queue()
    busy(store, queue)
    queue.put(snap(1))
    assert [s.step for s in queue.stop()] == [1]


@pytest.mark.parametrize(
    "options", [{"waiting": 0}, {"most_bytes": -1}, {"when_full": "perhaps"}], ids=str
)
def test_impossible_settings_are_refused(store, options):
    """A queue of nothing, or a rule that does not exist."""
    with pytest.raises(InvalidRequest):
        store.queue(**options)
