"""Objects of the artifact bucket as streams: read by ranges ahead of the reader, written in parts.

What is in memory at once does not depend on how large an object is: `AHEAD` blocks while reading, two
parts while writing.
"""

import hashlib
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from types import TracebackType
from typing import NamedTuple

from chalicelib.registry.ports import Blobs, StoredPart
from weighbridge.contract.errors import IntegrityError, NotFound, RegistryError, TooLarge

MIB = 1024 * 1024
BLOCK = 4 * MIB
"""What is read in one request."""
AHEAD = 3
"""Requests that are under way while a block is being worked on."""
PART = 8 * MIB
MAX_PARTS = 10_000
MAX_OBJECT = PART * MAX_PARTS
"""What can be written: 78 GiB."""


class Span(NamedTuple):
    """A range of an object."""

    key: str
    start: int
    length: int


def spans(key: str, size: int, start: int = 0, block: int = BLOCK) -> Iterator[Span]:
    """The ranges that make up `size` bytes of an object from `start` on."""
    for offset in range(start, start + size, block):
        yield Span(key, offset, min(block, start + size - offset))


def read(blobs: Blobs, wanted: Iterable[Span]) -> Generator[bytes, None, None]:
    """The bytes of each range, in order; the next ones are fetched meanwhile. `IntegrityError` if the
    object is shorter than it was said to be."""
    waiting: deque[tuple[Span, Future[bytes]]] = deque()
    pool = ThreadPoolExecutor(AHEAD)
    try:
        rest = iter(wanted)
        for span in rest:
            waiting.append((span, pool.submit(blobs.read, *span)))
            if len(waiting) >= AHEAD:
                yield _whole(*waiting.popleft())
        while waiting:
            yield _whole(*waiting.popleft())
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _whole(span: Span, future: "Future[bytes]") -> bytes:
    data = future.result()
    if len(data) != span.length:
        raise IntegrityError(
            f"{len(data)} bytes of {span.length} at {span.start} came from the store: the object was "
            "cut short"
        )
    return data


class ObjectWriter:
    """A file-like sink that becomes an object when its block ends well, and leaves nothing if not.

    One part is filled while the one before it travels. What fits into one part is a plain PUT.
    """

    def __init__(self, blobs: Blobs, key: str, limit: int = MAX_OBJECT) -> None:
        self.key = key
        self.size = 0
        self._blobs = blobs
        self._limit = min(limit, MAX_OBJECT)
        self._digest = hashlib.sha256()
        self._buffer = bytearray()
        self._upload = ""
        self._parts: list[StoredPart] = []
        self._sending: Future[StoredPart] | None = None
        self._pool = ThreadPoolExecutor(1)

    def __enter__(self) -> "ObjectWriter":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if kind is None:
                self._finish()
        except BaseException:
            self._abort()
            raise
        else:
            if kind is not None:
                self._abort()
        finally:
            self._pool.shutdown(wait=True, cancel_futures=True)

    def write(self, data: bytes | bytearray | memoryview) -> int:
        """Takes bytes; `TooLarge` above the limit."""
        self.size += len(data)
        if self.size > self._limit:
            raise TooLarge(f"it would have more than {self._limit} bytes", limit=self._limit)
        self._digest.update(data)
        view = memoryview(data)
        while view:
            room = PART - len(self._buffer)
            self._buffer += view[:room]
            view = view[room:]
            if len(self._buffer) == PART:
                self._send()
        return len(data)

    def flush(self) -> None:
        """Nothing to do: parts have a least size."""

    @property
    def sha256(self) -> str:
        """The digest of what was written so far."""
        return self._digest.hexdigest()

    def _send(self) -> None:
        if not self._upload:
            self._upload = self._blobs.create_multipart(self.key)
        self._settle()
        part, self._buffer = self._buffer, bytearray()
        number = len(self._parts) + 1
        self._sending = self._pool.submit(
            self._blobs.put_part, self.key, self._upload, number, part
        )

    def _settle(self) -> None:
        if self._sending is not None:
            sending, self._sending = self._sending, None
            self._parts.append(sending.result())

    def _finish(self) -> None:
        if not self._upload:
            self._blobs.put(self.key, self._buffer, "application/zip")
            return
        if self._buffer:
            self._send()
        self._settle()
        try:
            self._blobs.complete_multipart(self.key, self._upload, self._parts)
        except NotFound:  # joined before, and the answer was lost
            if self._blobs.head(self.key).size != self.size:
                raise

    def _abort(self) -> None:
        if self._sending is not None:
            wait([self._sending])
        if self._upload:
            with suppress(RegistryError):  # what is left then, the sweep ends
                self._blobs.abort_multipart(self.key, self._upload)


def pieces(source: Iterable[bytes], size: int) -> Iterator[bytearray]:
    """The same bytes in pieces of `size`, the last one shorter."""
    piece = bytearray()
    for block in source:
        view = memoryview(block)
        while view:
            room = size - len(piece)
            piece += view[:room]
            view = view[room:]
            if len(piece) == size:
                yield piece
                piece = bytearray()
    if piece:
        yield piece
