"""Single tensors of safetensors files: their headers and those tensors' bytes by ranged GETs, no more.

What is read alone is verified by the parts that cover it, where the blob's part list can be had: those
parts are fetched whole, which is at most two parts more per run of tensors. A blob of one PUT is its own
part. A file that the cache holds is read there. Otherwise only the connection vouches for the bytes, and
the answer says so (`verified` is false).
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from weighbridge.contract import cuts, safetensors
from weighbridge.contract.digests import parse_blob
from weighbridge.contract.errors import IntegrityError, NotFound, TransferError
from weighbridge.contract.manifests import FileEntry
from weighbridge.contract.safetensors import Header
from weighbridge.contract.types import Download, Downloads, Part, Tensor
from weighbridge.http import Pool
from weighbridge.transfer import hashing, ranges
from weighbridge.transfer.cache import Cache
from weighbridge.transfer.crew import Crew
from weighbridge.transfer.plan import Span

SUFFIX = ".safetensors"
_WORKERS = 4
_SIGNED = 3

Put = Callable[[int, memoryview], None]
"""Told where in the answer bytes belong, from any thread."""


@dataclass(frozen=True, slots=True)
class Source:
    """A file with the tensors that are wanted of it, by their offsets, and its header's bytes."""

    file: FileEntry
    header: Header
    tensors: tuple[Tensor, ...]
    head: bytes


@dataclass(frozen=True, slots=True)
class _Piece:
    """Bytes of the file, and where they belong in the answer."""

    offset: int
    size: int
    to: int


class TensorReader:
    """Reads tensors of the files of one version; `sign` asks its server for downloads."""

    def __init__(
        self, sign: Callable[[Sequence[str]], Downloads], pool: Pool, cache: Cache
    ) -> None:
        self._sign = sign
        self._pool = pool
        self._cache = cache
        self._signed: dict[str, Download] = {}
        self.received = 0

    def find(self, files: Sequence[FileEntry], names: Sequence[str]) -> tuple[Source, ...]:
        """Which files hold these tensors, from their headers alone. `NotFound` names the missing."""
        left, found = set(names), []
        for entry in files:
            if not left:
                break
            if not entry.path.endswith(SUFFIX):
                continue
            header, head = self._header(entry)
            mine = tuple(tensor for tensor in header.tensors if tensor.name in left)
            if mine:
                found.append(Source(entry, header, mine, head))
                left -= {tensor.name for tensor in mine}
        if left:
            raise NotFound(
                f"no safetensors file here has a tensor named {', '.join(sorted(left))[:500]}"
            )
        return tuple(found)

    def read(self, source: Source, put: Put) -> bool:
        """Hands over the tensors' bytes, one tensor behind the other in the order of `source`;
        whether they are verified. The header is read once more with them and must be the same."""
        head = bytearray(len(source.head))
        pieces = [_Piece(0, len(head), -len(head))]
        position = 0
        for tensor in source.tensors:
            start = source.header.data_start + tensor.offset
            pieces.append(_Piece(start, tensor.bytes, position))
            position += tensor.bytes

        def take(to: int, data: memoryview) -> None:
            if to < 0:
                head[len(head) + to : len(head) + to + len(data)] = data
            else:
                put(to, data)

        verified = self._read(source.file, pieces, take, verify=True)
        if head != source.head:
            raise IntegrityError(
                f"{source.file.path}: its header arrived differently twice; nothing was kept",
                path=source.file.path,
            )
        return verified

    def _header(self, entry: FileEntry) -> tuple[Header, bytes]:
        head = bytearray()

        def read_range(start: int, length: int) -> bytes:
            data = bytearray(max(0, min(length, entry.size - start)))

            def put(to: int, block: memoryview) -> None:
                data[to : to + len(block)] = block

            self._read(entry, [_Piece(start, len(data), 0)], put, verify=False)
            head[start:] = data
            return bytes(data)

        header = safetensors.read(read_range, entry.size, entry.path)
        return header, bytes(head[: header.data_start])

    def _read(self, entry: FileEntry, pieces: Sequence[_Piece], put: Put, *, verify: bool) -> bool:
        with self._cache.reading(entry) as stream:
            if stream is not None:
                for piece in pieces:
                    stream.seek(piece.offset)
                    at = 0
                    while at < piece.size:
                        block = stream.read(min(hashing.BLOCK, piece.size - at))
                        if not block:
                            raise TransferError(f"the kept copy of {entry.path} ended early")
                        put(piece.to + at, memoryview(block))
                        at += len(block)
                return True
        attempt = 1
        while True:
            try:
                return self._fetch(entry, self._download(entry), pieces, put, verify)
            except ranges.Expired:
                del self._signed[entry.blob]
                if attempt == _SIGNED:
                    raise
                attempt += 1

    def _fetch(
        self,
        entry: FileEntry,
        item: Download,
        pieces: Sequence[_Piece],
        put: Put,
        verify: bool,
    ) -> bool:
        parts = self._parts(entry, item) if verify else ()
        if parts:
            spans = [
                (span, part.sha256)
                for span, part in zip(cuts.spans(p.size for p in parts), parts, strict=True)
                if any(_overlap(span, piece) for piece in pieces)
            ]
        else:
            spans = [(span, "") for span in _joined(pieces)]

        def take(offset: int, data: memoryview) -> None:
            for piece in pieces:
                start = max(offset, piece.offset)
                end = min(offset + len(data), piece.offset + piece.size)
                if start < end:
                    put(piece.to + start - piece.offset, data[start - offset : end - offset])

        with Crew(min(_WORKERS, max(1, len(spans))), "tensor") as crew:
            for span, expected in spans:

                def task(span: Span = span, expected: str = expected) -> None:
                    ranges.fetch(
                        self._pool, crew, item.request, span, entry.size, entry.path, take, expected
                    )

                crew.submit(task)
        self.received += sum(span.size for span, _ in spans)
        return bool(parts)

    def _parts(self, entry: FileEntry, item: Download) -> tuple[Part, ...]:
        blob = parse_blob(entry.blob)
        if not blob.parts:
            return (Part(1, blob.sha256, blob.size),) if blob.size <= cuts.SINGLE_PUT else ()
        return ranges.part_list(self._pool, item.parts, blob) if item.parts else ()

    def _download(self, entry: FileEntry) -> Download:
        if entry.blob not in self._signed:
            for item in self._sign([entry.blob]).items:
                self._signed[item.blob] = item
        found = self._signed.get(entry.blob)
        if found is None or found.request.method != "GET":
            raise TransferError(f"the server does not say how to get {entry.path}")
        return found


def header(sources: Sequence[Source]) -> bytes:
    """The first bytes of a safetensors file that holds these tensors, and nothing else."""
    document: dict[str, object] = {}
    metadata: dict[str, str] = {}
    position = 0
    for source in sources:
        metadata = source.header.metadata | metadata
        for tensor in source.tensors:
            document[tensor.name] = {
                "dtype": tensor.dtype,
                "shape": list(tensor.shape),
                "data_offsets": [position, position + tensor.bytes],
            }
            position += tensor.bytes
    if metadata:
        document = {"__metadata__": metadata, **document}
    text = json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode("utf-8")
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text


def _overlap(span: Span, piece: _Piece) -> bool:
    return span.offset < piece.offset + piece.size and piece.offset < span.offset + span.size


def _joined(pieces: Sequence[_Piece]) -> list[Span]:
    """The bytes of the pieces as ranges; neighbours become one, long ones several."""
    runs: list[list[int]] = []
    for piece in sorted(pieces, key=lambda p: p.offset):
        if runs and runs[-1][1] == piece.offset:
            runs[-1][1] += piece.size
        elif piece.size:
            runs.append([piece.offset, piece.offset + piece.size])
    steps = [
        (at, min(cuts.PART, end - at)) for start, end in runs for at in range(start, end, cuts.PART)
    ]
    return [Span(number, at, size) for number, (at, size) in enumerate(steps, 1)]
