"""The compare page: what differs between versions and checkpoints, by section; and what is the same,
for who asks for it."""

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from chalicelib.catalogue import curves, formats, slugs, tensors
from chalicelib.catalogue.links import checkpoint_link, reference, version_link
from chalicelib.catalogue.pages import INDEX, Page
from chalicelib.catalogue.views import CompareView
from weighbridge.contract import codec
from weighbridge.contract.types import (
    Checkpoint,
    Comparison,
    Difference,
    Model,
    Section,
    Statistics,
    Version,
)

MOST_ROWS = 500
ORDER = ("metrics", "params", "attributes", "tensors", "files", "tags", "provenance")
_EMPTY = {
    "metrics": "None of them has metrics.", "params": "None of them has params.",
    "attributes": "None of them has attributes.",
    "tensors": "No tensors are known: the files are of other formats, or not indexed yet.",
    "files": "None of them has files.", "tags": "None of them has tags.",
    "provenance": "None of them says where it comes from.",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Side:
    """One of the versions and checkpoints compared. `path` is empty where its page's address is not
    known."""

    reference: str
    version: Version
    path: str
    without: str
    """The address that compares the others; empty while there are only two."""
    checkpoint: Checkpoint | None = None


@dataclass(frozen=True, slots=True)
class Cell:
    """One value. `delta` is against the first side, `verdict` `better`, `worse` or empty."""

    kind: str
    value: Any = None
    text: str = ""
    note: str = ""
    delta: str = ""
    verdict: str = ""
    differs: bool = False
    named: str = ""
    """The name of a tensor on this side, where it was renamed."""
    figures: str = ""
    """What its pusher claims of a tensor's numbers."""


@dataclass(frozen=True, slots=True)
class Row:
    """One thing that differs (or, under "the same", does not)."""

    name: str
    change: str
    cells: tuple[Cell, ...]
    direction: str = ""


@dataclass(frozen=True, slots=True)
class Shown:
    """One section. `rows` hold what differs; and what is the same, if all was asked for and the data
    was given. `hidden` are differences, `left_out` equal rows beyond what a page bears."""

    title: str
    rows: tuple[Row, ...]
    differences: int
    hidden: int
    same: int
    left_out: int
    counts: tuple[tuple[str, int], ...]
    empty: str


def compare_page(view: CompareView) -> Page:
    """The page for two or more sides, in the order given; the first one is the baseline."""
    comparison = view.comparison
    points = comparison.checkpoints or (None,) * len(comparison.versions)
    refs = tuple(
        _reference(version, point)
        for version, point in zip(comparison.versions, points, strict=True)
    )
    models = _models(view)

    def address(chosen: Sequence[str], everything: bool = view.everything) -> str:
        return slugs.compare_path(chosen, everything)

    sides = tuple(
        Side(
            ref, version, _path(models[i], version.number, points[i]),
            address([r for j, r in enumerate(refs) if j != i]) if len(refs) > 2 else "", points[i],
        )
        for i, (ref, version) in enumerate(zip(refs, comparison.versions, strict=True))
    )  # fmt: skip
    names = _names(comparison.versions, points)
    found = {section.title: section for section in comparison.sections}
    sections = tuple(_shown(found[title], view, models) for title in ORDER if title in found)
    return Page(
        address(refs), "compare.html",
        {"title": "Compare " + " and ".join(refs), "view": view, "who": view.who, "sides": sides,
         "crumbs": (), "sections": sections, "names": names,
         "reverse": address(refs[::-1]), "lineage": _lineage(refs, comparison),
         "other": address(refs, not view.everything), "everything": view.everything,
         "same": sum(s.same for s in sections),
         "chart": curves.overlaid(comparison, models, view.series, names) if view.series else None,
         "headline": _headline(sections, models),
         "claimed": any((p or v).claims for p, v in zip(points, comparison.versions, strict=True)),
         "total": sum(s.differences for s in sections)},
        {INDEX: {"kind": "compare", "comparison": comparison}},
    )  # fmt: skip


def _reference(version: Version, point: Checkpoint | None) -> str:
    return f"{reference(version)}:{point.number}" if point else reference(version)


def _path(model: Model | None, number: int, point: Checkpoint | None) -> str:
    if model is None:
        return ""
    if point is not None and point.state == "ready":
        return checkpoint_link(model, number, point.number)
    return version_link(model, number)


def _models(view: CompareView) -> tuple[Model | None, ...]:
    known = {(m.project, m.name): m for m in view.models}
    return tuple(known.get((v.project, v.model)) for v in view.comparison.versions)


def _names(versions: Sequence[Version], points: Sequence[Checkpoint | None]) -> tuple[str, ...]:
    """The shortest heading that tells the sides apart: `@3`, `@3:12`, `model@3` or the whole reference."""
    ends = [f":{point.number}" if point else "" for point in points]
    if len({(v.project, v.model) for v in versions}) == 1:
        starts = [f"@{v.number}" for v in versions]
    elif len({v.project for v in versions}) == 1:
        starts = [f"{v.model}@{v.number}" for v in versions]
    else:
        starts = [reference(v) for v in versions]
    return tuple(start + end for start, end in zip(starts, ends, strict=True))


def _lineage(refs: Sequence[str], comparison: Comparison) -> tuple[tuple[str, str, str], ...]:
    """What a side is to another: a side, the words between, and the other."""
    points = comparison.checkpoints or (None,) * len(refs)
    found: dict[tuple[str, str], str] = {}
    for ref, version, point in zip(refs, comparison.versions, points, strict=True):
        if point is not None:
            found[ref, reference(version)] = "is a checkpoint of"
            continue
        found |= {(ref, parent): "was made from" for parent in version.parents}
        if version.source:
            found[ref, version.source] = "was promoted from"
    told = [(a, words, b) for (a, b), words in found.items() if b in refs and a != b]
    runs: dict[tuple[str, str, int, str], list[tuple[int, str]]] = {}
    for ref, point in zip(refs, points, strict=True):
        if point is not None:
            run = (point.project, point.model, point.version, point.component)
            runs.setdefault(run, []).append((point.step, ref))
    for members in runs.values():
        ordered = sorted(set(members))
        for (before, old), (after, new) in itertools.pairwise(ordered):
            if after > before:
                told.append((new, f"comes {formats.plural(after - before, 'step')} after", old))
    return tuple(told)


def _headline(sections: Sequence[Shown], models: Sequence[Model | None]) -> Row | None:
    """The row of the main metric, where it differs and all sides have the same one."""
    main = {m.settings.main_metric for m in models if m}
    for section in sections:
        if section.title == "metrics" and len(main) == 1:
            return next((row for row in section.rows if row.name in main), None)
    return None


def _direction(models: Sequence[Model | None], metric: str) -> str:
    """The declared direction of a metric, where all models that declare one agree."""
    declared = {m.settings.directions[metric] for m in models
                if m and metric in m.settings.directions}  # fmt: skip
    return declared.pop() if len(declared) == 1 else ""


def _shown(section: Section, view: CompareView, models: Sequence[Model | None]) -> Shown:
    differences = list(section.differences)
    if section.title == "tensors":
        differences.sort(key=lambda d: tensors.natural(d.name))
    main = {m.settings.main_metric for m in models if m}
    if section.title == "metrics":
        differences.sort(key=lambda d: (d.name not in main, d.name))
    make = _maker(section.title, models)
    rows = [make(d) for d in differences[:MOST_ROWS]]
    equal = _equal(section, view) if view.everything else []
    shown = [make(d) for d in equal[:MOST_ROWS]]
    rows.extend(shown)
    counts: dict[str, int] = {}
    for difference in differences:
        word = difference.change or "changed"
        counts[word] = counts.get(word, 0) + 1
    return Shown(
        section.title, tuple(rows), len(differences), max(0, len(differences) - MOST_ROWS),
        section.same, section.same - len(shown) if view.everything else 0,
        tuple(sorted(counts.items())),
        _EMPTY[section.title] if not differences and not section.same else "",
    )  # fmt: skip


def _maker(title: str, models: Sequence[Model | None]) -> Callable[[Difference], Row]:
    def row(difference: Difference) -> Row:
        values = difference.values
        direction = _direction(models, difference.name) if title == "metrics" else ""
        cells = tuple(
            _cell(title, value, values[0] if index else None, direction, index)
            for index, value in enumerate(values)
        )
        return Row(difference.name, difference.change or "changed", cells, direction)

    return row


def _number(value: Any) -> float | None:
    if isinstance(value, str):  # the codec's text for what JSON cannot hold
        return {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}.get(value)
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def _statistics(claimed: Any) -> Statistics | None:
    if isinstance(claimed, Mapping):
        return codec.decode(Statistics, dict(claimed))
    return claimed if isinstance(claimed, Statistics) else None


def _cell(title: str, value: Any, base: Any, direction: str, index: int) -> Cell:
    if value is None:
        return Cell("absent", differs=bool(index) and base is not None)
    differs = bool(index) and value != base
    if title == "metrics" and (number := _number(value)) is not None:
        delta, verdict = _delta(number, _number(base), direction) if index else ("", "")
        return Cell("number", number, "", "", delta, verdict, differs)
    if title == "files" and isinstance(value, Mapping):
        size = int(value.get("size", 0))
        before = base.get("size") if isinstance(base, Mapping) else None
        grown = size - int(before) if index and before is not None else 0
        delta = formats.grown(grown) if grown else ""
        return Cell("file", size, str(value.get("sha256", "")), "", delta, "", differs)
    if title == "tensors" and isinstance(value, Mapping):
        text = f"{value.get('dtype', '')} [{formats.shape(value.get('shape', ()))}]"
        print_ = str(value.get("fingerprint", ""))
        named = str(value.get("name", ""))
        figures = tensors.figures(_statistics(value.get("statistics")))
        return Cell("tensor", value.get("bytes", 0), text, print_, "", "", differs, named, figures)
    return Cell("text", value, formats.exact(value), "", "", "", differs)


def _delta(value: float, base: float | None, direction: str) -> tuple[str, str]:
    if base is None or not (math.isfinite(value) and math.isfinite(base)) or value == base:
        return "", ""
    change = value - base
    text = formats.signed(change)
    if base and abs(change / base) < 100:
        text += f" ({formats.signed(round(100 * change / abs(base), 2))} %)"
    if not direction:
        return text, ""
    return text, "better" if (change > 0) == (direction == "max") else "worse"


def _equal(section: Section, view: CompareView) -> list[Difference]:
    """What all sides have alike, as far as the view's data tells."""
    tables = _tables(section.title, view)
    if not tables or len(tables) != len(view.comparison.versions):
        return []
    different = {d.name for d in section.differences}
    return [
        Difference(name, tuple(table[name] for table in tables), "same")
        for name in sorted(tables[0], key=tensors.natural)
        if name not in different and all(name in table for table in tables)
    ]


def _tables(title: str, view: CompareView) -> list[Mapping[str, Any]]:
    versions = view.comparison.versions
    points = view.comparison.checkpoints or (None,) * len(versions)
    own = [point or version for point, version in zip(points, versions, strict=True)]
    if title == "metrics":
        return [side.metrics for side in own]
    if title == "params":
        return [v.params for v in versions]
    if title == "attributes":
        return [v.attributes for v in versions]
    if title == "tags":
        return [side.tags for side in own]
    if title == "provenance":
        encoded = [codec.encode(v.provenance) for v in versions]
        return [{k: v for k, v in e.items() if v not in ("", False, [])} for e in encoded]
    if title == "files":
        return [{f.path: {"sha256": f.sha256, "size": f.size} for f in files}
                for files in view.files]  # fmt: skip
    return [
        {t.name: {"dtype": t.dtype, "shape": t.shape, "bytes": t.bytes,
                  "fingerprint": t.fingerprint, "statistics": t.statistics}
         for file in facts.items if file.facts for t in file.facts.tensors}
        for facts in view.facts
    ]  # fmt: skip
