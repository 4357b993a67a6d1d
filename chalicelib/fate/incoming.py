"""A party's model out of an archive: read strictly, renamed, and made a version in one go."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from chalicelib.archives import unpacking
from chalicelib.archives.storing import Kept
from chalicelib.archives.unpacking import Limits, Zip
from chalicelib.fate import layout, making, pipeline, shards
from chalicelib.fate.layout import Step
from chalicelib.fate.making import Plan
from chalicelib.fate.pipeline import Pipeline
from chalicelib.registry import projects, relabelling
from chalicelib.registry.stores import Stores
from weighbridge.contract.errors import (
    AlreadyExists,
    HeldBack,
    IntegrityError,
    InvalidManifest,
    InvalidRequest,
    RegistryError,
)
from weighbridge.contract.federated import PartyModel
from weighbridge.contract.manifests import FileEntry
from weighbridge.contract.types import Version

LIMITS = Limits(members=10_000, size=256 * 1024**2)
"""What an archive that travels in a request may hold; the request itself is 10 MB at most."""
LARGE = Limits()
"""What an archive in a store may hold."""


class NotOfTheModel(InvalidRequest):
    """The party is none of those that trained the model."""


@dataclass(frozen=True, slots=True)
class Request:
    """What to make of an archive."""

    party: PartyModel
    label: str
    force: bool
    job_id: str
    sha256: str
    """Of the archive: it is recorded on the model."""


def take_in(
    stores: Stores,
    by: str,
    project: str,
    request: Request,
    archive: bytes | str,
    limits: Limits = LIMITS,
) -> Version:
    """The version that an archive (its bytes, or its key in the artifact bucket) becomes.

    `AlreadyExists` if the label is taken and `force` is not set. With `force` the new version takes
    the label over when it is ready; until then, and if anything fails, the old one stays as it is.
    """
    taken = shards.exists(stores, project, request.party, request.label)
    if taken and not request.force:
        raise AlreadyExists(
            f"{request.party.name} has a version {request.label!r} already; set force_update to "
            "replace it, or choose another model_version"
        )
    project_id = projects.find(stores, project).id
    plan = _plan(stores, project_id, request, archive, limits)
    draft = making.begin(stores, by, project, plan, label=not taken)
    try:
        version = making.commit(stores, by, project, draft)
        if not taken:
            return version
        if version.state != "ready":
            raise HeldBack(
                f"the new version is {version.state} under the safety policy of {project}; the old "
                "one was kept",
                state=version.state,
            )
        name = request.party.name
        found = relabelling.replaced(stores, by, project, name, request.label, version.number)
        return found.version
    except RegistryError:
        making.undo(stores, by, project, draft)
        raise


def _plan(
    stores: Stores, project_id: str, request: Request, archive: bytes | str, limits: Limits
) -> Plan:
    with unpacking.opened(stores, archive, limits) as opened:
        record = _renamed(opened, request)
        if layout.DEFINE in {entry.path for entry in opened.entries}:
            layout.read_index(opened.read(layout.DEFINE))
    own = frozenset((layout.PIPELINE, layout.PIPELINE_JSON))
    kept = unpacking.unpack(
        stores, project_id, archive, limits=limits, sha1=True,
        skip=lambda path: layout.ignored(path) or path in own,
    )  # fmt: skip
    files = [one.entry() for one in kept if not layout.is_checkpoint(one.path)]
    files += making.keep(stores, project_id, making.record_files(record))
    told: dict[str, Any] = {
        "imported": 1, "job_id": request.job_id, "archive_sha256": request.sha256,
    }  # fmt: skip
    attributes = shards.attributes(record, **told)
    with unpacking.opened(stores, archive, limits) as opened:
        points = _points(opened, kept)
    return Plan(request.party, request.label, files, attributes, points)


def _renamed(opened: Zip, request: Request) -> Pipeline:
    """The archive's pipeline record under the names that were asked for."""
    paths = {entry.path for entry in opened.entries}
    path = next((p for p in (layout.PIPELINE_JSON, layout.PIPELINE) if p in paths), None)
    if path is None:
        raise InvalidManifest(
            "the archive has no pipeline record: it is no model that FATE 1.x exported"
        )
    data = opened.read(path, pipeline.MAX_SIZE)
    record = (
        pipeline.from_json(data) if path == layout.PIPELINE_JSON else pipeline.from_protobuf(data)
    )
    party = request.party
    train = record.document("trainRuntimeConf")
    roles = train.get("role") if isinstance(train.get("role"), dict) else record.roles
    ids = roles.get(party.role, []) if isinstance(roles, dict) else []
    if not isinstance(ids, list) or party.party_id not in {str(one) for one in ids}:
        raise NotOfTheModel(
            f"{party.role} {party.party_id} is none of the parties that trained this model"
        )
    older = pipeline.older_than(record, (1, 9, 0))
    return pipeline.renamed(record, party.model_id, request.label, repair=older)


def _points(opened: Zip, kept: Sequence[Kept]) -> Mapping[Step, list[FileEntry]]:
    """The archive's checkpoints. A folder without a marker is none; one whose marker promises what is
    not there is an error."""
    folders: dict[Step, dict[str, Kept]] = {}
    for one in kept:
        if (found := layout.step_of(one.path)) is not None:
            folders.setdefault(found[0], {})[found[1]] = one
    points: dict[Step, list[FileEntry]] = {}
    for step, files in folders.items():
        if layout.MARKER not in files:
            continue
        marked = layout.read_marker(opened.read(step.folder + layout.MARKER), step)
        for name, (sha1, _) in marked.models.items():
            for kind in ("pb", "json"):
                if f"{name}.{kind}" not in files:
                    raise InvalidManifest(f"the archive lacks {step.folder}{name}.{kind}")
            if files[f"{name}.pb"].sha1 != sha1:
                raise IntegrityError(
                    f"{step.folder}{name}.pb does not have the SHA-1 that {layout.MARKER} gives"
                )
        wanted = [*marked.files, layout.MARKER]
        points[step] = [replace(files[name].entry(), path=name) for name in wanted]
    return points
