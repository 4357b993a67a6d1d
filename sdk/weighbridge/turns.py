"""One thread computes at a time; the others wait for their turn, or for a server's answer.

Threads of Python that compute at the same time take the interpreter from each other at each call that lets go
of it: two are slower together than one after the other. Small requests take turns here, in clients that send
thousands of them and in servers that answer them. Why, and what it gains: docs/decisions/0020-turns.md.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

LONGEST = 0.2
"""Seconds after which a turn is taken from who has it: it waits for something and did not say so."""
_LOOK = 256
_OFF = 4096

SMALL = 64 * 1024
"""Files up to this size are moved in turns: with larger ones the system works, not Python."""


class Turns:
    """A lock for speed alone: losing it breaks nothing. Any thread may use it, or not.

    Where those who had a turn computed for less than the share `worth` of the time, and waited for
    something for the rest (a disk far away), the next few thousand go without.
    """

    def __init__(
        self,
        longest: float = LONGEST,
        clock: Callable[[], float] = time.monotonic,
        worth: float = 0.0,
    ) -> None:
        self._longest = longest
        self._clock = clock
        self._worth = worth
        self._free = threading.Lock()
        self._since = 0.0
        self._local = threading.local()
        self._off = self._turns = 0
        self._had = self._computed = 0.0

    @contextmanager
    def turn(self) -> Iterator[None]:
        """A request that computes, as long as the block."""
        self.take()
        try:
            yield
        finally:
            self.leave()

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """A part of it in which this thread waits: others may compute. Elsewhere it means nothing."""
        had = self.leave()
        try:
            yield
        finally:
            if had:
                self.take()

    def take(self) -> None:
        """Waits until nobody else computes, or seems to."""
        if self._off:
            self._off -= 1
            return
        while True:
            lock = self._free
            if lock.acquire(timeout=self._longest):
                if lock is self._free:
                    self._since = self._clock()
                    self._local.held = lock
                    self._local.began = time.thread_time() if self._worth else 0.0
                    return
                lock.release()  # it was given up as lost
            elif lock is self._free and self._clock() - self._since >= self._longest:
                self._free = threading.Lock()

    def leave(self) -> bool:
        """Lets others compute; answers whether this thread had a turn."""
        lock: threading.Lock | None = getattr(self._local, "held", None)
        if lock is None:
            return False
        self._local.held = None
        if self._worth and lock is self._free:
            self._note(self._clock() - self._since, time.thread_time() - self._local.began)
        lock.release()
        return True

    def _note(self, had: float, computed: float) -> None:
        self._turns += 1
        self._had += had
        self._computed += computed
        if self._turns == _LOOK:
            if self._computed < self._worth * self._had:
                self._off = _OFF
            self._turns, self._had, self._computed = 0, 0.0, 0.0


SENDING = Turns(worth=0.2)
"""The turns of everything in this process that sends or reads small files."""


def in_turn(task: Callable[[], None]) -> Callable[[], None]:
    """The same task, in a turn of `SENDING`."""

    def run() -> None:
        with SENDING.turn():
            task()

    return run
