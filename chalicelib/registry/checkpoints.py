"""Checkpoints: numbered, immutable sets of files under a version, identified by (component, step, name)."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import cast

from chalicelib.registry import (
    accept,
    blobs,
    claims,
    keys,
    outbox,
    paging,
    projects,
    publishing,
    safety,
    versions,
)
from chalicelib.registry.models import ModelRecord, tags
from chalicelib.registry.ports import (
    Absent,
    Check,
    ConditionFailed,
    Delete,
    Equal,
    Item,
    Missing,
    Present,
    Put,
    Update,
    Write,
)
from chalicelib.registry.stores import Stores, iso
from chalicelib.registry.versions import VersionRecord
from weighbridge.contract import codec, names
from weighbridge.contract.errors import (
    AlreadyExists,
    InvalidManifest,
    InvalidRequest,
    NotFound,
    Unavailable,
)
from weighbridge.contract.references import CheckpointSelector
from weighbridge.contract.types import (
    Checkpoint,
    CheckpointCommit,
    CheckpointPage,
    CheckpointState,
    Deleted,
)

MAX_STEP = 2**53
COMMIT_RACES = 40
"""Numbers are dense, so concurrent commits under one version race for the next one."""


@dataclass(frozen=True, slots=True)
class CheckpointRecord:
    """A checkpoint with its version."""

    version: VersionRecord
    checkpoint: Checkpoint

    @property
    def holder(self) -> str:
        """Its name in the references to blobs."""
        found = self.version
        return keys.holder(found.model.id, found.number, self.checkpoint.number)

    @property
    def reference(self) -> str:
        """`project/model@7:12`."""
        return f"{self.version.reference}:{self.checkpoint.number}"


def _decoded(item: Item) -> Checkpoint:
    return codec.decode(Checkpoint, dict(item.doc))


def _partition(found: VersionRecord) -> str:
    return keys.of_checkpoints(found.model.id, found.number)


def _numbered(stores: Stores, found: VersionRecord, number: int) -> CheckpointRecord:
    at = (found.model.id, found.number, number)
    item = stores.table.get(keys.checkpoint(*at))
    if item is None:  # held back; or let through while we look
        item = stores.table.get(keys.checkpoint(*at, keys.HELD))
    if item is None:
        item = stores.table.get(keys.checkpoint(*at))
    if item is None:
        raise NotFound(f"{found.reference} has no checkpoint {number}")
    return CheckpointRecord(found, _decoded(item))


def _same_identity(
    stores: Stores, found: VersionRecord, request: CheckpointCommit
) -> Checkpoint | None:
    """The checkpoint of that identity, if it is there; `AlreadyExists` if it holds other content."""
    lock = stores.table.get(
        keys.step(found.model.id, found.number, request.component, request.step, request.name)
    )
    if lock is None:
        return None
    there = _numbered(stores, found, int(lock.attrs["n"])).checkpoint
    if there.manifest == request.manifest:
        return there
    raise AlreadyExists(
        f"{found.reference} has a checkpoint {request.component or '-'} {request.step}"
        f"#{request.name} with other content (number {there.number}); use another step or name",
        number=there.number,
    )


def commit(stores: Stores, by: str, found: VersionRecord, request: CheckpointCommit) -> Checkpoint:
    """Publishes a checkpoint under an open or ready version, in one transaction.

    Under the safety policy `block` it is held back unless all its files are known to be safe.
    Equal content under the same identity is the same checkpoint, however often it is committed.
    """
    names.component(request.component)
    names.step_name(request.name)
    if not 0 <= request.step < MAX_STEP:
        raise InvalidRequest(f"a step is from 0 to 2^53, not {request.step}")
    if not request.files:
        raise InvalidManifest("a checkpoint needs at least one file")
    if len(request.files) > publishing.MAX_PAGE:
        raise InvalidManifest(f"{len(request.files)} files; {publishing.MAX_PAGE} at most")
    if there := _same_identity(stores, found, request):
        return there
    project_id = found.model.project_id
    entries = publishing.store_manifest(stores, project_id, request.manifest, request.files)
    blobs.require(stores, project_id, entries)
    accept.check(stores, project_id, entries)
    seen = safety.look(stores, project_id, entries)
    policy = projects.find(stores, found.model.project).project.safety
    state = cast("CheckpointState", safety.state_of(policy, seen.verdict))
    draft = Checkpoint(
        project=found.model.project, model=found.model.model.name, version=found.number, number=0,
        component=request.component, step=request.step, name=request.name,
        metrics=request.metrics, tags=tags(request.tags), manifest=request.manifest,
        files=len(entries), size=sum(e.size for e in entries), created=iso(stores.now()),
        created_by=by, state=state, verdict=seen.verdict,
    )  # fmt: skip
    publishing.bounded(codec.encode(draft))
    draft = replace(draft, claims=claims.accept(stores, found, entries, request.claims))
    pk = _partition(found)
    for _ in range(COMMIT_RACES):
        counter = stores.table.get(keys.counter(pk))
        last = int(counter.attrs.get("n", 0)) if counter else 0
        number = last + 1
        record = CheckpointRecord(found, replace(draft, number=number))
        # References and metrics first: what a lost race leaves of them is found stray later.
        blobs.refer(stores, project_id, entries, record.holder)
        metrics = publishing.metric_items(pk, request.metrics, number)
        if metrics:
            stores.table.write_many(list(metrics.values()))
        note = safety.leave_note(stores, project_id, record.holder, request.manifest, seen)
        try:
            stores.table.transact(_writes(stores, by, record, last))
        except ConditionFailed as failed:
            if failed.index == 1:  # the version was published or deleted meanwhile
                found = versions.numbered(stores, found.model, found.number)
            elif failed.index == 2 and (there := _same_identity(stores, found, request)):
                return there
            continue
        outbox.wake(stores, project_id)
        if safety.recheck(stores, project_id, note):
            return _numbered(stores, found, number).checkpoint
        return record.checkpoint
    raise Unavailable(f"too many others write checkpoints of {found.reference}; try again")


def _writes(stores: Stores, by: str, record: CheckpointRecord, last: int) -> list[Write]:
    found, new = record.version, record.checkpoint
    kinds = {"ready": keys.READY, "open": keys.OPEN}
    kind = kinds.get(found.version.state, keys.HELD)
    point = keys.POINT if new.state == "ready" else keys.HELD
    word = "published" if new.state == "ready" else new.state
    condition = (Equal("n", last),) if last else (Missing("n"),)
    model_id, number = found.model.id, found.number
    identity: dict[str, str | int] = {"n": new.number}
    return [
        Update(keys.counter(_partition(found)), set={"n": new.number}, condition=condition),
        Check(keys.version(model_id, kind, number), (Equal("state", found.version.state),)),
        Put(
            Item(keys.step(model_id, number, new.component, new.step, new.name), identity),
            (Absent(),),
        ),
        Put(
            Item(
                keys.checkpoint(model_id, number, new.number, point), {"rev": 1},
                codec.encode(new),
            ),
            (Absent(),),
        ),
        outbox.entry(
            stores, found.model.project_id, f"checkpoint.{word}", by,
            model=found.model.model.name,
            subject=f"{found.model.model.name}@{number}:{new.number}", versions=[number],
            details={"component": new.component, "step": new.step, "name": new.name},
        ),
    ]  # fmt: skip


def resolve(stores: Stores, found: VersionRecord, selector: CheckpointSelector) -> CheckpointRecord:
    """The checkpoint that `selector` means: a number, the last committed, or the best by a metric."""
    if selector.kind == "number":
        return _numbered(stores, found, selector.number)
    pk = _partition(found)
    if selector.kind == "last":
        page = stores.table.query(pk, *keys.prefix("C#"), limit=1, reverse=True)
        if not page.items:
            raise NotFound(f"{found.reference} has no checkpoint yet")
        return CheckpointRecord(found, _decoded(page.items[0]))
    metric = versions.metric_of(found.model, selector.value)
    best = versions.direction(found.model, metric)
    for number in versions.ranking(stores, pk, metric, best):
        item = stores.table.get(keys.checkpoint(found.model.id, found.number, number))
        if item is not None and metric in _decoded(item).metrics:
            return CheckpointRecord(found, _decoded(item))
    raise NotFound(f"no checkpoint of {found.reference} has the metric {metric!r}")


def listing(
    stores: Stores,
    found: VersionRecord,
    *,
    component: str | None = None,
    order: str = "newest",
    state: str = "ready",
    limit: int = 100,
    page: str | None = None,
) -> CheckpointPage:
    """Checkpoints by number (`newest`, `oldest`), or by component and `step`; those that are ready, or
    those held back by their verdict. A page may be short where others lie between."""
    if order not in ("newest", "oldest", "step"):
        raise InvalidRequest(f"order must be newest, oldest or step, not {order!r}")
    if state not in ("ready", "held"):
        raise InvalidRequest(f"state must be ready or held, not {state!r}")
    pk = _partition(found)
    kind = keys.POINT if state == "ready" else keys.HELD
    query = f"checkpoints/{pk}/{component}/{order}" + ("/held" if state == "held" else "")
    if component is None and order != "step":
        items, following = paging.page_of(
            stores.table, query, pk, keys.prefix(f"{kind}#"), _decoded, size=limit, page=page,
            reverse=order == "newest",
        )  # fmt: skip
        return CheckpointPage(items, following)
    start = "S#" if component is None else f"S#{keys.text(names.component(component))}#"
    locks, following = paging.page_of(
        stores.table, query, pk, keys.prefix(start), lambda item: int(item.attrs["n"]),
        size=limit, page=page, reverse=order == "newest",
    )  # fmt: skip
    return CheckpointPage(_many(stores, found, locks, kind), following)


def newest(stores: Stores, found: VersionRecord, limit: int) -> tuple[Checkpoint, ...]:
    """The newest checkpoints by number, newest first."""
    items = paging.collect(
        stores.table, _partition(found), keys.prefix("C#"), limit=limit, reverse=True
    )
    return tuple(_decoded(item) for item in items)


def _many(
    stores: Stores, found: VersionRecord, numbers: Sequence[int], kind: str
) -> tuple[Checkpoint, ...]:
    wanted = [keys.checkpoint(found.model.id, found.number, n, kind) for n in numbers]
    items = stores.table.get_many(wanted)
    return tuple(_decoded(items[key]) for key in wanted if key in items)


def delete(stores: Stores, by: str, found: VersionRecord, selector: CheckpointSelector) -> Deleted:
    """Deletes a checkpoint; its number is never used again."""
    record = resolve(stores, found, selector)
    old = record.checkpoint
    model: ModelRecord = found.model
    kind = keys.POINT if old.state == "ready" else keys.HELD
    key = keys.checkpoint(model.id, found.number, old.number, kind)
    identity = keys.step(model.id, found.number, old.component, old.step, old.name)
    event = outbox.entry(
        stores, model.project_id, "checkpoint.deleted", by, model=model.model.name,
        subject=f"{model.model.name}@{found.number}:{old.number}", versions=[found.number],
    )  # fmt: skip
    try:
        stores.table.transact([Delete(key, (Present(),)), Delete(identity), event])
    except ConditionFailed:
        if safety.committed(stores, record.holder):  # it became ready meanwhile
            return delete(stores, by, found, CheckpointSelector("number", str(old.number)))
        raise NotFound(f"{record.reference} is deleted already") from None
    outbox.wake(stores, model.project_id)
    release(stores, record)
    return Deleted(record.reference, old.size)


def release(stores: Stores, record: CheckpointRecord) -> None:
    """Gives up what a deleted checkpoint referred to; blobs that are left become candidates."""
    project_id = record.version.model.project_id
    entries = versions.files(stores, project_id, record.checkpoint.manifest)
    pk = _partition(record.version)
    metrics = publishing.metric_items(pk, record.checkpoint.metrics, record.checkpoint.number)
    stores.table.write_many([Delete(key) for key in metrics])
    blobs.release(stores, project_id, [e.blob for e in entries], record.holder)
    claims.free(stores, record.version, record.checkpoint.claims)
