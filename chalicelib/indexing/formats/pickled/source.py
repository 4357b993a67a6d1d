"""Where the bytes of a pickle come from: ranges of an object, a member of an archive, or memory."""

from dataclasses import dataclass
from typing import Protocol

CHUNK = 64 * 1024
WIDEST = 1024 * 1024
"""Bytes per request: a walk starts with `CHUNK` and doubles it while it reads on."""
LINE = WIDEST
"""The longest text argument; a loader has no limit, so a longer one ends the walk as unknown."""


UNKNOWN = 2**62
"""The size of what was not unpacked to its end."""


class Source(Protocol):
    """Bytes by range. Short at the end."""

    @property
    def size(self) -> int:
        """How many bytes there are."""
        ...

    def read(self, start: int, length: int) -> bytes:
        """That range."""
        ...


class Truncated(Exception):
    """The bytes ended inside of something."""


class OverLimit(Exception):
    """More work than one file is worth: nothing is known of the rest."""


@dataclass(slots=True)
class Limits:
    """What may still be spent on one object, over all pickles in it."""

    opcodes: int = 500_000
    requests: int = 1_000
    kept: int = 16 * 1024 * 1024
    nested: int = 1_000


@dataclass(slots=True)
class Part:
    """A range of another source."""

    whole: Source
    start: int
    size: int

    def read(self, start: int, length: int) -> bytes:
        """A range of the range."""
        length = min(length, self.size - start)
        return self.whole.read(self.start + start, length) if length > 0 else b""


@dataclass(slots=True)
class Memory:
    """Bytes at hand: all of them, or the first of `total`."""

    data: bytes
    total: int | None = None

    @property
    def size(self) -> int:
        """How many there are, at hand or not."""
        return len(self.data) if self.total is None else self.total

    def read(self, start: int, length: int) -> bytes:
        """That range. Raises `OverLimit` behind what is at hand."""
        found = self.data[start : start + length]
        if not found and start < self.size:
            raise OverLimit("what is unpacked is longer than is looked at")
        return found


class Cursor:
    """Reads a source forwards, in chunks, skipping what is long."""

    def __init__(self, source: Source, limits: Limits, at: int = 0) -> None:
        self.source = source
        self.limits = limits
        self.at = at
        self._base = at
        self._chunk = b""
        self._step = CHUNK

    def _need(self, length: int) -> int:
        """Where in the chunk `length` bytes from here are. Raises `Truncated`."""
        here = self.at - self._base
        if 0 <= here <= len(self._chunk) - length:
            return here
        if self.at + length > self.source.size:
            raise Truncated(f"truncated at byte {self.source.size}")
        if self.limits.requests <= 0:
            raise OverLimit("too many requests for one file")
        self.limits.requests -= 1
        near = 0 <= here <= len(self._chunk)
        self._step = min(self._step * 2, WIDEST) if near and self._chunk else CHUNK
        self._chunk = self.source.read(self.at, max(length, self._step))
        self._base = self.at
        if len(self._chunk) < length:
            if isinstance(self.source, Memory) and self.source.size > len(self.source.data):
                raise OverLimit("what is unpacked is longer than is looked at")
            raise Truncated(f"truncated at byte {self.at + len(self._chunk)}")
        return 0

    def byte(self) -> int:
        """The next byte."""
        here = self.at - self._base
        if not 0 <= here < len(self._chunk):
            here = self._need(1)
        self.at += 1
        return self._chunk[here]

    def take(self, length: int) -> bytes:
        """The next `length` bytes, at most `WIDEST`."""
        if length > WIDEST:
            raise OverLimit(f"{length} bytes in one piece")
        here = self._need(length)
        self.at += length
        return self._chunk[here : here + length]

    def number(self, length: int) -> int:
        """The next `length` bytes as an unsigned little-endian number."""
        return int.from_bytes(self.take(length), "little")

    def line(self) -> bytes:
        """The bytes up to the next newline, without it. At the end of the bytes one loader takes what is
        there but the last byte; nothing can follow, so that is done here."""
        here = self._need(1)
        end = self._chunk.find(b"\n", here)
        if end < 0:
            wanted = min(LINE, self.source.size - self.at)
            self.limits.kept -= wanted
            if self.limits.kept < 0:
                raise OverLimit("too many long lines")
            here = self._need(wanted)
            end = self._chunk.find(b"\n", here, here + wanted)
        if end < 0 or end - here > LINE:
            rest = self.source.size - self.at
            if rest <= LINE:
                self.at += rest
                return self._chunk[here : here + rest - 1]
            raise OverLimit(f"a line of more than {LINE} bytes")
        self.at = self._base + end + 1
        return self._chunk[here:end]

    def skip(self, length: int) -> None:
        """Leaves out `length` bytes without reading them."""
        if self.at + length > self.source.size:
            raise Truncated(f"truncated at byte {self.source.size}")
        self.at += length
