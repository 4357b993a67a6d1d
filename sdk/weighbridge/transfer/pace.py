"""How many connections at a time: more while they bring more.

A store far away answers each request after tens of milliseconds, however many are under way: eight connections
bring a tenth of what it can. One on the same machine brings no more with sixty than with eight. So it is tried:
double as many, and back if that was not worth it. Not where the processors have nothing to spare: then they
are the limit, and whoever shares them with the store only makes it slower. (docs/decisions/0021-connections.md)
"""

import time
from collections.abc import Callable

WINDOW = 0.5
"""Seconds that a number of connections is measured for, at least."""
GAIN = 1.15
"""So many times as much twice the connections must bring."""
RESTS = 20
"""So many windows pass before more is tried again."""
REQUEST = 1024 * 1024
"""A request takes about as long as so many bytes on a connection to S3."""
SPARE = 0.1
"""Below this share of idle processors no more connections are tried."""
_IDLE = 10
"""In a window in which one of so many tasks was waited for, connections were not what lacked."""


def _unknown() -> None:
    return None


class Pace:
    """What was done with `allowed` connections, and how many are allowed next. `spare` tells the share of
    the processors that was idle since it was asked last. Not for several threads at the same time."""

    def __init__(
        self,
        least: int,
        most: int,
        clock: Callable[[], float] = time.monotonic,
        spare: Callable[[], float | None] = _unknown,
    ) -> None:
        self._least = least
        self._most = max(least, most)
        self._clock = clock
        self._spare = spare
        self.allowed = least
        self._before = 0
        """How many there were before the last step up; 0 once it proved right or wrong."""
        self._best = 0.0
        self._rests = 0
        self._begin()

    def _begin(self) -> None:
        self._since = self._clock()
        self._weight = self._tasks = self._idle = 0
        self._refused = False

    def idle(self) -> None:
        """A connection had nothing to do."""
        self._idle += 1

    def refused(self) -> None:
        """The store asked for fewer requests."""
        self._refused = True

    def done(self, size: int) -> None:
        """A task of `size` bytes ended: with it, a window may."""
        self._weight += REQUEST + size
        self._tasks += 1
        seconds = self._clock() - self._since
        if seconds < WINDOW or self._tasks < 2 * self.allowed:
            return
        spare = self._spare()
        self._step(
            self._weight / seconds,
            lacking=self._idle * _IDLE <= self._tasks,
            spare=spare is None or spare >= SPARE,
        )
        self._begin()

    def _step(self, rate: float, *, lacking: bool, spare: bool) -> None:
        if self._refused:
            self.allowed = max(min(self._least, self.allowed), self.allowed // 2)
            self._before, self._rests = 0, RESTS
        elif not lacking:
            # What was slower than the connections says nothing of them.
            self.allowed, self._before = self._before or self.allowed, 0
        elif self._before and rate < GAIN * self._best:
            self.allowed, self._before, self._rests = self._before, 0, RESTS
        elif self._rests:
            self._rests -= 1
        elif not spare:
            self._before = 0
        else:
            self._best = rate
            self._before = self.allowed if self.allowed < self._most else 0
            self.allowed = min(2 * self.allowed, self._most)
