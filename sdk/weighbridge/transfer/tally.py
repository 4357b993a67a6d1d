"""Counts what moved, from many threads, and tells the observer one event at a time."""

import threading

from weighbridge.transfer.progress import Progress


class Tally:
    """`sent_bytes` went over the wire (repeats included), `reused_bytes` did not have to."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._lock = threading.Lock()
        self.sent_bytes = 0
        self.reused_bytes = 0
        self.parts_sent = 0
        self._settled: set[tuple[str, int]] = set()
        self._reached: dict[tuple[str, int], int] = {}

    def received(self, size: int) -> None:
        """`size` bytes came in."""
        with self._lock:
            self.sent_bytes += size
            self._progress.advance(size, 0)

    def sent(self, blob: str, number: int, wire: int, position: int) -> None:
        """`wire` bytes of a part went out, up to `position`; the observer hears of each byte once,
        however often it is sent."""
        with self._lock:
            self.sent_bytes += wire
            self._reach((blob, number), position)

    def reused(self, size: int) -> None:
        """`size` bytes are there already."""
        with self._lock:
            self.reused_bytes += size
            self._progress.advance(0, size)

    def held(self, blob: str, number: int, size: int) -> None:
        """The store holds a part (0: the whole blob) already; unless we sent it, it is reused."""
        with self._lock:
            part = (blob, number or 1)
            if part in self._settled:
                return
            self._settled.add(part)
            size -= self._reached.pop(part, 0)
        self.reused(size)

    def part(self, blob: str, number: int, size: int) -> None:
        """A part, or a whole small file, was sent and is stored."""
        with self._lock:
            self.parts_sent += 1
            self._settled.add((blob, number))
            self._reach((blob, number), size)
            self._reached.pop((blob, number), None)

    def _reach(self, part: tuple[str, int], position: int) -> None:
        first = position - self._reached.get(part, 0)
        if first > 0:
            self._reached[part] = position
            self._progress.advance(first, 0)
