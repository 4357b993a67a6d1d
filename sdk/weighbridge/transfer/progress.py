"""Watching a transfer: an observer with three events, as a terminal bar, plain lines or nothing.

The engine calls an observer from one thread at a time, so observers need no locks.
"""

import sys
import time
from collections.abc import Callable
from typing import Protocol, TextIO


class Progress(Protocol):
    """What a transfer tells. A notebook's widget or a callback may implement it."""

    def start(self, total: int, label: str) -> None:
        """`total` bytes are to be dealt with; `label` names what is moved."""

    def advance(self, moved: int, reused: int) -> None:
        """So many more bytes went over the wire, and so many more did not have to."""

    def finish(self) -> None:
        """Nothing more will come; called after a failure too."""


class Silent:
    """Shows nothing."""

    def start(self, total: int, label: str) -> None:
        """Does nothing."""

    def advance(self, moved: int, reused: int) -> None:
        """Does nothing."""

    def finish(self) -> None:
        """Does nothing."""


class _Shown:
    """Counts, and draws at most once per `every` seconds and at the end."""

    every = 0.1

    def __init__(
        self, stream: TextIO | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._stream = stream or sys.stderr
        self._clock = clock
        self._label = ""
        self._total = self._moved = self._reused = 0
        self._started = self._drawn = 0.0

    def start(self, total: int, label: str) -> None:
        """Begins a new count."""
        self._label, self._total = label, total
        self._moved = self._reused = 0
        self._started = self._drawn = self._clock()

    def advance(self, moved: int, reused: int) -> None:
        """Counts, and draws if it is time."""
        self._moved += moved
        self._reused += reused
        now = self._clock()
        if now - self._drawn >= self.every:
            self._drawn = now
            self._draw(now, last=False)

    def finish(self) -> None:
        """Draws the last state."""
        self._draw(self._clock(), last=True)

    def _draw(self, now: float, *, last: bool) -> None:
        raise NotImplementedError

    def _text(self, now: float) -> str:
        seconds = max(now - self._started, 1e-9)
        parts = [f"{size(self._moved + self._reused)} of {size(self._total)}"]
        if self._moved:
            rate = self._moved / seconds
            parts.append(f"{size(int(rate))}/s")
            left = self._total - self._moved - self._reused
            if left > 0:
                parts.append(f"{duration(left / rate)} left")
        if self._reused:
            parts.append(f"reused {size(self._reused)}")
        return ", ".join(parts)


class Bar(_Shown):
    """One line on a terminal that is drawn over and over."""

    width = 24

    def _draw(self, now: float, *, last: bool) -> None:
        done = self._moved + self._reused
        share = min(1.0, done / self._total) if self._total else float(last)
        full = int(share * self.width)
        bar = "#" * full + "-" * (self.width - full)
        line = f"{self._label} [{bar}] {share:4.0%} {self._text(now)}"
        self._stream.write(f"\r\x1b[2K{line}" + ("\n" if last else ""))
        self._stream.flush()


class Lines(_Shown):
    """A plain line every few seconds, for logs."""

    every = 5.0

    def _draw(self, now: float, *, last: bool) -> None:
        self._stream.write(f"{self._label}: {self._text(now)}\n")
        self._stream.flush()


class Callback:
    """Calls a function with (bytes dealt with, bytes in all) at each step."""

    def __init__(self, call: Callable[[int, int], object]) -> None:
        self._call = call
        self._done = self._total = 0

    def start(self, total: int, label: str) -> None:
        """Begins at zero."""
        self._done, self._total = 0, total
        self._call(0, total)

    def advance(self, moved: int, reused: int) -> None:
        """Reports the sum."""
        self._done += moved + reused
        self._call(self._done, self._total)

    def finish(self) -> None:
        """Does nothing more."""


def for_stream(stream: TextIO | None = None) -> Progress:
    """A bar on a terminal, plain lines elsewhere."""
    stream = stream or sys.stderr
    return Bar(stream) if stream.isatty() else Lines(stream)


def size(count: int) -> str:
    """`21 MB`: bytes for people, in powers of 1,000."""
    amount = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if amount < 999.5:
            return (
                f"{amount:.0f} {unit}" if unit == "B" or amount >= 99.5 else f"{amount:.1f} {unit}"
            )
        amount /= 1000
    return f"{amount:.1f} TB"


def duration(seconds: float) -> str:
    """`1 h 02 min`, `3 min 20 s`, `12 s`."""
    whole = int(seconds + 0.5)
    if whole >= 3600:
        return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
    if whole >= 60:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole} s"
