"""A registry on SQLite and in-memory bytes, with a clock that tests turn."""

import contextlib
import hashlib
from pathlib import Path
from typing import Any

from chalicelib.indexing import forml_packages, objects
from chalicelib.registry import jobs, models, projects, publishing, uploads
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


def world(folder: Path, table=None, blobs=None, working=False) -> tuple[Stores, Clock]:
    """Stores on a fresh SQLite file and in-memory blobs; `working`: jobs are done at once."""
    clock = Clock()
    stores = Stores(
        table=table or SqliteTable(str(folder / "catalog.sqlite")),
        blobs=blobs or MemoryBlobs(clock=clock),
        queue=WorkingQueue() if working else MemoryQueue(),
        site=MemoryBlobs(clock=clock),
        now=clock,
        inspect=forml_packages.inspect,
    )
    if working:
        stores.queue.stores = stores
    return stores, clock


def work_all(stores: Stores) -> int:
    """Does every job that waits for the archive worker; answers how many messages there were."""
    messages = stores.queue.take("archive")
    for message in messages:
        jobs.work(stores, message["project"], message["job"], message.get("share", ""))
    return len(messages)


class WorkingQueue(MemoryQueue):
    """A queue whose archive worker is quick: a job is done before `jobs.run` looks at it."""

    def __init__(self) -> None:
        super().__init__()
        self.stores: Stores | None = None

    def send(self, topic, message):
        """Keeps the message, or does the job (one that is to be tried again stays queued)."""
        if topic != "archive" or self.stores is None:
            super().send(topic, message)
            return
        with contextlib.suppress(Exception):
            jobs.work(self.stores, message["project"], message["job"], message.get("share", ""))


def setup_model(stores: Stores, project: str = "vision", model: str = "digits") -> None:
    """A project with one model."""
    projects.create(stores, "ann", NewProject(project))
    models.create(stores, "ann", project, NewModel(model))


def _execute(stores: Stores) -> Any:
    """What carries out signed requests: the store in memory itself, else a request."""
    if (execute := getattr(stores.blobs, "execute", None)) is not None:
        return execute
    from tests.storage.blobs_fixtures import send

    return send


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
            _execute(stores)(blob.request, data_of[blob.blob])
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
