"""The inbox: objects put by plain S3 clients become checkpoints by themselves.

Layout: `inbox/<project>/<model>/<version label>/checkpoint/<component>/<step index>#<step name>/<file>`,
an empty component written `-`. The drop is complete when its marker is there: `_SUCCESS` (whatever
the folder holds then counts), or FATE's `database.yaml`, which lists its buffers with their SHA-1.
Every file is adopted before anything is visible: copied inside S3 to a write-once key, with a
SHA-256 the store computes, only if it is still the object that was listed. So a later overwrite of
the inbox changes nothing.
"""

import contextlib
import hashlib
import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from chalicelib.registry import blobs, checkpoints, drops, keys, models, projects, publishing, usage
from chalicelib.registry import versions as reading
from chalicelib.registry.ports import Head, Precondition
from chalicelib.registry.projects import ProjectRecord
from chalicelib.registry.stores import Stores, iso
from chalicelib.registry.versions import VersionRecord
from weighbridge.contract import digests, manifests, names
from weighbridge.contract.errors import (
    AlreadyExists,
    Conflict,
    IntegrityError,
    InvalidManifest,
    InvalidRequest,
    NotFound,
    RegistryError,
    Unavailable,
)
from weighbridge.contract.manifests import FileEntry
from weighbridge.contract.references import VersionSelector
from weighbridge.contract.types import CheckpointCommit, InboxDrop, NewModel, NewVersion

FATE_MARKER = "database.yaml"
MARKERS = (FATE_MARKER, "_SUCCESS")
"""FATE's comes first: where both are there, its checks hold."""
MAX_COPY = 5 * 1024**3
MAX_MARKER = 1024**2
MAX_HASHED = 512 * 1024**2
_BLOCK = 8 * 1024**2


@dataclass(frozen=True, slots=True)
class Drop:
    """One checkpoint folder of the inbox."""

    folder: str
    project: str
    model: str
    label: str
    component: str
    step: int
    name: str


def parse(key: str) -> Drop | None:
    """The drop an object key belongs to; None if the key is outside the layout."""
    parts = key.split("/")
    if len(parts) < 8 or parts[0] != "inbox" or parts[4] != "checkpoint":
        return None
    folder = "/".join(parts[:7]) + "/"
    if "#" not in parts[6]:  # a client that encoded the keys it put
        parts = [unquote(part) for part in parts]
    step, separator, name = parts[6].partition("#")
    if not separator or not step.isdigit() or len(step) > 15:
        return None
    component = "" if parts[5] == "-" else parts[5]
    return Drop(folder, parts[1], parts[2], parts[3], component, int(step), name)


def look(stores: Stores, key: str) -> None:
    """Makes a checkpoint of the drop that `key` belongs to, if it is complete. Repeats change nothing."""
    drop = parse(key)
    if drop is None:
        return
    try:
        record = projects.find(stores, drop.project)
    except RegistryError:
        print(json.dumps({"inbox": "unknown project", "key": key[:500]}))
        return
    try:
        _look(stores, record, drop)
    except (Unavailable, Conflict) as error:
        if isinstance(error, AlreadyExists):
            return  # the identity was taken by a twin of this event
        raise  # the queue brings the event again
    except RegistryError as error:
        _refuse(stores, record, drop, error)


def _refuse(stores: Stores, record: ProjectRecord, drop: Drop, error: RegistryError) -> None:
    """Notes once, in the project's history, why a drop cannot become a checkpoint."""
    now = iso(stores.now())
    found = InboxDrop(drop.folder, "refused", error.message, first=now, last=now)
    drops.note(stores, record, found, model=drop.model, code=error.code)


def _look(stores: Stores, record: ProjectRecord, drop: Drop) -> None:
    if not record.project.inbox:
        raise InvalidRequest(
            f"the inbox of {record.project.name} is off; `weighbridge inbox grant` turns it on"
        )
    heads = {head.key.removeprefix(drop.folder): head for head in _listed(stores, drop.folder)}
    marker = next((name for name in MARKERS if name in heads), None)
    if marker is None or adopted(stores, record, drop):
        return
    wanted = {n: h for n, h in heads.items() if n not in MARKERS and not n.endswith(".lock")}
    if marker == FATE_MARKER:
        if not _complete(stores, drop, heads):
            return
        # What it lists and nothing else, so that it does not matter when other files come.
        wanted = {n: heads[n] for n in files_of(listing(stores, drop, heads[marker]))}
        wanted[marker] = heads[marker]
    if not wanted:
        raise InvalidManifest("the drop has a marker but no file")
    by = f"inbox:{record.project.name}"
    found = _version(stores, record, drop, by)
    files = [_adopt(stores, record.id, name, head) for name, head in sorted(wanted.items())]
    request = CheckpointCommit(
        manifests.digest(files), tuple(files), drop.step, drop.component, drop.name
    )
    checkpoints.commit(stores, by, found, request)
    drops.forget(stores, record, drop.folder)


def adopted(stores: Stores, record: ProjectRecord, drop: Drop) -> bool:
    """Whether the drop is a checkpoint already."""
    try:
        model = models.within(stores, record.id, record.project.name, names.model_name(drop.model))
        selector = VersionSelector("label", names.label(drop.label))
        found = reading.of_model(stores, model, selector)
    except NotFound:
        return False
    lock = keys.step(found.model.id, found.number, drop.component, drop.step, drop.name)
    return stores.table.get(lock) is not None


def _listed(stores: Stores, folder: str) -> list[Head]:
    heads: list[Head] = []
    after = ""
    while True:
        page = stores.blobs.list(folder, after)
        heads += page.heads
        if len(heads) > publishing.MAX_PAGE + 1:
            raise InvalidManifest(f"more than {publishing.MAX_PAGE} files in one drop")
        if page.next is None:
            return heads
        after = page.next


def _version(stores: Stores, record: ProjectRecord, drop: Drop, by: str) -> VersionRecord:
    """The version that bears the label, opened if there is none."""
    project, label = record.project.name, names.label(drop.label)
    try:
        found = models.within(stores, record.id, project, names.model_name(drop.model))
    except NotFound:
        with contextlib.suppress(AlreadyExists):
            models.create(stores, by, project, NewModel(drop.model))
        found = models.within(stores, record.id, project, drop.model)
    try:
        return reading.of_model(stores, found, VersionSelector("label", label))
    except NotFound:
        pass
    key = f"inbox:{digests.sha256_of(label.encode())[:32]}"
    try:
        version = publishing.begin(stores, by, project, drop.model, NewVersion(key, label))
    except AlreadyExists:
        return reading.of_model(stores, found, VersionSelector("label", label))
    return VersionRecord(found, version)


def _complete(stores: Stores, drop: Drop, heads: dict[str, Head]) -> bool:
    """Whether all buffers that `database.yaml` lists are there, with the SHA-1 it gives."""
    found = listing(stores, drop, heads[FATE_MARKER])
    if any(name not in heads for name in files_of(found)):
        return False
    for name, buffer in found["models"].items():
        claimed = str(buffer.get("sha1", "")) if isinstance(buffer, dict) else ""
        if _sha1(stores, heads[f"{name}.pb"]) != claimed:
            raise IntegrityError(f"{name}.pb does not have the SHA-1 that database.yaml gives")
    return True


def listing(stores: Stores, drop: Drop, head: Head) -> dict[str, Any]:
    """What `database.yaml` says, checked against the folder it lies in."""
    if head.size > MAX_MARKER:
        raise InvalidManifest(f"database.yaml has {head.size} bytes; {MAX_MARKER} at most")
    try:
        found = _marker(stores.blobs.read(head.key, etag=head.etag))
    except Precondition:
        raise Unavailable("database.yaml was overwritten while it was read") from None
    if int(found.get("step_index", -1)) != drop.step or str(found.get("step_name")) != drop.name:
        raise InvalidManifest("database.yaml names another step than its folder")
    buffers = found.get("models")
    if not isinstance(buffers, dict) or not buffers:
        raise InvalidManifest("database.yaml lists no models")
    return found


def files_of(found: dict[str, Any]) -> list[str]:
    """The files that a `database.yaml` promises: a buffer and its JSON form per model."""
    return [f"{name}.{kind}" for name in found["models"] for kind in ("pb", "json")]


def _marker(data: bytes) -> dict[str, Any]:
    import yaml  # only the indexer needs it

    try:
        listing = yaml.safe_load(data)
        if isinstance(listing, dict):
            int(listing.get("step_index", -1))
            return listing
    except (yaml.YAMLError, ValueError, TypeError, RecursionError) as error:
        raise InvalidManifest(f"database.yaml cannot be read: {error}"[:300]) from None
    raise InvalidManifest("database.yaml is no mapping")


def _sha1(stores: Stores, head: Head) -> str:
    """The SHA-1 of a buffer: the one exception to reading headers only, so it is bounded."""
    if head.size > MAX_HASHED:
        raise InvalidManifest(f"a buffer has {head.size} bytes; {MAX_HASHED} at most")
    digest = hashlib.sha1(usedforsecurity=False)
    for start in range(0, head.size, _BLOCK):
        try:
            length = min(_BLOCK, head.size - start)
            digest.update(stores.blobs.read(head.key, start, length, etag=head.etag))
        except Precondition:
            raise Unavailable("the buffer was overwritten while it was read") from None
    return digest.hexdigest()


def _adopt(stores: Stores, project_id: str, name: str, head: Head) -> FileEntry:
    names.file_path(name)
    if head.size > MAX_COPY:
        raise InvalidManifest(
            f"{name} has {head.size} bytes; an inbox file has {MAX_COPY} at most: push it instead"
        )
    usage.require_bytes(stores, project_id, head.size)
    target = keys.blob_object(project_id, stores.random())
    try:
        copy = stores.blobs.adopt(head.key, head.etag, target)
    except (Precondition, NotFound):
        raise Unavailable(f"{head.key} was overwritten while it was adopted") from None
    blob = digests.blob_from_checksum(copy.sha256, copy.size)
    blobs.register(stores, project_id, blob, copy)
    return FileEntry(name, copy.size, digests.parse_blob(blob).sha256, blob)
