"""The sweep repairs what events missed and frees what nothing refers to. It alone deletes objects.

Everything it does is safe to repeat and to run twice at once. It reports what it did.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from chalicelib.registry import blobs, keys, projects, publishing, versions
from chalicelib.registry.models import ModelRecord
from chalicelib.registry.ports import (
    ConditionFailed,
    Delete,
    Equal,
    Head,
    Item,
    Key,
    Less,
    Put,
    Table,
    Update,
)
from chalicelib.registry.stores import Stores, epoch
from weighbridge.contract import codec, digests
from weighbridge.contract.errors import Conflict, NotFound
from weighbridge.contract.types import Model, Version


@dataclass(slots=True)
class Report:
    """What one sweep did."""

    aborted_uploads: int = 0
    aborted_versions: int = 0
    freed_blobs: int = 0
    freed_bytes: int = 0
    orphans: int = 0
    indexed: int = 0
    settled: list[tuple[str, str]] = field(default_factory=list)
    """Project id and blob of candidates that are referred to and stay."""


def everything(table: Table, pk: str, start: str = "") -> Iterator[Item]:
    """All items of a partition whose sort key begins with `start`."""
    after: str | None = None
    while True:
        page = table.query(pk, *keys.prefix(start), after=after, limit=1000)
        yield from page.items
        if page.next is None:
            return
        after = page.next


def run(stores: Stores) -> Report:
    """One sweep over all projects. Orphaned objects are looked for once a day."""
    report = Report()
    if stores.grants is not None:
        stores.grants.expire()
    for record in projects.records(stores):
        _stale_uploads(stores, record.id, report)
        _stale_versions(stores, record.id, report)
        _candidates(stores, record.id, report)
    key = Key("SWEEP", "orphans")
    last = stores.table.get(key)
    now = int(stores.now())
    if last is None or int(last.attrs["n"]) < now - 86400:
        found = collect_orphans(stores, stores.stale_seconds, delete=True)
        report.orphans, report.freed_bytes = found.orphans, report.freed_bytes + found.freed_bytes
        stores.table.write(Put(Item(key, {"n": now})))
    return report


def _stale_uploads(stores: Stores, project_id: str, report: Report) -> None:
    before = int(stores.now()) - stores.stale_seconds
    for stale in stores.blobs.stale_multiparts(f"blobs/{project_id}/", before):
        stores.blobs.abort_multipart(stale.key, stale.upload)
        report.aborted_uploads += 1


def _models(stores: Stores, project_id: str) -> Iterator[ModelRecord]:
    for item in everything(stores.table, f"P#{project_id}", "M#"):
        model = codec.decode(Model, dict(item.doc))
        yield ModelRecord(project_id, model.project, model, str(item.attrs.get("state", "live")))


def _stale_versions(stores: Stores, project_id: str, report: Report) -> None:
    """Aborts open versions that nobody touched for long and that hold no checkpoint."""
    before = stores.now() - stores.stale_seconds
    for record in _models(stores, project_id):
        for item in everything(stores.table, keys.of_model(record.id), "O#"):
            version = codec.decode(Version, dict(item.doc))
            if epoch(version.created) > before:
                continue
            pk = keys.of_checkpoints(record.id, version.number)
            if stores.table.query(pk, *keys.prefix("C#"), limit=1).items:
                continue
            try:
                publishing.abort(stores, "sweep", record.project, record.model.name, version.number)
                report.aborted_versions += 1
            except (Conflict, NotFound):
                continue  # published or removed meanwhile


def clean_version(stores: Stores, project_id: str, model_id: str, number: int) -> None:
    """Gives up all that a deleted version and its checkpoints referred to."""
    item = stores.table.get(keys.version(model_id, keys.ENDED, number))
    if item is None:
        return
    version = codec.decode(Version, dict(item.doc))
    pages = publishing.page_objects(stores, project_id, model_id, number)
    stores.table.write_many([Put(Item(keys.free_object(project_id, key))) for key in pages])
    metrics = publishing.metric_items(keys.of_model(model_id), version.metrics, number)
    stores.table.write_many([Delete(key) for key in metrics])
    if version.manifest:
        held = [e.blob for e in versions.files(stores, project_id, version.manifest)]
        blobs.release(stores, project_id, held, keys.holder(model_id, number))
    pk = keys.of_checkpoints(model_id, number)
    for found in list(everything(stores.table, pk, "C#")):
        checkpoint_number = int(found.key.sk[2:])
        entries = versions.files(stores, project_id, str(found.doc["manifest"]))
        holder = keys.holder(model_id, number, checkpoint_number)
        blobs.release(stores, project_id, [e.blob for e in entries], holder)
        stores.table.write(Delete(found.key))
    stores.table.write_many([Delete(i.key) for i in everything(stores.table, pk)])


def _candidates(stores: Stores, project_id: str, report: Report) -> None:
    for item in list(everything(stores.table, keys.of_candidates(project_id))):
        if int(item.attrs.get("until", 0)) > stores.now():
            continue
        kind, name = item.key.sk[:2], item.key.sk[2:]
        if kind == "O#":
            size = _object_size(stores, name)
            stores.blobs.delete([name])
            report.freed_bytes += size
            stores.table.write(Delete(item.key))
        elif _collect(stores, project_id, name, report):
            stores.table.write(Delete(item.key))


def _object_size(stores: Stores, key: str) -> int:
    try:
        return stores.blobs.head(key).size
    except NotFound:
        return 0


def held(stores: Stores, project_id: str, blob: str) -> bool:
    """Whether a living version or checkpoint refers to the blob; stray references are removed."""
    alive = False
    for key in blobs.references(stores, project_id, blob):
        model_id, number, checkpoint = keys.parse_holder(key.sk)
        if _alive(stores.table, model_id, number, checkpoint):
            alive = True
        else:
            stores.table.write(Delete(key))
    return alive


def _alive(table: Table, model_id: str, number: int, checkpoint: int) -> bool:
    kinds = [keys.version(model_id, kind, number) for kind in (keys.OPEN, keys.READY)]
    if not table.get_many(kinds):
        return False
    if not checkpoint:
        return True
    return table.get(keys.checkpoint(model_id, number, checkpoint)) is not None


def _collect(stores: Stores, project_id: str, blob: str, report: Report) -> bool:
    """Two phases: mark `deleting` once the lease is over, look for references again, then delete.

    Answers whether the candidate is settled. Whoever wants to refer to the blob renews its lease
    under `live` first, so between mark and second look nothing new can appear.
    """
    key = keys.blob(project_id, blob)
    item = stores.table.get(key)
    if item is None:
        return True
    if held(stores, project_id, blob):
        report.settled.append((project_id, blob))
        return True
    rev = int(item.attrs.get("rev", 0))
    if item.attrs.get("state") == "live":
        mark = Update(
            key, set={"state": "deleting"}, add={"rev": 1},
            condition=(
                Equal("state", "live"), Equal("rev", rev), Less("until", int(stores.now())),
            ),
        )  # fmt: skip
        try:
            stores.table.write(mark)
        except ConditionFailed:
            return False  # leased: the next sweep looks again
        rev += 1
    if held(stores, project_id, blob):
        back = Update(key, set={"state": "live"}, add={"rev": 1}, condition=(Equal("rev", rev),))
        stores.table.write(back)
        return True
    stores.blobs.delete([str(item.doc["key"])])
    try:
        stores.table.write(Delete(key, (Equal("rev", rev),)))
        stores.table.write(Delete(keys.facts(project_id, blob)))
    except ConditionFailed:
        return True  # pushed again meanwhile, under a new object
    report.freed_blobs += 1
    report.freed_bytes += int(item.doc["size"])
    return True


def orphans(stores: Stores, project_id: str, grace: int) -> Iterator[Head]:
    """Blob objects older than `grace` seconds that no blob item names: an upload nobody reported."""
    before = stores.now() - grace
    after = ""
    while True:
        page = stores.blobs.list(f"blobs/{project_id}/", after)
        for listed in page.heads:
            if listed.modified > before:
                continue
            head = stores.blobs.head(listed.key)
            if not head.sha256:
                continue  # nothing says whose it is, so nothing says that it is nobody's
            item = _named(stores, project_id, head)
            if item is None or item.doc.get("key") != head.key:
                yield head
        if page.next is None:
            return
        after = page.next


def _named(stores: Stores, project_id: str, head: Head) -> Item | None:
    blob = digests.blob_from_checksum(head.sha256, head.size)
    return stores.table.get(keys.blob(project_id, blob))


def collect_orphans(stores: Stores, grace: int, *, delete: bool) -> Report:
    """Reports orphans of every project, and deletes them if asked."""
    report = Report()
    for record in projects.records(stores):
        for head in orphans(stores, record.id, grace):
            report.orphans += 1
            if delete:
                stores.blobs.delete([head.key])
                report.freed_bytes += head.size
    return report
