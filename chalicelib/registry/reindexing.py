"""Jobs that look at stored objects once more, after the indexer was improved: one per project.

A job is an item with a cursor. Whoever works on it (the indexer when a message wakes it, else the sweep)
saves the cursor under the item's revision after each piece, so two workers cannot both go on.
"""

from contextlib import suppress
from dataclasses import dataclass, replace

from chalicelib.registry import keys, models, outbox, projects, versions
from chalicelib.registry.ports import Absent, ConditionFailed, Equal, Item, Put, Update
from chalicelib.registry.stores import Stores, iso
from weighbridge.contract import codec
from weighbridge.contract.errors import Conflict, InvalidRequest, NotFound, Unavailable
from weighbridge.contract.types import ReindexJob, ReindexRequest


@dataclass(frozen=True, slots=True)
class JobRecord:
    """A job with where it stands: the model, version and checkpoint reached, and files done there."""

    project_id: str
    job: ReindexJob
    cursor: tuple[str, str, str, int] = ("", "", "", 0)
    revision: int = 1


def start(stores: Stores, by: str, project: str, request: ReindexRequest) -> ReindexJob:
    """Begins a job; `Conflict` while another of this project is running."""
    record = projects.find(stores, project)
    if request.version and not request.model:
        raise InvalidRequest("name the model of the version")
    if request.model:
        model = models.within(stores, record.id, record.project.name, request.model)
        if request.version:
            versions.numbered(stores, model, request.version)
    now = iso(stores.now())
    job = ReindexJob(
        record.project.name, request.model, request.version, request.everything, request.dry_run,
        started=now, updated=now, started_by=by,
    )  # fmt: skip
    key = keys.reindex_job(record.id)
    old = stores.table.get(key)
    if old is not None and old.attrs["state"] == "running":
        raise Conflict(
            f"a job of {record.project.name} is running since {old.doc['job']['started']}; "
            "it ends by itself (`weighbridge reindex --status`)"
        )
    fresh = JobRecord(record.id, job, revision=int(old.attrs["rev"]) + 1 if old else 1)
    event = outbox.entry(
        stores, record.id, "reindex.started", by, subject=job.model or record.project.name,
        model=job.model, details=codec.encode(request),
    )  # fmt: skip
    condition = (Equal("rev", old.attrs["rev"]),) if old else (Absent(),)
    attrs: dict[str, str | int] = {"state": "running", "rev": fresh.revision}
    try:
        stores.table.transact([Put(Item(key, attrs, _document(fresh)), condition), event])
    except ConditionFailed:
        raise Conflict("another job was started at the same moment") from None
    outbox.wake(stores, record.id)
    wake(stores, record.id)
    return job


def _document(record: JobRecord) -> dict[str, object]:
    return {"job": codec.encode(record.job), "cursor": list(record.cursor)}


def wake(stores: Stores, project_id: str) -> None:
    """Asks the indexer to go on; if the message is lost, the sweep does."""
    with suppress(Unavailable):
        stores.queue.send("index", {"detail": {"object": {"key": keys.reindex_object(project_id)}}})


def find(stores: Stores, project_id: str) -> JobRecord | None:
    """The newest job of a project."""
    item = stores.table.get(keys.reindex_job(project_id))
    if item is None:
        return None
    model, version, point, done = item.doc["cursor"]
    job = codec.decode(ReindexJob, dict(item.doc["job"]))
    return JobRecord(project_id, job, (model, version, point, int(done)), int(item.attrs["rev"]))


def show(stores: Stores, project: str) -> ReindexJob:
    """The newest job of a project, or `NotFound`."""
    record = projects.find(stores, project)
    found = find(stores, record.id)
    if found is None:
        raise NotFound(f"nothing of {record.project.name} was ever indexed again")
    return found.job


def save(stores: Stores, record: JobRecord) -> JobRecord:
    """Keeps how far a job came. Raises `ConditionFailed` if another worker is on it."""
    now = iso(stores.now())
    job = replace(record.job, updated=now)
    changed = replace(record, job=job, revision=record.revision + 1)
    update = Update(
        keys.reindex_job(record.project_id), set={"state": job.state}, add={"rev": 1},
        doc=_document(changed), condition=(Equal("rev", record.revision),),
    )  # fmt: skip
    if job.state == "running":
        stores.table.write(update)
        return changed
    details = {"looked": job.looked, "indexed": job.indexed, "failed": job.failed}
    event = outbox.entry(
        stores, record.project_id, "reindex.done", "indexer", model=job.model,
        subject=job.model or job.project, details={**details, "dry_run": job.dry_run},
    )  # fmt: skip
    stores.table.transact([update, event])
    outbox.wake(stores, record.project_id)
    return changed
