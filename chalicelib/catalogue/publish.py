"""Changes → objects of the site: renders what a change touches, leaves first, index pages last.

A change touches a constant number of objects, however many versions there are. Deleting the whole
site loses nothing: `publish_all` makes the same bytes again. Home and compare pages are not here:
they depend on who asks, so the API renders them.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache

from chalicelib.catalogue import (
    enumerating,
    pages,
    parties,
    provider_pages,
    reading,
    series_pages,
    shelf,
    slugs,
)
from chalicelib.catalogue.changes import Change, Work, gathered
from chalicelib.catalogue.pages import Page
from chalicelib.catalogue.reading import Source
from chalicelib.catalogue.render import Renderer
from chalicelib.catalogue.searching import shards
from chalicelib.catalogue.shelf import Report
from chalicelib.catalogue.views import RANGE
from chalicelib.registry.ports import Blobs
from weighbridge.contract import federated, references
from weighbridge.contract.errors import RegistryError
from weighbridge.contract.types import Model, Version

VISIBLE = ("ready", "open", "checking", "blocked")


@cache
def renderer() -> Renderer:
    """The renderer of this process."""
    return Renderer()


def publish(
    source: Source,
    site: Blobs,
    project_id: str,
    changes: Iterable[Change],
    render: Renderer | None = None,
) -> Report:
    """Brings the pages up to date with `changes`; repeating it is harmless."""
    report = Report()
    revision = source.now()
    project = source.project(project_id)
    if project is None:
        return report
    given = tuple(changes)
    work, wider = gathered(given)
    known = shards.Changes(source, site, project_id, project.name, revision, report)
    run = _Run(
        source, site, render or renderer(), project_id, project.name, revision, report, known
    )
    for name, todo in sorted(work.items()):
        run.model(name, todo)
    for name, numbers in sorted(run.relatives.items()):
        run.relations(name, numbers - (work[name].versions if name in work else set()))
    for model_id in sorted(_federated(work, run)):
        run.federated(model_id)
    known.write()
    if any(change.kind.startswith("provider.") for change in given):
        run.providers()
    if wider:
        run.put(pages.project_page(reading.project_view(source, project_id, project)))
    run.verify()
    return report


def _federated(work: dict[str, Work], run: "_Run") -> set[str]:
    """The federated models of which a party's versions changed, or are seen for the first time."""
    new = {model.name for model, _ in run.created}
    named = [federated.parse(name) for name, todo in work.items() if todo.listed or name in new]
    return {party.model_id for party in named if party is not None}


@dataclass(slots=True)
class _Run:
    """One publication: where it reads and writes, and what it has done so far."""

    source: Source
    site: Blobs
    render: Renderer
    project_id: str
    project: str
    revision: int
    report: Report
    known: shards.Changes
    """What search knows of models."""
    relatives: dict[str, set[int]] = field(default_factory=dict)
    """Parents in this project of the versions that changed: their pages name their children."""
    created: list[tuple[Model, int]] = field(default_factory=list)
    """Models and versions (0: the model itself) whose pages are new."""
    points: list[tuple[Model, Version, int]] = field(default_factory=list)
    """Checkpoints whose pages are new."""
    gathered: list[str] = field(default_factory=list)
    """Federated models whose pages are new."""

    def put(self, page: Page) -> bool:
        """Stores a page; answers whether it was not there before."""
        outcomes = shelf.put_all(self.site, self.render.files(page), self.revision, self.report)
        return "created" in outcomes

    def model(self, name: str, todo: Work) -> None:
        """All pages of one model that its changes touch."""
        model = self.source.model(self.project_id, name)
        if model is None:
            self.known.model(name, None, todo.ids)
            for identifier in todo.ids or {""}:
                self._remove_model(name, identifier)
            return
        if todo.deleted:  # and made anew since: nothing of the old one may stay
            for identifier in todo.ids - {model.id}:
                self._remove_model(name, identifier)
            found = shards.entry(self.source, self.project_id, model)
            self.known.model(name, found, todo.ids)
            self.whole_model(model)
            return
        for number in sorted(todo.versions):
            self._version_or_none(model, number, todo.points.get(number, set()))
        if not todo.listed:  # nothing of the model's own page tells of checkpoints
            return
        view = reading.model_view(self.source, self.project_id, model)
        for version in view.open:
            page = slugs.version_path(model.project, model.name, model.id, version.number)
            known = version.number in todo.versions
            if not known and not shelf.exists(self.site, slugs.object_key(page)):
                self._version(model, version)
        self.known.model(name, shards.shown(view), todo.ids)
        for first in sorted({slugs.range_of(number)[0] for number in todo.versions}):
            self._range(model, first, view.highest)
        if self.put(pages.model_page(view)):
            self.created.append((model, 0))

    def whole_model(self, model: Model) -> None:
        """Every page of one model."""
        for page in enumerating.model_pages(self.source, self.project_id, model):
            self.put(page)
        self.created.append((model, 0))

    def relations(self, name: str, numbers: set[int]) -> None:
        """The pages of versions that became, or ceased to be, a parent."""
        model = self.source.model(self.project_id, name) if numbers else None
        for number in sorted(numbers) if model else ():
            version = self.source.version(self.project_id, model, number) if model else None
            if model and version and version.state in VISIBLE:
                self._version(model, version)

    def federated(self, model_id: str) -> None:
        """The page of a federated model; it goes with the last labelled version of its parties."""
        view = reading.federated_view(self.source, self.project_id, self.project, model_id)
        if not view.rows:
            path = slugs.federated_path(self.project, model_id)
            shelf.remove_under(self.site, slugs.folder(path), self.report)
        elif self.put(parties.federated_page(view)):
            self.gathered.append(model_id)

    def providers(self) -> None:
        """The page of the project's providers; it goes with the last one."""
        view = reading.providers_view(self.source, self.project_id, self.project)
        new = bool(view.providers) and self.put(provider_pages.providers_page(view))
        # What was created is looked at once more, as in `verify`.
        if not view.providers or (new and not self.source.providers(self.project_id, 1)[0]):
            path = slugs.providers_path(self.project)
            shelf.remove_under(self.site, slugs.folder(path), self.report)

    def verify(self) -> None:
        """Removes what was created for something that was deleted meanwhile.

        Removing an object forgets its revision, so a publisher that read before the deletion may
        create the page again after it; looking once more after creating closes that gap.
        """
        for model_id in self.gathered:
            if not self.source.federated(self.project_id, model_id, 1)[0]:
                path = slugs.federated_path(self.project, model_id)
                shelf.remove_under(self.site, slugs.folder(path), self.report)
        for model, run, number in self.points:
            if not self.source.points(self.project_id, run, number, number):
                path = slugs.checkpoint_path(*_at(model, run), number)
                shelf.remove_under(self.site, slugs.folder(path), self.report)
        for model, number in self.created:
            found = self.source.model(self.project_id, model.name)
            if found is None or found.id != model.id:
                self._remove_model(model.name, model.id)
            elif number:
                version = self.source.version(self.project_id, found, number)
                if version is None or version.state not in VISIBLE:
                    self._remove_version(found, number)

    def _version_or_none(self, model: Model, number: int, points: set[int]) -> None:
        version = self.source.version(self.project_id, model, number)
        for name, parent in _parents(version, model.project):
            if (name, parent) != (model.name, number):
                self.relatives.setdefault(name, set()).add(parent)
        if version is None or version.state not in VISIBLE:
            self._remove_version(model, number)
        else:
            self._version(model, version, points)

    def _version(self, model: Model, version: Version, points: Iterable[int] = ()) -> None:
        view = reading.version_view(self.source, self.project_id, model, version)
        if numbers := set(points):
            self._points(model, version, numbers, view.highest)
        new = self.put(series_pages.checkpoints_page(reading.checkpoints_view(view)))
        if self.put(pages.version_page(view)) or new:
            self.created.append((model, version.number))

    def _points(self, model: Model, version: Version, numbers: set[int], highest: int) -> None:
        """The pages of checkpoints, of those beside them, which name them, and of their ranges."""
        around = {n: self.source.around(self.project_id, version, n) for n in sorted(numbers)}
        for number in sorted(numbers.union(*around.values()) - {0}):
            beside = around.get(number) or self.source.around(self.project_id, version, number)
            if not self._point(model, version, number, beside):
                path = slugs.checkpoint_path(*_at(model, version), number)
                shelf.remove_under(self.site, slugs.folder(path), self.report)
        for first in sorted({slugs.range_of(number)[0] for number in numbers}):
            self._point_range(model, version, first, highest)

    def _point(self, model: Model, version: Version, number: int, around: tuple[int, int]) -> bool:
        """One checkpoint's page; answers whether the checkpoint is there."""
        found = self.source.points(self.project_id, version, number, number)
        for point in found:
            view = reading.point_view(self.source, self.project_id, model, version, point, around)
            if self.put(series_pages.point_page(view)):
                self.points.append((model, version, number))
        return bool(found)

    def _point_range(self, model: Model, version: Version, first: int, highest: int) -> None:
        """As `_range`, of checkpoints."""
        while first > 0:
            if first > highest:
                path = slugs.checkpoint_range_path(*_at(model, version), first)
                shelf.remove_under(self.site, slugs.folder(path), self.report)
            else:
                view = reading.point_range_view(self.source, self.project_id, model, version, first)
                if not self.put(series_pages.range_page(view)):
                    return
            first -= RANGE

    def _range(self, model: Model, first: int, highest: int) -> None:
        """One range page, and those below it that were never made (all their numbers aborted)."""
        while first > 0:
            path = slugs.range_path(model.project, model.name, model.id, first)
            if first > highest:
                shelf.remove_under(self.site, slugs.folder(path), self.report)
                return
            last = slugs.range_of(first)[1]
            view = reading.range_view(self.source, self.project_id, model, first, last)
            if not self.put(pages.range_page(view)):
                return
            first -= RANGE

    def _remove_version(self, model: Model, number: int) -> None:
        path = slugs.version_path(model.project, model.name, model.id, number)
        shelf.remove_under(self.site, slugs.folder(path), self.report)

    def _remove_model(self, name: str, identifier: str) -> None:
        path = slugs.model_path(self.project, name, identifier)
        if not path.endswith("/~~/"):  # a long name whose id nobody knows any more
            shelf.remove_under(self.site, slugs.folder(path), self.report)


def _at(model: Model, version: Version) -> tuple[str, str, str, int]:
    return model.project, model.name, model.id, version.number


def _parents(version: Version | None, project: str) -> Iterator[tuple[str, int]]:
    for text in version.parents if version else ():
        try:
            found = references.parse(text)
        except RegistryError:
            continue
        if found.project == project and found.version and found.version.kind == "number":
            yield found.model, found.version.number


# Everything


def publish_all(
    source: Source, site: Blobs, project_id: str, render: Renderer | None = None
) -> Report:
    """Every page of a project anew, and nothing else below its address.

    Only pages that are older than this reading are removed.
    """
    report = Report()
    revision = source.now()
    project = source.project(project_id)
    if project is None:
        return report
    kept: set[str] = set()
    for page in enumerating.project_pages(source, project_id):
        files = (render or renderer()).files(page)
        kept |= set(files)
        shelf.put_all(site, files, revision, report)
    found = dict(shards.documents(source, project_id, project.name))
    kept |= set(found)
    shelf.put_all(site, found, revision, report)
    prefix = slugs.folder(slugs.project_path(project.name))
    strays = [key for key in shelf.keys_under(site, prefix) if key not in kept]
    old = [key for key in strays if shelf.older(site, key, revision)]
    for start in range(0, len(old), 1000):
        site.delete(old[start : start + 1000])
    report.removed += old
    return report


def remove_project(site: Blobs, project: str) -> Report:
    """Removes all pages of a project that was deleted."""
    report = Report()
    shelf.remove_under(site, slugs.folder(slugs.project_path(project)), report)
    return report


def publish_static(site: Blobs, render: Renderer | None = None) -> Report:
    """Stores styles, scripts and the 404 page where they changed."""
    report = Report()
    for key, data in static_files(render or renderer()).items():
        report.note(shelf.put_if_different(site, key, data), key)
    return report


def static_files(render: Renderer) -> dict[str, bytes]:
    """What every site has, whatever it shows, by key."""
    return {**render.static_files(), "404.html": render.render(pages.not_found_page())}
