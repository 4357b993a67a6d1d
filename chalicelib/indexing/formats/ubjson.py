"""UBJSON (ubjson.org, draft 12) read for a few of its values; the others are stepped over.

Lengths and counts are the file's claims: each is checked against the bytes that are there. Typed arrays
are stepped over without being fetched.
"""

import struct
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

from chalicelib.indexing.formats.ranged import Ranged

MAX_DEPTH = 64
MAX_STEPS = 300_000
MAX_TEXT = 64 * 1024
MAX_TAKEN = 20_000
"""Members of an array or object that is taken."""
_WINDOW = 256 * 1024

Path = tuple[str, ...]

_NUMBERS = {b"i": ">b", b"U": ">B", b"I": ">h", b"l": ">i", b"L": ">q", b"d": ">f", b"D": ">d"}
_FORMS = {marker: struct.Struct(form) for marker, form in _NUMBERS.items()}
_WHOLE = b"iUIlL"
_CONSTANTS: dict[bytes, Any] = {b"Z": None, b"T": True, b"F": False}


class BadUbjson(Exception):
    """No UBJSON, damaged, or more of it than may be read."""


class Cursor:
    """A position in a file that is fetched by windows; `prefix` is read as if it came first."""

    def __init__(self, ranged: Ranged, start: int = 0, prefix: bytes = b"") -> None:
        self.ranged = ranged
        self.window, self.begin = prefix, start - len(prefix)
        self.at = self.begin
        self.steps = 0

    @property
    def end(self) -> int:
        """Where the file ends."""
        return self.ranged.size

    def take(self, length: int) -> bytes:
        """The next bytes, all of them or `BadUbjson`."""
        if length > self.end - self.at:
            raise BadUbjson("it is cut short")
        offset = self.at - self.begin
        if offset + length > len(self.window):
            start = max(self.at, 0)
            kept = self.window[offset : offset + start - self.at]
            fresh = self.ranged.read(start, max(length, _WINDOW if start else 64 * 1024))
            self.window, self.begin, offset = kept + fresh, self.at, 0
            if len(self.window) < length:
                raise BadUbjson("it is cut short")
        self.at += length
        return self.window[offset : offset + length]

    def skip(self, length: int) -> None:
        """Steps over bytes that are there."""
        if not 0 <= length <= self.end - self.at:
            raise BadUbjson("a length reaches beyond the end of the file")
        self.at += length

    def step(self) -> None:
        """Counts a value."""
        self.steps += 1
        if self.steps > MAX_STEPS:
            raise BadUbjson(f"it has more than {MAX_STEPS:,} values to look at")


@dataclass(slots=True)
class Found:
    """`values` that were taken and `counts` of arrays' members; `stopped` before the document's end."""

    values: dict[Path, Any] = field(default_factory=dict)
    counts: dict[Path, int] = field(default_factory=dict)
    stopped: bool = False


class _Stop(Exception):
    pass


def scan(cursor: Cursor, take: Collection[Path], stop: Path | None = None) -> Found:
    """What the paths name in the object at the cursor, up to the member `stop`. Raises `BadUbjson`."""
    reader = _Reader(cursor, frozenset(take), stop)
    if cursor.take(1) != b"{":
        raise BadUbjson("it is no object")
    try:
        reader.members((), reader.head())
    except _Stop:
        reader.found.stopped = True
    return reader.found


@dataclass(frozen=True, slots=True)
class _Head:
    """What stands behind `[` or `{`: the type of all members and how many there are, if it says so."""

    kind: bytes = b""
    count: int | None = None


class _Reader:
    def __init__(self, cursor: Cursor, take: frozenset[Path], stop: Path | None) -> None:
        self.cursor, self.take, self.stop = cursor, take, stop
        asked = take | ({stop} if stop else set())
        self.ways = {path[:n] for path in asked for n in range(len(path))}
        self.found = Found()

    def head(self) -> _Head:
        """The optional type and count of a container."""
        cursor = self.cursor
        mark, kind = cursor.take(1), b""
        if mark == b"$":
            kind, mark = cursor.take(1), cursor.take(1)
            if mark != b"#":
                raise BadUbjson("a container has a type and no count")
        if mark != b"#":
            cursor.at -= 1
            return _Head()
        count = self.whole()
        if kind and kind in _CONSTANTS and count > MAX_STEPS:
            raise BadUbjson(f"a container claims {count} members")
        if kind not in _CONSTANTS and count > cursor.end - cursor.at:
            raise BadUbjson(f"a container claims {count} members; the file is too short for them")
        return _Head(kind, count)

    def whole(self) -> int:
        """A length or count."""
        mark = self.cursor.take(1)
        if mark not in _FORMS or mark not in _WHOLE:
            raise BadUbjson(f"a length has the type {mark!r}")
        form = _FORMS[mark]
        value = int(form.unpack(self.cursor.take(form.size))[0])
        if value < 0:
            raise BadUbjson("a length is negative")
        return value

    def text(self) -> str:
        """A length and that many bytes of text."""
        length = self.whole()
        if length > MAX_TEXT:
            self.cursor.skip(length)
            return ""
        return self.cursor.take(length).decode("utf-8", "replace")

    def more(self, head: _Head, read: int, closing: bytes) -> bool:
        """Whether another member follows; steps over the closing mark if none does."""
        if head.count is not None:
            return read < head.count
        if self.cursor.take(1) == closing:
            return False
        self.cursor.at -= 1
        return True

    def members(self, path: Path, head: _Head) -> None:
        """The members of the object whose `{` was read, going into what a path leads through."""
        names: set[str] = set()
        while self.more(head, len(names), b"}"):
            name = self.text()
            if name in names:
                raise BadUbjson(f"the name {name[:100]!r} stands twice in an object")
            names.add(name)
            self.cursor.step()
            below = (*path, name)
            if below == self.stop:
                raise _Stop
            kind = head.kind or self.cursor.take(1)
            if below in self.take:
                self.found.values[below] = self.value(kind, len(path))
            elif below in self.ways and kind == b"{":
                self.members(below, self.head())
            else:
                self.over(kind, len(path))

    def value(self, kind: bytes, depth: int) -> Any:
        """The value of a kind, built."""
        self.deep(depth)
        if kind in _CONSTANTS:
            return _CONSTANTS[kind]
        form = _FORMS.get(kind)
        if form is not None:
            return form.unpack(self.cursor.take(form.size))[0]
        if kind in (b"S", b"H"):
            return self.text()
        if kind == b"C":
            return self.cursor.take(1).decode("latin-1")
        if kind not in (b"[", b"{"):
            raise BadUbjson(f"a value has the unknown type {kind!r}")
        head, named = self.head(), kind == b"{"
        built: list[tuple[str, Any]] = []
        while self.more(head, len(built), b"}" if named else b"]"):
            self.cursor.step()
            if len(built) >= MAX_TAKEN:
                raise BadUbjson(f"a list has more than {MAX_TAKEN:,} members")
            name = self.text() if named else ""
            built.append((name, self.value(head.kind or self.cursor.take(1), depth + 1)))
        return dict(built) if named else [value for _, value in built]

    def over(self, kind: bytes, depth: int) -> None:
        """Steps over a value of a kind."""
        self.deep(depth)
        if kind in _CONSTANTS:
            return
        form = _FORMS.get(kind)
        if form is not None:
            self.cursor.skip(form.size)
        elif kind in (b"S", b"H"):
            self.cursor.skip(self.whole())
        elif kind == b"C":
            self.cursor.skip(1)
        elif kind == b"N":
            return
        elif kind in (b"[", b"{"):
            self.container(kind == b"{", depth)
        else:
            raise BadUbjson(f"a value has the unknown type {kind!r} at byte {self.cursor.at}")

    def container(self, named: bool, depth: int) -> None:
        """Steps over the members of a container whose opening mark was read."""
        head = self.head()
        form = _FORMS.get(head.kind)
        if form is not None and head.count is not None and not named:
            self.cursor.skip(form.size * head.count)
            return
        read = 0
        while self.more(head, read, b"}" if named else b"]"):
            self.cursor.step()
            if named:
                self.cursor.skip(self.whole())
            self.over(head.kind or self.cursor.take(1), depth + 1)
            read += 1

    def deep(self, depth: int) -> None:
        """Refuses what is nested too deeply."""
        if depth > MAX_DEPTH:
            raise BadUbjson(f"it is nested more than {MAX_DEPTH} deep")
