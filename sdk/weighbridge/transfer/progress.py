"""Watching a transfer: an observer with three events, as a terminal bar, plain lines, a function that is
called, or nothing.

The engine calls an observer from one thread at a time, so observers need no locks.
"""

import sys
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TextIO, cast, runtime_checkable

from weighbridge.contract.errors import InvalidRequest


class Progress(Protocol):
    """What a transfer tells. A notebook's widget or a callback may implement it."""

    def start(self, total: int, label: str) -> None:
        """`total` bytes are to be dealt with; `label` names what is moved."""

    def advance(self, moved: int, reused: int) -> None:
        """So many more bytes went over the wire, and so many more did not have to."""

    def finish(self) -> None:
        """Nothing more will come; called after a failure too."""


@runtime_checkable
class Phased(Progress, Protocol):
    """An observer that also wants to know what is being done."""

    def phase(self, name: str) -> None:
        """One of `PUSH` or of `PULL`, in that order; some may be left out."""


PUSH = ("hash", "send", "complete", "publish")
PULL = ("read cache", "fetch", "verify")


class Silent:
    """Shows nothing."""

    def start(self, total: int, label: str) -> None:
        """Does nothing."""

    def advance(self, moved: int, reused: int) -> None:
        """Does nothing."""

    def finish(self) -> None:
        """Does nothing."""


@dataclass(frozen=True, slots=True)
class ProgressEvent:
    """How a transfer stands. Bytes that were `moved` went over the wire; those `reused` did not have
    to. `rate` is that of the last seconds; `left` is how many seconds it will take at that rate,
    None while that is unknown. The last event is `finished`, after a failure too."""

    label: str
    phase: str
    total: int
    moved: int
    reused: int
    rate: float
    seconds: float
    left: float | None
    finished: bool = False

    @property
    def done(self) -> int:
        """Bytes dealt with."""
        return self.moved + self.reused

    @property
    def share(self) -> float:
        """What of the whole is dealt with, from 0 to 1."""
        return min(1.0, self.done / self.total) if self.total else float(self.finished)


Watcher = Progress | Callable[[ProgressEvent], object]
"""What `progress=` takes: an observer, or a function that is called with events."""


class _Meter:
    """Counts, and tells at most once per `every` seconds, at each new phase, and at the end."""

    every = 0.1
    window = 10.0
    """The rate is that of so many seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._label = self._phase = ""
        self._total = self._moved = self._reused = 0
        self._started = self._told = 0.0
        self._samples: deque[tuple[float, int]] = deque()

    def start(self, total: int, label: str) -> None:
        """Begins a new count."""
        self._label, self._total, self._phase = label, total, ""
        self._moved = self._reused = 0
        self._started = self._told = self._clock()
        self._samples = deque([(self._started, 0)])

    def phase(self, name: str) -> None:
        """Notes what is being done now."""
        self._phase = name
        self._say(self._clock())

    def advance(self, moved: int, reused: int) -> None:
        """Counts, and tells if it is time."""
        self._moved += moved
        self._reused += reused
        now = self._clock()
        if now - self._samples[-1][0] >= self.window / 20:
            self._samples.append((now, self._moved))
            while len(self._samples) > 2 and now - self._samples[1][0] >= self.window:
                self._samples.popleft()
        if now - self._told >= self._pause(now):
            self._say(now)

    def finish(self) -> None:
        """Tells the last state."""
        self._tell(self._event(self._clock(), finished=True))

    def _pause(self, now: float) -> float:
        return self.every

    def _say(self, now: float) -> None:
        self._told = now
        self._tell(self._event(now))

    def _event(self, now: float, *, finished: bool = False) -> ProgressEvent:
        since, then = self._samples[0] if self._samples else (now, 0)
        rate = (self._moved - then) / max(now - since, 1e-9)
        missing = self._total - self._moved - self._reused
        return ProgressEvent(
            label=self._label,
            phase=self._phase,
            total=self._total,
            moved=self._moved,
            reused=self._reused,
            rate=rate,
            seconds=now - self._started,
            left=missing / rate if rate > 0 and missing > 0 else None,
            finished=finished,
        )

    def _tell(self, event: ProgressEvent) -> None:
        raise NotImplementedError


class Events(_Meter):
    """Calls a function with a `ProgressEvent` about ten times a second."""

    def __init__(
        self,
        call: Callable[[ProgressEvent], object],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(clock)
        self._call = call

    def _tell(self, event: ProgressEvent) -> None:
        self._call(event)


class _Shown(_Meter):
    def __init__(
        self, stream: TextIO | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        super().__init__(clock)
        self._stream = stream or sys.stderr

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()


class Bar(_Shown):
    """One line on a terminal that is drawn over and over."""

    width = 24

    def _tell(self, event: ProgressEvent) -> None:
        if event.finished:
            self._write(f"\r\x1b[2K{event.label}: {summary(event)}\n")
            return
        full = int(event.share * self.width)
        bar = "#" * full + "-" * (self.width - full)
        self._write(f"\r\x1b[2K{event.label} [{bar}] {event.share:4.0%} {describe(event)}")


class Lines(_Shown):
    """A plain line every few seconds, later every half minute, for logs; and one at the end."""

    every = 5.0
    later = 30.0

    def phase(self, name: str) -> None:
        """Notes what is being done now, for the next line."""
        self._phase = name

    def _pause(self, now: float) -> float:
        return self.every if now - self._started < 60 else self.later

    def _tell(self, event: ProgressEvent) -> None:
        text = summary(event) if event.finished else describe(event)
        self._write(f"{event.label}: {text}\n")


class Whole:
    """Passes on what several steps tell, as one transfer that ends when it is closed."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._started = False

    def start(self, total: int, label: str) -> None:
        """Begins a step."""
        self._started = True
        self._progress.start(total, label)

    def advance(self, moved: int, reused: int) -> None:
        """Passes it on."""
        self._progress.advance(moved, reused)

    def phase(self, name: str) -> None:
        """Passes it on to who wants to know."""
        enter(self._progress, name)

    def finish(self) -> None:
        """Waits for the end of the whole."""

    def close(self) -> None:
        """The end of the whole."""
        if self._started:
            self._progress.finish()


def enter(progress: Progress, phase: str) -> None:
    """Tells an observer of a new phase, if it has a method for that."""
    if isinstance(progress, Phased):
        progress.phase(phase)


def watching(given: Watcher | None) -> Progress:
    """The observer that `progress=` means."""
    if given is None:
        return Silent()
    if callable(getattr(given, "advance", None)):
        return cast("Progress", given)
    if callable(given):
        return Events(given)
    raise InvalidRequest(
        f"progress is a {type(given).__name__}; give a function, or an object with start, advance "
        "and finish"
    )


def describe(event: ProgressEvent) -> str:
    """`send: 450 MB of 1.0 GB, 10.2 MB/s, 54 s left, reused 40.0 MB`."""
    parts = [f"{size(event.done)} of {size(event.total)}"]
    if event.moved:
        parts.append(f"{size(int(event.rate))}/s")
    if event.moved and event.left is not None:
        parts.append(f"{duration(event.left)} left")
    if event.reused:
        parts.append(f"reused {size(event.reused)}")
    return (f"{event.phase}: " if event.phase else "") + ", ".join(parts)


def summary(event: ProgressEvent) -> str:
    """`sent 21.0 MB, reused 979 MB`; of an unfinished one also of how much."""
    verb = "received" if event.phase in PULL else "sent"
    short = f" of {size(event.total)}" if event.done < event.total else ""
    return f"{verb} {size(event.moved)}, reused {size(event.reused)}{short}"


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
