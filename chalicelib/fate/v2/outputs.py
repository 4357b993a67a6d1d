"""Outputs of 2.x tasks as checkpoints of a party's model.

A model of one party is ours of that name (`role#party_id#model_id`), with a version of that label and no
files of its own. Each output is a checkpoint: its component is the task, its name the output key, its one
file the tar. A replaced output has a higher step; the highest is the current one, and older ones go once
the new one is complete. So what comes in here is visible everywhere, and a large output may as well be
pushed as a checkpoint.
"""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass

from chalicelib.archives.storing import Keeper
from chalicelib.fate.v2 import tars
from chalicelib.fate.v2.tars import Tar
from chalicelib.registry import (
    blobs,
    changing,
    checkpoints,
    federated,
    keys,
    models,
    publishing,
    safety,
    series,
    versions,
)
from chalicelib.registry.stores import Stores
from chalicelib.registry.versions import VersionRecord
from weighbridge.contract import digests, manifests, names
from weighbridge.contract import federated as naming
from weighbridge.contract.errors import (
    AlreadyExists,
    Gone,
    InUse,
    InvalidName,
    NotFound,
    RegistryError,
    Unavailable,
)
from weighbridge.contract.federated import PartyModel
from weighbridge.contract.manifests import FileEntry
from weighbridge.contract.references import VersionSelector
from weighbridge.contract.types import (
    Checkpoint,
    CheckpointCommit,
    NewModel,
    NewVersion,
    VersionCommit,
)

FILE = "model.tar"
DEFAULT_VERSION = "0"
RACES = 40
_ALIVE = ("ready", "open")
_OLDER = "#model"
"""How the model ids of 1.x end; such models have files, and no outputs of tasks."""


Pair = tuple[PartyModel, VersionRecord]
"""A party's model, in one version."""


@dataclass(frozen=True, slots=True)
class Place:
    """What names one output for good."""

    party: PartyModel
    model_version: str
    task_name: str
    output_key: str

    @property
    def path(self) -> str:
        """Where an archive has it."""
        return "/".join(
            (
                self.party.model_id, self.model_version, self.party.role, self.party.party_id,
                self.task_name, self.output_key,
            )
        )  # fmt: skip


def place(
    model_id: str, model_version: str, role: str, party_id: str, task_name: str, output_key: str
) -> Place:
    """An output's place, or `InvalidName`."""
    party = naming.party_model(role, party_id, model_id)
    names.model_name(party.name)
    names.label(model_version)
    for what, text in (("task name", task_name), ("output key", output_key)):
        names.component(text)
        if not text:
            raise InvalidName(f"the {what} must not be empty")
    found = Place(party, model_version, task_name, output_key)
    if found.path.count("/") != 5:
        raise InvalidName(f"the model version {model_version[:80]!r} must not contain '/'")
    names.file_path(found.path)
    return found


@dataclass(frozen=True, slots=True)
class Output:
    """The current checkpoint of one output."""

    party: PartyModel
    version: VersionRecord
    point: Checkpoint

    @property
    def place(self) -> Place:
        """Where it stands."""
        point = self.point
        return Place(self.party, self.version.version.label, point.component, point.name)

    @property
    def project_id(self) -> str:
        """The project that holds its bytes."""
        return self.version.model.project_id


def of_model(stores: Stores, project: str, model_id: str, model_version: str) -> list[Pair]:
    """The versions of all parties of a 2.x model."""
    if model_id.endswith(_OLDER):
        return []
    with suppress(NotFound):
        found = federated.of_version(stores, project, model_id, model_version)
        return [pair for pair in found if pair[1].version.state in _ALIVE]
    return []


def of_job(stores: Stores, project: str, job_id: str, role: str, party_id: str) -> Pair | None:
    """The version of one party that a job made: that of the usual label, else its latest."""
    party = naming.party_model(role, party_id, job_id)
    if job_id.endswith(_OLDER):
        return None
    for kind, value in (("label", DEFAULT_VERSION), ("latest", "")):
        with suppress(NotFound, Gone):
            record = models.find(stores, project, party.name)
            found = versions.of_model(stores, record, VersionSelector(kind, value))  # type: ignore[arg-type]
            if found.version.state in _ALIVE:
                return party, found
    return None


def current(
    stores: Stores,
    found: Pair,
    task_name: str = "",
    output_key: str = "",
) -> list[Output]:
    """The current outputs of a party's model, by task and key; of one task, or of one key."""
    party, version = found
    newest: dict[tuple[str, str], Checkpoint] = {}
    for point in _points(stores, version, task_name, output_key):
        key = (point.component, point.name)
        if key not in newest or newest[key].step < point.step:
            newest[key] = point
    return [Output(party, version, newest[key]) for key in sorted(newest)]


def _points(
    stores: Stores, found: VersionRecord, task_name: str, output_key: str, state: str = "ready"
) -> Iterator[Checkpoint]:
    page: str | None = None
    while True:
        part = checkpoints.listing(
            stores, found, component=task_name or None, name=output_key or None, state=state,
            order="step" if state == "ready" else "", limit=1000, page=page,
        )  # fmt: skip
        yield from (point for point in part.items if point.component and point.name)
        page = part.next
        if page is None:
            return


def refuse_held(stores: Stores, found: Pair, task_name: str, output_key: str = "") -> None:
    """Raises `HeldBack` if there is such an output, and a safety verdict holds it back."""
    for point in _points(stores, found[1], task_name, output_key, "held"):
        reference = f"{found[1].reference}:{point.number}"
        safety.refuse_held(reference, point.state, point.verdict)


def file_of(stores: Stores, output: Output) -> FileEntry | None:
    """The tar of an output; None if the checkpoint is something else."""
    listed = versions.files(stores, output.project_id, output.point.manifest)
    return next((entry for entry in listed if entry.path == FILE), None)


def tar_of(stores: Stores, output: Output, entry: FileEntry) -> Tar:
    """What the stored tar of an output holds, read by ranges."""
    return read_tar(stores, output.project_id, entry, "the stored tar")


def read_tar(stores: Stores, project_id: str, entry: FileEntry, what: str) -> Tar:
    """The same of any stored file; `what` names it in errors."""
    key = blobs.object_keys(stores, project_id, [entry.blob])[entry.blob]
    return tars.read(lambda start, length: stores.blobs.read(key, start, length), entry.size, what)


def ensure(stores: Stores, by: str, project: str, where: Place) -> VersionRecord:
    """The version that holds a party's outputs; made, without files, if it is not there."""
    name = where.party.name
    for _ in range(RACES):
        try:
            record = models.find(stores, project, name)
        except NotFound:
            with suppress(AlreadyExists):
                models.create(stores, by, project, NewModel(name))
            continue
        selector = VersionSelector("label", where.model_version)
        try:
            found = versions.of_model(stores, record, selector)
        except (NotFound, Gone):
            key = digests.sha256_of(f"{where.model_version} {stores.random()}".encode())
            with suppress(AlreadyExists):
                publishing.begin(stores, by, project, name, NewVersion(key, where.model_version))
            continue
        if found.version.state != "open":
            return found
        empty = VersionCommit(manifests.digest(()), (), tags={"fate": "2"})
        publishing.commit(stores, by, project, name, found.number, empty)
    raise Unavailable(f"too many others write to {project}/{name}; try again")


def save(
    stores: Stores, by: str, project: str, where: Place, data: bytes, tags: Mapping[str, str]
) -> Checkpoint:
    """Stores a tar, checked before, as the current output of its place. The same bytes again change
    nothing; others replace what was there."""
    found = ensure(stores, by, project, where)
    with Keeper(stores, found.model.project_id) as keeper:
        keeper.add(FILE, len(data), [data])
    [kept] = keeper.kept
    return put(stores, by, (where.party, found), where, kept.entry(), tags)


def put(
    stores: Stores, by: str, pair: Pair, where: Place, file: FileEntry, tags: Mapping[str, str]
) -> Checkpoint:
    """Makes a stored tar the current output of its place."""
    found = pair[1]
    manifest = manifests.digest((file,))
    pk = checkpoints.partition(found)
    for _ in range(RACES):
        there = current(stores, pair, where.task_name, where.output_key)
        if there and there[0].point.manifest == manifest:
            return there[0].point
        last = series.last_step(stores.table, pk, where.task_name, where.output_key)
        request = CheckpointCommit(
            manifest, (file,), 0 if last is None else last + 1, where.task_name, where.output_key,
            tags={"fate": "2", **tags},
        )  # fmt: skip
        try:
            made = checkpoints.commit(stores, by, found, request)
        except AlreadyExists:  # another replaced it at the same moment
            continue
        if made.state == "ready":
            _retire(stores, by, found, made)
        return made
    raise Unavailable(f"too many others replace {where.path}; try again")


def _retire(stores: Stores, by: str, found: VersionRecord, newest: Checkpoint) -> None:
    """Removes what an output was before; what is pinned stays."""
    for point in list(_points(stores, found, newest.component, newest.name)):
        if point.step < newest.step:
            _remove(stores, by, found, point)


def _remove(stores: Stores, by: str, found: VersionRecord, point: Checkpoint) -> bool:
    record = checkpoints.CheckpointRecord(found, point)
    with suppress(InUse, NotFound):
        checkpoints.delete(stores, by, found, record.selector)
        return True
    return False


def delete(
    stores: Stores,
    by: str,
    project: str,
    found: Pair,
    task_name: str = "",
    output_key: str = "",
) -> int:
    """Deletes outputs of a party, or all with the version that held them; how many there were."""
    _, version = found
    outputs = current(stores, found, task_name, output_key)
    if not task_name and not output_key:
        changing.delete(stores, by, project, version.model.model.name, _number(version))
        return len(outputs)
    for point in list(_points(stores, version, task_name, output_key)):
        if not _remove(stores, by, version, point) and point.pinned:
            raise InUse(f"{version.reference}:{point.number} is pinned; unpin it first", by=["pin"])
    if outputs and not stores.table.query(*_any_step(version), limit=1).items:
        with suppress(RegistryError):  # an empty version that something refers to stays
            changing.delete(stores, by, project, version.model.model.name, _number(version))
    return len(outputs)


def _number(version: VersionRecord) -> VersionSelector:
    return VersionSelector("number", str(version.number))


def _any_step(version: VersionRecord) -> tuple[str, str, str]:
    return (checkpoints.partition(version), *keys.prefix("S#"))
