"""Publishing a version: open it, add what it holds, and make all of it visible in one transaction."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import cast

from chalicelib.registry import (
    accept,
    blobs,
    claims,
    describing,
    federated,
    forml_packages,
    keys,
    labels,
    models,
    outbox,
    packages,
    projects,
    retention,
    safety,
    usage,
    versions,
)
from chalicelib.registry.models import ModelRecord
from chalicelib.registry.ports import (
    Absent,
    ConditionFailed,
    Delete,
    Equal,
    Item,
    Missing,
    Precondition,
    Put,
    Update,
    Write,
)
from chalicelib.registry.stores import Stores, iso
from chalicelib.registry.versions import VersionRecord
from weighbridge.contract import codec, digests, manifests, names, references
from weighbridge.contract.errors import (
    AlreadyExists,
    Conflict,
    Gone,
    IntegrityError,
    InvalidRequest,
    TooLarge,
    Unavailable,
)
from weighbridge.contract.manifests import FileEntry
from weighbridge.contract.types import (
    FilePage,
    NewVersion,
    Version,
    VersionCommit,
    VersionState,
)

MAX_PAGE = 10_000
MAX_PARENTS = 32
LABEL_RACES = 40
"""Ordered labels have one mark per model, so concurrent commits of a model race for it."""
_WORD = {"ready": "published"}


def _anybody() -> None:
    pass


def begin(
    stores: Stores,
    by: str,
    project: str,
    model: str,
    new: NewVersion,
    allow: Callable[[], None] = _anybody,
) -> Version:
    """Opens the next version. The same key again answers the same version. `allow` is called before
    a project is made for it, and raises if the caller may not.

    Cost: two counter updates, one note and one transaction of 2 items (1 more with a label, 1 more
    with a retention of its own). Where labels are ordered, the commit decides who gets one (`labels`).
    """
    names.key("idempotency key", new.key)
    if new.label:
        names.label(new.label)
    if new.retention is not None:
        retention.checked(new.retention)
    record = (
        models.made(stores, by, project, model, allow)
        if new.create
        else models.find(stores, project, model)
    )
    if record.state != "live":
        raise Conflict(f"the model {record.name} is being deleted")
    if known := stores.table.get(keys.idempotency(record.id, new.key)):
        return versions.numbered(stores, record, int(known.attrs["n"])).version
    label, locked = labels.said(record, new.label), not labels.ordered(record.model)
    if not locked:
        labels.check(record, labels.mark(stores, record), label)
    elif label and (lock := stores.table.get(keys.label(record.id, label))):
        raise _taken(record, label, lock)
    usage.add_version(stores, models.project_of(stores, record))
    counter = stores.table.write(
        Update(keys.counter(keys.of_model(record.id)), add={"n": 1}, condition=(Missing("state"),))
    )
    number = int(counter.attrs["n"]) if counter else 0
    now = stores.now()
    # First the note for the sweep: a version that is opened and forgotten is aborted in the end.
    forgotten: dict[str, str | int] = {"until": int(now) + stores.stale_seconds}
    stores.table.write(
        Put(Item(keys.stale_version(record.project_id, record.id, number), forgotten))
    )
    version = Version(
        project=record.project, model=record.model.name, number=number, state="open",
        label=label, created=iso(now), created_by=by, revision=1,
    )  # fmt: skip
    opened = Item(
        keys.version(record.id, keys.OPEN, number), {"state": "open", "rev": 1},
        versions.document(version),
    )  # fmt: skip
    lock_attrs: dict[str, str | int] = {"n": number}
    expiring = {**lock_attrs, "ttl": int(now) + 2 * stores.stale_seconds}
    writes: list[Write] = [
        Put(opened, (Absent(),)),
        Put(Item(keys.idempotency(record.id, new.key), expiring), (Absent(),)),
    ]
    if label and locked:
        writes.append(Put(Item(keys.label(record.id, label), lock_attrs), (Absent(),)))
        writes += federated.rows(record, label, number)
    if new.retention is not None:  # beside the counter of its checkpoints: read with it
        own = {"retention": codec.encode(new.retention)}
        counter_key = keys.counter(keys.of_checkpoints(record.id, number))
        writes.append(Put(Item(counter_key, {"rev": 1}, own)))
    try:
        stores.table.transact(writes)
    except ConditionFailed as failed:
        stores.table.write(usage.less(record.project_id, "versions"))
        if failed.index == 1:  # a twin of this request was faster
            twin = stores.table.get(keys.idempotency(record.id, new.key))
            return versions.numbered(stores, record, int(twin.attrs["n"]) if twin else 0).version
        raise _taken(record, label, failed.existing) from None
    return version


def _taken(record: ModelRecord, label: str, lock: Item | None) -> AlreadyExists:
    number = int(lock.attrs["n"]) if lock else 0
    return AlreadyExists(
        f"the label {label!r} is taken by {record.name}@{number}; choose another",
        label=label, version=number,
    )  # fmt: skip


def opened(stores: Stores, record: ModelRecord, number: int) -> VersionRecord:
    """The open version of that number; `Conflict` if it is ready, `Gone` if it ended."""
    found = versions.numbered(stores, record, number, likely=keys.OPEN)
    if found.version.state != "open":
        raise Conflict(f"{found.reference} is {found.version.state}; its files never change")
    return found


def add_files(stores: Stores, project: str, model: str, number: int, page: FilePage) -> Version:
    """Adds a page of files to an open version; the same page again changes nothing."""
    if not 1 <= len(page.files) <= MAX_PAGE:
        raise TooLarge(f"{len(page.files)} files in one page; 1 to {MAX_PAGE}", limit=MAX_PAGE)
    found = opened(stores, models.find(stores, project, model), number)
    files = manifests.checked(page.files)
    blobs.refer(stores, found.model.project_id, files, found.holder)
    data = manifests.encode(files)
    folder = keys.manifest_pages(found.model.project_id, found.model.id, number)
    stores.blobs.put(f"{folder}{digests.sha256_of(data)}.json", data, "application/json")
    return found.version


def page_objects(stores: Stores, folder: str) -> list[str]:
    """The keys of the pages in a folder of a version."""
    found_keys: list[str] = []
    after = ""
    while True:
        listed = stores.blobs.list(folder, after)
        found_keys += [head.key for head in listed.heads]
        if listed.next is None:
            return found_keys
        after = listed.next


def _gathered(stores: Stores, found: VersionRecord, commit: VersionCommit) -> list[FileEntry]:
    """All files: those of the request, or those of the pages added before."""
    if commit.files:
        return list(commit.files)
    entries: dict[str, FileEntry] = {}
    record = found.model
    folder = keys.manifest_pages(record.project_id, record.id, found.number)
    for key in page_objects(stores, folder):
        for entry in manifests.decode(stores.blobs.read(key)):
            entries[entry.path] = entry
    return list(entries.values())


def store_manifest(
    stores: Stores, project_id: str, claimed: str, files: Sequence[FileEntry]
) -> tuple[FileEntry, ...]:
    """Checks the files against the manifest digest that the client computed, and keeps the manifest."""
    entries = manifests.checked(files)
    data = manifests.encode(entries)
    digest = digests.sha256_of(data)
    if digest != digests.sha256(claimed):
        raise IntegrityError(
            f"the files given make up the manifest {digest}, not {claimed}", manifest=digest
        )
    with suppress(Precondition):  # the same content was published before
        stores.blobs.put(
            keys.manifest_object(project_id, digest), data, "application/json", if_absent=True
        )
    return entries


def _parents(stores: Stores, given: Sequence[str]) -> list[VersionRecord]:
    if len(given) > MAX_PARENTS:
        raise TooLarge(f"{len(given)} parents; {MAX_PARENTS} at most", limit=MAX_PARENTS)
    found = []
    for text in dict.fromkeys(given):
        reference = references.parse(text)
        if reference.version is None or reference.checkpoint is not None:
            raise InvalidRequest(f"the parent {text!r} must be a version: PROJECT/MODEL@VERSION")
        parent = versions.resolve(stores, reference.project, reference.model, reference.version)
        if parent.version.state != "ready":
            raise Conflict(f"the parent {parent.reference} is not ready")
        found.append(parent)
    return found


def commit(
    stores: Stores,
    by: str,
    project: str,
    model: str,
    number: int,
    request: VersionCommit,
    source: str = "",
) -> Version:
    """Publishes an open version: everything is written under it first, then one transaction flips it.

    Under the safety policy `block` it is held back unless all its files are known to be safe.
    Committing the same manifest again answers the version as it is. `source` names the checkpoint
    that it is promoted from.
    """
    record = models.find(stores, project, model)
    found = versions.numbered(stores, record, number, likely=keys.OPEN)
    if found.version.state in versions.COMMITTED:
        return _same(found, request)
    if record.state != "live":
        raise Conflict(f"the model {record.name} is being deleted")
    files = _gathered(stores, found, request)
    entries = store_manifest(stores, record.project_id, request.manifest, files)
    for name in request.params:
        names.key("param", name)
    parents = _parents(stores, request.parents)
    seen = safety.look(stores, record.project_id, entries)
    policy = models.project_of(stores, record).project.safety
    state = safety.state_of(policy, seen.verdict)
    now = stores.now()
    version = replace(
        found.version, state=cast("VersionState", state), verdict=seen.verdict,
        formats=seen.formats,
        description=projects.description(request.description),
        metrics=request.metrics, params=request.params, tags=models.tags(request.tags),
        attributes=request.attributes, provenance=request.provenance,
        parents=tuple(p.reference for p in parents), source=source, manifest=request.manifest,
        files=len(entries), size=sum(e.size for e in entries),
        published=iso(now) if state == "ready" else "", revision=1,
    )  # fmt: skip
    version = packages.packed(version, record.id, entries, request.package)
    describing.bounded(versions.document(version))
    pk = keys.of_model(record.id)
    metrics = describing.metric_items(pk, request.metrics, number)
    held = blobs.require(stores, record.project_id, entries)
    if not request.files:  # the references were written with the pages
        held = {}
    accept.check(stores, record.project_id, entries)
    forml_packages.check(stores, record, version.label, entries)
    version = replace(version, claims=claims.accept(stores, found, entries, request.claims))
    lineage = [
        Put(Item(keys.dependent(p.model.id, p.number, found.reference), {},
                 {"child": found.reference}))
        for p in parents
    ]  # fmt: skip
    holding = blobs.references_of(record.project_id, held, found.holder)
    if holding or metrics or lineage:
        stores.table.write_many([*holding, *metrics.values(), *lineage])
    note = safety.leave_note(stores, record.project_id, found.holder, request.manifest, seen)
    event = outbox.entry(
        stores, record.project_id, f"version.{_WORD.get(state, state)}", by, model=record.model.name,
        subject=f"{record.model.name}@{number}", versions=[number, *_local(parents, record)],
        details={k: v for k, v in (("label", version.label), ("source", source)) if v},
    )  # fmt: skip
    locks = packages.locks(record.project_id, record.id, version)
    try:
        try:
            _flip(stores, found, version, [event, *locks])
        except ConditionFailed as failed:
            if not packages.concerns(failed):
                raise
            if request.package:
                raise packages.taken(failed) from None
            # Nobody asked for it to be a package: it is published as what it is, a version.
            version = replace(version, package=None)
            _flip(stores, found, version, [event])
    except ConditionFailed:
        return _same(versions.numbered(stores, record, number), request)
    outbox.wake(stores, record.project_id)
    if safety.recheck(stores, record.project_id, note):
        return versions.numbered(stores, record, number).version
    return version


def _flip(stores: Stores, found: VersionRecord, version: Version, more: list[Write]) -> None:
    """Makes the version visible, and its label the greatest where labels are ordered. Raises
    `ConditionFailed` if it is open no more, or another has a lock among `more`."""
    record = found.model
    kind = keys.READY if version.state == "ready" else keys.HELD
    attrs: dict[str, str | int] = {"state": version.state, "rev": 1}
    key = keys.version(record.id, kind, version.number)
    opened_key = keys.version(record.id, keys.OPEN, version.number)
    flip = [
        Delete(opened_key, (Equal("state", "open"),)),
        Put(Item(key, attrs, {**found.rest, **versions.document(version)}), (Absent(),)), *more,
    ]  # fmt: skip
    for _ in range(LABEL_RACES):
        order: list[Write] = []
        if labels.ordered(record.model):
            order += labels.moves(stores, record, version.label, version.number)
            order += federated.rows(record, version.label, version.number)
        try:
            stores.table.transact([*flip, *order])
        except ConditionFailed as failed:
            if failed.index < len(flip):
                raise
        else:
            return
        record = models.within(stores, record.project_id, record.project, record.model.name)
    raise Unavailable(f"too many others publish versions of {record.name}; try again")


def _local(parents: list[VersionRecord], record: ModelRecord) -> list[int]:
    return [p.number for p in parents if p.model.id == record.id]


def _same(found: VersionRecord, request: VersionCommit) -> Version:
    if found.version.state in versions.COMMITTED and found.version.manifest == request.manifest:
        return found.version
    raise Conflict(
        f"{found.reference} is {found.version.state} with other content; its files never change"
    )


def abort(stores: Stores, by: str, project: str, model: str, number: int) -> Version:
    """Gives an open version up; its number is never used again. Repeating it is no error."""
    record = models.find(stores, project, model)
    found = versions.numbered(stores, record, number, ended=True, likely=keys.OPEN)
    if found.version.state == "aborted":
        return found.version
    if found.version.state == "deleted":
        raise Gone(f"{found.reference} was deleted")
    found = opened(stores, record, number)
    ended = replace(found.version, state="aborted", revision=1)
    item = Item(
        keys.version(record.id, keys.ENDED, number), {"state": "aborted"},
        versions.document(ended),
    )  # fmt: skip
    event = outbox.entry(
        stores, record.project_id, "version.aborted", by, model=record.model.name,
        subject=f"{record.model.name}@{number}", versions=[number],
        clean=number, model_id=record.id,
    )  # fmt: skip
    writes: list[Write] = [
        Delete(keys.version(record.id, keys.OPEN, number), (Equal("state", "open"),)),
        Put(item), event, usage.less(record.project_id, "versions"),
    ]  # fmt: skip
    if not labels.ordered(record.model):  # else it was never locked
        writes += labels.freed(stores, record, found.version.label, number)
        writes += federated.gone(record, found.version.label)
    try:
        stores.table.transact(writes)
    except ConditionFailed:
        return abort(stores, by, project, model, number)
    outbox.wake(stores, record.project_id)
    return ended
