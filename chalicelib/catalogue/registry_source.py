"""The catalogue's `Source`, read from the registry's services."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from chalicelib.catalogue import reading, views
from chalicelib.catalogue.views import FederatedPart, FederatedRow, ModelRow, ProjectSummary
from chalicelib.registry import (
    checkpoints,
    compare,
    facts,
    federated,
    keys,
    models,
    paging,
    projects,
    providers,
    series,
    usage,
    versions,
)
from chalicelib.registry.models import ModelRecord
from chalicelib.registry.stores import Stores, event_time, iso
from chalicelib.registry.versions import VersionRecord
from weighbridge.contract.errors import NotFound
from weighbridge.contract.federated import PartyModel
from weighbridge.contract.types import (
    AliasMove,
    Checkpoint,
    Model,
    Project,
    Provider,
    Version,
    VersionFacts,
)

CHEAP = 200
"""Versions are counted one by one up to this number."""
PAGE = 1000
ALL_MOVES = 10_000
"""Alias moves are kept by alias, so the newest of all are found among all."""


@dataclass(frozen=True, slots=True)
class RegistrySource:
    """Reads through the services; each method costs a bounded number of reads."""

    stores: Stores

    def now(self) -> int:
        """Milliseconds since the epoch."""
        return int(self.stores.now() * 1000)

    def _record(self, project_id: str, model: Model) -> ModelRecord:
        return ModelRecord(project_id, model.project, model)

    def _version(self, project_id: str, version: Version) -> VersionRecord:
        model = models.within(self.stores, project_id, version.project, version.model)
        return VersionRecord(model, version)

    def summaries(self) -> Sequence[tuple[str, ProjectSummary]]:
        """Every project with its id, by name."""
        return [(r.id, self.summary(r)) for r in projects.records(self.stores)]

    def summary(self, record: projects.ProjectRecord) -> ProjectSummary:
        """One project with its number of models (100 at most are counted) and what it holds."""
        page = models.listing(self.stores, record.project.name, prefix="", limit=100, page=None)
        size, versions = usage.stored(self.stores, record.id)
        count, more = len(page.items), page.next is not None
        return ProjectSummary(record.project, count, more, versions=versions, bytes=size)

    def project(self, project_id: str) -> Project | None:
        """The project."""
        return projects.by_id(self.stores, project_id)

    def models(self, project_id: str) -> Iterator[Model]:
        """Every model by name."""
        project = self.project(project_id)
        page: str | None = None
        while project is not None:
            found = models.listing(self.stores, project.name, prefix="", limit=PAGE, page=page)
            yield from found.items
            page = found.next
            if page is None:
                return

    def rows(self, project_id: str, limit: int) -> tuple[Sequence[ModelRow], bool]:
        """The first models by name, and whether there are more."""
        project = self.project(project_id)
        if project is None:
            return (), False
        found = models.listing(self.stores, project.name, prefix="", limit=limit, page=None)
        rows = [
            reading.row(m, self.newest(project_id, m, views.SPARK), self.count(project_id, m))
            for m in found.items[: views.DETAILED_MODELS]
        ]
        bare = [ModelRow(m) for m in found.items[views.DETAILED_MODELS :]]
        return [*rows, *bare], found.next is not None

    def model(self, project_id: str, name: str) -> Model | None:
        """The model of that name."""
        project = self.project(project_id)
        if project is None:
            return None
        try:
            return models.within(self.stores, project_id, project.name, name).model
        except NotFound:
            return None

    def card(self, project_id: str, model: Model) -> str:
        """The model's card."""
        return models.card(self.stores, self._record(project_id, model)).text

    def newest(self, project_id: str, model: Model, limit: int) -> Sequence[Version]:
        """The newest ready versions, newest first."""
        record = self._record(project_id, model)
        return versions.newest(self.stores, record, limit)

    def ranged(self, project_id: str, model: Model, first: int, last: int) -> Sequence[Version]:
        """The ready versions of a range of numbers, newest first."""
        return versions.ranged(self.stores, self._record(project_id, model), first, last)

    def in_progress(self, project_id: str, model: Model, limit: int) -> Sequence[Version]:
        """The newest versions that are open or held back, newest first."""
        record = self._record(project_id, model)
        found = [
            version
            for kind in (keys.OPEN, keys.HELD)
            for version in versions.newest(self.stores, record, limit, kind)
        ]
        return sorted(found, key=lambda v: v.number, reverse=True)[:limit]

    def version(self, project_id: str, model: Model, number: int) -> Version | None:
        """The version in whatever state."""
        record = self._record(project_id, model)
        try:
            return versions.numbered(self.stores, record, number, ended=True).version
        except NotFound:
            return None

    def count(self, project_id: str, model: Model) -> int | None:
        """How many ready versions there are, where counting is cheap."""
        record = self._record(project_id, model)
        if versions.issued(self.stores, record) > CHEAP:
            return None
        return len(versions.newest(self.stores, record, CHEAP))

    def facts(self, project_id: str, version: Version) -> VersionFacts:
        """The version's files with their facts."""
        if not version.manifest:
            return VersionFacts(())
        entries = versions.files(self.stores, project_id, version.manifest)
        if version.claims is None:
            return facts.of_files(self.stores, project_id, entries)
        found = self._version(project_id, version)
        return facts.told(self.stores, found, entries, version.claims)

    def checkpoints(self, project_id: str, version: Version, limit: int) -> Sequence[Checkpoint]:
        """The newest checkpoints by number, oldest first."""
        found = self._version(project_id, version)
        return tuple(reversed(checkpoints.newest(self.stores, found, limit)))

    def points(
        self, project_id: str, version: Version, first: int, last: int
    ) -> Sequence[Checkpoint]:
        """The checkpoints of a range of numbers, oldest first."""
        found = self._version(project_id, version)
        return series.ranged(self.stores.table, checkpoints.partition(found), first, last)

    def around(self, project_id: str, version: Version, number: int) -> tuple[int, int]:
        """The numbers of the checkpoints before and after that number; 0: none."""
        found = self._version(project_id, version)
        return series.around(self.stores.table, checkpoints.partition(found), number)

    def point_facts(
        self, project_id: str, version: Version, checkpoint: Checkpoint
    ) -> VersionFacts:
        """A checkpoint's files with their facts."""
        side = compare.Side(self._version(project_id, version), checkpoint)
        return compare.told(self.stores, side, compare.files(self.stores, side))

    def checkpoint_count(self, project_id: str, version: Version) -> int:
        """How many checkpoints the version has (1,000 at most are counted)."""
        found = self._version(project_id, version)
        return len(checkpoints.newest(self.stores, found, PAGE))

    def moves(self, project_id: str, model: Model, limit: int) -> Sequence[AliasMove]:
        """The moves of all aliases, newest first."""
        items = paging.collect(
            self.stores.table, keys.of_model(model.id), keys.prefix("H#"), limit=ALL_MOVES
        )
        timed = []
        for item in items:
            _, alias, identifier = item.key.sk.split("#")
            doc = item.doc
            move = AliasMove(
                alias, int(item.attrs["n"]), int(doc["previous"]), iso(event_time(identifier)),
                str(doc["by"]),
            )  # fmt: skip
            timed.append((identifier, move))
        timed.sort(key=lambda pair: pair[0], reverse=True)
        return [move for _, move in timed[:limit]]

    def children(self, project_id: str, version: Version) -> Sequence[str]:
        """References of the ready versions that name this one as their parent."""
        return versions.children(self.stores, self._version(project_id, version))

    def providers(self, project_id: str, limit: int) -> tuple[Sequence[Provider], bool]:
        """The first providers by name, and whether there are more."""
        project = self.project(project_id)
        if project is None:
            return (), False
        found = providers.listing(self.stores, project.name, limit=limit)
        return found.items, found.next is not None

    def federated(
        self, project_id: str, model_id: str, most: int
    ) -> tuple[Sequence[FederatedRow], bool]:
        """The versions of a federated model with the parties' parts."""
        project = self.project(project_id)
        if project is None:
            return (), False
        found, more = federated.newest(self.stores, project.name, model_id, most)
        return [federated_row(model_id, label, pairs) for label, pairs in found], more


def federated_row(
    model_id: str, label: str, pairs: Sequence[tuple[PartyModel, VersionRecord]]
) -> FederatedRow:
    """One federated version of the versions of its parties."""
    parts = tuple(
        FederatedPart(party.role, party.party_id, record.model.model, record.version)
        for party, record in pairs
    )
    return FederatedRow(federated.describe(model_id, label, pairs), parts)
