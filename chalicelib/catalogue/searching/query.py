"""What a person types into the search box → conditions. `frontend/static/search.js` reads the same
grammar; both run `tests/catalogue/search_vectors.json`.

    digits "hand written"      words, quoted ones with their blanks: all must be there, in any case
    -draft                     must not be there (before a word, a field or a comparison)
    tag:edge  tag:device=cpu   a field: its value is compared whole, `*` stands for any text
    accuracy > 0.9             a metric or numeric param; `>` `>=` `<` `<=` `=` `!=`, blanks or none

Nothing raises: what cannot be understood is a sentence in `Query.problem`.
"""

import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

MAX_QUERY = 400
MAX_TERMS = 20
FIELDS = ("project", "model", "tag", "label", "alias", "format", "by", "verdict", "param", "kind")
CHOICES = {"kind": ("model", "version"), "verdict": ("safe", "unknown", "unsafe", "pending")}
_OPERATORS = (">=", "<=", "!=", "==", ">", "<", "=")
_BLANKS = " \t\n\r\f\v\u00a0\u3000"
NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")


@dataclass(frozen=True, slots=True)
class Term:
    """One condition. `text` is folded; `name` is the field or the folded name of a metric."""

    kind: Literal["text", "field", "number"]
    text: str = ""
    name: str = ""
    operator: str = ""
    value: float = 0.0
    negated: bool = False


@dataclass(frozen=True, slots=True)
class Query:
    """Conditions that must all hold, or the first thing that could not be understood."""

    terms: tuple[Term, ...] = ()
    problem: str = ""


class _NotUnderstood(Exception):
    """Ends the reading of a query; its text is for people."""


def fold(text: str) -> str:
    """`text` as it is compared: without regard to case or to how accents are composed."""
    return unicodedata.normalize("NFC", text.lower()).replace("\u03c2", "\u03c3")


def fits(pattern: str, text: str) -> bool:
    """Whether a field's value fits: equal, or with any text for each `*`. Both are folded."""
    if "*" not in pattern:
        return pattern == text
    first, *inner, last = pattern.split("*")
    if len(text) < len(first) + len(last) or not text.startswith(first) or not text.endswith(last):
        return False
    at, end = len(first), len(text) - len(last)
    for piece in inner:
        at = text.find(piece, at, end)
        if at < 0:
            return False
        at += len(piece)
    return True


def parse(text: str) -> Query:
    """The conditions of a query; without any for an empty one."""
    try:
        return Query(tuple(_Reader(text).terms()))
    except _NotUnderstood as problem:
        return Query(problem=str(problem))


@dataclass(slots=True)
class _Reader:
    """Reads from left to right; `at` is the next character."""

    source: str
    at: int = 0

    def terms(self) -> list[Term]:
        """All conditions."""
        if len(self.source) > MAX_QUERY:
            raise _NotUnderstood(f"A search holds {MAX_QUERY} characters at most.")
        found: list[Term] = []
        self._blanks()
        while self.at < len(self.source):
            term = self._term()
            if term.text or term.kind != "text":
                found.append(term)
            if len(found) > MAX_TERMS:
                raise _NotUnderstood(f"A search holds {MAX_TERMS} conditions at most.")
            self._blanks()
        return found

    def _term(self) -> Term:
        negated = self._here() == "-" and self._here(1) not in ("", *_BLANKS)
        self.at += negated
        if operator := self._operator():
            raise _NotUnderstood(
                f"Before {operator} the name of a metric or param is missing, as in accuracy > 0.9."
            )
        quoted = self._here() == '"'
        name = self._quoted() if quoted else self._until(self._ends_name)
        if not quoted and not name:  # it begins with a colon
            name = self._until(lambda c: c in _BLANKS)
        elif not quoted and self._here() == ":":
            return self._field(name, negated)
        after = self.at
        self._blanks()
        operator = self._operator()
        if operator and name:
            return self._comparison(name, operator, negated)
        self.at = after
        return Term("text", fold(name), negated=negated)

    def _field(self, name: str, negated: bool) -> Term:
        self.at += 1
        field = fold(name)
        if field not in FIELDS:
            raise _NotUnderstood(
                f"There is no field {_told(name)}. Fields are {', '.join(FIELDS)}; put the text in "
                "quotes to search for it as it is."
            )
        value = ""
        while self._here() not in ("", *_BLANKS):
            quoted = self._here() == '"'
            value += self._quoted() if quoted else self._until(lambda c: c == '"' or c in _BLANKS)
        if not value:
            raise _NotUnderstood(f"After {field}: a value is missing.")
        text = fold(value)
        choices = CHOICES.get(field)
        if choices and "*" not in text and text not in choices:
            raise _NotUnderstood(f"{field}: is one of {', '.join(choices)}, not {_told(value)}.")
        return Term("field", text, field, negated=negated)

    def _comparison(self, name: str, operator: str, negated: bool) -> Term:
        self.at += len(operator)
        self._blanks()
        text = self._until(lambda c: c == '"' or c in _BLANKS)
        if not NUMBER.fullmatch(text):
            told = f"{_told(text)} is none" if text else "it is missing"
            raise _NotUnderstood(
                f"After {_told(name)} {operator} comes a number; {told}. Text of a param is found "
                "with param:NAME=TEXT."
            )
        chosen = "=" if operator == "==" else operator
        return Term("number", "", fold(name), chosen, float(text), negated)

    def _here(self, ahead: int = 0) -> str:
        return self.source[self.at + ahead : self.at + ahead + 1]

    def _blanks(self) -> None:
        while self._here() and self._here() in _BLANKS:
            self.at += 1

    def _operator(self) -> str:
        return next((o for o in _OPERATORS if self.source.startswith(o, self.at)), "")

    def _ends_name(self, char: str) -> bool:
        return char in ':"' or char in _BLANKS or bool(self._operator())

    def _until(self, ends: Callable[[str], bool]) -> str:
        start = self.at
        while self.at < len(self.source) and not ends(self.source[self.at]):
            self.at += 1
        return self.source[start : self.at]

    def _quoted(self) -> str:
        """Up to the closing quote, or to the end while it is still being typed."""
        end = self.source.find('"', self.at + 1)
        end = len(self.source) if end < 0 else end
        text = self.source[self.at + 1 : end]
        self.at = end + 1
        return text


def _told(text: str) -> str:
    return text if len(text) <= 40 else text[:39] + "\u2026"
