"""A second request for the range that everybody waits for at the end of a pull, and the first answer
counts. One at a time, only when no other range is left to begin, and only where the digest of the range is
known beforehand: so whichever answer is taken is the right one. (docs/decisions/0009-hedging.md)
"""

import statistics
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from weighbridge.contract.cuts import Span
from weighbridge.contract.errors import RegistryError, TransferError
from weighbridge.contract.types import SignedRequest
from weighbridge.http import Interrupted, Pool
from weighbridge.transfer import ranges
from weighbridge.transfer.crew import Crew
from weighbridge.transfer.memory import BUFFER

TIMES = 3.0
"""So many times as long as the others, for its size, a range must have taken."""
LEAST = 1.0
"""Seconds that it must have taken in any case."""
KNOWN = 3
"""So many ranges must have come before it is known how long one takes."""
_LOOK = 0.1


@dataclass(frozen=True, slots=True)
class Wanted:
    """A range of a file of `size` bytes; `expected` is its SHA-256 if that is known."""

    request: SignedRequest
    span: Span
    size: int
    path: str
    expected: str


@dataclass(slots=True, eq=False)
class _Running:
    """A range under way. `data` is what the second request brought, once it was first."""

    wanted: Wanted
    pool: Pool
    began: float
    second: Pool | None = None
    data: bytearray | None = None


class Hedge:
    """The ranges of one pull that are under way; `pool` is the pull's own."""

    def __init__(self, pool: Pool, received: Callable[[int], None]) -> None:
        self._pool = pool
        self._received = received
        self._lock = threading.Lock()
        self._running: list[_Running] = []
        self._paces: list[float] = []
        """Seconds per byte of the ranges that came."""

    def interrupt(self) -> None:
        """Ends every request that is under way, for good."""
        self._pool.interrupt()
        with self._lock:
            running = list(self._running)
        for one in running:
            one.pool.interrupt()
            if one.second is not None:
                one.second.interrupt()

    def fetch(self, crew: Crew, wanted: Wanted, write: Callable[[int, memoryview], None]) -> str:
        """`ranges.fetch`, or what a second request brought meanwhile; the SHA-256 of the range."""
        one = _Running(wanted, self._pool.branch(), time.monotonic())
        with self._lock:
            self._running.append(one)
        try:
            if self._pool.interrupted:
                raise Interrupted("stopped")

            def take(offset: int, data: memoryview) -> None:
                write(offset, data)
                self._received(len(data))

            found = ranges.fetch(
                one.pool, crew, wanted.request, wanted.span, wanted.size, wanted.path, take,
                wanted.expected,
            )  # fmt: skip
            with self._lock:
                self._paces.append((time.monotonic() - one.began) / max(1, wanted.span.size))
            return found
        except TransferError:
            if one.data is None:
                raise
            write(wanted.span.offset, memoryview(one.data))
            return wanted.expected
        finally:
            with self._lock:
                self._running.remove(one)
            if one.second is not None:
                one.second.interrupt()

    def watch(self, crew: Crew) -> None:
        """Waits until the crew is done; meanwhile asks a second time for what is late."""
        while not crew.settled(_LOOK):
            late = None if crew.waiting() else self._late()
            if late is not None:
                with suppress(RegistryError):  # then it is the first request's turn to say so
                    self._ask_again(crew, late)

    def _late(self) -> _Running | None:
        """The range that has taken longest, if it is late and was not asked for again."""
        now = time.monotonic()
        with self._lock:
            one = min(self._running, key=lambda one: one.began, default=None)
            if one is None or one.second is not None or len(self._paces) < KNOWN:
                return None
            span = one.wanted.span
            allowed = max(LEAST, TIMES * statistics.median(self._paces) * span.size)
            if not one.wanted.expected or span.size > BUFFER or now - one.began < allowed:
                return None
            one.second = self._pool.branch()
            return one

    def _ask_again(self, crew: Crew, one: _Running) -> None:
        wanted, pool = one.wanted, one.second
        assert pool is not None
        if self._pool.interrupted:
            return
        data = bytearray(wanted.span.size)

        def keep(offset: int, block: memoryview) -> None:
            at = offset - wanted.span.offset
            data[at : at + len(block)] = block
            self._received(len(block))

        ranges.fetch(
            pool, crew, wanted.request, wanted.span, wanted.size, wanted.path, keep, wanted.expected
        )
        with self._lock:
            if one not in self._running:
                return
            one.data = data
        one.pool.interrupt()
