"""One request computes at a time; the others wait for their turn, or for a store.

Why, and what it gains: docs/decisions/0020-turns.md.
"""

import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from types import TracebackType

LONGEST = 0.2
"""Seconds after which a turn is taken from who has it: it waits for something and did not say so."""


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

    def turn(self) -> AbstractContextManager[None]:
        """A request that computes, as long as the block."""
        return _Turn(self)

    def waiting(self) -> AbstractContextManager[None]:
        """A part of it in which this thread waits: others may compute. Elsewhere it means nothing."""
        return _Waiting(self)

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


class _Turn:
    def __init__(self, turns: Turns) -> None:
        self._turns = turns

    def __enter__(self) -> None:
        self._turns.take()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._turns.leave()


class _Waiting:
    def __init__(self, turns: Turns) -> None:
        self._turns = turns
        self._had = False

    def __enter__(self) -> None:
        self._had = self._turns.leave()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._had:
            self._turns.take()
