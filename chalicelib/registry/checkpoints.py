"""Checkpoints: numbered, immutable sets of files under a version, identified by (component, step, name)."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import cast

from chalicelib.registry import (
    accept,
    blobs,
    claims,
    describing,
    keys,
    outbox,
    paging,
    projects,
    publishing,
    safety,
    series,
    staging,
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
    InUse,
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
    Direction,
)

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
    def selector(self) -> CheckpointSelector:
        """What means it for good, however it was found."""
        return CheckpointSelector("number", str(self.checkpoint.number))

    @property
    def reference(self) -> str:
        """`project/model@7:12`."""
        return f"{self.version.reference}:{self.checkpoint.number}"


def partition(found: VersionRecord) -> str:
    """Where a version's checkpoints are."""
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
    return CheckpointRecord(found, series.decoded(item))


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
    Equal content under the same identity is the same checkpoint, however often it is committed; with
    an expected number it gets that one or none.
    """
    names.component(request.component)
    names.step_name(request.name)
    if request.component == series.NO_COMPONENT:
        raise InvalidRequest(f"the component {series.NO_COMPONENT!r} is reserved: it means none")
    if not 0 <= request.step < series.MAX_STEP:
        raise InvalidRequest(f"a step is from 0 to 2^53, not {request.step}")
    if not request.files:
        raise InvalidManifest("a checkpoint needs at least one file")
    if len(request.files) > publishing.MAX_PAGE:
        raise InvalidManifest(f"{len(request.files)} files; {publishing.MAX_PAGE} at most")
    if not 0 <= request.expected < 10**10:
        raise InvalidRequest(f"an expected number is 1 or more, not {request.expected}")
    if there := _same_identity(stores, found, request):
        staging.bind(stores, found, request)
        return staging.refuse_other(found, request.expected, there)
    staging.check(stores, found, request)
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
        created_by=by, state=state, verdict=seen.verdict, formats=seen.formats,
    )  # fmt: skip
    describing.bounded(codec.encode(draft))
    draft = replace(draft, claims=claims.accept(stores, found, entries, request.claims))
    pk = partition(found)
    for _ in range(COMMIT_RACES):
        counter = stores.table.get(keys.counter(pk))
        last = int(counter.attrs.get("n", 0)) if counter else 0
        if request.expected not in (0, last + 1):
            if there := _same_identity(stores, found, request):  # a twin of this request was faster
                return staging.refuse_other(found, request.expected, there)
            staging.refuse_number(found, request.expected, last)
        record = CheckpointRecord(found, replace(draft, number=last + 1))
        # References and index first: what a lost race leaves of them is found stray later. Index rows
        # stay, because those of equal values are the winner's too; readers look whether a row is true.
        blobs.refer(stores, project_id, entries, record.holder)
        if record.checkpoint.state == "ready":  # else when it is let through
            stores.table.write_many(series.index_items(pk, record.checkpoint))
        note = safety.leave_note(stores, project_id, record.holder, request.manifest, seen)
        try:
            stores.table.transact(_writes(stores, by, record, last))
        except ConditionFailed as failed:
            if failed.index == 1:  # the version was published or deleted meanwhile
                found = versions.numbered(stores, found.model, found.number)
            elif failed.index == 2 and (there := _same_identity(stores, found, request)):
                return there
            continue
        staging.bind(stores, found, request)
        outbox.wake(stores, project_id)
        if safety.recheck(stores, project_id, note):
            return _numbered(stores, found, record.checkpoint.number).checkpoint
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
        Update(keys.counter(partition(found)), set={"n": new.number}, condition=condition),
        Check(keys.version(model_id, kind, number), (Equal("state", found.version.state),)),
        Put(
            Item(keys.step(model_id, number, new.component, new.step, new.name), identity),
            (Absent(),),
        ),
        Put(
            Item(
                keys.checkpoint(model_id, number, new.number, point), {"rev": 1},
                series.document(new),
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
    pk = partition(found)
    if selector.kind == "last":
        page = stores.table.query(pk, *keys.prefix("C#"), limit=1, reverse=True)
        if not page.items:
            raise NotFound(f"{found.reference} has no checkpoint yet")
        return CheckpointRecord(found, series.decoded(page.items[0]))
    metric = versions.metric_of(found.model, selector.value)
    best = versions.direction(found.model, metric)
    for point in series.ranked(stores.table, pk, metric, best, 1):
        return CheckpointRecord(found, point)
    raise NotFound(f"no checkpoint of {found.reference} has the metric {metric!r}")


def listing(
    stores: Stores,
    found: VersionRecord,
    *,
    component: str | None = None,
    order: str = "",
    state: str = "ready",
    limit: int = 100,
    page: str | None = None,
    name: str | None = None,
    steps: tuple[int, int] | None = None,
    tags: Mapping[str, str] | None = None,
    by: str = "",
) -> CheckpointPage:
    """Checkpoints by number (`newest`, `oldest`), by component and `step`, or `by` a metric from its
    `max` or `min` on (the better end, if no order is given). Those that are ready; or those held back
    by their verdict, which are listed by number only."""
    component = series.component_of(component)
    wanted = series.Wanted(component, name, steps, tags or {})
    pk = partition(found)
    if state == "held":
        order = order or "newest"
        rows = _held(pk, order, by)
    elif state != "ready":
        raise InvalidRequest(f"state must be ready or held, not {state!r}")
    elif by:
        names.key("metric name", by)
        order = order or versions.direction(found.model, by)
        if order not in ("max", "min"):
            raise InvalidRequest(f"by a metric, order must be max or min, not {order!r}")
        best: Direction = "max" if order == "max" else "min"
        rows = series.by_metric(pk, by, best, component)
    else:
        order = order or ("step" if steps is not None else "newest")
        if order not in ("newest", "oldest", "step"):
            raise InvalidRequest(
                f"order must be newest, oldest or step (max or min by a metric), not {order!r}"
            )
        if order == "step":
            rows = series.by_step(pk, component, steps)
        else:
            rows = series.by_number(pk, component, newest=order == "newest")
    query = (
        f"checkpoints/{pk}/{state}/{order}/{by}/{component}/{name}/{steps}/"
        f"{sorted(wanted.tags.items())}"
    )
    narrowed = name is not None or bool(tags) or (steps is not None and order != "step")
    narrowed = narrowed or (steps is not None and component is None)
    narrowed = narrowed or (component is not None and state == "held")
    items, following = series.page_of(
        stores.table, rows, wanted.accepts if narrowed else None, query=query, size=limit, page=page
    )
    return CheckpointPage(items, following)


def _held(pk: str, order: str, by: str) -> series.Order:
    """Those held back are in no index, because indexes answer which are the best and the last."""
    if by:
        raise InvalidRequest(
            "checkpoints that are held back are not ranked by a metric; leave out `by` or `state`"
        )
    if order not in ("newest", "oldest"):
        raise InvalidRequest(
            f"checkpoints that are held back are listed newest or oldest first, not by {order!r}"
        )
    return series.by_number(pk, newest=order == "newest", kind=keys.HELD)


def newest(stores: Stores, found: VersionRecord, limit: int) -> tuple[Checkpoint, ...]:
    """The newest checkpoints by number, newest first."""
    items = paging.collect(
        stores.table, partition(found), keys.prefix("C#"), limit=limit, reverse=True
    )
    return tuple(series.decoded(item) for item in items)


def gone(record: CheckpointRecord) -> list[Write]:
    """The writes that make a checkpoint vanish, unless it is pinned; what it referred to is released
    afterwards, by `release`, from the note they leave."""
    found, old = record.version, record.checkpoint
    at = (found.model.id, found.number)
    kind = keys.POINT if old.state == "ready" else keys.HELD
    return [
        Delete(keys.checkpoint(*at, old.number, kind), (Present(), Missing("state"))),
        Delete(keys.step(*at, old.component, old.step, old.name)),
        Put(Item(keys.evicted(*at, old.number), {}, series.document(old))),
    ]


def delete(stores: Stores, by: str, found: VersionRecord, selector: CheckpointSelector) -> Deleted:
    """Deletes a checkpoint; its number is never used again. `InUse` if it is pinned."""
    record = resolve(stores, found, selector)
    old = record.checkpoint
    if old.pinned:
        raise _pinned(record)
    model: ModelRecord = found.model
    event = outbox.entry(
        stores, model.project_id, "checkpoint.deleted", by, model=model.model.name,
        subject=f"{model.model.name}@{found.number}:{old.number}", versions=[found.number],
        model_id=model.id, release=found.number,
    )  # fmt: skip
    bump = Update(keys.counter(partition(found)), add={"rev": 1})
    try:
        stores.table.transact([*gone(record), bump, event])
    except ConditionFailed as failed:
        if failed.existing is not None and failed.index == 0:
            raise _pinned(record) from None
        if safety.committed(stores, record.holder):  # it became ready meanwhile
            return delete(stores, by, found, record.selector)
        raise NotFound(f"{record.reference} is deleted already") from None
    outbox.wake(stores, model.project_id)
    release(stores, model.project_id, model.id, found.number, old)
    return Deleted(record.reference, old.size)


def _pinned(record: CheckpointRecord) -> InUse:
    return InUse(
        f"{record.reference} is pinned; run `weighbridge checkpoint unpin {record.reference}` first",
        by=["pin"],
    )


def release(
    stores: Stores, project_id: str, model_id: str, number: int, old: Checkpoint, grace: int = 0
) -> None:
    """Gives up what a checkpoint that is gone referred to; blobs that are left become candidates,
    due after `grace` seconds. Doing it again is harmless."""
    pk = keys.of_checkpoints(model_id, number)
    entries = versions.files(stores, project_id, old.manifest)
    stores.table.write_many([Delete(key) for key in series.index_keys(pk, old)])
    holder = keys.holder(model_id, number, old.number)
    blobs.release(stores, project_id, [e.blob for e in entries], holder, grace)
    claims.free(stores, (project_id, model_id, number), old.claims)
    stores.table.write(Delete(keys.evicted(model_id, number, old.number)))


def release_all(stores: Stores, project_id: str, model_id: str, number: int, grace: int) -> None:
    """Releases all of a version's checkpoints that are gone and were not released yet."""
    pk = keys.of_checkpoints(model_id, number)
    while items := stores.table.query(pk, *keys.prefix("X#"), limit=100).items:
        for item in items:
            release(stores, project_id, model_id, number, series.decoded(item), grace)
