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

SMALL = 64 * 1024
"""Files up to this size are moved in turns: with larger ones the system works, not Python."""


class Turns:
    """A lock for speed alone: losing it breaks nothing. Any thread may use it, or not."""

    def __init__(
        self, longest: float = LONGEST, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._longest = longest
        self._clock = clock
        self._free = threading.Lock()
        self._since = 0.0
        self._local = threading.local()

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
        while True:
            lock = self._free
            if lock.acquire(timeout=self._longest):
                if lock is self._free:
                    self._since = self._clock()
                    self._local.held = lock
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
        lock.release()
        return True


SENDING = Turns()
"""The turns of everything in this process that sends or reads small files."""
