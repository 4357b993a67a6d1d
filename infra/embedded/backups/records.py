"""What a backup consists of, and how it is written down.

objects/ab/abcd…                      the bytes of an object, by what they are; shared by all backups
backups/20261121T101500123Z/table.gz     every item of the table, one JSON document a line, by key
backups/20261121T101500123Z/objects.gz   every object: its key in the bucket, and what it is
backups/20261121T101500123Z/backup.json  what the two must be; written last: without it there is no backup
"""

import gzip
import hashlib
import json
import re
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

from chalicelib.registry.ports import ATTRIBUTES, Item, Key
from infra.embedded.backups.vault import Vault
from weighbridge.contract.errors import IntegrityError, InvalidRequest, NotFound, Unsupported

FORMAT = 1
BACKUPS = "backups/"
OBJECTS = "objects/"
_NAME = re.compile(r"\d{8}T\d{9}Z\Z")


@dataclass(frozen=True, slots=True)
class Stored:
    """One object of the bucket: where it stands, and what it is. `content` is the SHA-256 of its bytes, or
    the id of a blob in parts, which names the SHA-256 over those of its parts."""

    key: str
    size: int
    etag: str
    content: str


@dataclass(frozen=True, slots=True)
class Backup:
    """What a complete backup says of itself."""

    name: str
    made: str
    version: str
    items: int
    objects: int
    bytes: int
    table_sha256: str
    objects_sha256: str
    format: int = FORMAT


def object_name(content: str) -> str:
    """Where these bytes are kept."""
    folder = content.partition("-")[2][:2] if "-" in content else content[:2]
    return f"{OBJECTS}{folder}/{content}"


def line_of(item: Item) -> bytes:
    """An item as a line."""
    document = {"pk": item.key.pk, "sk": item.key.sk, **item.attrs, "doc": item.doc}
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def item_of(line: bytes) -> Item:
    """The reverse of `line_of`."""
    found = json.loads(line)
    attrs = {name: found[name] for name in ATTRIBUTES if name in found}
    return Item(Key(found["pk"], found["sk"]), attrs, found["doc"])


def write_lines(vault: Vault, name: str, lines: Iterable[bytes]) -> tuple[int, str]:
    """Writes lines, packed; how many there were, and the SHA-256 of what was written."""
    digest, count = hashlib.sha256(), 0

    def packed() -> Iterator[bytes]:
        nonlocal count
        squeeze = zlib.compressobj(6, zlib.DEFLATED, 31)
        buffer = bytearray()
        for line in lines:
            count += 1
            buffer += squeeze.compress(line)
            if len(buffer) > 1024**2:
                digest.update(buffer)
                yield bytes(buffer)
                buffer.clear()
        buffer += squeeze.flush()
        digest.update(buffer)
        yield bytes(buffer)

    vault.write(name, packed())
    return count, digest.hexdigest()


def read_lines(vault: Vault, name: str, sha256: str) -> Iterator[bytes]:
    """The lines again. `IntegrityError` at the end (or before) if they are not what was written."""
    digest, unpack, left = hashlib.sha256(), zlib.decompressobj(31), b""
    damaged = f"{name} is damaged: restore another backup, or a copy of this one"
    try:
        for block in vault.read(name):
            digest.update(block)
            *whole, left = (left + unpack.decompress(block)).split(b"\n")
            yield from whole
    except (zlib.error, gzip.BadGzipFile):
        raise IntegrityError(damaged) from None
    if digest.hexdigest() != sha256 or left or not unpack.eof:
        raise IntegrityError(damaged)


def listed(vault: Vault) -> list[str]:
    """The names of the complete backups, oldest first."""
    found = [name.split("/") for name in vault.names(BACKUPS) if name.endswith("/backup.json")]
    return sorted(parts[1] for parts in found if len(parts) == 3 and _NAME.match(parts[1]))


def chosen(vault: Vault, name: str = "") -> Backup:
    """The backup of that name, or the newest. One that was not finished is none."""
    names = listed(vault)
    if not names:
        raise NotFound("there is no complete backup there")
    if name and name not in names:
        if any(found.startswith(f"{BACKUPS}{name}/") for found in vault.names(BACKUPS)):
            raise IntegrityError(f"the backup {name} was not finished: take it again")
        raise NotFound(f"there is no backup {name!r}; there are {', '.join(names[-5:])}")
    wanted = name or names[-1]
    text = b"".join(vault.read(f"{BACKUPS}{wanted}/backup.json"))
    try:
        document: dict[str, Any] = json.loads(text)
        if document["format"] != FORMAT:
            raise Unsupported(
                f"the backup {wanted} has the format {document['format']}; this program knows {FORMAT}: "
                "update it"
            )
        return Backup(**document)
    except (ValueError, KeyError, TypeError):
        raise IntegrityError(f"{BACKUPS}{wanted}/backup.json is damaged") from None


def finish(vault: Vault, backup: Backup) -> None:
    """Makes a backup one: from now on it can be restored."""
    text = json.dumps(asdict(backup), indent=2).encode()
    vault.write(f"{BACKUPS}{backup.name}/backup.json", [text])


def stored_of(line: bytes) -> Stored:
    """An object of a line."""
    try:
        return Stored(**json.loads(line))
    except (ValueError, TypeError):
        raise IntegrityError("a line of the list of objects is damaged") from None


def stored_line(stored: Stored) -> bytes:
    """The reverse of `stored_of`."""
    return json.dumps(asdict(stored), ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def check_name(name: str) -> str:
    """`name` if a backup can be called so."""
    if name and not _NAME.match(name):
        raise InvalidRequest(f"{name!r} is no name of a backup, such as 20261121T101500123Z")
    return name
