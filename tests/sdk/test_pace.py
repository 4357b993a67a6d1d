"""As many connections as bring more: many to a store that is far, few to one that is near or asks for rest."""

import threading
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from weighbridge.contract.errors import TransferError
from weighbridge.transfer.crew import Crew
from weighbridge.transfer.pace import RESTS, WINDOW, Pace
from weighbridge.transfer.processors import Processors, ticks


class Store:
    """Answers every request after `seconds`, and at most `most` a second."""

    def __init__(self, seconds, most, least=8, limit=64):
        self.now = 0.0
        self.seconds, self.most = seconds, most
        self.spare = None
        self.pace = Pace(least, limit, lambda: self.now, lambda: self.spare)
        self.seen = [self.pace.allowed]

    def serve(self, seconds, size=1024, idle=0, refusing=None):
        """Works so long; `idle` tasks of a hundred were waited for."""
        end, number = self.now + seconds, 0
        while self.now < end:
            self.now += max(self.seconds / self.pace.allowed, 1 / self.most)
            number += 1
            if number % 100 < idle:
                self.pace.idle()
            if refusing and self.pace.allowed > refusing:
                self.pace.refused()
            self.pace.done(size)
            if self.pace.allowed != self.seen[-1]:
                self.seen.append(self.pace.allowed)
        return self.pace.allowed


def test_a_store_that_is_far_gets_more_connections():
    """Within a few windows; and it keeps them."""
    store = Store(seconds=0.03, most=1e9)
    assert store.serve(5 * WINDOW) == 64
    assert store.seen == [8, 16, 32, 64]
    store.serve(100 * WINDOW)
    assert store.seen == [8, 16, 32, 64]


def test_no_more_than_bring_something():
    """As many as the store, or this machine, can deal with: one step further is tried, and taken back."""
    store = Store(seconds=0.03, most=700)
    store.serve(10 * WINDOW)
    assert store.seen == [8, 16, 32, 64, 32] or store.seen == [8, 16, 32, 16, 32]
    near = Store(seconds=0.001, most=900)
    assert near.serve(10 * WINDOW) == 8
    assert near.seen == [8, 16, 8]


def test_after_a_rest_it_is_tried_again():
    """The way to the store may be another by then."""
    store = Store(seconds=0.001, most=900)
    store.serve(10 * WINDOW)
    store.seconds, store.most = 0.05, 1e9
    store.serve(4 * WINDOW)
    assert store.pace.allowed == 8
    store.serve((RESTS + 6) * WINDOW)
    assert store.pace.allowed == 64


def test_without_processors_to_spare_no_more_are_tried():
    """What takes all of the machine is slowed down by more; once there is some, they are tried."""
    store = Store(seconds=0.03, most=1e9)
    store.spare = 0.04
    store.serve(20 * WINDOW)
    assert store.seen == [8]
    store.spare = 0.3
    store.serve(WINDOW)
    store.spare = 0.04
    store.serve(20 * WINDOW)
    assert store.seen == [8, 16]


def test_the_idle_share_is_that_since_the_last_look():
    """Of times that the kernel counted; where it counts nothing, nothing is known."""
    counts = iter([(100, 1000), (150, 1100), (150, 1200), (150, 1200), None, (200, 1300)])
    processors = Processors(lambda: next(counts))
    assert processors.spare() == 0.5
    assert processors.spare() == 0.0
    assert processors.spare() is None
    assert processors.spare() is None
    assert processors.spare() is None


def test_the_kernel_tells_of_idle_processors():
    """Time passes, and some of it nobody works in."""
    before = ticks()
    time.sleep(0.2)
    after = ticks()
    assert before is not None
    assert after is not None
    assert after[1] > before[1]
    assert 0 <= after[0] - before[0] <= after[1] - before[1]


def test_a_store_that_asks_for_rest_gets_half():
    """And never fewer than at the beginning."""
    store = Store(seconds=0.03, most=1e9)
    store.serve(5 * WINDOW)
    store.serve(8 * WINDOW, refusing=20)
    assert store.pace.allowed == 16
    store.serve(8 * WINDOW, refusing=1)
    assert store.pace.allowed == 8


def test_where_connections_wait_for_work_there_are_enough():
    """What is slow there is reading, or hashing."""
    store = Store(seconds=0.03, most=1e9)
    store.serve(10 * WINDOW, idle=30)
    assert store.seen == [8]


def test_a_slow_line_is_measured_for_longer():
    """Its parts take minutes each: nothing is concluded from one."""
    store = Store(seconds=80.0, most=0.1)
    store.serve(100.0, size=16 * 1024**2)
    assert store.seen == [8]


@settings(max_examples=60, deadline=None)
@given(
    least=st.integers(1, 16),
    limit=st.integers(1, 128),
    steps=st.lists(
        st.tuples(
            st.floats(0.001, 1.0),
            st.floats(1, 5000),
            st.integers(0, 100),
            st.none() | st.integers(1, 64),
        ),
        max_size=5,
    ),
)
def test_it_stays_within_its_limits(least, limit, steps):
    """Whatever the store does."""
    limit = max(least, limit)
    store = Store(0.01, 1000, least, limit)
    for seconds, most, idle, refusing in steps:
        store.seconds, store.most = seconds, most
        store.serve(6 * WINDOW, idle=idle, refusing=refusing)
    assert all(min(8, least) <= allowed <= limit for allowed in store.seen)


def unknown():
    """Nothing is known of the processors: whatever else is tested at this time."""


def moved(crew, count, seconds):
    """Tasks that wait so long each; the most that ran at the same time."""
    lock, running, most = threading.Lock(), [], []

    def task():
        with lock:
            running.append(1)
            most.append(len(running))
        time.sleep(seconds)
        with lock:
            running.pop()

    for _ in range(count):
        crew.submit(task, most_waiting=200)
    crew.drain()
    assert len(most) == count
    return max(most)


def test_a_crew_grows_while_its_tasks_wait():
    """No further than it may; without a limit of its own not at all."""
    with Crew(4, "test", most=16, spare=unknown) as crew:
        assert moved(crew, 900, 0.02) == 16
    with Crew(4, "test") as crew:
        assert moved(crew, 200, 0.02) == 4
        assert crew.workers == 4


def test_a_crew_shrinks_when_the_store_asks_for_it():
    """Threads that are too many end, and every task is done."""
    with Crew(4, "test", most=16, spare=unknown) as crew:
        moved(crew, 900, 0.02)
        crew.refused()
        done = []
        for _ in range(400):
            crew.submit(lambda: (time.sleep(0.01), done.append(1)))
        crew.drain()
        assert len(done) == 400
        assert crew.workers < 16


def test_a_failure_ends_a_crew_that_has_grown():
    """Nobody waits for room for ever."""

    def fails():
        raise TransferError("no")

    with pytest.raises(TransferError, match="no"), Crew(2, "test", most=8, spare=unknown) as crew:  # noqa: PT012
        for _ in range(1000):
            crew.submit(lambda: time.sleep(0.005))
        crew.submit(fails)
        for _ in range(1000):
            crew.submit(lambda: time.sleep(0.005))


def test_many_threads_may_submit():
    """Each is woken when there is room, whoever takes it first."""
    done = []
    with Crew(3, "test", most=6, spare=unknown) as crew:
        threads = [
            threading.Thread(
                target=lambda: [crew.submit(lambda: done.append(1)) for _ in range(500)]
            )
            for _ in range(5)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert not any(thread.is_alive() for thread in threads)
    assert len(done) == 2500
