"""Every page of a version, a model, a project: leaves first, index pages last."""

from collections.abc import Iterator

from chalicelib.catalogue import pages, parties, provider_pages, reading, series_pages, slugs
from chalicelib.catalogue.pages import Page
from chalicelib.catalogue.reading import Source
from chalicelib.catalogue.views import RANGE, VersionView
from weighbridge.contract import federated
from weighbridge.contract.types import Checkpoint, Model, Version


def version_pages(
    source: Source, project_id: str, model: Model, version: Version
) -> Iterator[Page]:
    """A version with all its checkpoints."""
    view = reading.version_view(source, project_id, model, version)
    yield from _points(source, project_id, view)
    yield series_pages.checkpoints_page(reading.checkpoints_view(view))
    yield pages.version_page(view)


def _points(source: Source, project_id: str, view: VersionView) -> Iterator[Page]:
    model, version = view.model, view.version
    waiting: list[Checkpoint] = []  # the newest two read, because a page names the one after
    before = 0

    def page(point: Checkpoint, after: int) -> Page:
        around = (before, after)
        return series_pages.point_page(
            reading.point_view(source, project_id, model, version, point, around)
        )

    for first in range(1, view.highest + 1, RANGE):
        ranged = reading.point_range_view(source, project_id, model, version, first)
        for point in ranged.checkpoints:
            if waiting:
                last = waiting.pop()
                yield page(last, point.number)
                before = last.number
            waiting.append(point)
        yield series_pages.range_page(ranged)
    if waiting:
        yield page(waiting.pop(), 0)


def model_pages(source: Source, project_id: str, model: Model) -> Iterator[Page]:
    """A model with all its versions."""
    view = reading.model_view(source, project_id, model)
    top = slugs.range_of(view.highest)[0] if view.highest else 0
    for first in range(1, top + 1, RANGE):
        ranged = reading.range_view(source, project_id, model, first, first + RANGE - 1)
        for version in ranged.versions:
            yield from version_pages(source, project_id, model, version)
        yield pages.range_page(ranged)
    for version in view.open:
        yield from version_pages(source, project_id, model, version)
    yield pages.model_page(view)


def project_pages(source: Source, project_id: str) -> Iterator[Page]:
    """A project with all its models."""
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
    if (providers := reading.providers_view(source, project_id, project.name)).providers:
        yield provider_pages.providers_page(providers)
    yield pages.project_page(reading.project_view(source, project_id, project))
