"""Tar archives: their members by ranged reads of the headers. Pickles among them are walked in place.

Headers: ustar, the GNU long names, and the pax extensions (POSIX.1-2017, pax; GNU tar's manual).
"""

import re

from chalicelib.indexing.formats import listing, texts
from chalicelib.indexing.formats.listing import Entry
from chalicelib.indexing.formats.pickled import members
from chalicelib.indexing.formats.pickled.machine import Mode, Notes
from chalicelib.indexing.formats.pickled.source import Limits, Part, Source
from chalicelib.indexing.formats.ranged import OverBudget, Ranged
from weighbridge.contract.types import Facts, Verdict

BLOCK = 512
MAX_MEMBERS = 20_000
MAX_REQUESTS = 500
MAX_EXTENSION = 64 * 1024
"""Bytes of a pax header."""
MAX_NAME = 4096
"""Bytes of a path, as on Linux."""
_WINDOW = 64 * 1024

_SPECIAL = {b"3": "a device", b"4": "a device", b"6": "a pipe"}
_SPARSE = b"S"
_PAX = re.compile(rb"(\d{1,7}) ([^=\n]{1,200})=")


class BadTar(Exception):
    """A header that cannot be one."""


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


def sniff(first: bytes, size: int) -> bool:
    """A header with a true checksum."""
    return is_header(first[:BLOCK])


def read(ranged: Ranged) -> Facts:
    """The listing of an archive, and the verdict on what is in it."""
    return listed("tar", ranged, ranged.size, whole=True)


def listed(kind: str, source: Source, stored: int, *, whole: bool) -> Facts:
    """The listing of an archive of `stored` bytes. `whole`: what is missing in `source` is damage."""
    entries: list[Entry] = []
    problem, complete, within = "", False, _Within(source)
    headers = _Window(source) if isinstance(source, Ranged) else source
    try:
        complete = _walk(headers, entries, within, whole=whole)
    except (BadTar, OverBudget) as error:
        problem = str(error)
    names = {entry.name for entry in entries}
    old = {"pickle", "storages", "tensors"} <= names
    if old:
        within.notes.add(
            "unknown", "torch's oldest format: its storages are read with pickles in between"
        )
    judged = listing.judge(entries, stored, complete=complete or bool(problem))
    verdict = listing.graver(judged.verdict, within.verdict, "unknown" if problem else "")
    return Facts(
        "pytorch" if old else kind, metadata=judged.metadata, problem=problem, verdict=verdict,
        findings=texts.findings((*judged.findings, *within.notes.sorted())),
    )  # fmt: skip


class _Within:
    """What the members' own bytes do, if they are pickles."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.notes, self.limits = Notes(), Limits()
        self.looked = self.pickled = 0

    @property
    def verdict(self) -> Verdict:
        """Empty where no member can run code."""
        return self.notes.verdict if self.pickled or self.notes.verdict != "safe" else ""

    def look(self, headers: Source, name: str, at: int, size: int) -> None:
        """Looks into the member of `size` bytes at `at`, whose beginning comes with its header."""
        if self.looked > members.MAX_LOOKED:
            return
        self.looked += 1
        if self.looked > members.MAX_LOOKED:
            many = f"more than {members.MAX_LOOKED:,} members: the others were not looked into"
            self.notes.add("unknown", many)
            return
        first = headers.read(at, min(size, members.FIRST))
        inner = Part(self.source, at, size)
        self.pickled += members.noted(
            name, first, lambda: inner, size, self.notes, Mode(), self.limits
        )


def _walk(source: Source, entries: list[Entry], within: _Within, *, whole: bool) -> bool:
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
        if size and kind not in (_SPARSE, *_SPECIAL):
            within.look(source, name, body, size)
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
