"""The pages of a version's checkpoints: the series, a hundred of them, and each one."""

import shlex
from collections.abc import Sequence
from typing import Any

from chalicelib.catalogue import curves, slugs, tables
from chalicelib.catalogue.links import (
    Crumb,
    Link,
    checkpoint_link,
    crumbs,
    model_link,
    reference,
)
from chalicelib.catalogue.pages import INDEX, INLINE_TENSORS, MOST_FILES, Page, without_tensors
from chalicelib.catalogue.told import told
from chalicelib.catalogue.views import RANGE, CheckpointsView, PointRangeView, PointView
from weighbridge.contract.types import Checkpoint, Model, Version

MOST_CHECKPOINTS = 100


def _table(model: Model, version: Version, rows: Sequence[Checkpoint]) -> dict[str, Any]:
    """The rows of a table of checkpoints, newest first, with the address of each."""
    ref = reference(version)
    return {
        "rows": rows, "columns": tables.of_checkpoints(rows, model.settings),
        "components": any(c.component for c in rows), "names": any(c.name for c in rows),
        "tagged": any(c.tags for c in rows),
        "paths": {c.number: checkpoint_link(model, version.number, c.number) for c in rows},
        "refs": {c.number: f"{ref}:{c.number}" for c in rows},
        "remember": f"{model_link(model)} checkpoints",
    }  # fmt: skip


def _ranges(model: Model, version: Version, highest: int) -> tuple[Link, ...]:
    """The addresses of all range pages, newest first."""
    at = (model.project, model.name, model.id, version.number)
    return tuple(
        Link(f"{first} to {first + RANGE - 1}", slugs.checkpoint_range_path(*at, first))
        for first in reversed(range(1, highest + 1, RANGE))
    )


def _above(model: Model, number: int) -> tuple[Crumb, ...]:
    path = slugs.checkpoints_path(model.project, model.name, model.id, number)
    return (*crumbs(model.project, model, number), Crumb("Checkpoints", path))


def checkpoints_page(view: CheckpointsView) -> Page:
    """A version's checkpoints, newest first, with a chart per metric."""
    version, model = view.version, view.model
    columns = tables.of_checkpoints(view.checkpoints, model.settings)
    drawn = [curves.metric_chart(view.checkpoints, model.settings, c.name)
             for c in columns.metrics[:6]]  # fmt: skip
    path = slugs.checkpoints_path(model.project, model.name, model.id, version.number)
    ref = reference(version)
    which = "best" if model.settings.main_metric else "last"
    highest = view.checkpoints[-1].number if view.checkpoints else 0
    ranges = _ranges(model, version, highest)
    return Page(
        path, "checkpoints.html",
        {"title": f"Checkpoints of {ref}", "view": view, "version": version, "model": model,
         "ref": ref, "crumbs": crumbs(model.project, model, version.number),
         "table": _table(model, version, view.checkpoints[::-1][:MOST_CHECKPOINTS]),
         "charts": [chart for chart in drawn if chart], "ranges": ranges,
         "pull": f"weighbridge checkpoint pull {shlex.quote(f'{ref}:{which}')}",
         "push": f"weighbridge checkpoint push {shlex.quote(ref)} model.safetensors --step 100"},
        {INDEX: {"kind": "checkpoints", "version": ref, "count": view.count,
                 "checkpoints": view.checkpoints, "ranges": [link.path for link in ranges],
                 "settings": tables.judged(model.settings)}},
    )  # fmt: skip


def range_page(view: PointRangeView) -> Page:
    """A hundred checkpoints of a version."""
    model, version = view.model, view.version
    at = (model.project, model.name, model.id, version.number)
    ref, older = reference(version), view.first - RANGE
    return Page(
        slugs.checkpoint_range_path(*at, view.first), "checkpoint_range.html",
        {"title": f"Checkpoints {view.first} to {view.last} of {ref}", "view": view, "ref": ref,
         "model": model, "crumbs": _above(model, version.number),
         "table": _table(model, version, view.checkpoints[::-1]),
         "older": slugs.checkpoint_range_path(*at, older) if older > 0 else ""},
        {INDEX: {"kind": "checkpoint-range", "version": ref, "first": view.first,
                 "last": view.last, "checkpoints": view.checkpoints,
                 "settings": tables.judged(model.settings)}},
    )  # fmt: skip


def point_page(view: PointView) -> Page:
    """One checkpoint: its files, what they tell, what it says of itself, and what to do with it."""
    point, version, model = view.checkpoint, view.version, view.model
    run, items = reference(version), view.facts.items
    ref, number = f"{run}:{point.number}", version.number
    total = sum(len(i.facts.tensors) for i in items if i.facts)
    listed = tuple(without_tensors(i) for i in items) if total > INLINE_TENSORS else items
    around = [
        Link(f":{n}", checkpoint_link(model, number, n)) if n else None
        for n in (view.before, view.after)
    ]
    word = shlex.quote(ref)
    return Page(
        checkpoint_link(model, number, point.number), "checkpoint.html",
        {"title": ref, "view": view, "point": point, "model": model, "ref": ref, "run": run,
         "crumbs": _above(model, number), "before": around[0], "after": around[1],
         "range": slugs.checkpoint_range_path(model.project, model.name, model.id, number,
                                              point.number),
         "files": items[:MOST_FILES], "unlisted": point.files - len(items[:MOST_FILES]),
         "told": told(items), "tensor_count": total,
         "parameters": sum(i.facts.parameters for i in items if i.facts),
         "metrics": tables.ordered(point.metrics, model.settings),
         "tags": sorted(point.tags.items()),
         "pull": f"weighbridge checkpoint pull {word}",
         "promote": f"weighbridge checkpoint promote {word}",
         "retention": f"weighbridge retention show {shlex.quote(run)}",
         "pin": f"weighbridge checkpoint {'unpin' if point.pinned else 'pin'} {word}",
         "compares": tuple(
             (words, slugs.compare_path([other, ref]))
             for words, other in (
                 ("the checkpoint before", f"{run}:{view.before}" if view.before else ""),
                 ("the last of its version", f"{run}:last"), ("its version", run),
             ) if other and (other != f"{run}:last" or view.after)
         )},
        {INDEX: {"kind": "checkpoint", "checkpoint": point, "files": listed, "tensors": total,
                 "complete": view.facts.complete, "before": view.before, "after": view.after}},
    )  # fmt: skip
