"""What a push notes of each tensor while it reads a file: a fingerprint, and statistics.

A fingerprint is the XXH3-128 of the tensor's bytes alone, whatever it is called and wherever it stands.
It tells tensors apart, it proves nothing: files are proven by their SHA-256. Fingerprints need the
package `xxhash`, statistics need NumPy (both: `weighbridge[stats]`); without them there are none.

Fingerprints are made in the thread that reads, at ten times its speed. Statistics are slower, so those
of large files are made in a thread of their own, and unless all numbers are asked for, of a sample: the
first `WINDOW` bytes of every `EVERY` of each tensor. What the thread cannot keep up with is left out too.
Statistics say how many numbers they saw (docs/decisions/0008-fingerprints.md).
"""

import os
import queue
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from math import prod
from pathlib import Path
from types import ModuleType
from typing import Protocol

from weighbridge.contract.types import Statistics, TensorClaim
from weighbridge.transfer import hashing
from weighbridge.transfer.hashing import Stamp
from weighbridge.transfer.tensor_table import Entry, look

SMALL = 16 * 1024 * 1024
"""Statistics of a file up to this size are of all its numbers, made while it is read."""
WAITING = 8
"""Blocks whose pieces may wait for the thread of statistics."""
WINDOW, EVERY = 128 * 1024, 1024 * 1024
Piece = tuple[int, int, bytes]
"""Tensor, offset in it, bytes."""


class Digest(Protocol):
    """What this module needs of an `xxhash` object."""

    def update(self, data: memoryview, /) -> None:
        """Takes more bytes."""

    def hexdigest(self) -> str:
        """The digest of all bytes so far."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a push is to note of its tensors. `whole`: statistics are of all numbers, even if reading
    has to wait for them."""

    fingerprints: bool = True
    statistics: bool = True
    whole: bool = False

    @classmethod
    def of(cls, fingerprints: bool | None = None, statistics: bool | None = None) -> "Wanted":
        """What was asked for; where nothing was said, what the environment does not turn off."""

        def on(asked: bool | None, variable: str) -> bool:
            return os.environ.get(variable, "") in ("", "0") if asked is None else asked

        return cls(
            on(fingerprints, "WEIGHBRIDGE_NO_FINGERPRINTS"),
            on(statistics, "WEIGHBRIDGE_NO_STATS"),
            statistics is True,
        )


@cache
def _xxhash() -> ModuleType | None:
    try:
        import xxhash
    except ImportError:
        return None
    return xxhash


@cache
def _statistics() -> ModuleType | None:
    try:
        from weighbridge.transfer import statistics
    except ImportError:
        return None
    return statistics


class Scan(Protocol):
    """One way to look at tensors, fed with pieces of them."""

    def piece(self, index: int, offset: int, data: memoryview) -> None:
        """The bytes at `offset` of the tensor number `index`."""


class TensorScan:
    """The tensors of one file. `update` takes its blocks from the first byte to the last; they need
    not respect the borders of tensors. `finish` answers what was found; `close` gives up."""

    def __init__(self, entries: Sequence[Entry], size: int, wanted: Wanted) -> None:
        self._entries = entries
        self._size = size
        self._whole = wanted.whole
        self._pieces = _Pieces(entries)
        self._prints = _Fingerprints(entries) if wanted.fingerprints and _xxhash() else None
        figures = _Figures(entries) if wanted.statistics and _statistics() else None
        self._figures = figures
        self._thread = _Thread(figures, wanted.whole) if figures and size > SMALL else None

    @property
    def idle(self) -> bool:
        """Whether there is nothing to note: what that takes is not installed, or not wanted."""
        return self._prints is None and self._figures is None

    def update(self, view: memoryview) -> None:
        """The next block of the file. It is not kept: its buffer may be used again."""
        inline: tuple[Scan | None, ...] = (self._prints, None if self._thread else self._figures)
        scans = [scan for scan in inline if scan]
        later: list[Piece] = []
        room = self._thread is not None and self._thread.room
        for index, offset, data in self._pieces.of(view):
            for scan in scans:
                scan.piece(index, offset, data)
            if room:
                later += [(index, at, bytes(part)) for at, part in self._sample(offset, data)]
        if self._thread is not None and later:
            self._thread.offer(later)

    def _sample(self, offset: int, data: memoryview) -> Iterable[tuple[int, memoryview]]:
        """The part of a piece that statistics are made of. By the place in the tensor, so that the
        same tensor has the same statistics wherever blocks end."""
        if self._whole:
            yield offset, data
            return
        end = offset + len(data)
        for window in range(offset - offset % EVERY, end, EVERY):
            low, high = max(offset, window), min(end, window + WINDOW)
            if low < high:
                yield low, data[low - offset : high - offset]

    def finish(self) -> tuple[TensorClaim, ...]:
        """What was found, when all of the file was seen; else nothing."""
        self.close(wait=True)
        if self._pieces.at != self._size:
            return ()
        found = []
        for index, entry in enumerate(self._entries):
            print_ = self._prints.of(index) if self._prints else ""
            statistics = self._figures.of(index) if self._figures else None
            if print_ or statistics:
                claim = TensorClaim(entry.name, entry.dtype, entry.shape, print_, statistics)
                found.append(claim)
        return tuple(found)

    def close(self, *, wait: bool = False) -> None:
        """Ends the thread, if there is one; without `wait`, whatever it has not looked at is dropped."""
        if self._thread is not None:
            self._thread.end(wait=wait)


def open_scan(path: Path, wanted: Wanted) -> tuple[TensorScan, Stamp] | None:
    """A scan for the file at `path`, and the file it is for; None if it has no tensors, or there is
    nothing to note. What it finds is of the file only if that still has this stamp when it was read."""
    if not (wanted.fingerprints or wanted.statistics):
        return None
    with hashing.open_file(path) as stream:
        stamp = hashing.stamp(stream)
        found = look(stream, stamp.size)
    scan = TensorScan(found, stamp.size, wanted) if found else None
    return None if scan is None or scan.idle else (scan, stamp)


class _Pieces:
    """Cuts blocks of a file, which come in its order, into pieces of its tensors."""

    def __init__(self, entries: Sequence[Entry]) -> None:
        self._entries = entries
        self._first = 0
        self.at = 0

    def of(self, view: memoryview) -> Iterable[tuple[int, int, memoryview]]:
        """Tensor, offset in it, bytes: for each tensor that the block touches."""
        start, end = self.at, self.at + len(view)
        self.at = end
        index = self._first
        while index < len(self._entries):
            entry = self._entries[index]
            if entry.start >= end:
                break
            low, high = max(start, entry.start), min(end, entry.start + entry.size)
            if low < high:
                yield index, low - entry.start, view[low - start : high - start]
            if entry.start + entry.size <= end:
                # Tensors may not overlap, so whatever ends here is over for good.
                self._first = index + 1
            index += 1


class _Fingerprints:
    def __init__(self, entries: Sequence[Entry]) -> None:
        self._entries = entries
        self._found: dict[int, str] = {}
        self._index = -1
        self._digest: Digest | None = None

    def piece(self, index: int, offset: int, data: memoryview) -> None:
        # Where the type is not known, neither is where the tensor ends.
        if not self._entries[index].dtype:
            return
        if index != self._index or self._digest is None:
            self._index, self._digest = index, _new_digest()
        self._digest.update(data)
        if offset + len(data) == self._entries[index].size:
            self._found[index], self._digest = self._digest.hexdigest(), None

    def of(self, index: int) -> str:
        entry = self._entries[index]
        if entry.dtype and not entry.size:
            return _new_digest().hexdigest()
        return self._found.get(index, "")


def _new_digest() -> Digest:
    module = _xxhash()
    assert module is not None
    digest: Digest = module.xxh3_128()
    return digest


class _Figures:
    def __init__(self, entries: Sequence[Entry]) -> None:
        module = _statistics()
        assert module is not None
        self._module = module
        self._entries = entries
        self._found: dict[int, Statistics] = {}
        self._index = -1
        self._feed = None

    def piece(self, index: int, offset: int, data: memoryview) -> None:
        if index != self._index:
            self._settle()
            dtype = self._entries[index].dtype
            self._index = index
            self._feed = self._module.Feed(dtype) if dtype in self._module.KNOWN else None
        if self._feed is not None:
            self._feed.add(offset, data)

    def _settle(self) -> None:
        if self._feed is not None:
            found = self._feed.result(prod(self._entries[self._index].shape))
            if found is not None:
                self._found[self._index] = found
        self._feed = None

    def of(self, index: int) -> Statistics | None:
        if index == self._index:
            self._settle()
        return self._found.get(index)


class _Thread:
    """Makes statistics of copied pieces; with `patient`, they wait instead of being left out."""

    def __init__(self, figures: _Figures, patient: bool) -> None:
        self._figures = figures
        self._patient = patient
        self._queue: queue.Queue[list[Piece] | None] = queue.Queue(WAITING)
        self._over = threading.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(
            target=self._run, name="weighbridge-statistics", daemon=True
        )
        self._thread.start()

    @property
    def room(self) -> bool:
        """Whether pieces are worth copying now: one thread offers, so room stays."""
        return self._patient or not self._queue.full()

    def offer(self, pieces: list[Piece]) -> None:
        """Hands over the pieces of a block; call it when there is `room`."""
        self._queue.put(pieces)

    def end(self, *, wait: bool) -> None:
        """Ends the thread, after what waits if so wanted."""
        if not wait:
            self._over.set()
        if self._thread.is_alive():
            self._queue.put(None)
            self._thread.join()
        if wait and self._failure is not None:
            raise self._failure

    def _run(self) -> None:
        while (pieces := self._queue.get()) is not None:
            if self._over.is_set():
                continue
            try:
                for index, offset, data in pieces:
                    self._figures.piece(index, offset, memoryview(data))
            except BaseException as error:  # told to whoever waits for the end
                self._failure = error
                self._over.set()
