"""Index documents and conditions → what is found, in which order. `frontend/static/search.js` does the
same; both run `tests/catalogue/search_vectors.json`.

A version also has its model's name, description, card and tags, but is found only if a condition is
met by something of its own: a model's name finds the model, not its thousand versions.
"""

import heapq
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from chalicelib.catalogue.searching.query import NUMBER, Query, Term, fits, fold

Pairs = tuple[tuple[str, str], ...]
_NON_FINITE = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


@dataclass(frozen=True, slots=True)
class Entry:
    """A model, or (with a `model`) one of its versions, ready to be compared: all text is folded.

    `shown` is what the index document says; `path` is the address of its page, `owner` the project.
    """

    path: str
    number: int
    shown: Mapping[str, Any]
    owner: str
    project: str
    name: str
    title: str
    text: str
    tags: Pairs = ()
    params: Pairs = ()
    numbers: Mapping[str, Sequence[float]] = field(default_factory=dict)
    label: str = ""
    aliases: tuple[str, ...] = ()
    formats: tuple[str, ...] = ()
    by: str = ""
    verdict: str = ""
    model: "Entry | None" = None


def _pairs(values: Mapping[str, str]) -> Pairs:
    return tuple((fold(name), fold(value)) for name, value in values.items())


def _numbers(metrics: Mapping[str, Any], params: Mapping[str, str]) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {}
    for name, value in metrics.items():
        number = _NON_FINITE.get(value, math.nan) if isinstance(value, str) else float(value)
        found.setdefault(fold(name), []).append(number)
    for name, text in params.items():
        if NUMBER.fullmatch(text):
            found.setdefault(fold(name), []).append(float(text))
    return found


def _text(parts: Iterable[str]) -> str:
    return fold("\n".join(part for part in parts if part))


def model_entries(document: Mapping[str, Any]) -> list[Entry]:
    """The models of a shard."""
    return [_model(document["project"], shown) for shown in document["models"]]


def _model(project: str, shown: Mapping[str, Any]) -> Entry:
    tags, aliases = shown.get("tags", {}), tuple(shown.get("aliases", {}))
    value = shown.get("value")
    words = [f"{project}/{shown['name']}", shown.get("description", ""), shown.get("card", ""),
             *(f"{k}={v}" for k, v in tags.items()), *aliases]  # fmt: skip
    return Entry(
        shown["path"], 0, shown, project, fold(project), fold(shown["name"]), fold(shown["name"]),
        _text(words), _pairs(tags), aliases=tuple(map(fold, aliases)),
        formats=tuple(map(fold, shown.get("formats", ()))),
        numbers={} if value is None else _numbers({shown["metric"]: value}, {}),
    )  # fmt: skip


def version_entries(document: Mapping[str, Any], model: Entry) -> list[Entry]:
    """The versions of a range."""
    return [_version(shown, model) for shown in document["versions"]]


def _version(shown: Mapping[str, Any], model: Entry) -> Entry:
    tags, params = shown.get("tags", {}), shown.get("params", {})
    label, aliases = shown.get("label", ""), tuple(shown.get("aliases", ()))
    words = [label, shown.get("description", ""), *(f"{k}={v}" for k, v in tags.items()),
             *(f"{k}={v}" for k, v in params.items()), *aliases]  # fmt: skip
    number = int(shown["number"])
    return Entry(
        f"{model.path}{number}/", number, shown, model.owner, model.project, model.name,
        f"{model.name}@{number}", _text(words), _pairs(tags), _pairs(params),
        _numbers(shown.get("metrics", {}), params), fold(label), tuple(map(fold, aliases)),
        tuple(map(fold, shown.get("formats", ()))), fold(shown.get("by", "")),
        shown.get("verdict", ""), model,
    )  # fmt: skip


# One condition


def _pair_fits(text: str, pairs: Pairs) -> bool:
    name, equals, value = text.partition("=")
    if equals:
        return any(fits(name, key) and fits(value, held) for key, held in pairs)
    return any(fits(text, key) or fits(text, held) for key, held in pairs)


def _field(term: Term, entry: Entry) -> bool:
    match term.name:
        case "project":
            return entry.model is None and fits(term.text, entry.project)
        case "model":
            return entry.model is None and fits(term.text, entry.name)
        case "tag":
            return _pair_fits(term.text, entry.tags)
        case "param":
            return _pair_fits(term.text, entry.params)
        case "label":
            return bool(entry.label) and fits(term.text, entry.label)
        case "by":
            return bool(entry.by) and fits(term.text, entry.by)
        case "verdict":
            return bool(entry.verdict) and fits(term.text, entry.verdict)
        case "alias":
            return any(fits(term.text, name) for name in entry.aliases)
        case "format":
            return any(fits(term.text, name) for name in entry.formats)
    return fits(term.text, "version" if entry.model else "model")


def _compared(term: Term, value: float) -> bool:
    match term.operator:
        case ">":
            return value > term.value
        case ">=":
            return value >= term.value
        case "<":
            return value < term.value
        case "<=":
            return value <= term.value
        case "=":
            return value == term.value
    return value != term.value


def _own(term: Term, entry: Entry) -> bool:
    """Whether the entry meets the condition by what itself holds."""
    if term.kind == "text":
        return term.text in entry.text
    if term.kind == "number":
        return any(_compared(term, value) for value in entry.numbers.get(term.name, ()))
    return _field(term, entry)


def _inherited(term: Term, entry: Entry) -> bool:
    if entry.model is None:
        return False
    if term.kind == "field" and term.name in ("project", "model", "tag"):
        return _field(term, entry.model)
    return term.kind == "text" and term.text in entry.model.text


def found(query: Query, entry: Entry) -> bool:
    """Whether the entry meets all conditions, a version one of them by itself."""
    own = entry.model is None
    for term in query.terms:
        held = _own(term, entry)
        if (held or _inherited(term, entry)) == term.negated:
            return False
        own = own or (held and not term.negated)
    return own and bool(query.terms)


def concerns(query: Query, project: str) -> bool:
    """Whether anything of the project may be found, by its name."""
    named = [term for term in query.terms if term.kind == "field" and term.name == "project"]
    return all(fits(term.text, fold(project)) != term.negated for term in named)


def reachable(query: Query, model: Entry) -> bool:
    """Whether a version of the model may be found: by its project, its name, and what is asked for."""
    own = False
    for term in query.terms:
        if term.kind != "field" or term.name not in ("project", "model", "kind"):
            own = own or not term.negated
            continue
        of_kind = term.name == "kind"
        met = fits(term.text, "version") if of_kind else _field(term, model)
        if met == term.negated:
            return False
        own = own or (of_kind and not term.negated)
    return own


def _score(query: Query, entry: Entry) -> int:
    """The less, the nearer its name is to the words."""
    total = 0
    for term in query.terms:
        if term.kind == "text" and not term.negated and entry.title != term.text:
            total += 3 - 2 * entry.title.startswith(term.text) - (term.text in entry.title)
    return total


@dataclass(frozen=True, slots=True)
class Found:
    """The first entries found, and how many there are in all."""

    entries: tuple[Entry, ...]
    total: int


def search(query: Query, entries: Iterable[Entry], most: int) -> Found:
    """Those of the entries that a query finds, in order."""
    return ranked(query, [entry for entry in entries if found(query, entry)], most)


def ranked(query: Query, hits: Sequence[Entry], most: int) -> Found:
    """What was found, in order: models before versions, those nearest by name first, newest versions
    first."""
    first = heapq.nsmallest(most, hits, key=lambda e: (
        e.model is not None, _score(query, e), e.model.path if e.model else e.path, -e.number,
    ))  # fmt: skip
    return Found(tuple(first), len(hits))
