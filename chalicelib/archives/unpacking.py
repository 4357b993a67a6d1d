"""Zips taken apart: each file becomes a blob of the project, by the registry's own rules.

The archive is read by ranges, strictly (`indexing/formats/zips.py` refuses what two readers could see
differently), and nothing is visible afterwards: what comes out is a list that a manifest can be made
of. Blobs that nobody refers to are freed when their lease is over.
"""

import hashlib
import io
import stat
import zlib
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import BinaryIO

from chalicelib.archives import storing, streams
from chalicelib.archives.storing import Kept
from chalicelib.indexing.formats import zips
from chalicelib.indexing.formats.ranged import OverBudget, Ranged
from chalicelib.registry.stores import Stores
from weighbridge.contract import names
from weighbridge.contract.errors import IntegrityError, InvalidRequest, NotFound, TooLarge

_INFLATE = streams.MIB


@dataclass(frozen=True, slots=True)
class Limits:
    """What an archive may hold."""

    members: int = 20_000
    size: int = 64 * 1024**3
    """Bytes of all members together, as they come out."""
    ratio: int = 200
    """How many times larger than its archive the content may be, from `free` bytes on."""
    free: int = 64 * streams.MIB


@dataclass(frozen=True, slots=True)
class Entry:
    """A file in an archive."""

    path: str
    size: int
    compressed: int


class Zip:
    """An archive that was opened: its files, and what is in them."""

    def __init__(
        self,
        fetch: Callable[[int, int], bytes],
        size: int,
        blocks: Callable[[int, int], Iterator[bytes]],
        limits: Limits,
    ) -> None:
        self.size = size
        self._blocks = blocks
        # Its directory and one local header per member: no member is read through it.
        budget = zips.MAX_DIRECTORY + streams.MIB + limits.members * (30 + zips.MAX_NAME)
        self._ranged = Ranged(fetch, size, budget=budget)
        self._members = _checked(self._directory(limits), size, limits)

    def _directory(self, limits: Limits) -> tuple[zips.Member, ...]:
        with _reading():
            return zips.directory(self._ranged, limits.members)

    @property
    def entries(self) -> tuple[Entry, ...]:
        """Its files, in the order of its directory."""
        return tuple(Entry(m.name, m.size, m.compressed) for m in self._members.values())

    def read(self, path: str, limit: int = streams.MIB) -> bytes:
        """A small file; `NotFound` if there is none of that path, `TooLarge` above `limit` bytes."""
        member = self._members.get(path)
        if member is None:
            raise NotFound(f"the archive has no file {path[:200]!r}")
        if member.size > limit:
            raise TooLarge(f"{path[:200]!r} has {member.size} bytes; {limit} at most", limit=limit)
        return b"".join(self.stream(path))

    def stream(self, path: str) -> Iterator[bytes]:
        """The bytes of a file as it is decompressed; `IntegrityError` at its end if they are not
        those that were packed."""
        member = self._members[path]
        with _reading():
            start = zips.data_start(self._ranged, member)
        crc, size = 0, 0
        source = self._blocks(start, member.compressed)
        plain = source if member.method == zips.STORED else _inflated(source, member)
        for block in plain:
            crc = zlib.crc32(block, crc)
            size += len(block)
            if size > member.size:
                break
            yield block
        if (size, crc) != (member.size, member.crc):
            raise IntegrityError(f"the archive is damaged: {path[:200]!r} is not what was packed")


@contextmanager
def opened(
    stores: Stores, source: str | bytes | BinaryIO, limits: Limits | None = None
) -> Iterator[Zip]:
    """An archive in the artifact bucket (its key), in memory, or in a file that can be rewound."""
    limits = limits or Limits()
    if isinstance(source, str):
        head = stores.blobs.head(source)

        def fetch(start: int, length: int) -> bytes:
            return stores.blobs.read(source, start, length, head.etag)

        def blocks(start: int, length: int) -> Iterator[bytes]:
            return streams.read(stores.blobs, streams.spans(source, length, start))

        yield Zip(fetch, head.size, blocks, limits)
        return
    file = io.BytesIO(source) if isinstance(source, bytes) else source

    def local(start: int, length: int) -> bytes:
        file.seek(start)
        return file.read(length)

    def local_blocks(start: int, length: int) -> Iterator[bytes]:
        for span in streams.spans("", length, start):
            block = local(span.start, span.length)
            if len(block) != span.length:
                raise IntegrityError("the archive is cut short")
            yield block

    yield Zip(local, file.seek(0, io.SEEK_END), local_blocks, limits)


def unpack(
    stores: Stores,
    project_id: str,
    source: str | bytes | BinaryIO,
    *,
    limits: Limits | None = None,
    sha1: bool = False,
    skip: Collection[str] | Callable[[str], bool] = (),
) -> tuple[Kept, ...]:
    """Stores every file of an archive as a blob of the project, and answers what they are.

    `skip` names files that are not wanted, or says so of a path. `InvalidRequest`, `TooLarge` or
    `IntegrityError` tell what is wrong with the archive; then some blobs may be left, which the sweep
    frees.
    """
    unwanted = skip if callable(skip) else frozenset(skip).__contains__
    with opened(stores, source, limits) as archive:
        wanted = [entry for entry in archive.entries if not unwanted(entry.path)]
        with storing.Keeper(stores, project_id, sha1=sha1) as keeper:
            for entry in wanted:
                keeper.add(entry.path, entry.size, archive.stream(entry.path))
        return keeper.kept


def sha256_of(stores: Stores, key: str) -> str:
    """The SHA-256 of an object, by reading it."""
    digest = hashlib.sha256()
    for block in streams.read(stores.blobs, streams.spans(key, stores.blobs.head(key).size)):
        digest.update(block)
    return digest.hexdigest()


def _checked(members: tuple[zips.Member, ...], size: int, limits: Limits) -> dict[str, zips.Member]:
    """The files by path; folders count for nothing."""
    found: dict[str, zips.Member] = {}
    total = 0
    for member in members:
        if member.encrypted:
            raise InvalidRequest(f"{member.name[:200]!r} in the archive is encrypted")
        if member.method not in (zips.STORED, zips.DEFLATED):
            raise InvalidRequest(
                f"{member.name[:200]!r} is compressed by method {member.method}; stored and deflated "
                "files can be read"
            )
        kind = stat.S_IFMT(member.mode)
        folder = member.name.endswith("/")
        if kind not in (0, stat.S_IFDIR if folder else stat.S_IFREG):
            raise InvalidRequest(f"{member.name[:200]!r} in the archive is a link or a device")
        names.file_path(member.name.removesuffix("/"))
        if folder:
            if member.size:
                raise InvalidRequest(f"the folder {member.name[:200]!r} in the archive has content")
            continue
        total += member.size
        found[member.name] = member
    names.check_paths(found)
    if total > limits.size:
        raise TooLarge(f"the archive holds {total} bytes; {limits.size} at most", limit=limits.size)
    if total > max(limits.free, size * limits.ratio):
        raise TooLarge(
            f"the archive of {size} bytes claims to hold {total}: more than {limits.ratio} times as "
            "much",
            limit=limits.ratio,
        )
    return found


def _inflated(source: Iterator[bytes], member: zips.Member) -> Iterator[bytes]:
    """What a deflated member holds, a piece at a time however well it was compressed."""
    stream = zlib.decompressobj(-15)
    try:
        for block in source:
            data = block
            while data and not stream.eof:
                if piece := stream.decompress(data, _INFLATE):
                    yield piece
                data = stream.unconsumed_tail
        if piece := stream.flush():
            yield piece
    except zlib.error as error:
        raise IntegrityError(f"the archive is damaged: {member.name[:200]!r}: {error}") from None
    if not stream.eof or stream.unused_data:
        raise IntegrityError(f"the archive is damaged: {member.name[:200]!r} does not end")


@contextmanager
def _reading() -> Iterator[None]:
    try:
        yield
    except zips.BadZip as error:
        raise InvalidRequest(f"this is no zip that can be read: {error}") from None
    except OverBudget as error:
        raise InvalidRequest(f"this is no zip that can be read: {error}") from None
