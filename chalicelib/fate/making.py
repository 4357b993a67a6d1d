"""New versions of parties: opened one by one, made visible together, and undone together.

A set of parties' versions is made whole or not at all: all are open, with all their files, before the
first is committed. What fails gives every one of them up.
"""

import itertools
import secrets
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from chalicelib.archives.storing import Keeper
from chalicelib.fate import layout
from chalicelib.fate.layout import Step
from chalicelib.fate.pipeline import Pipeline, to_json, to_protobuf
from chalicelib.registry import changing, checkpoints, models, publishing, versions
from chalicelib.registry.stores import Stores
from chalicelib.registry.versions import VersionRecord
from weighbridge.contract import manifests, references
from weighbridge.contract.errors import AlreadyExists, HeldBack, NotFound, RegistryError
from weighbridge.contract.federated import PartyModel
from weighbridge.contract.manifests import FileEntry
from weighbridge.contract.types import (
    CheckpointCommit,
    NewModel,
    NewVersion,
    Version,
    VersionCommit,
)

AT_ONCE = 8
_serial = itertools.count()


@dataclass(frozen=True, slots=True)
class Plan:
    """What a party's new version is to hold."""

    party: PartyModel
    label: str
    files: Sequence[FileEntry]
    attributes: Mapping[str, Any]
    points: Mapping[Step, Sequence[FileEntry]] = field(default_factory=dict)
    parents: tuple[str, ...] = ()
    description: str = ""


@dataclass(frozen=True, slots=True)
class Draft:
    """An open version of a party."""

    plan: Plan
    found: VersionRecord
    created: bool = False
    """Whether its model was made for it."""

    @property
    def number(self) -> int:
        """Its number."""
        return self.found.number


def job_id(stores: Stores) -> str:
    """A fresh model version as FATE makes them: the time to the microsecond, then what tells apart
    those of the same one."""
    moment = datetime.fromtimestamp(stores.now(), UTC)
    serial = (next(_serial) + secrets.randbelow(1000)) % 1000
    return moment.strftime("%Y%m%d%H%M%S%f") + f"{serial:03d}{secrets.randbelow(1000):03d}"


def keep(stores: Stores, project_id: str, files: Mapping[str, bytes]) -> list[FileEntry]:
    """Stores small files that we write ourselves."""
    with Keeper(stores, project_id) as keeper:
        for path, data in files.items():
            keeper.add(path, len(data), [data])
    return [kept.entry() for kept in keeper.kept]


def record_files(record: Pipeline) -> dict[str, bytes]:
    """The pipeline record in its two forms."""
    return {layout.PIPELINE: to_protobuf(record), layout.PIPELINE_JSON: to_json(record)}


def begin(stores: Stores, by: str, project: str, plan: Plan, *, label: bool = True) -> Draft:
    """Opens a party's next version, with its label or, where that is taken, without."""
    created = False
    try:
        models.find(stores, project, plan.party.name)
    except NotFound:
        with suppress(AlreadyExists):
            models.create(stores, by, project, NewModel(plan.party.name))
            created = True
    new = NewVersion(f"fate:{secrets.token_hex(16)}", plan.label if label else "")
    opened = publishing.begin(stores, by, project, plan.party.name, new)
    record = models.find(stores, project, plan.party.name)
    return Draft(plan, VersionRecord(record, opened), created)


def commit(stores: Stores, by: str, project: str, draft: Draft) -> Version:
    """Makes an open version visible, its checkpoints first."""
    plan = draft.plan
    for step, entries in sorted(plan.points.items()):
        checkpoints.commit(
            stores, by, draft.found,
            CheckpointCommit(
                manifests.digest(entries), tuple(entries), step.index, step.component, step.name
            ),
        )  # fmt: skip
    request = VersionCommit(
        manifest=manifests.digest(plan.files), files=tuple(plan.files),
        attributes=dict(plan.attributes), parents=plan.parents, description=plan.description,
    )  # fmt: skip
    return publishing.commit(stores, by, project, plan.party.name, draft.number, request)


def undo(stores: Stores, by: str, project: str, draft: Draft) -> None:
    """Gives a version up, open or committed. What cannot be undone now is left to the sweep."""
    name = draft.plan.party.name
    selector = references.parse_version(str(draft.number))
    with suppress(RegistryError):
        found = versions.resolve(stores, project, name, selector)
        if found.version.state == "open":
            publishing.abort(stores, by, project, name, draft.number)
        else:
            changing.delete(stores, by, project, name, selector)
    with suppress(RegistryError):
        if draft.created and versions.issued(stores, draft.found.model) == draft.number:
            models.delete(stores, by, project, name)


class SetFailed(Exception):
    """A set was not made; which party failed, and why."""

    def __init__(self, party: PartyModel, error: RegistryError) -> None:
        super().__init__(f"{party.name}: {error.message}")
        self.party, self.error = party, error


def make_set(stores: Stores, by: str, project: str, plans: Sequence[Plan]) -> list[Version]:
    """Versions of many parties, all or none: `SetFailed` names who was in the way.

    The first party is opened alone: of two sets with the same label only one gets past it.
    """
    ordered = sorted(plans, key=lambda plan: plan.party.name)
    drafts: list[Draft] = []
    with ThreadPoolExecutor(AT_ONCE) as pool:
        try:
            for group in (ordered[:1], ordered[1:]):
                drafts += _each(
                    pool, [plan.party for plan in group],
                    [lambda p=plan: begin(stores, by, project, p) for plan in group], drafts,
                )  # fmt: skip
            made = _each(
                pool, [draft.plan.party for draft in drafts],
                [lambda d=draft: _visible(stores, by, project, d) for draft in drafts], [],
            )  # fmt: skip
        except SetFailed:
            list(pool.map(lambda draft: undo(stores, by, project, draft), drafts))
            raise
    return made


def _visible(stores: Stores, by: str, project: str, draft: Draft) -> Version:
    version = commit(stores, by, project, draft)
    if version.state == "blocked":
        raise HeldBack(f"{draft.found.reference} is blocked by the safety policy", state="blocked")
    return version


def _each(
    pool: ThreadPoolExecutor, parties: Sequence[PartyModel], tasks: Sequence[Any], into: list[Any]
) -> list[Any]:
    """Runs every task; when one failed, what the others made is added to `into` and it is raised."""
    futures = [pool.submit(task) for task in tasks]
    done: list[Any] = []
    failed: SetFailed | None = None
    broken: BaseException | None = None
    for party, future in zip(parties, futures, strict=True):
        error = future.exception()
        if error is None:
            done.append(future.result())
        elif isinstance(error, RegistryError):
            failed = failed or SetFailed(party, error)
        else:
            broken = broken or error
    if failed or broken:
        into += done
    if broken:
        raise broken
    if failed:
        raise failed
    return done
