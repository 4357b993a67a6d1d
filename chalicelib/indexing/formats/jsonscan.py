"""JSON of any size, read for a few of its values: the rest is passed over without being built.

A path is a tuple of member names from the document's object down, such as `("model", "vocab")`.
What is passed over is checked for brackets and quotes only; what is taken is checked in full.
"""

import json
import re
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

MAX_DEPTH = 500
MAX_STEPS = 1_000_000
"""Members counted and brackets met, together: a second of work."""
MAX_NAMES = 100_000
"""Members of an object that is gone into."""
MAX_PARTS = 500_000
"""Values of a text that is built: what bounds the memory that this takes."""
MAX_TAKEN = 1024 * 1024
"""Bytes of one value that is taken; a larger one is passed over."""

Path = tuple[str, ...]

_STRING = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
_PLAIN = rb'(?:[^"\[\]{}]++|' + _STRING + rb")*+"
_FLAT = rb"\[" + _PLAIN + rb"\]|\{" + _PLAIN + rb"\}"
_SCALAR = rb"[-+.0-9A-Za-z]++"
_SPACE = re.compile(rb"[ \t\r\n]*+")
_KEY = re.compile(rb"(" + _STRING + rb")[ \t\r\n]*+:[ \t\r\n]*+", re.DOTALL)
_VALUE = re.compile(rb"(?:" + _STRING + rb"|" + _SCALAR + rb"|" + _FLAT + rb")", re.DOTALL)
_RUN = re.compile(rb'(?:[^"\[\]{}]++|' + _STRING + rb"|" + _FLAT + rb")*+", re.DOTALL)


class BadJson(Exception):
    """No JSON, or more of it than may be read."""


@dataclass(slots=True)
class Found:
    """`values` that were taken, `counts` of the members of objects and arrays, by their paths.

    `complete` is false where the text ended before the document did.
    """

    values: dict[Path, Any] = field(default_factory=dict)
    counts: dict[Path, int] = field(default_factory=dict)
    complete: bool = True


def strict(data: bytes) -> Any:
    """The value of a JSON text in which no name stands twice. Raises `BadJson`."""
    if data.count(b",") + data.count(b"[") + data.count(b"{") > MAX_PARTS:
        raise BadJson(f"it has more than {MAX_PARTS:,} values")
    try:
        return json.loads(data.decode("utf-8"), object_pairs_hook=_unique)
    except UnicodeDecodeError:
        raise BadJson("it is no UTF-8") from None
    except RecursionError:
        raise BadJson("it is nested too deeply") from None
    except ValueError as error:
        raise BadJson(f"it is no JSON: {error}"[:300]) from None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name stands twice in an object")
    return found


def scan(
    data: bytes,
    take: Collection[Path],
    count: Collection[Path] = (),
    *,
    partial: bool = False,
) -> Found:
    """What the paths name in the document. Raises `BadJson`.

    A `partial` text may end early: what was found until then is answered.
    """
    scanner = _Scanner(data, frozenset(take), frozenset(count))
    try:
        scanner.document()
    except _Ended:
        if not partial:
            raise BadJson("it is cut short") from None
        scanner.found.complete = False
    return scanner.found


class _Ended(Exception):
    pass


class _Scanner:
    def __init__(self, data: bytes, take: frozenset[Path], count: frozenset[Path]) -> None:
        self.data, self.take, self.count = data, take, count
        self.ways = {path[:n] for path in take | count for n in range(len(path))}
        self.found = Found()
        self.at = 0
        self.steps = 0

    def document(self) -> None:
        first = self._next()
        if first != b"{":
            raise BadJson("it is no JSON object") if first else _Ended()
        self._object(())
        if self._next():
            raise BadJson(f"there is more behind its end at byte {self.at}")

    def _next(self) -> bytes:
        """The next byte that is no space; none at the end."""
        match = _SPACE.match(self.data, self.at)
        assert match is not None
        self.at = match.end()
        return self.data[self.at : self.at + 1]

    def _step(self) -> None:
        self.steps += 1
        if self.steps > MAX_STEPS:
            raise BadJson(f"it has more than {MAX_STEPS:,} members to look at")

    def _object(self, path: Path) -> None:
        """Reads the object at the position, going into what a path leads through."""
        self.at += 1
        names: set[str] = set()
        if self._next() == b"}":
            self.at += 1
            return
        while True:
            self._step()
            name = self._key()
            if name in names:
                raise BadJson(f"the name {name[:100]!r} stands twice in an object")
            names.add(name)
            if len(names) > MAX_NAMES:
                raise BadJson(f"an object has more than {MAX_NAMES:,} members")
            self._value((*path, name))
            after = self._next()
            self.at += 1
            if after == b"}":
                return
            if after != b",":
                raise self._bad(after)
            self._next()

    def _key(self) -> str:
        match = _KEY.match(self.data, self.at)
        if match is None:
            raise _Ended if self._unended() else self._bad(self.data[self.at : self.at + 1])
        self.at = match.end()
        return str(strict(match[1]))

    def _unended(self) -> bool:
        """Whether the text ends within the member name, or right behind it."""
        rest = re.compile(rb"(?:" + _STRING + rb"[ \t\r\n]*+|\"(?:[^\"\\]|\\.)*+\\?)?\Z", re.DOTALL)
        return rest.match(self.data, self.at) is not None

    def _bad(self, byte: bytes) -> Exception:
        return BadJson(f"it is no JSON at byte {self.at}") if byte else _Ended()

    def _value(self, path: Path) -> None:
        opening = self.data[self.at : self.at + 1]
        start = self.at
        if path in self.count and opening in (b"{", b"["):
            self.found.counts[path] = self._members(opening == b"{")
        if path in self.take:
            self.at = start
            self._skip()
            if self.at - start <= MAX_TAKEN:
                self.found.values[path] = strict(self.data[start : self.at])
        elif path in self.found.counts:
            return
        elif path in self.ways and opening == b"{":
            self._object(path)
        else:
            self._skip()

    def _members(self, named: bool) -> int:
        """How many members the object or array at the position has."""
        self.at += 1
        closing = b"}" if named else b"]"
        if self._next() == closing:
            self.at += 1
            return 0
        members = 0
        while True:
            self._step()
            if named:
                match = _KEY.match(self.data, self.at)
                if match is None:
                    raise _Ended if self._unended() else self._bad(b"?")
                self.at = match.end()
            self._skip()
            members += 1
            after = self._next()
            self.at += 1
            if after == closing:
                return members
            if after != b",":
                raise self._bad(after)
            self._next()

    def _skip(self) -> None:
        """Passes over the value at the position."""
        match = _VALUE.match(self.data, self.at)
        if match is not None:
            if match.end() == len(self.data) and self.data[-1:] not in b'"]}':
                raise _Ended  # a number that may go on
            self.at = match.end()
            return
        opening = self.data[self.at : self.at + 1]
        if opening not in (b"{", b"["):
            raise _Ended if opening in (b"", b'"') else self._bad(opening)
        stack = bytearray()
        while True:
            self._step()
            byte = self.data[self.at : self.at + 1]
            self.at += 1
            if byte in (b"{", b"["):
                stack += b"}" if byte == b"{" else b"]"
                if len(stack) > MAX_DEPTH:
                    raise BadJson(f"it is nested more than {MAX_DEPTH} deep")
            elif byte in (b"}", b"]"):
                if stack[-1:] != byte:
                    raise BadJson(f"the brackets do not match at byte {self.at - 1}")
                del stack[-1:]
                if not stack:
                    return
            else:
                raise _Ended  # within a string that has no end, or at the end
            match = _RUN.match(self.data, self.at)
            assert match is not None
            self.at = match.end()
