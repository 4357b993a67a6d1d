"""Views → pages: pure functions of data. Which template shows what, and the JSON beside it.

Nothing here reads, renders or writes. Compare pages are in `comparing.py`, those of checkpoints in
`series_pages.py`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from chalicelib.catalogue import activity, charts, curves, lineage, slugs, tables, tensors
from chalicelib.catalogue.links import (
    HOME,
    Link,
    checkpoint_link,
    crumbs,
    federated_link,
    lineage_link,
    model_link,
    pull,
    reference,
    version_link,
)
from chalicelib.catalogue.searching import index
from chalicelib.catalogue.told import MOST_METADATA, told
from chalicelib.catalogue.views import (
    DETAILED_MODELS,
    RANGE,
    ActivityView,
    ErrorView,
    HomeView,
    ModelRow,
    ModelView,
    ProjectView,
    RangeView,
    SignInView,
    VersionView,
)
from weighbridge.contract import codec
from weighbridge.contract.types import FileFacts, Model, Version

INDEX = "index.json"
TENSORS = "tensors.json"
INLINE_TENSORS = 200
MOST_FILES = 500


@dataclass(frozen=True, slots=True)
class Page:
    """A page before it is rendered. `documents` are the JSON files beside it, by file name."""

    path: str
    template: str
    data: Mapping[str, Any]
    documents: Mapping[str, Any] = field(default_factory=dict)

    @property
    def json(self) -> Any:
        """The document `index.json`, or None."""
        return self.documents.get(INDEX)


@dataclass(frozen=True, slots=True)
class FileTensors:
    """The tensors of one file."""

    path: str
    tree: tensors.Tree
    count: int
    parameters: int
    metadata: tuple[tuple[str, str], ...]


# Home and project


def home_page(view: HomeView) -> Page:
    """The projects a principal may read."""
    return Page(
        "/", "home.html",
        {"title": "Projects", "view": view, "crumbs": (), "who": view.who,
         "stored": sum(project.bytes for project in view.projects),
         "recent": tuple(activity.happened(name, event) for name, event in view.recent), "words": activity.WORDS,
         "links": {p.project.name: slugs.project_path(p.project.name) for p in view.projects}},
        {INDEX: {"kind": "home", "projects": view.projects}},
    )  # fmt: skip


def activity_page(view: ActivityView) -> Page:
    """What happened, newest first."""
    title = f"Activity in {view.chosen}" if view.chosen else "Activity"
    return Page(
        "/activity", "activity.html",
        {"title": title, "view": view, "crumbs": crumbs(view.chosen) if view.chosen else HOME,
         "who": view.who, "words": activity.WORDS,
         "recent": tuple(activity.happened(name, event) for name, event in view.events)},
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class ShownModel:
    """A model's row as the project's table shows it."""

    row: ModelRow
    path: str
    metric: str
    value: float | None
    spark: charts.Sparkline | None
    aliases: tuple[tuple[str, int, str], ...]


def _shown_model(row: ModelRow) -> ShownModel:
    model = row.model
    metric = model.settings.main_metric
    value = row.latest.metrics.get(metric) if row.latest else None
    aliases = tuple(
        (alias, number, version_link(model, number))
        for alias, number in sorted(model.aliases.items())
    )
    spark = charts.sparkline(metric, row.series) if metric else None
    return ShownModel(row, model_link(model), metric, value, spark, aliases)


def project_page(view: ProjectView) -> Page:
    """A project with its models."""
    name = view.project.name
    return Page(
        slugs.project_path(name), "project.html",
        {"title": name, "view": view, "crumbs": crumbs(name)[:1],
         "rows": tuple(_shown_model(row) for row in view.rows[:DETAILED_MODELS]),
         "others": tuple(Link(row.model.name, model_link(row.model))
                         for row in view.rows[DETAILED_MODELS:]),
         "providers": slugs.providers_path(name) if view.providers else ""},
        {INDEX: {"kind": "project", "project": view.project, "models": view.rows,
                 "more": view.more}},
    )  # fmt: skip


# Model


def _ranges(model: Model, highest: int) -> tuple[Link, ...]:
    """The addresses of all range pages, newest first."""
    starts = range(1, highest + 1, RANGE)
    return tuple(
        Link(f"{first} to {first + RANGE - 1}",
             slugs.range_path(model.project, model.name, model.id, first))
        for first in reversed(starts)
    )  # fmt: skip


def _versions_table(model: Model, versions: Sequence[Version]) -> dict[str, Any]:
    return {
        "versions": versions,
        "columns": tables.of_versions(versions, model.settings),
        "paths": {v.number: version_link(model, v.number) for v in versions},
        "refs": {v.number: reference(v) for v in versions},
        "remember": model_link(model),
    }


def model_page(view: ModelView) -> Page:
    """A model: how to pull it, its aliases with their history, its newest versions."""
    model = view.model
    metric = model.settings.main_metric
    direction = model.settings.directions.get(metric, "")
    chart = metric and charts.line_chart(
        f"{metric} by version", (charts.Series(metric, view.series),), "version", direction, at="@"
    )
    known = {v.number for v in view.versions} | set(model.aliases.values())
    latest = view.versions[0] if view.versions else None
    selector = _favourite(model) or "latest"
    return Page(
        model_link(model), "model.html",
        {"title": f"{model.project}/{model.name}", "view": view, "model": model,
         "crumbs": crumbs(model.project), "chart": chart, "latest": latest,
         "party": federated_link(model, view.labelled),
         "pull": pull(model.project, model.name, selector) if latest else None,
         "selector": selector, "table": _versions_table(model, view.versions),
         "aliases": tuple((a, n, version_link(model, n)) for a, n in sorted(model.aliases.items())),
         "known": {number: version_link(model, number) for number in known},
         "open": tuple((v, version_link(model, v.number)) for v in view.open),
         "ranges": _ranges(model, view.highest),
         "lineage": lineage.graph(model, view.versions),
         "attributes": sorted(model.attributes.items()),
         "compare": _latest_two(view.versions)},
        {INDEX: {"kind": "model", "model": model, "card": view.card, "versions": view.versions,
                 "count": view.count, "highest": view.highest, "open": view.open,
                 "moves": view.moves, "series": view.series,
                 "ranges": [link.path for link in _ranges(model, view.highest)]}},
    )  # fmt: skip


def _favourite(model: Model) -> str:
    """The alias most people pull: `production` if there is one, else the first by name."""
    return "production" if "production" in model.aliases else min(model.aliases, default="")


def _latest_two(versions: Sequence[Version]) -> str:
    if len(versions) < 2:
        return ""
    return slugs.compare_path([reference(versions[1]), reference(versions[0])])


def range_page(view: RangeView) -> Page:
    """A hundred versions of a model."""
    model = view.model
    path = slugs.range_path(model.project, model.name, model.id, view.first)
    older = view.first - RANGE
    below = slugs.range_path(model.project, model.name, model.id, older) if older > 0 else ""
    return Page(
        path, "versions.html",
        {"title": f"{model.project}/{model.name}, versions {view.first} to {view.last}",
         "view": view, "model": model, "crumbs": crumbs(model.project, model),
         "table": _versions_table(model, view.versions),
         "older": below},
        {INDEX: {"kind": "versions", "model": f"{model.project}/{model.name}",
                 "first": view.first, "last": view.last, "versions": view.versions,
                 "settings": tables.judged(model.settings)},
         index.VERSIONS: index.versions_document(model, view.versions)},
    )  # fmt: skip


# Version


def _file_tensors(items: Sequence[FileFacts]) -> tuple[FileTensors, ...]:
    return tuple(
        FileTensors(
            item.path, tensors.tree(item.facts.tensors), len(item.facts.tensors),
            sum(tensors.parameters(t) for t in item.facts.tensors),
            tuple(sorted(item.facts.metadata.items()))[:MOST_METADATA],
        )
        for item in items
        if item.facts and item.facts.tensors
    )  # fmt: skip


def without_tensors(item: FileFacts) -> FileFacts:
    """The file with its facts, but for the list of its tensors."""
    return replace(item, facts=replace(item.facts, tensors=())) if item.facts else item


def version_page(view: VersionView) -> Page:
    """One version: files, tensors, metrics, params, where it comes from and what came of it."""
    version, model = view.version, view.model
    items = view.facts.items
    trees = _file_tensors(items)
    total = sum(t.count for t in trees)
    aside = total > INLINE_TENSORS
    listed = tuple(without_tensors(item) for item in items) if aside else items
    last = view.checkpoints[-1] if view.checkpoints else None
    documents: dict[str, Any] = {
        INDEX: {
            "kind": "version", "version": version, "files": listed,
            "complete": view.facts.complete, "tensors": total,
            "parents": version.parents, "children": view.children, "moves": view.moves,
            "checkpoints": {"count": view.checkpoint_count, "last": last},
        }
    }  # fmt: skip
    if aside:
        documents[TENSORS] = {
            "kind": "tensors", "reference": reference(version),
            "files": [{"path": i.path, "tensors": i.facts.tensors} for i in items
                      if i.facts and i.facts.tensors],
        }  # fmt: skip
    ref = reference(version)
    return Page(
        version_link(model, version.number), "version.html",
        {"title": ref, "view": view, "version": version, "model": model, "ref": ref,
         "crumbs": crumbs(model.project, model), "files": items[:MOST_FILES],
         "unlisted": version.files - len(items[:MOST_FILES]), "trees": trees,
         "told": told(items), "party": federated_link(model, bool(version.label)),
         "tensor_count": total, "tensors_file": TENSORS if aside else "",
         "parameters": sum(i.facts.parameters for i in items if i.facts),
         "metrics": tables.ordered(version.metrics, model.settings),
         "params": sorted(version.params.items()), "tags": sorted(version.tags.items()),
         "attributes": sorted(version.attributes.items()),
         "parents": tuple(lineage_link(r, model) for r in version.parents),
         "children": tuple(lineage_link(r, model) for r in view.children),
         "chart": curves.checkpoint_chart(view.checkpoints, model.settings),
         "last_checkpoint": last,
         "last_path": checkpoint_link(model, version.number, last.number) if last else "",
         "checkpoints": slugs.checkpoints_path(model.project, model.name, model.id, version.number),
         "pull": pull(model.project, model.name, str(version.number)),
         "compare_latest": slugs.compare_path([ref, f"{model.project}/{model.name}@latest"]),
         "compare_parents": tuple((r, slugs.compare_path([r, ref])) for r in version.parents)},
        documents,
    )  # fmt: skip


# Pages without a place of their own

_ERRORS: dict[int, tuple[str, str, str]] = {
    400: ("That address does not work", "The request names something impossible.",
          "Check the address, or start again from the list of projects."),
    401: ("Please sign in", "These pages are private.",
          "Sign in with a token that reads this project."),
    403: ("Not for this token", "You are signed in, but may not read this.",
          "Ask whoever gave you the token for one that reads this project."),
    404: ("Nothing here", "There is no page at this address, or it is not yours to see.",
          "It may have been deleted, or its project is not readable with the token you signed in "
          "with."),
    410: ("It was here", "What this page showed was deleted.", "Its number is never used again."),
}  # fmt: skip
_OTHER = ("Something went wrong", "The server could not show this page.", "Try again in a moment.")


def sign_in_page(view: SignInView) -> Page:
    """The sign-in form."""
    return Page(
        "/sign-in", "sign_in.html", {"title": "Sign in", "view": view, "crumbs": (), "who": None}
    )


def error_page(view: ErrorView) -> Page:
    """An error for people. Empty fields are filled from the status."""
    title, message, hint = _ERRORS.get(view.status, _OTHER)
    shown = replace(
        view, title=view.title or title, message=view.message or message, hint=view.hint or hint
    )
    return Page(
        "/error", "error.html",
        {"title": shown.title, "view": shown, "crumbs": (), "who": view.who},
    )  # fmt: skip


def not_found_page() -> Page:
    """The page that a web server of the built site shows for an unknown address."""
    return error_page(ErrorView(404))


def document(value: Any) -> Any:
    """A page's document as plain JSON types; dataclasses by the contract's codec."""
    return codec.encode(value)
