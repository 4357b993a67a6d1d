"""Changes → objects of the site: renders what a change touches, leaves first, index pages last.

A change touches a constant number of objects, however many versions there are. Deleting the whole
site loses nothing: `publish_all` makes the same bytes again. Home and compare pages are not here:
they depend on who asks, so the API renders them.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from chalicelib.catalogue import pages, parties, reading, shelf, slugs
from chalicelib.catalogue.pages import Page
from chalicelib.catalogue.reading import Source
from chalicelib.catalogue.render import Renderer
from chalicelib.catalogue.searching import answering, shards
from chalicelib.catalogue.shelf import Report
from chalicelib.catalogue.views import RANGE, HomeView
from chalicelib.registry.ports import Blobs
from weighbridge.contract import federated, references
from weighbridge.contract.errors import InvalidRequest, RegistryError
from weighbridge.contract.types import Event, Model, Version

MARK = ".weighbridge-site"
VISIBLE = ("ready", "open", "checking", "blocked")


@dataclass(frozen=True, slots=True)
class Change:
    """What an outbox entry says of pages: a model (empty: the project itself) and its versions.

    `kind` is the event's; `model_id` is needed where the model may be gone.
    """

    model: str = ""
    versions: tuple[int, ...] = ()
    kind: str = ""
    model_id: str = ""

    @classmethod
    def of(cls, event: Event, versions: Iterable[int]) -> "Change":
        """The change that an outbox entry carries."""
        found = event.details.get("model_id") or event.details.get("id") or ""
        return cls(event.model, tuple(versions), event.kind, str(found))


@cache
def renderer() -> Renderer:
    """The renderer of this process."""
    return Renderer()


@dataclass(slots=True)
class _Work:
    """What the changes to one model come to."""

    versions: set[int] = field(default_factory=set)
    ids: set[str] = field(default_factory=set)
    deleted: bool = False
    listed: bool = False
    """Whether lists of versions changed, not only checkpoints."""


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
    work, wider = _gathered(changes)
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
    if wider:
        run.put(pages.project_page(reading.project_view(source, project_id, project)))
    run.verify()
    return report


def _gathered(changes: Iterable[Change]) -> tuple[dict[str, _Work], bool]:
    work: dict[str, _Work] = {}
    wider = False
    for change in changes:
        wider = wider or not change.kind.startswith("checkpoint.")
        if not change.model:
            continue
        todo = work.setdefault(change.model, _Work())
        todo.versions.update(change.versions)
        todo.listed = todo.listed or not change.kind.startswith("checkpoint.")
        if change.model_id:
            todo.ids.add(change.model_id)
        todo.deleted = todo.deleted or change.kind == "model.deleted"
    return work, wider


def _federated(work: dict[str, _Work], run: "_Run") -> set[str]:
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
    gathered: list[str] = field(default_factory=list)
    """Federated models whose pages are new."""

    def put(self, page: Page) -> bool:
        """Stores a page; answers whether it was not there before."""
        outcomes = shelf.put_all(self.site, self.render.files(page), self.revision, self.report)
        return "created" in outcomes

    def model(self, name: str, todo: _Work) -> None:
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
            self._version_or_none(model, number)
        view = reading.model_view(self.source, self.project_id, model)
        for version in view.open:
            page = slugs.version_path(model.project, model.name, model.id, version.number)
            known = version.number in todo.versions
            if not known and not shelf.exists(self.site, slugs.object_key(page)):
                self._version(model, version)
        if todo.listed:
            self.known.model(name, shards.shown(view), todo.ids)
            for first in sorted({slugs.range_of(number)[0] for number in todo.versions}):
                self._range(model, first, view.highest)
        if self.put(pages.model_page(view)):
            self.created.append((model, 0))

    def whole_model(self, model: Model) -> None:
        """Every page of one model."""
        for page in model_pages(self.source, self.project_id, model):
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

    def verify(self) -> None:
        """Removes what was created for something that was deleted meanwhile.

        Removing an object forgets its revision, so a publisher that read before the deletion may
        create the page again after it; looking once more after creating closes that gap.
        """
        for model_id in self.gathered:
            if not self.source.federated(self.project_id, model_id, 1)[0]:
                path = slugs.federated_path(self.project, model_id)
                shelf.remove_under(self.site, slugs.folder(path), self.report)
        for model, number in self.created:
            found = self.source.model(self.project_id, model.name)
            if found is None or found.id != model.id:
                self._remove_model(model.name, model.id)
            elif number:
                version = self.source.version(self.project_id, found, number)
                if version is None or version.state not in VISIBLE:
                    self._remove_version(found, number)

    def _version_or_none(self, model: Model, number: int) -> None:
        version = self.source.version(self.project_id, model, number)
        for name, parent in _parents(version, model.project):
            if (name, parent) != (model.name, number):
                self.relatives.setdefault(name, set()).add(parent)
        if version is None or version.state not in VISIBLE:
            self._remove_version(model, number)
        else:
            self._version(model, version)

    def _version(self, model: Model, version: Version) -> None:
        view = reading.version_view(self.source, self.project_id, model, version)
        new = self.put(pages.checkpoints_page(reading.checkpoints_view(view)))
        if self.put(pages.version_page(view)) or new:
            self.created.append((model, version.number))

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


def _parents(version: Version | None, project: str) -> Iterator[tuple[str, int]]:
    for text in version.parents if version else ():
        try:
            found = references.parse(text)
        except RegistryError:
            continue
        if found.project == project and found.version and found.version.kind == "number":
            yield found.model, found.version.number


# Everything


def model_pages(source: Source, project_id: str, model: Model) -> Iterator[Page]:
    """Every page of a model, leaves first."""
    view = reading.model_view(source, project_id, model)
    top = slugs.range_of(view.highest)[0] if view.highest else 0
    for first in range(1, top + 1, RANGE):
        ranged = reading.range_view(source, project_id, model, first, first + RANGE - 1)
        for version in ranged.versions:
            yield from _version_pages(source, project_id, model, version)
        yield pages.range_page(ranged)
    for version in view.open:
        yield from _version_pages(source, project_id, model, version)
    yield pages.model_page(view)


def _version_pages(
    source: Source, project_id: str, model: Model, version: Version
) -> Iterator[Page]:
    view = reading.version_view(source, project_id, model, version)
    yield pages.checkpoints_page(reading.checkpoints_view(view))
    yield pages.version_page(view)


def project_pages(source: Source, project_id: str) -> Iterator[Page]:
    """Every page of a project, its own last."""
    project = source.project(project_id)
    if project is None:
        return
    gathered = set()
    for model in source.models(project_id):
        yield from model_pages(source, project_id, model)
        if (party := federated.parse(model.name)) is not None:
            gathered.add(party.model_id)
    for model_id in sorted(gathered):
        view = reading.federated_view(source, project_id, project.name, model_id)
        if view.rows:
            yield parties.federated_page(view)
    yield pages.project_page(reading.project_view(source, project_id, project))


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
    for page in project_pages(source, project_id):
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


def build(source: Source, out: Path, render: Renderer | None = None) -> list[str]:
    """Renders everything into a folder, for any web server; answers the paths written.

    The folder must be new, empty, or one that was built before. Pages that no longer exist go.
    """
    if out.exists() and any(out.iterdir()) and not (out / MARK).exists():
        raise InvalidRequest(
            f"{out} is not empty and was not built before; name another folder", out=str(out)
        )
    chosen = render or renderer()
    out.mkdir(parents=True, exist_ok=True)
    (out / MARK).touch()
    summaries = source.summaries()
    kept: set[str] = set()
    for key, data in static_files(chosen).items():
        _write(out, key, data, kept)
    for project_id, summary in summaries:
        for page in project_pages(source, project_id):
            for key, data in chosen.files(page).items():
                _write(out, key, data, kept)
        for key, data in shards.documents(source, project_id, summary.project.name):
            _write(out, key, data, kept)
    home = pages.home_page(HomeView(None, tuple(summary for _, summary in summaries)))
    names = [summary.project.name for _, summary in summaries]
    for page in (answering.static_page(kept, names), home):
        for key, data in chosen.files(page).items():
            _write(out, key, data, kept)
    for path in sorted(out.rglob("*"), reverse=True):
        if path.is_dir():
            if not any(path.iterdir()):
                path.rmdir()
        elif path.name != MARK and path.relative_to(out).as_posix() not in kept:
            path.unlink()
    return sorted(kept)


def _write(out: Path, key: str, data: bytes, kept: set[str]) -> None:
    path = out / key
    kept.add(key)
    if path.is_file() and path.read_bytes() == data:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    part.write_bytes(data)
    part.replace(path)
