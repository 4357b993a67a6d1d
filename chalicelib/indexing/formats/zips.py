"""A zip's directory, and the first bytes of single members, by ranges. Nothing is unpacked to disk.

Stricter than a general reader (APPNOTE.TXT 6.3.10): where two readers could see two archives, such as
bytes before or behind it, a name that stands twice, members that overlap, or headers that disagree,
it is refused, because the one that looks and the one that loads must see the same.
"""

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from chalicelib.indexing.formats.ranged import Ranged

MAGIC = b"PK\x03\x04"
EMPTY = b"PK\x05\x06"
"""How a zip without members begins."""
MAX_ENTRIES = 100_000
MAX_NAME = 4096
MAX_DIRECTORY = 32 * 1024 * 1024
MAX_RATIO = 1032
"""Deflate cannot do better: a member that claims more is lying."""
MAX_MEMBER = 64 * 1024 * 1024
"""Bytes that `open_member` hands out at most, whatever limit it is given."""
STORED, DEFLATED = 0, 8

_TAIL = 64 * 1024 + 22 + 20 + 56
_SLACK = 512
"""Room for a local header's extra fields, so that header and data come in one request."""
_BLOCK = 64 * 1024
_END, _END64, _LOCATOR, _ENTRY = b"PK\x05\x06", b"PK\x06\x06", b"PK\x06\x07", b"PK\x01\x02"
_FULL32, _FULL16 = 0xFFFFFFFF, 0xFFFF
_UTF8, _ENCRYPTED, _DESCRIPTOR = 0x800, 0x2041, 0x8
_ZIP64, _UNICODE_PATH = 0x0001, 0x7075
_LINK = 0xA
"""The kind of file in the Unix mode that the outer attributes begin with."""


class BadZip(Exception):
    """No zip, a damaged one, or one that readers may understand differently."""


@dataclass(frozen=True, slots=True)
class Member:
    """A file in a zip, as the directory names it; `offset` is that of its local header."""

    name: str
    method: int
    compressed: int
    size: int
    offset: int
    encrypted: bool
    crc: int = 0
    link: bool = False


def directory(ranged: Ranged, limit: int = MAX_ENTRIES) -> tuple[Member, ...]:
    """The members in the directory's order; folders too, their names end in `/`. Raises `BadZip`."""
    count, start, length, tail_start, tail = _ends(ranged)
    if count > min(limit, MAX_ENTRIES):
        raise BadZip(f"it claims {count} members; {min(limit, MAX_ENTRIES)} at most")
    if length > MAX_DIRECTORY:
        raise BadZip(f"its directory claims {length} bytes; {MAX_DIRECTORY} at most")
    if start < tail_start:
        missing = min(length, tail_start - start)
        data = _exactly(ranged, start, missing) + tail[: length - missing]
    else:
        data = tail[start - tail_start : start - tail_start + length]
    members = tuple(_entries(data, count))
    _check(members, start)
    return members


def open_member(ranged: Ranged, member: Member, limit: int) -> bytes:
    """The first bytes of a member, `limit` at most. Raises `BadZip`."""
    if member.encrypted:
        raise BadZip(f"the member {member.name[:200]!r} is encrypted")
    if member.method not in (STORED, DEFLATED):
        raise BadZip(f"the member {member.name[:200]!r} has the unknown method {member.method}")
    wanted = min(member.size, limit, MAX_MEMBER)
    # Deflate never needs more than this for so many bytes, unless it was made to waste our time.
    most = min(member.compressed, wanted + wanted // 1000 + _BLOCK)
    ahead = wanted if member.method == STORED else min(most, wanted + 4096)
    head = ranged.read(member.offset, 30 + len(member.name.encode()) + _SLACK + ahead)
    begin = _local(ranged, head, member)
    data = head[begin : begin + most]
    at = member.offset + begin
    if member.method == STORED:
        if len(data) < wanted:
            data += _exactly(ranged, at + len(data), wanted - len(data))
        data = data[:wanted]
    else:
        data = _inflate(ranged, member, at, data, most, wanted)
    if len(data) == member.size and zlib.crc32(data) != member.crc:
        raise BadZip(f"the member {member.name[:200]!r} does not have its checksum")
    return data


def data_start(ranged: Ranged, member: Member) -> int:
    """Where the bytes of a member begin in the file: those of a stored one can be read in place."""
    return member.offset + _local(ranged, ranged.read(member.offset, 30 + MAX_NAME), member)


def _inflate(ranged: Ranged, member: Member, at: int, data: bytes, most: int, wanted: int) -> bytes:
    """`wanted` bytes of a deflated member, of which `data` was read already."""
    stream, found, taken = zlib.decompressobj(-15), bytearray(), len(data)
    while True:
        try:
            found += stream.decompress(data, wanted + 1 - len(found))
        except zlib.error as error:
            raise BadZip(f"the member {member.name[:200]!r}: {error}") from None
        if len(found) > member.size:
            raise BadZip(f"the member {member.name[:200]!r} holds more than it claims")
        if len(found) >= wanted:
            return bytes(found[:wanted])
        if stream.eof or taken >= most:
            raise BadZip(f"the member {member.name[:200]!r} holds less than it claims")
        data = _exactly(ranged, at + taken, min(most - taken, max(_BLOCK, wanted - len(found))))
        taken += len(data)


def _exactly(ranged: Ranged, start: int, length: int) -> bytes:
    data = ranged.read(start, length)
    if len(data) != length:
        raise BadZip("it is cut short")
    return data


def _ends(ranged: Ranged) -> tuple[int, int, int, int, bytes]:
    """Members, start and length of the directory, and the tail of the file that was read for it."""
    if ranged.size < 22:
        raise BadZip(f"{ranged.size} bytes are too few")
    tail_start = max(0, ranged.size - _TAIL)
    tail = _exactly(ranged, tail_start, ranged.size - tail_start)
    at = tail.rfind(_END, 0, len(tail) - 18)
    if at < 0:
        raise BadZip("it has no directory: it is no zip, or cut short")
    disk, first_disk, here, count, length, start, comment = struct.unpack_from(
        "<4H2IH", tail, at + 4
    )
    if at + 22 + comment != len(tail):
        raise BadZip("there are bytes behind its end")
    end = tail_start + at
    if at >= 20 and tail[at - 20 : at - 16] == _LOCATOR:
        plain = (disk, first_disk, here, count, length, start)
        found64 = _ends64(ranged, tail_start, tail[:at], plain)
        disk, first_disk, here, count, length, start, end = found64
    if disk or first_disk or here != count:
        raise BadZip("it is spread over several files")
    if start + length != end:
        raise BadZip("its directory is not where it claims: bytes before the archive, or damage")
    return count, start, length, tail_start, tail


def _ends64(
    ranged: Ranged, tail_start: int, tail: bytes, plain: tuple[int, ...]
) -> tuple[int, int, int, int, int, int, int]:
    """The zip64 record; `tail` ends with its locator."""
    locator = tail_start + len(tail) - 20
    at = struct.unpack_from("<Q", tail, len(tail) - 12)[0]
    if at + 56 > locator:
        raise BadZip("its zip64 record is not where it claims")
    here = at - tail_start
    record = tail[here : here + 56] if here >= 0 else _exactly(ranged, at, 56)
    if record[:4] != _END64 or at + 12 + struct.unpack_from("<Q", record, 4)[0] != locator:
        raise BadZip("its zip64 record is damaged")
    disk, first_disk, mine, count, length, start = struct.unpack_from("<2I4Q", record, 16)
    full = (_FULL16, _FULL16, _FULL16, _FULL16, _FULL32, _FULL32)
    found = (disk, first_disk, mine, count, length, start)
    for old, most, new in zip(plain, full, found, strict=True):
        if old not in (most, new):
            raise BadZip("its two end records disagree")
    return disk, first_disk, mine, count, length, start, at


def _entries(data: bytes, count: int) -> Iterator[Member]:
    at = 0
    for _ in range(count):
        if data[at : at + 4] != _ENTRY or at + 46 > len(data):
            raise BadZip("its directory is damaged")
        flags, method, _, _, crc, compressed, size, named, extra, comment, disk = (
            struct.unpack_from("<4H3I4H", data, at + 8)
        )
        outside, offset = struct.unpack_from("<2I", data, at + 38)
        end = at + 46 + named + extra + comment
        if end > len(data):
            raise BadZip("its directory is cut short")
        raw = data[at + 46 : at + 46 + named]
        name = _name(raw, flags)
        fields = _extras(data[at + 46 + named : at + 46 + named + extra])
        values = [size, compressed, offset]
        wide = fields.get(_ZIP64, b"")
        for index, value in enumerate(values):
            if value == _FULL32 and len(wide) >= 8:
                values[index] = int.from_bytes(wide[:8], "little")
                wide = wide[8:]
        unicode_path = fields.get(_UNICODE_PATH)
        if unicode_path is not None and unicode_path[5:] != name.encode():
            raise BadZip(f"the member {name[:200]!r} has two names")
        if disk not in (0, _FULL16):
            raise BadZip("it is spread over several files")
        size, compressed, offset = values
        yield Member(name, method, compressed, size, offset, bool(flags & _ENCRYPTED), crc,
                     outside >> 28 == _LINK)  # fmt: skip
        at = end
    if at != len(data):
        raise BadZip("its directory holds more than it claims")


def _name(raw: bytes, flags: int) -> str:
    if not 1 <= len(raw) <= MAX_NAME:
        raise BadZip(f"a member's name has {len(raw)} bytes; 1 to {MAX_NAME} are allowed")
    if b"\0" in raw:
        raise BadZip("a member's name holds a zero byte, where some readers end it")
    try:
        return raw.decode("utf-8" if flags & _UTF8 else "cp437")
    except UnicodeDecodeError:
        raise BadZip("a member's name is no UTF-8, as it claims") from None


def _extras(data: bytes) -> dict[int, bytes]:
    """Extra fields by kind; the first of a kind counts, what is cut short does not."""
    found: dict[int, bytes] = {}
    at = 0
    while at + 4 <= len(data):
        kind, length = struct.unpack_from("<2H", data, at)
        if kind in found and kind in (_ZIP64, _UNICODE_PATH):
            raise BadZip("a member has an extra field twice")
        found.setdefault(kind, data[at + 4 : at + 4 + length])
        at += 4 + length
    return found


def _check(members: tuple[Member, ...], end: int) -> None:
    """Names stand once, members do not overlap and do not claim what cannot be."""
    if len({m.name for m in members}) != len(members):
        raise BadZip("a name stands twice in it")
    for member in members:
        if member.method == STORED and member.size != member.compressed and not member.encrypted:
            raise BadZip(f"the member {member.name[:200]!r} is stored, but has two sizes")
        if member.size > member.compressed * MAX_RATIO + 64 and member.method == DEFLATED:
            raise BadZip(f"the member {member.name[:200]!r} claims {member.size} bytes, a bomb")
    previous = 0
    for member in sorted(members, key=lambda m: m.offset):
        if member.offset < previous:
            raise BadZip(f"the member {member.name[:200]!r} overlaps another")
        previous = member.offset + 31 + member.compressed
    if previous > end:
        raise BadZip("a member reaches into its directory")


def _local(ranged: Ranged, head: bytes, member: Member) -> int:
    """Where the data begin behind the local header, which must agree with the directory."""
    where = f"the local header of {member.name[:200]!r}"
    if len(head) < 30 or head[:4] != MAGIC:
        raise BadZip(f"{where} is not where the directory says")
    flags, method, _, _, crc, compressed, size, named, extra = struct.unpack_from(
        "<4H3I2H", head, 6
    )
    begin = 30 + int(named) + int(extra)
    if len(head) < 30 + named:
        head = _exactly(ranged, member.offset, 30 + named)
    known = not flags & _DESCRIPTOR
    if (
        method != member.method
        or bool(flags & _ENCRYPTED) != member.encrypted
        or _name(head[30 : 30 + named], flags) != member.name
        or (known and crc != member.crc)
        or (known and compressed not in (_FULL32, member.compressed))
        or (known and size not in (_FULL32, member.size))
    ):
        raise BadZip(f"{where} does not agree with the directory")
    if member.offset + begin + member.compressed > ranged.size:
        raise BadZip(f"{where} leaves no room for its data")
    return begin
