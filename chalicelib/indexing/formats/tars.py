"""Tar archives: their members by ranged reads of the headers, or of the start of a compressed one.

Headers: ustar, the GNU long names, and the pax extensions (POSIX.1-2017, pax; GNU tar's manual).
"""

import bz2
import lzma
import re
import zlib
from collections.abc import Callable
from typing import Protocol

from chalicelib.indexing.formats import listing
from chalicelib.indexing.formats.listing import Entry
from chalicelib.indexing.formats.ranged import Ranged
from weighbridge.contract.types import Facts

BLOCK = 512
MAX_MEMBERS = 20_000
MAX_REQUESTS = 500
MAX_EXTENSION = 64 * 1024
"""Bytes of a pax header."""
MAX_NAME = 4096
"""Bytes of a path, as on Linux."""
MAX_IN = 4 * 1024 * 1024
MAX_OUT = 8 * 1024 * 1024
"""How far into a compressed file we look, on both sides of its compression."""
XZ_MEMORY = 96 * 1024 * 1024
MAX_STREAMS = 1000
_WINDOW = 64 * 1024

_SPECIAL = {b"3": "a device", b"4": "a device", b"6": "a pipe"}
_SPARSE = b"S"
_PAX = re.compile(rb"(\d{1,7}) ([^=\n]{1,200})=")
_COMPRESSED = (
    (re.compile(rb"\x1f\x8b\x08"), "gzip"), (re.compile(rb"BZh[1-9]1AY&SY"), "bzip2"),
    (re.compile(rb"\xfd7zXZ\x00"), "xz"), (re.compile(rb"\x28\xb5\x2f\xfd"), "zstd"),
)  # fmt: skip
_SUFFIX = {"gzip": "tar.gz", "bzip2": "tar.bz2", "xz": "tar.xz"}


class BadTar(Exception):
    """A header that cannot be one."""


class Source(Protocol):
    """Where headers are read from. `size` is how much there is to read."""

    @property
    def size(self) -> int:
        """Bytes there are."""

    def read(self, start: int, length: int) -> bytes:
        """That range, shorter at the end."""


class _Window:
    """An object by windows: neighbouring headers come in one request."""

    def __init__(self, ranged: Ranged) -> None:
        self.ranged = ranged
        self.data, self.start, self.requests = b"", 0, 0

    @property
    def size(self) -> int:
        """The object's size."""
        return self.ranged.size

    def read(self, start: int, length: int) -> bytes:
        """That range; empty once too many requests were made."""
        if not self.start <= start <= start + length <= self.start + len(self.data):
            if self.requests >= MAX_REQUESTS:
                return b""
            self.requests += 1
            self.start = start
            self.data = self.ranged.read(start, max(length, _WINDOW))
        return self.data[start - self.start :][:length]


class _Memory:
    """The part of a compressed archive that was unpacked."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    @property
    def size(self) -> int:
        """How much was unpacked."""
        return len(self.data)

    def read(self, start: int, length: int) -> bytes:
        """That range of it."""
        return self.data[start : start + length]


def sniff(first: bytes, size: int) -> bool:
    """A header with a true checksum, or the signature of a compressed file."""
    return _compression(first) != "" or is_header(first[:BLOCK])


def _compression(first: bytes) -> str:
    return next((name for mark, name in _COMPRESSED if mark.match(first)), "")


def read(ranged: Ranged) -> Facts:
    """The listing of an archive; of a compressed one, as far as its start tells."""
    first = ranged.read(0, min(ranged.size, _WINDOW))
    kind = _compression(first)
    if not kind:
        return _listed("tar", _Window(ranged), ranged.size, whole=True)
    if kind == "zstd":
        return Facts("zstd", verdict="unknown", findings=("zstd archives are not looked into",))
    data = first + ranged.read(len(first), max(0, min(ranged.size, MAX_IN) - len(first)))
    try:
        start, ended = _unpacked(kind, data)
    except (zlib.error, OSError, EOFError, lzma.LZMAError, ValueError, MemoryError) as error:
        return Facts(kind, problem=f"it cannot be unpacked: {error}"[:300], verdict="unknown")
    whole = ended and len(data) == ranged.size
    if is_header(start[:BLOCK]):
        return _listed(_SUFFIX[kind], _Memory(start), ranged.size, whole=whole)
    if start.startswith(b"\x80"):
        return Facts(kind, verdict="unknown", findings=("what it holds begins like a pickle",))
    return Facts(kind, problem="" if start or whole else "it is cut short")


def _unpacked(kind: str, data: bytes) -> tuple[bytes, bool]:
    """The first bytes that the data unpack to, and whether that is all of them."""
    fresh: dict[str, Callable[[], _Stream]] = {
        "gzip": lambda: _Gzip(), "bzip2": bz2.BZ2Decompressor,
        "xz": lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=XZ_MEMORY),
    }  # fmt: skip
    found = bytearray()
    for _ in range(MAX_STREAMS):  # streams one after another are one file
        stream = fresh[kind]()
        found += stream.decompress(data, max_length=MAX_OUT - len(found))
        if not stream.eof or len(found) >= MAX_OUT:
            return bytes(found), False
        data = stream.unused_data
        if not data.strip(b"\0"):
            return bytes(found), True
    return bytes(found), False


class _Stream(Protocol):
    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int = ...) -> bytes: ...


class _Gzip:
    """zlib's object with the names of the other two."""

    def __init__(self) -> None:
        self.inner = zlib.decompressobj(31)

    @property
    def eof(self) -> bool:
        return self.inner.eof

    @property
    def unused_data(self) -> bytes:
        return self.inner.unused_data

    def decompress(self, data: bytes, max_length: int = -1) -> bytes:
        return self.inner.decompress(data, max(max_length, 1))


def _listed(kind: str, source: Source, stored: int, *, whole: bool) -> Facts:
    entries: list[Entry] = []
    problem, complete = "", False
    try:
        complete = _walk(source, entries, whole=whole)
    except BadTar as error:
        problem = str(error)
    judged = listing.judge(entries, stored, complete=complete or bool(problem))
    verdict = judged.verdict or ("unknown" if problem else "")
    return Facts(
        kind, metadata=judged.metadata, problem=problem, verdict=verdict, findings=judged.findings
    )


def _walk(source: Source, entries: list[Entry], *, whole: bool) -> bool:
    """Adds the members; answers whether these are all. `whole`: what is missing is damage."""
    at, long_name, long_link, pax = 0, "", "", dict[str, str]()
    steps = 0
    while len(entries) < MAX_MEMBERS:
        steps += 1
        header = source.read(at, BLOCK)
        if len(header) < BLOCK:
            if at >= source.size or not whole:
                return whole and at == source.size
            if isinstance(source, _Window) and source.requests >= MAX_REQUESTS:
                return False
            raise BadTar(f"it is cut short at byte {at}")
        if not any(header):
            return True
        if not is_header(header):
            raise BadTar(f"the header at byte {at} does not have its checksum")
        kind, size = header[156:157], _number(header[124:136])
        body, at = at + BLOCK, at + BLOCK + -(-size // BLOCK) * BLOCK
        if kind in b"LKxg" and kind:
            data = _extension(source, body, size, whole)
            if data is None or steps > 4 * MAX_MEMBERS:
                return False
            if kind == b"L":
                long_name = _string(data)
            elif kind == b"K":
                long_link = _string(data)
            elif kind == b"x":
                pax = _records(data)
            continue
        name = pax.get("GNU.sparse.name") or pax.get("path") or long_name or _name(header)
        link = pax.get("linkpath") or long_link or _string(header[157:257])
        if pax.get("size", "").isdigit() and len(pax["size"]) < 19:
            size = int(pax["size"])
            at = body + -(-size // BLOCK) * BLOCK
        if kind in b"12345" and kind:
            size, at = 0, body  # links, folders and devices have no data, whatever they claim
        if kind == _SPARSE:
            at = _after_sparse(source, header, body, at)
        if max(len(name), len(link)) > MAX_NAME:
            raise BadTar(f"a name has {max(len(name), len(link))} characters; {MAX_NAME} at most")
        entries.append(
            Entry(
                name + ("/" if kind == b"5" and not name.endswith("/") else ""), size,
                link=link if kind in (b"1", b"2") else None, hard=kind == b"1",
                special=_SPECIAL.get(kind, ""),
            )
        )  # fmt: skip
        if at > source.size and whole:
            raise BadTar(f"it is cut short: {name[:100]!r} reaches beyond its end")
        long_name = long_link = ""
        pax = {}
    return False


def is_header(block: bytes) -> bool:
    """Whether a block has the checksum that only a header has (signed sums of old tars count too)."""
    if len(block) < BLOCK or not block[0] or block[257:262] not in (b"ustar", b"\0\0\0\0\0"):
        return False
    claimed = block[148:156].strip(b" \0")
    if not claimed or len(claimed) > 7 or claimed.strip(b"01234567"):
        return False
    rest = block[:148] + b" " * 8 + block[156:BLOCK]
    plain = sum(rest)
    return int(claimed, 8) in (plain, plain - 256 * sum(byte > 127 for byte in rest))


def _number(field: bytes) -> int:
    """Octal digits, or a number of up to 11 bytes behind a set bit."""
    if field[0] & 0x80:
        value = int.from_bytes(bytes([field[0] & 0x7F]) + field[1:], "big")
    else:
        digits = field.split(b"\0")[0].strip()
        if digits.strip(b"01234567"):
            raise BadTar("a size is no number")
        value = int(digits or b"0", 8)
    if value >= 2**62:
        raise BadTar(f"a member claims {value} bytes")
    return value


def _string(data: bytes) -> str:
    return data.split(b"\0", 1)[0].decode("utf-8", "replace")


def _name(header: bytes) -> str:
    prefix = _string(header[345:500]) if header[257:265] == b"ustar\x0000" else ""
    name = _string(header[:100])
    return f"{prefix}/{name}" if prefix else name


def _extension(source: Source, start: int, size: int, whole: bool) -> bytes | None:
    """The data of a header that belongs to the next; None if they were not unpacked."""
    if size > MAX_EXTENSION:
        raise BadTar(f"a header claims a name of {size} bytes; {MAX_EXTENSION} at most")
    data = source.read(start, size)
    if len(data) == size:
        return data
    if whole and start + size > source.size:
        raise BadTar("it is cut short within a long name")
    return None


def _records(data: bytes) -> dict[str, str]:
    """`LENGTH KEY=VALUE` records; the last of a key counts, as in tar."""
    found: dict[str, str] = {}
    at = 0
    while at < len(data) and data[at] != 0:
        match = _PAX.match(data, at)
        if match is None:
            raise BadTar("a pax header is damaged")
        end = at + int(match[1])
        if end > len(data) or end <= match.end() or data[end - 1 : end] != b"\n":
            raise BadTar("a pax header is damaged")
        found[match[2].decode("utf-8", "replace")] = data[match.end() : end - 1].decode(
            "utf-8", "replace"
        )
        at = end
    return found


def _after_sparse(source: Source, header: bytes, body: int, at: int) -> int:
    """Where the next header is behind an old GNU sparse member, whose map may go on in more blocks."""
    more, extra = header[482], 0
    while more and extra < 1000:
        block = source.read(body + extra * BLOCK, BLOCK)
        if len(block) < BLOCK:
            break
        more, extra = block[504], extra + 1
    return at + extra * BLOCK
