"""An object read by ranges: what indexers are given instead of a file, with a budget."""

from collections.abc import Callable
from dataclasses import dataclass, field

FIRST = 64 * 1024
"""Bytes that `describe` fetches before anything is known; they are not fetched again."""
BUDGET = 120 * 1024 * 1024
"""Bytes that the indexing of one object may fetch, unless its format sets less."""


class OverBudget(Exception):
    """More would have to be read than the format's budget allows: the facts stay unknown."""


@dataclass(slots=True)
class Ranged:
    """An object of `size` bytes, counting what was asked of the store. `name` is the path it was
    given, a hint that may be empty."""

    fetch: Callable[[int, int], bytes]
    size: int
    name: str = ""
    budget: int = BUDGET
    read_bytes: int = 0
    requests: int = 0
    _first: bytes = field(default=b"")

    def read(self, start: int, length: int) -> bytes:
        """That range, shorter at the end of the object. Raises `OverBudget`."""
        end = min(start + length, self.size)
        if end <= len(self._first):
            return self._first[start:end]
        if self.read_bytes + max(0, end - start) > self.budget:
            raise OverBudget(f"{self.read_bytes} bytes were read; {self.budget} at most")
        data = self.fetch(start, end - start) if end > start else b""
        self.requests += 1
        self.read_bytes += len(data)
        if start == 0:
            self._first = data
        return data
