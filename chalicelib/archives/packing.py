"""Archives of stored files: a zip is written into the artifact bucket while its members are read.

The same list of members gives the same bytes: dates are fixed, the order is the one given. An archive
lies under a prefix of its own for a day (`LIFETIME`); whoever asks for the same content meanwhile is
given the same archive. The sweep removes it.
"""

import hashlib
import json
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import chain
from typing import Any, cast

from chalicelib.archives import streams
from chalicelib.archives.streams import ObjectWriter, Span
from chalicelib.registry import blobs, keys
from chalicelib.registry.ports import Item, Put, Signed
from chalicelib.registry.stores import Stores
from weighbridge.contract import digests, names
from weighbridge.contract.errors import IntegrityError, InvalidRequest, NotFound, TooLarge
from weighbridge.contract.manifests import FileEntry

LIFETIME = 86400
MAX_MEMBERS = 20_000
"""Their directory is in memory until the archive is closed: about 20 MB for so many."""
MAX_SIZE = 64 * 1024**3
MAX_IN_MEMORY = 4 * streams.MIB
"""Bytes of members that are given as data, together."""
_LARGE = 2_000_000_000
"""Larger members, and those that may outgrow 2 GiB while they are deflated, are written as ZIP64."""
_MODE = 0o100644 << 16
_UNIX = 3


@dataclass(frozen=True, slots=True)
class Member:
    """A file of an archive: a stored blob, or a few bytes given as they are.

    Where `sha256` is given, the bytes are checked against it while they are read.
    """

    path: str
    size: int
    blob: str = ""
    data: bytes = b""
    sha256: str = ""


@dataclass(frozen=True, slots=True)
class Archive:
    """A zip in the artifact bucket, there until `until` (epoch seconds)."""

    key: str
    size: int
    sha256: str
    until: int
    members: int = 0


def of_file(entry: FileEntry, path: str = "") -> Member:
    """A file of a manifest as a member, under another path if one is given."""
    return Member(path or entry.path, entry.size, blob=entry.blob, sha256=entry.sha256)


def of_data(path: str, data: bytes) -> Member:
    """A few bytes as a member."""
    return Member(path, len(data), data=data)


def existing(
    stores: Stores, project_id: str, members: Sequence[Member], level: int = 0
) -> Archive | None:
    """The archive of exactly these members, if it was made and stays long enough to be fetched."""
    item = stores.table.get(keys.archive(project_id, _digest(members, level)))
    if item is None:
        return None
    found = Archive(
        str(item.doc["key"]), int(item.doc["size"]), str(item.doc["sha256"]),
        int(item.attrs["until"]), len(members),
    )  # fmt: skip
    if found.until - stores.now() < min(stores.sign_seconds, LIFETIME // 2):
        return None
    try:
        return found if stores.blobs.head(found.key).size == found.size else None
    except NotFound:
        return None


def assemble(
    stores: Stores, project_id: str, members: Iterable[Member], *, level: int = 0
) -> Archive:
    """Writes a zip of the members, in their order, or answers the one that is there.

    `level` 0 stores them as they are (weights hardly shrink), 1 to 9 deflate. Raises `NotFound` for a
    blob that the project does not hold, `IntegrityError` for one that is not what was promised; then
    nothing is left.
    """
    listed = _checked(members, level)
    if found := existing(stores, project_id, listed, level):
        return found
    held = blobs.present(stores, project_id, [m.blob for m in listed if m.blob])
    if gone := blobs.lease(stores, project_id, held):
        raise NotFound(f"this project holds no blob {min(gone)}")
    objects = {blob: str(item.doc["key"]) for blob, item in held.items()}
    archive = _written(stores, project_id, listed, objects, level)
    attrs: dict[str, str | int] = {"until": archive.until, "ttl": archive.until}
    doc = {"key": archive.key, "size": archive.size, "sha256": archive.sha256}
    # Two that make the same archive at once: either item is right, both objects expire.
    stores.table.write(Put(Item(keys.archive(project_id, _digest(listed, level)), attrs, doc)))
    return archive


def new_object(stores: Stores, project_id: str) -> tuple[str, int]:
    """A key for an archive, and until when it is kept. Its end is noted before there is an object."""
    key = keys.archive_object(project_id, stores.random())
    until = int(stores.now()) + LIFETIME
    stores.table.write(Put(Item(keys.free_object(project_id, key), {"until": until})))
    return key, until


def link(stores: Stores, archive: Archive, filename: str, *, plain: bool = False) -> Signed:
    """A presigned GET that saves the archive under `filename`; `plain`: unquoted, at the header's end."""
    seconds = max(1, min(stores.sign_seconds, archive.until - int(stores.now())))
    return stores.blobs.sign_get(archive.key, seconds, filename, plain)


def _checked(members: Iterable[Member], level: int) -> tuple[Member, ...]:
    if not 0 <= level <= 9:
        raise InvalidRequest(f"the level of compression is 0 to 9, not {level}")
    listed = tuple(members)
    if len(listed) > MAX_MEMBERS:
        raise TooLarge(
            f"{len(listed)} files in one archive; {MAX_MEMBERS} at most", limit=MAX_MEMBERS
        )
    given = 0
    for member in listed:
        names.file_path(member.path)
        if member.blob:
            size = digests.parse_blob(member.blob).size
        else:
            size = len(member.data)
            given += size
        if size != member.size:
            raise InvalidRequest(
                f"{member.path}: {member.size} bytes were announced, it has {size}"
            )
    names.check_paths(member.path for member in listed)
    if given > MAX_IN_MEMORY:
        raise TooLarge(f"{given} bytes of members in memory; {MAX_IN_MEMORY} at most")
    total = sum(member.size for member in listed)
    if total > MAX_SIZE:
        raise TooLarge(f"an archive of {total} bytes; {MAX_SIZE} at most", limit=MAX_SIZE)
    return listed


def _digest(members: Sequence[Member], level: int) -> str:
    """What names the content of an archive."""
    rows = [
        [m.path, m.blob or hashlib.sha256(m.data).hexdigest(), m.size, m.sha256] for m in members
    ]
    text = json.dumps([1, level, rows], separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def _written(
    stores: Stores,
    project_id: str,
    members: Sequence[Member],
    objects: Mapping[str, str],
    level: int,
) -> Archive:
    key, until = new_object(stores, project_id)
    method = zipfile.ZIP_DEFLATED if level else zipfile.ZIP_STORED
    spans: Iterator[Span] = chain.from_iterable(
        streams.spans(objects[m.blob], m.size) for m in members if m.blob
    )
    blocks = streams.read(stores.blobs, spans)
    with ObjectWriter(stores.blobs, key) as writer:
        # The writer is all that a zip needs of a file that cannot be rewound.
        sink = cast("Any", writer)
        with closing(blocks), zipfile.ZipFile(sink, "w", method, compresslevel=level) as archive:
            for member in members:
                _add(archive, member, blocks)
        size, sha256 = writer.size, writer.sha256
    return Archive(key, size, sha256, until, len(members))


def _add(archive: zipfile.ZipFile, member: Member, blocks: Iterator[bytes]) -> None:
    digest = hashlib.sha256()
    # By its name, not as a ZipInfo: that is dated 1980 by itself, and compressed as the archive is.
    with archive.open(member.path, "w", force_zip64=member.size > _LARGE) as file:
        left = member.size
        if not member.blob:
            file.write(member.data)
            digest.update(member.data)
            left = 0
        while left:
            block = next(blocks)
            file.write(block)
            digest.update(block)
            left -= len(block)
    info = archive.getinfo(member.path)
    info.external_attr, info.create_system = _MODE, _UNIX
    if member.sha256 and digest.hexdigest() != member.sha256:
        raise IntegrityError(
            f"{member.path} does not hold what its sha256 promises", path=member.path
        )
