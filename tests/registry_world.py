"""A registry on SQLite and in-memory bytes, with a clock that tests turn."""

import hashlib
from pathlib import Path

from chalicelib.indexing import objects, packages
from chalicelib.registry import models, projects, publishing, uploads
from chalicelib.registry.stores import Stores
from chalicelib.storage.memory import MemoryBlobs, MemoryQueue
from chalicelib.storage.sqlite import SqliteTable
from weighbridge.contract import digests, manifests
from weighbridge.contract.manifests import FileEntry
from weighbridge.contract.types import (
    NewModel,
    NewProject,
    NewVersion,
    PlanRequest,
    PutDone,
    Version,
    VersionCommit,
    WantedBlob,
)


class Clock:
    """A clock that stands still until it is turned."""

    def __init__(self) -> None:
        self.time = 1_800_000_000.0

    def __call__(self) -> float:
        return self.time


def world(folder: Path, table=None, blobs=None) -> tuple[Stores, Clock]:
    """Stores on a fresh SQLite file and in-memory blobs."""
    clock = Clock()
    stores = Stores(
        table=table or SqliteTable(str(folder / "catalog.sqlite")),
        blobs=blobs or MemoryBlobs(clock=clock),
        queue=MemoryQueue(),
        site=MemoryBlobs(clock=clock),
        now=clock,
        inspect=packages.inspect,
    )
    return stores, clock


def setup_model(stores: Stores, project: str = "vision", model: str = "digits") -> None:
    """A project with one model."""
    projects.create(stores, "ann", NewProject(project))
    models.create(stores, "ann", project, NewModel(model))


def upload(stores: Stores, project: str, files: dict[str, bytes]) -> tuple[FileEntry, ...]:
    """Pushes small files as a client does: plan, PUT, report."""
    entries = []
    for path, data in files.items():
        digest = digests.sha256_of(data)
        entries.append(FileEntry(path, len(data), digest, digests.single_blob(digest, len(data))))
    want = tuple(WantedBlob(e.blob) for e in entries)
    plan = uploads.plan(stores, "ann", project, PlanRequest(want))
    done = []
    data_of = {e.blob: files[e.path] for e in entries}
    for blob in plan.blobs:
        if blob.action == "put":
            stores.blobs.execute(blob.request, data_of[blob.blob])
            done.append(PutDone(blob.blob, blob.key))
    if done:
        uploads.plan(stores, "ann", project, PlanRequest((), tuple(done)))
    return tuple(entries)


def key_of(text: str) -> str:
    """An idempotency key."""
    return hashlib.sha256(text.encode()).hexdigest()


_serial = iter(range(10**9))


def publish(
    stores: Stores,
    files: dict[str, bytes],
    project: str = "vision",
    model: str = "digits",
    label: str = "",
    **commit,
) -> Version:
    """A whole push of small files."""
    new = NewVersion(key_of(f"push {next(_serial)}"), label)
    version = publishing.begin(stores, "ann", project, model, new)
    entries = upload(stores, project, files)
    request = VersionCommit(manifests.digest(entries), entries, **commit)
    return publishing.commit(stores, "ann", project, model, version.number, request)


def index_all(stores: Stores, project: str = "vision") -> None:
    """Delivers the event of every stored blob of a project."""
    project_id = projects.find(stores, project).id
    for head in stores.blobs.list(f"blobs/{project_id}/").heads:
        objects.look(stores, head.key)
