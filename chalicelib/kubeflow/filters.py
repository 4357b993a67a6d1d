"""`filterQuery`: the part of its SQL-like grammar that clients send, read and applied to documents.

    query := all (OR all)*        all := one (AND one)*        one := ( query ) | test
    test  := name (= | != | <> | > | < | >= | <=) value  |  name [NOT] (LIKE | ILIKE) 'text'
           | name [NOT] IN ( value, ... )

A name is a field, or a custom property (`score`, `score.double_value`, `` `my score`.double_value ``).
A test on what a record does not have, or has with another type, is false, as NULL is in SQL.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from weighbridge.contract.errors import InvalidRequest

MAX_QUERY = 4096
_MAX_DEPTH = 32
_TOKEN = re.compile(
    r"""\s*(?: (?P<text>'(?:[^'\\]|\\.|'')*'|"(?:[^"\\]|\\.)*")
      | (?P<number>[-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?(?![\w.]))
      | (?P<name>(?:`[^`]+`|[A-Za-z_][\w-]*)(?:\.(?:`[^`]+`|[\w-]+))*)
      | (?P<sign><=|>=|<>|!=|=|<|>|\(|\)|,) )""",
    re.VERBOSE | re.ASCII,
)
_TYPES = ("string_value", "int_value", "double_value", "bool_value")
_WORDS = frozenset({"AND", "OR", "NOT", "IN", "LIKE", "ILIKE", "TRUE", "FALSE"})
_NUMBERS = frozenset(
    {"id", "createTimeSinceEpoch", "lastUpdateTimeSinceEpoch", "registeredModelId",
     "modelVersionId", "servingEnvironmentId", "timestamp", "step"}
)  # fmt: skip
_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "=": lambda a, b: bool(a == b), "!=": lambda a, b: bool(a != b),
    "<>": lambda a, b: bool(a != b), ">": lambda a, b: bool(a > b),
    "<": lambda a, b: bool(a < b), ">=": lambda a, b: bool(a >= b), "<=": lambda a, b: bool(a <= b),
}  # fmt: skip
Value = str | int | float | bool
Test = Callable[[Mapping[str, Any]], bool]


class _Token(NamedTuple):
    kind: str
    text: str
    at: int

    @property
    def word(self) -> str:
        """The keyword that it is, or nothing."""
        upper = self.text.upper()
        return upper if self.kind == "name" and upper in _WORDS else ""


def read(text: str) -> Test:
    """The test that a query is."""
    if len(text) > MAX_QUERY:
        raise InvalidRequest(f"filterQuery has {len(text)} characters; {MAX_QUERY} at most")
    return _Reader(text).whole()


class _Reader:
    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = _split(text)
        self._next = 0
        self._depth = 0

    def whole(self) -> Test:
        """The query, to its end."""
        found = self._any()
        if (left := self._peek()).kind != "end":
            raise self._wrong(left, "AND, OR or the end")
        return found

    def _any(self) -> Test:
        tests = [self._all()]
        while self._peek().word == "OR":
            self._take()
            tests.append(self._all())
        return tests[0] if len(tests) == 1 else lambda doc: any(test(doc) for test in tests)

    def _all(self) -> Test:
        tests = [self._one()]
        while self._peek().word == "AND":
            self._take()
            tests.append(self._one())
        return tests[0] if len(tests) == 1 else lambda doc: all(test(doc) for test in tests)

    def _one(self) -> Test:
        if self._peek().text == "(" and self._peek().kind == "sign":
            self._take()
            self._depth += 1
            if self._depth > _MAX_DEPTH:
                raise InvalidRequest(f"filterQuery is nested deeper than {_MAX_DEPTH}")
            found = self._any()
            self._sign(")")
            self._depth -= 1
            return found
        return self._test()

    def _test(self) -> Test:
        name = self._take()
        if name.kind != "name" or name.word:
            raise self._wrong(name, "the name of a field or property")
        values = _values(name.text)
        said = self._take()
        if said.kind == "sign" and said.text in _COMPARE:
            return _comparison(values, said.text, self._value())
        negative = said.word == "NOT"
        if negative:
            said = self._take()
        if said.word in ("LIKE", "ILIKE"):
            test = _likeness(values, self._pattern(), said.word == "ILIKE")
        elif said.word == "IN":
            test = _membership(values, self._list())
        else:
            raise self._wrong(said, "=, !=, <>, <, >, <=, >=, LIKE, ILIKE or IN")
        return (lambda doc: bool(values(doc)) and not test(doc)) if negative else test

    def _value(self) -> Value:
        token = self._take()
        if token.kind == "text":
            return _unquoted(token.text)
        if token.kind == "number":
            whole = re.fullmatch(r"[-+]?\d+", token.text)
            return int(token.text) if whole else float(token.text)
        if token.word in ("TRUE", "FALSE"):
            return token.word == "TRUE"
        raise self._wrong(token, "a text in quotes, a number, true or false")

    def _pattern(self) -> str:
        token = self._take()
        if token.kind != "text":
            raise self._wrong(token, "a text in quotes")
        return _unquoted(token.text)

    def _list(self) -> list[Value]:
        self._sign("(")
        found = [self._value()]
        while self._peek().text == ",":
            self._take()
            found.append(self._value())
        self._sign(")")
        return found

    def _sign(self, text: str) -> None:
        token = self._take()
        if token.kind != "sign" or token.text != text:
            raise self._wrong(token, repr(text))

    def _peek(self) -> _Token:
        return self._tokens[self._next]

    def _take(self) -> _Token:
        token = self._tokens[self._next]
        self._next = min(self._next + 1, len(self._tokens) - 1)
        return token

    def _wrong(self, token: _Token, wanted: str) -> InvalidRequest:
        what = repr(token.text[:60]) if token.kind != "end" else "the end"
        return InvalidRequest(f"filterQuery: {what} at {token.at}, where {wanted} was expected")


def _split(text: str) -> list[_Token]:
    found = []
    at = 0
    end = len(text.rstrip())
    while at < end:
        match = _TOKEN.match(text, at)
        if match is None:
            rest = text[at:].lstrip()
            raise InvalidRequest(
                f"filterQuery: cannot read {rest[:60]!r} at {len(text) - len(rest)}; "
                "texts stand in single quotes, odd names in backticks"
            )
        kind = str(match.lastgroup)
        found.append(_Token(kind, match[kind], match.start(kind)))
        at = match.end()
    return [*found, _Token("end", "", end)]


def _unquoted(text: str) -> str:
    inner = text[1:-1].replace("''", "'") if text[0] == "'" else text[1:-1]
    return re.sub(r"\\(['\"\\])", r"\1", inner)


def _values(text: str) -> Callable[[Mapping[str, Any]], list[Value]]:
    """What a record has under a name: one value, or none; an id both as text and as number."""
    parts = re.findall(r"`[^`]+`|[^.`]+", text)
    kind = parts.pop() if len(parts) > 1 and parts[-1] in _TYPES else ""
    name = ".".join(part.strip("`") for part in parts)

    def values(doc: Mapping[str, Any]) -> list[Value]:
        if not kind and name != "customProperties" and name in doc:
            found = doc[name]
            if name in _NUMBERS and isinstance(found, str) and re.fullmatch("[0-9]+", found):
                return [found, int(found)]
            return [found] if isinstance(found, (str, int, float, bool)) else []
        wire = doc.get("customProperties", {}).get(name, {})
        field = next((f for f in _TYPES if f in wire and kind in ("", f)), "")
        if not field:
            return []
        return [int(wire[field]) if field == "int_value" else wire[field]]

    return values


def _like_typed(one: Value, other: Value) -> bool:
    """Whether two values can be compared: both texts, both truth values or both numbers."""
    kinds = [str if isinstance(v, str) else bool if isinstance(v, bool) else float
             for v in (one, other)]  # fmt: skip
    return kinds[0] is kinds[1]


def _comparison(
    values: Callable[[Mapping[str, Any]], list[Value]], sign: str, wanted: Value
) -> Test:
    compare = _COMPARE[sign]
    return lambda doc: any(_like_typed(v, wanted) and compare(v, wanted) for v in values(doc))


def _membership(values: Callable[[Mapping[str, Any]], list[Value]], wanted: list[Value]) -> Test:
    return lambda doc: any(
        _like_typed(v, other) and v == other for v in values(doc) for other in wanted
    )


def _likeness(values: Callable[[Mapping[str, Any]], list[Value]], text: str, folded: bool) -> Test:
    """`%` stands for any text and `_` for one character; a backslash before them takes that away."""
    pieces = _pieces(text.casefold() if folded else text)

    def test(doc: Mapping[str, Any]) -> bool:
        texts = [v for v in values(doc) if isinstance(v, str)]
        return any(_matches(v.casefold() if folded else v, pieces) for v in texts)

    return test


def _pieces(text: str) -> list[re.Pattern[str]]:
    """What stands between the `%`. The pieces repeat nothing, so no pattern makes matching slow."""
    found = [""]
    escaped = False
    for char in text:
        if escaped or char not in "\\%_":
            found[-1] += re.escape(char)
            escaped = False
        elif char == "\\":
            escaped = True
        elif char == "%":
            found.append("")
        else:
            found[-1] += "."
    if escaped:
        found[-1] += re.escape("\\")
    return [re.compile(piece, re.DOTALL) for piece in found]


def _matches(text: str, pieces: list[re.Pattern[str]]) -> bool:
    """Whether the pieces follow each other: the first from the start, the last to the end."""
    if len(pieces) == 1:
        return pieces[0].fullmatch(text) is not None
    start = pieces[0].match(text)
    if start is None:
        return False
    at = start.end()
    for piece in pieces[1:-1]:
        found = piece.search(text, at)
        if found is None:
            return False
        at = found.end()
    last = pieces[-1].pattern
    length = len(re.sub(r"\\(.)", r"\1", last, flags=re.DOTALL))
    return len(text) - length >= at and pieces[-1].fullmatch(text, len(text) - length) is not None
