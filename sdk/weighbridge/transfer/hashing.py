"""Reading a file once: its SHA-256, its parts' SHA-256, and whether it changed meanwhile."""

import hashlib
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from io import FileIO
from pathlib import Path
from queue import SimpleQueue
from typing import Protocol

from weighbridge.contract import cuts
from weighbridge.contract.cuts import Span
from weighbridge.contract.digests import BlobId, Sha256
from weighbridge.contract.errors import FileChanged, InvalidRequest
from weighbridge.contract.types import Part
from weighbridge.transfer import plan, tensor_table
from weighbridge.transfer.crew import Interrupted
from weighbridge.transfer.layout import layout

BLOCK = 1024 * 1024
_AHEAD = 4
_LOOKS = 3


class Hash(Protocol):
    """What this module needs of a `hashlib` object."""

    def update(self, data: memoryview, /) -> None:
        """Takes more bytes."""

    def hexdigest(self) -> str:
        """The digest of all bytes so far."""


@dataclass(frozen=True, slots=True)
class Stamp:
    """What tells that a file is still the one that was read."""

    size: int
    modified: int
    inode: int
    device: int
    changed: int = 0
    """When anything about it changed, its mode and its links too, which no program can set back."""

    def alike(self, other: "Stamp") -> bool:
        """Whether the two differ at most in `changed`, as after a chmod or a hard link."""
        return replace(self, changed=0) == replace(other, changed=0)


@dataclass(frozen=True, slots=True)
class Hashed:
    """A file as it was read. `parts` is empty where the file is one PUT."""

    path: Path
    stamp: Stamp
    sha256: Sha256
    blob: BlobId
    parts: tuple[Part, ...]
    scheme: int = cuts.FIXED

    @property
    def size(self) -> int:
        """Bytes in all."""
        return self.stamp.size


def stamp(stream: FileIO) -> Stamp:
    """The stamp of an open file."""
    return _stamp_of(os.fstat(stream.fileno()))


def stamp_at(path: Path) -> Stamp | None:
    """The stamp of the file at `path`; None if there is none."""
    try:
        return _stamp_of(path.stat())
    except OSError:
        return None


def size_at(path: Path) -> int:
    """The size of the file at `path`; 0 if there is none, which reading it will tell."""
    found = stamp_at(path)
    return found.size if found else 0


def _stamp_of(status: os.stat_result) -> Stamp:
    return Stamp(
        status.st_size, status.st_mtime_ns, status.st_ino, status.st_dev, status.st_ctime_ns
    )


def open_file(path: Path) -> FileIO:
    """Opens a file that is to be pushed, without a buffer of Python's own."""
    try:
        return path.open("rb", buffering=0)
    except OSError as error:
        raise InvalidRequest(f"{path} cannot be read: {error.strerror or error}") from None


def open_same(path: Path, expected: Stamp) -> FileIO:
    """Opens a file that was read before; `FileChanged` if it is not the same any more."""
    try:
        stream = path.open("rb", buffering=0)
    except OSError as error:
        raise FileChanged(f"{path} cannot be read any more: {error.strerror or error}") from None
    if not stamp(stream).alike(expected):
        # What is read here is verified by its digest: a file that was changed behind its times' back
        # does not pass.
        stream.close()
        raise changed(path)
    return stream


def changed(path: Path) -> FileChanged:
    """The error of a file that changed while it was pushed."""
    return FileChanged(
        f"{path} changed while it was being pushed; nothing was published. Push it again when "
        "nothing writes to it",
        path=str(path),
    )


def _never() -> bool:
    return False


def hash_file(
    path: Path,
    stopping: Callable[[], bool] = _never,
    observe: Callable[[memoryview], None] | None = None,
) -> Hashed:
    """Reads `path` once. Raises `FileChanged` if it changes meanwhile; gives up when told to.
    `observe` is given every block, in order."""
    with open_file(path) as stream:
        before = stamp(stream)
        how = layout(stream, before.size)
        whole = hashlib.sha256()
        parts: list[Part] = []
        if how.spans:
            for read in read_parts(stream, path, how.spans, whole, stopping, observe=observe):
                parts.append(read.part)
            digest = Sha256(whole.hexdigest())
        else:
            digest = _hash_span(stream, path, Span(1, 0, before.size), observe)
        check_end(stream, path, before, digest)
    return hashed(path, before, digest, parts, how.scheme)


def hash_small(path: Path, most: int) -> tuple[Hashed, bytes] | None:
    """Like `hash_file`, for a file of up to `most` bytes that is one PUT and no file of tensors: reads
    it in one piece, and answers that too. None for any other file."""
    with open_file(path) as stream:
        before = stamp(stream)
        if before.size > most:
            return None
        data = stream.read(before.size + 1) or b""
        if len(data) != before.size or tensor_table.marked(data[:9]):
            return None
        digest = Sha256(hashlib.sha256(data).hexdigest())
        if not unchanged(path, before, digest, stamp(stream)):
            raise changed(path)
    return hashed(path, before, digest, (), cuts.FIXED), data


def hashed(path: Path, before: Stamp, whole: Sha256, parts: Sequence[Part], scheme: int) -> Hashed:
    """A file that was read, from its digests."""
    digests = [Sha256(part.sha256) for part in parts]
    blob = plan.blob_of(before.size, whole, digests, scheme)
    return Hashed(path, before, whole, blob, tuple(parts), scheme)


def check_end(stream: FileIO, path: Path, before: Stamp, sha256: str) -> None:
    """`FileChanged` unless the file ends where it was read to, and is what it was: `sha256`."""
    if stream.read(1) or not unchanged(path, before, sha256, stamp(stream)):
        raise changed(path)


def unchanged(path: Path, before: Stamp, sha256: str, now: Stamp | None) -> bool:
    """Whether the file that was read as `sha256` is still that. Where its stamp leaves open whether
    only its mode or its links changed, or its bytes and then its times, it is read again."""
    for _ in range(_LOOKS):
        if now == before:
            return True
        try:
            same = now is not None and now.alike(before) and same_content(path, now.size, sha256)
        except OSError:
            return False
        if not same or now is None:
            return False
        before, now = now, stamp_at(path)
    return now == before


def still(file: Hashed) -> bool:
    """Whether a file is still what it was when it was read."""
    return unchanged(file.path, file.stamp, file.sha256, stamp_at(file.path))


def _hash_span(
    stream: FileIO, path: Path, span: Span, observe: Callable[[memoryview], None] | None = None
) -> Sha256:
    digest = hashlib.sha256()
    view = memoryview(bytearray(min(BLOCK, max(span.size, 1))))
    left = span.size
    while left:
        count = stream.readinto(view[: min(left, len(view))])
        if not count:
            raise changed(path)
        digest.update(view[:count])
        if observe is not None:
            observe(view[:count])
        left -= count
    return Sha256(digest.hexdigest())


@dataclass(frozen=True, slots=True)
class Read:
    """A part that was read: its digest, and the buffer that holds it, where one was offered."""

    part: Part
    span: Span
    buffer: memoryview | None


def _no_buffer(span: Span) -> memoryview | None:
    return None


def read_parts(
    stream: FileIO,
    path: Path,
    spans: Sequence[Span],
    whole: Hash,
    stopping: Callable[[], bool],
    take: Callable[[Span], memoryview | None] = _no_buffer,
    observe: Callable[[memoryview], None] | None = None,
) -> Iterator[Read]:
    """The parts of a file, each as soon as its digest is known. `whole` is updated in this thread,
    the parts' digests in a second one, from the same blocks. `take` may offer a buffer for a part.
    `observe` is given every block, in order, in that second thread, which has less to do."""
    ring = [memoryview(bytearray(BLOCK)) for _ in range(_AHEAD)]
    second = _Second(observe)
    turn = 0
    try:
        for span in spans:
            buffer = take(span)
            at = 0
            while at < span.size:
                if stopping():
                    raise Interrupted(f"reading {path} was given up")
                count = min(BLOCK, span.size - at)
                if buffer is not None:
                    view = buffer[at : at + count]
                else:
                    second.room(_AHEAD)
                    view = ring[turn][:count]
                    turn = (turn + 1) % _AHEAD
                count = stream.readinto(view) or 0
                if not count:
                    raise changed(path)
                second.update(view[:count])
                whole.update(view[:count])
                at += count
            yield Read(Part(span.number, second.digest(), span.size), span, buffer)
    finally:
        second.close()


class _Second:
    """A thread that hashes the blocks it is handed, in order, and shows them to an observer."""

    def __init__(self, observe: Callable[[memoryview], None] | None = None) -> None:
        self._observe = observe
        self._tasks: SimpleQueue[memoryview | None] = SimpleQueue()
        self._done: SimpleQueue[str] = SimpleQueue()
        self._busy = 0
        self._free: SimpleQueue[None] = SimpleQueue()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._work, name="weighbridge-hash", daemon=True)
        self._thread.start()

    def room(self, most: int) -> None:
        """Waits until fewer than `most` blocks are being hashed or wait for it."""
        while self._busy >= most or not self._free.empty():
            self._free.get()
            self._busy -= 1

    def update(self, block: memoryview) -> None:
        """Adds a block, which must stay as it is until `room` or `digest` say so."""
        self._busy += 1
        self._tasks.put(block)

    def digest(self) -> str:
        """The SHA-256 of all blocks since the last one. Raises what the observer raised."""
        self._tasks.put(None)
        found = self._done.get()
        while self._busy:
            self._free.get()
            self._busy -= 1
        if self._failure is not None:
            raise self._failure
        return found

    def close(self) -> None:
        """Ends the thread."""
        self._tasks.put(memoryview(b""))
        self._thread.join()

    def _work(self) -> None:
        digest = hashlib.sha256()
        while (block := self._tasks.get()) is None or block:
            if block is None:
                self._done.put(digest.hexdigest())
                digest = hashlib.sha256()
                continue
            digest.update(block)
            if self._observe is not None and self._failure is None:
                try:
                    self._observe(block)
                except BaseException as error:
                    self._failure = error
            self._free.put(None)


def hash_range(path: Path, expected: Stamp, span: Span) -> Sha256:
    """The digest of a part as the file holds it now. `FileChanged` if the file is another."""
    with open_same(path, expected) as stream:
        stream.seek(span.offset)
        return _hash_span(stream, path, span)


def same_content(path: Path, size: int, sha256: str) -> bool:
    """Whether a regular file at `path` holds exactly these bytes."""
    with path.open("rb", buffering=0) as stream:
        if os.fstat(stream.fileno()).st_size != size:
            return False
        return _hash_span(stream, path, Span(1, 0, size)) == sha256


def parts_of(file: Hashed) -> tuple[Span, ...]:
    """The spans of the file that its parts are; one span where it is a single PUT."""
    return cuts.spans(part.size for part in file.parts) or (Span(1, 0, file.size),)
