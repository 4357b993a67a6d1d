"""Small reads at many places, turned into few requests: blocks are kept, reading on reads ahead."""

from chalicelib.indexing.formats.ranged import FIRST, OverBudget, Ranged

BLOCK = 4096
AHEAD = 1024 * 1024
"""Bytes that one request asks for at most when small reads follow each other."""
MAX_REQUESTS = 2000


class CutShort(Exception):
    """Something would stand behind the end of the file."""


class Window:
    """The bytes of an object at any place. `least` is what a read at a new place asks for; an object
    of up to `small` bytes is read at once when more than its beginning is wanted."""

    def __init__(
        self, ranged: Ranged, least: int = BLOCK, requests: int = MAX_REQUESTS, small: int = 0
    ) -> None:
        self.size = ranged.size
        self._ranged = ranged
        self._least = max(1, least // BLOCK)
        self._blocks: dict[int, bytes] = {}
        self._next = -1
        self._ahead = self._least
        self._requests = ranged.requests + requests
        self._small = ranged.size <= small

    def read(self, start: int, length: int) -> bytes:
        """Exactly these bytes. Raises `CutShort`."""
        if length < 0 or start < 0 or start + length > self.size:
            raise CutShort(f"{length} bytes are expected at {start}, but the file has {self.size}")
        return self.some(start, length)

    def some(self, start: int, length: int) -> bytes:
        """These bytes, fewer at the end of the file."""
        end = min(start + length, self.size)
        if start < 0 or end <= start:
            return b""
        first, last = start // BLOCK, (end - 1) // BLOCK
        if first == last:
            block = self._blocks.get(first) or self._fetch(first, first)
            return block[start - first * BLOCK : end - first * BLOCK]
        parts = [self._blocks.get(n) or self._fetch(n, last) for n in range(first, last + 1)]
        return b"".join(parts)[start - first * BLOCK : end - first * BLOCK]

    def _fetch(self, number: int, last: int) -> bytes:
        """Fetches block `number`, those up to `last`, and some ahead; returns the first of them."""
        start = number * BLOCK
        if start < FIRST:
            stop = max(last + 1, FIRST // BLOCK) if last * BLOCK < FIRST else FIRST // BLOCK
        elif self._small:
            start, stop = FIRST, -(-self.size // BLOCK)
        else:
            self._ahead = (
                min(self._ahead * 2, AHEAD // BLOCK) if number == self._next else self._least
            )
            stop = max(last + 1, number + self._ahead)
            while stop > last + 1 and (stop - 1) in self._blocks:
                stop -= 1
        if self._ranged.requests >= self._requests:
            raise OverBudget(f"{self._ranged.requests} requests were made, too many for one file")
        data = self._ranged.read(start, min(stop * BLOCK, self.size) - start)
        first = start // BLOCK
        for n in range(first, stop):
            part = data[(n - first) * BLOCK : (n - first + 1) * BLOCK]
            if part:
                self._blocks[n] = part
        self._next = stop
        if number not in self._blocks:
            raise CutShort(f"the file ends before {number * BLOCK}")
        return self._blocks[number]
