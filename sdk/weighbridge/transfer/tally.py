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

    def sent(self, wire: int, first: int) -> None:
        """`wire` bytes went out or came in, `first` of them for the first time."""
        with self._lock:
            self.sent_bytes += wire
            if first:
                self._progress.advance(first, 0)

    def reused(self, size: int) -> None:
        """`size` bytes are there already."""
        with self._lock:
            self.reused_bytes += size
            self._progress.advance(0, size)

    def held(self, blob: str, number: int, size: int) -> None:
        """The store holds a part (0: the whole blob) already; unless we sent it, it is reused."""
        with self._lock:
            mine = (blob, number or 1) in self._settled
            self._settled.add((blob, number or 1))
        if not mine:
            self.reused(size)

    def part(self, blob: str, number: int) -> None:
        """A part, or a whole small file, was sent and is stored."""
        with self._lock:
            self.parts_sent += 1
            self._settled.add((blob, number))
