"""Counts what moved, from many threads, and tells the observer one event at a time."""

import threading

from weighbridge.transfer.progress import PUSH, Progress, enter
from weighbridge.transfer.progress import size as size_text


class Tally:
    """`sent_bytes` went over the wire (repeats included), `reused_bytes` did not have to."""

    def __init__(self, progress: Progress, total: int = 0, phases: tuple[str, ...] = PUSH) -> None:
        self._progress = progress
        self._total = total
        self._begins, self._moves, self._ends = phases[:3]
        self._phase = ""
        self._dealt = 0
        self._lock = threading.Lock()
        self.sent_bytes = 0
        self.reused_bytes = 0
        self.parts_sent = 0
        self.stored_bytes = 0
        """Of these a next run need not move anything."""
        self._settled: set[tuple[str, int]] = set()
        self._reached: dict[tuple[str, int], int] = {}

    def begin(self) -> None:
        """Nothing moves yet."""
        self._enter(self._begins)

    def received(self, size: int) -> None:
        """`size` bytes came in."""
        with self._lock:
            self.sent_bytes += size
            self._advance(size, 0)

    def sent(self, blob: str, number: int, wire: int, position: int) -> None:
        """`wire` bytes of a part went out, up to `position`; the observer hears of each byte once,
        however often it is sent."""
        with self._lock:
            self.sent_bytes += wire
            self._reach((blob, number), position)

    def landed(self, size: int) -> None:
        """`size` bytes that came in are kept, whatever happens next."""
        with self._lock:
            self.stored_bytes += size

    def reused(self, size: int) -> None:
        """`size` bytes are there already."""
        with self._lock:
            self.stored_bytes += size
            self.reused_bytes += size
            self._advance(0, size)

    def so_far(self, total: int, verb: str) -> str:
        """`412 MB of 1.0 GB are stored`."""
        return f"{size_text(min(self.stored_bytes, total))} of {size_text(total)} are {verb}"

    def held(self, blob: str, number: int, size: int) -> None:
        """The store holds a part (0: the whole blob) already; unless we sent it, it is reused."""
        with self._lock:
            part = (blob, number or 1)
            if part in self._settled:
                return
            self._settled.add(part)
            seen = self._reached.pop(part, 0)
            self.stored_bytes += seen
        self.reused(size - seen)

    def part(self, blob: str, number: int, size: int) -> None:
        """A part, or a whole small file, was sent and is stored."""
        with self._lock:
            self.parts_sent += 1
            if (blob, number) not in self._settled:
                self.stored_bytes += size
            self._settled.add((blob, number))
            self._reach((blob, number), size)
            self._reached.pop((blob, number), None)

    def _reach(self, part: tuple[str, int], position: int) -> None:
        first = position - self._reached.get(part, 0)
        if first > 0:
            self._reached[part] = position
            self._advance(first, 0)

    def _advance(self, moved: int, reused: int) -> None:
        if moved and self._phase == self._begins:
            self._enter(self._moves)
        self._dealt += moved + reused
        self._progress.advance(moved, reused)
        if self._total and self._dealt >= self._total:
            self._enter(self._ends)

    def _enter(self, phase: str) -> None:
        if phase != self._phase:
            self._phase = phase
            enter(self._progress, phase)
