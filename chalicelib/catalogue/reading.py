"""What publishing reads, and how views are gathered from it.

`Source` is implemented on the registry's services; every method costs a bounded number of reads.
"""

from collections.abc import Iterator, Sequence
from typing import Protocol

from chalicelib.catalogue.views import (
    LISTED_CHECKPOINTS,
    LISTED_MODELS,
    LISTED_PROVIDERS,
    LISTED_SHARDS,
    RANGE,
    RECENT,
    SERIES,
    SPARK,
    CheckpointsView,
    FederatedRow,
    FederatedView,
    ModelRow,
    ModelView,
    PointRangeView,
    PointView,
    ProjectSummary,
    ProjectView,
    ProvidersView,
    RangeView,
    VersionView,
)
from weighbridge.contract.types import (
    AliasMove,
    Checkpoint,
    Model,
    Project,
    Provider,
    Version,
    VersionFacts,
)


class Source(Protocol):
    """The registry, as the catalogue reads it. What does not exist is None or empty."""

    def now(self) -> int:
        """Milliseconds since the epoch; asked before anything is read."""

    def summaries(self) -> Sequence[tuple[str, ProjectSummary]]:
        """Every project with its id, by name (only for `build`)."""

    def project(self, project_id: str) -> Project | None:
        """The project."""

    def models(self, project_id: str) -> Iterator[Model]:
        """Every model by name, in pages (only when all is rendered)."""

    def rows(self, project_id: str, limit: int) -> tuple[Sequence[ModelRow], bool]:
        """The first models by name (`row` makes one; beyond `DETAILED_MODELS` a row has its model alone),
        and whether there are more."""

    def model(self, project_id: str, name: str) -> Model | None:
        """The model of that name."""

    def card(self, project_id: str, model: Model) -> str:
        """The model's card."""

    def newest(self, project_id: str, model: Model, limit: int) -> Sequence[Version]:
        """The newest ready versions, newest first."""

    def ranged(self, project_id: str, model: Model, first: int, last: int) -> Sequence[Version]:
        """The ready versions of a range of numbers, newest first."""

    def in_progress(self, project_id: str, model: Model, limit: int) -> Sequence[Version]:
        """The newest versions that are open or held back, newest first."""

    def version(self, project_id: str, model: Model, number: int) -> Version | None:
        """The version in whatever state (`deleted` and `aborted` too)."""

    def count(self, project_id: str, model: Model) -> int | None:
        """How many ready versions there are, or None where counting would not be cheap."""

    def facts(self, project_id: str, version: Version) -> VersionFacts:
        """The version's files with their facts."""

    def checkpoints(self, project_id: str, version: Version, limit: int) -> Sequence[Checkpoint]:
        """The newest checkpoints by number, oldest first."""

    def points(
        self, project_id: str, version: Version, first: int, last: int
    ) -> Sequence[Checkpoint]:
        """The checkpoints of a range of numbers, oldest first; those that are ready, as everywhere here."""

    def around(self, project_id: str, version: Version, number: int) -> tuple[int, int]:
        """The numbers of the checkpoints before and after that number, whether it is there; 0: none."""

    def point_facts(
        self, project_id: str, version: Version, checkpoint: Checkpoint
    ) -> VersionFacts:
        """A checkpoint's files with their facts."""

    def checkpoint_count(self, project_id: str, version: Version) -> int:
        """How many checkpoints the version has."""

    def moves(self, project_id: str, model: Model, limit: int) -> Sequence[AliasMove]:
        """The moves of all aliases, newest first."""

    def children(self, project_id: str, version: Version) -> Sequence[str]:
        """References of the ready versions that name this one as their parent."""

    def providers(self, project_id: str, limit: int) -> tuple[Sequence[Provider], bool]:
        """The first providers by name, and whether there are more."""

    def federated(
        self, project_id: str, model_id: str, most: int
    ) -> tuple[Sequence[FederatedRow], bool]:
        """The versions of a federated model, the highest label first, of about `most` parties' versions in
        all; and whether there may be more."""


OPEN_LISTED = 10
MOVES = 1000


def _series(versions: Sequence[Version], metric: str, limit: int) -> tuple[tuple[int, float], ...]:
    points = [(v.number, v.metrics[metric]) for v in versions[:limit] if metric in v.metrics]
    return tuple(reversed(points))


def row(model: Model, newest: Sequence[Version], count: int | None) -> ModelRow:
    """A model's row, from its `SPARK` newest versions (newest first)."""
    metric = model.settings.main_metric
    latest = newest[0] if newest else None
    return ModelRow(model, latest, count, _series(newest, metric, SPARK))


def project_view(source: Source, project_id: str, project: Project) -> ProjectView:
    """A project with its models."""
    rows, more = source.rows(project_id, LISTED_MODELS)
    return ProjectView(project, tuple(rows), more, bool(source.providers(project_id, 1)[0]))


def providers_view(source: Source, project_id: str, project: str) -> ProvidersView:
    """The providers of a project."""
    found, more = source.providers(project_id, LISTED_PROVIDERS)
    return ProvidersView(project, tuple(found), more)


def model_view(source: Source, project_id: str, model: Model) -> ModelView:
    """A model with what its page shows."""
    newest = source.newest(project_id, model, SERIES)
    unfinished = tuple(source.in_progress(project_id, model, OPEN_LISTED))
    return ModelView(
        model=model,
        card=source.card(project_id, model),
        versions=tuple(newest[:RECENT]),
        count=source.count(project_id, model),
        highest=newest[0].number if newest else 0,
        moves=tuple(source.moves(project_id, model, MOVES)),
        open=unfinished,
        series=_series(newest, model.settings.main_metric, SERIES),
        labelled=any(version.label for version in (*newest, *unfinished)),
    )


def range_view(source: Source, project_id: str, model: Model, first: int, last: int) -> RangeView:
    """A hundred versions."""
    return RangeView(model, first, last, tuple(source.ranged(project_id, model, first, last)))


def version_view(source: Source, project_id: str, model: Model, version: Version) -> VersionView:
    """A version with what its page shows."""
    number = version.number
    return VersionView(
        version=version,
        model=model,
        facts=source.facts(project_id, version),
        checkpoints=tuple(source.checkpoints(project_id, version, LISTED_CHECKPOINTS)),
        checkpoint_count=source.checkpoint_count(project_id, version),
        moves=tuple(
            move
            for move in source.moves(project_id, model, MOVES)
            if number in (move.version, move.previous)
        ),
        children=tuple(source.children(project_id, version)),
    )


def checkpoints_view(view: VersionView) -> CheckpointsView:
    """The series of a version, from what its own page shows."""
    return CheckpointsView(view.version, view.model, view.checkpoints, view.checkpoint_count)


def point_range_view(
    source: Source, project_id: str, model: Model, version: Version, first: int
) -> PointRangeView:
    """A hundred checkpoints."""
    last = first + RANGE - 1
    found = tuple(source.points(project_id, version, first, last))
    return PointRangeView(version, model, first, last, found)


def point_view(
    source: Source,
    project_id: str,
    model: Model,
    version: Version,
    checkpoint: Checkpoint,
    around: tuple[int, int],
) -> PointView:
    """A checkpoint with what its page shows, between its neighbours."""
    facts = source.point_facts(project_id, version, checkpoint)
    return PointView(version, model, checkpoint, facts, *around)


def federated_view(source: Source, project_id: str, project: str, model_id: str) -> FederatedView:
    """A federated model; without rows if no party has a labelled version."""
    rows, more = source.federated(project_id, model_id, LISTED_SHARDS)
    return FederatedView(project, model_id, tuple(rows), more)
