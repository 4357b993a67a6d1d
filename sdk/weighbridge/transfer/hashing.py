"""Reading a file once: its SHA-256, its parts' SHA-256, and whether it changed meanwhile."""

import hashlib
import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from io import FileIO
from pathlib import Path

from weighbridge.contract.digests import BlobId, Sha256, parse_blob
from weighbridge.contract.errors import FileChanged, InvalidRequest
from weighbridge.contract.types import Part
from weighbridge.transfer import plan
from weighbridge.transfer.crew import Interrupted

BLOCK = 1024 * 1024
_AHEAD = 4


@dataclass(frozen=True, slots=True)
class Stamp:
    """What tells that a file is still the one that was read."""

    size: int
    modified: int
    inode: int
    device: int


@dataclass(frozen=True, slots=True)
class Hashed:
    """A file as it was read. `parts` is empty where the file is one PUT."""

    path: Path
    stamp: Stamp
    sha256: Sha256
    blob: BlobId
    parts: tuple[Part, ...]

    @property
    def size(self) -> int:
        """Bytes in all."""
        return self.stamp.size


def stamp(stream: FileIO) -> Stamp:
    """The stamp of an open file."""
    status = os.fstat(stream.fileno())
    return Stamp(status.st_size, status.st_mtime_ns, status.st_ino, status.st_dev)


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
    if stamp(stream) != expected:
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


def hash_file(path: Path, stopping: Callable[[], bool] = _never) -> Hashed:
    """Reads `path` once. Raises `FileChanged` if it changes meanwhile; gives up when told to."""
    with open_file(path) as stream:
        before = stamp(stream)
        spans = plan.cuts(before.size)
        if spans:
            whole, parts = _hash_parts(stream, path, spans, stopping)
        else:
            whole, parts = _hash_span(stream, path, plan.Span(1, 0, before.size)), ()
        if stream.read(1) or stamp(stream) != before:
            raise changed(path)
    blob = plan.blob_of(before.size, whole, parts)
    wire = tuple(
        Part(span.number, digest, span.size) for span, digest in zip(spans, parts, strict=True)
    )
    return Hashed(path, before, whole, blob, wire)


def _hash_span(stream: FileIO, path: Path, span: plan.Span) -> Sha256:
    digest = hashlib.sha256()
    view = memoryview(bytearray(min(BLOCK, max(span.size, 1))))
    left = span.size
    while left:
        count = stream.readinto(view[: min(left, len(view))])
        if not count:
            raise changed(path)
        digest.update(view[:count])
        left -= count
    return Sha256(digest.hexdigest())


def _hash_parts(
    stream: FileIO,
    path: Path,
    spans: tuple[plan.Span, ...],
    stopping: Callable[[], bool],
) -> tuple[Sha256, tuple[Sha256, ...]]:
    """The whole file's digest in this thread, the parts' in a second one, from the same blocks."""
    whole = hashlib.sha256()
    done: list[Sha256] = []
    buffers = [memoryview(bytearray(BLOCK)) for _ in range(_AHEAD)]
    busy: list[Future[None] | None] = [None] * _AHEAD
    turn = 0
    with ThreadPoolExecutor(1, thread_name_prefix="weighbridge-hash") as second:
        for span in spans:
            part = hashlib.sha256()
            left = span.size
            if stopping():
                raise Interrupted(f"reading {path} was given up")
            while left:
                waiting = busy[turn]
                if waiting is not None:
                    waiting.result()
                view = buffers[turn][: min(left, BLOCK)]
                count = stream.readinto(view)
                if not count:
                    raise changed(path)
                view = view[:count]
                busy[turn] = second.submit(part.update, view)
                whole.update(view)
                left -= count
                turn = (turn + 1) % _AHEAD
            for waiting in busy:
                if waiting is not None:
                    waiting.result()
            done.append(Sha256(part.hexdigest()))
    return Sha256(whole.hexdigest()), tuple(done)


def hash_range(path: Path, expected: Stamp, span: plan.Span) -> Sha256:
    """The digest of a part as the file holds it now. `FileChanged` if the file is another."""
    with open_same(path, expected) as stream:
        stream.seek(span.offset)
        return _hash_span(stream, path, span)


def same_content(path: Path, size: int, sha256: str) -> bool:
    """Whether a regular file at `path` holds exactly these bytes."""
    with path.open("rb", buffering=0) as stream:
        if os.fstat(stream.fileno()).st_size != size:
            return False
        return _hash_span(stream, path, plan.Span(1, 0, size)) == sha256


def parts_of(hashed: Hashed) -> tuple[plan.Span, ...]:
    """The spans of the file that its parts are; one span where it is a single PUT."""
    if not hashed.parts:
        return (plan.Span(1, 0, hashed.size),)
    assert len(hashed.parts) == parse_blob(hashed.blob).parts
    return plan.cuts(hashed.size)
