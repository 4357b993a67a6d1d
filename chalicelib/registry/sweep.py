"""The sweep repairs what events missed and frees what nothing refers to. It alone deletes objects.

Everything it does is safe to repeat and to run twice at once. It reports what it did.
"""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field

from chalicelib.registry import (
    blobs,
    checkpoints,
    describing,
    jobs,
    keys,
    models,
    overdue,
    parts,
    projects,
    publications,
    publishing,
    usage,
    versions,
)
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
from chalicelib.registry.stores import Stores
from weighbridge.contract import codec
from weighbridge.contract.errors import Conflict, NotFound
from weighbridge.contract.types import Version

_POINTS = (f"{keys.HELD}#", f"{keys.POINT}#")  # the way that checkpoints go


@dataclass(slots=True)
class Report:
    """What one sweep did."""

    aborted_uploads: int = 0
    aborted_versions: int = 0
    freed_blobs: int = 0
    freed_bytes: int = 0
    evicted: int = 0
    orphans: int = 0
    indexed: int = 0
    expired: int = 0
    """Inbox objects that were removed."""
    revived: int = 0
    """Jobs whose message was lost."""
    thorough: bool = False
    """Whether this run also looks at what is looked at once a day."""
    settled: list[tuple[str, str]] = field(default_factory=list)
    """Project id and blob of candidates that are referred to and stay."""
    waiting: list[tuple[str, Item]] = field(default_factory=list)
    """Project id and note of verdicts that have been waited for too long."""


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
    stores.table.purge_expired(int(stores.now()))
    for record in projects.records(stores):
        _stale_uploads(stores, record.id, report)
        _candidates(stores, record.id, report)
    key = Key("SWEEP", "orphans")
    last = stores.table.get(key)
    now = int(stores.now())
    if last is None or int(last.attrs["n"]) < now - 86400:
        report.thorough = True
        # What is older was looked at by an earlier run: each object is looked at about twice.
        since = int(last.attrs["n"]) - stores.stale_seconds - 86400 if last else 0
        found = collect_orphans(stores, stores.stale_seconds, since, delete=True)
        report.orphans, report.freed_bytes = found.orphans, report.freed_bytes + found.freed_bytes
        stores.table.write(Put(Item(key, {"n": now})))
    return report


def _stale_uploads(stores: Stores, project_id: str, report: Report) -> None:
    before = int(stores.now()) - stores.stale_seconds
    for folder in (f"blobs/{project_id}/", keys.archives_folder(project_id)):
        for stale in stores.blobs.stale_multiparts(folder, before):
            stores.blobs.abort_multipart(stale.key, stale.upload)
            report.aborted_uploads += 1


def _forgotten(stores: Stores, project_id: str, item: Item, report: Report) -> None:
    """Aborts a version that was opened long ago and holds no checkpoint; keeps an eye on others."""
    _, model_id, number_text = item.key.sk.split("#")
    number = int(number_text)
    project = projects.by_id(stores, project_id)
    name = models.name_of(stores, project_id, model_id)
    opened = stores.table.get(keys.version(model_id, keys.OPEN, number))
    if project is not None and name is not None and opened is not None:
        pk = keys.of_checkpoints(model_id, number)
        if any(stores.table.query(pk, *keys.prefix(k), limit=1).items for k in _POINTS):
            until = int(stores.now()) + stores.stale_seconds
            stores.table.write(Update(item.key, set={"until": until}))
            return
        with suppress(Conflict, NotFound):  # published or removed meanwhile
            publishing.abort(stores, "sweep", project.name, name, number)
            report.aborted_versions += 1
    stores.table.write(Delete(item.key))


def clean_version(stores: Stores, project_id: str, model_id: str, number: int) -> None:
    """Gives up all that a deleted version and its checkpoints referred to."""
    item = stores.table.get(keys.version(model_id, keys.ENDED, number))
    if item is None:
        return
    version = codec.decode(Version, dict(item.doc))
    folders = keys.manifest_pages, keys.claims_folder
    pages = [
        key
        for folder in folders
        for key in publishing.page_objects(stores, folder(project_id, model_id, number))
    ]
    stores.table.write_many([Put(Item(keys.free_object(project_id, key))) for key in pages])
    metrics = describing.metric_items(keys.of_model(model_id), version.metrics, number)
    stores.table.write_many([Delete(key) for key in metrics])
    if version.manifest:
        held = [e.blob for e in versions.files(stores, project_id, version.manifest)]
        blobs.release(stores, project_id, held, keys.holder(model_id, number))
    pk = keys.of_checkpoints(model_id, number)
    for found in [item for kind in _POINTS for item in everything(stores.table, pk, kind)]:
        checkpoint_number = int(found.key.sk[2:])
        entries = versions.files(stores, project_id, str(found.doc["manifest"]))
        holder = keys.holder(model_id, number, checkpoint_number)
        blobs.release(stores, project_id, [e.blob for e in entries], holder)
        stores.table.write(Delete(found.key))
    checkpoints.release_all(stores, project_id, model_id, number, 0)
    publications.forget(stores, model_id, number)
    stores.table.write_many([Delete(i.key) for i in everything(stores.table, pk)])


def _candidates(stores: Stores, project_id: str, report: Report) -> None:
    for item in list(everything(stores.table, keys.of_candidates(project_id))):
        if int(item.attrs.get("until", 0)) > stores.now():
            continue
        kind, name = item.key.sk[:2], item.key.sk[2:]
        if kind == "V#":
            _forgotten(stores, project_id, item, report)
        elif kind == "W#":
            report.waiting.append((project_id, item))
        elif kind == "J#":
            report.revived += jobs.revive(stores, project_id, item)
        elif kind == "R#":
            report.evicted += overdue.apply(stores, project_id, item)
        elif kind == "O#":
            size = _object_size(stores, name)
            stores.blobs.delete([name])
            report.freed_bytes += size
            stores.table.write(Delete(item.key))
        elif kind == "B#" and _collect(stores, project_id, name, report):
            stores.table.write(Delete(item.key))
        # A note of another kind is one of a later version, whose sweep will see to it.


def _object_size(stores: Stores, key: str) -> int:
    try:
        return stores.blobs.head(key).size
    except NotFound:
        return 0


def held(stores: Stores, project_id: str, blob: str) -> bool:
    """Whether a living version or checkpoint holds the blob; stray references are removed.

    A reference is written before its holder is visible, so this may only be asked once the blob's
    lease is over: whoever is still committing has renewed it.
    """
    alive = False
    for key in blobs.references(stores, project_id, blob):
        if _holds(stores, project_id, blob, key.sk.removeprefix("R#")):
            alive = True
        else:
            stores.table.write(Delete(key))
    return alive


def _holds(stores: Stores, project_id: str, blob: str, holder: str) -> bool:
    """Whether the holder is there and its manifest lists the blob; an open version may yet.

    What is held back may become ready while we read, so it is looked for once more.
    """
    places, above = keys.committed(holder), keys.versions_of_holder(holder)
    for _ in range(2):
        found = stores.table.get_many({*above, *places})
        if above[0] in found and places[0] in above:
            return True
        item = next((found[key] for key in places if key in found), None)
        if item is not None and any(key in found for key in above):
            break
    else:
        return False
    manifest = str(item.doc["manifest"])
    return any(entry.blob == blob for entry in versions.files(stores, project_id, manifest))


def _collect(stores: Stores, project_id: str, blob: str, report: Report) -> bool:
    """Two phases: mark `deleting` once the lease is over, look for references again, then delete.

    Answers whether the candidate is settled. Whoever wants to refer to the blob renews its lease
    under `live` first, so between mark and second look nothing new can appear.
    """
    key = keys.blob(project_id, blob)
    item = stores.table.get(key)
    if item is None:
        parts.drop_list(stores, project_id, blob)  # of an upload that was never completed
        return True
    if item.attrs.get("state") == "live" and int(item.attrs.get("until", 0)) >= stores.now():
        return False  # leased: the next sweep looks again
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
            return False  # leased meanwhile
        rev += 1
    if held(stores, project_id, blob):
        back = Update(key, set={"state": "live"}, add={"rev": 1}, condition=(Equal("rev", rev),))
        stores.table.write(back)
        return True
    known = stores.table.get(keys.facts(project_id, blob))
    objects = [str(item.doc["key"])]
    parts.forget(stores, project_id, blob, objects[0])
    if known is not None and "table" in known.doc:
        objects.append(str(known.doc["table"]))
    stores.blobs.delete(objects)
    try:
        # Both or none: facts without their blob would be looked for by nobody.
        gone = Delete(key, (Equal("rev", rev),))
        stores.table.transact([gone, Delete(keys.facts(project_id, blob))])
    except ConditionFailed:
        return True  # pushed again meanwhile, under a new object; the part list is that one's too
    parts.drop_list(stores, project_id, blob)
    usage.freed_bytes(stores, project_id, int(item.doc["size"]))
    report.freed_blobs += 1
    report.freed_bytes += int(item.doc["size"])
    return True


def orphans(stores: Stores, project_id: str, grace: int, since: int = 0) -> Iterator[Head]:
    """Blob objects older than `grace` seconds that no blob item names: uploads nobody reported.

    Only those that were stored after `since` (epoch seconds).
    """
    before = stores.now() - grace
    after = ""
    while True:
        page = stores.blobs.list(f"blobs/{project_id}/", after)
        for listed in page.heads:
            if not since <= listed.modified <= before:
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
    return stores.table.get(keys.blob(project_id, blobs.named(head)))


def collect_orphans(stores: Stores, grace: int, since: int = 0, *, delete: bool) -> Report:
    """Reports orphans of every project, and deletes them if asked."""
    report = Report()
    for record in projects.records(stores):
        for head in orphans(stores, record.id, grace, since):
            report.orphans += 1
            if delete:
                stores.blobs.delete([head.key])
                report.freed_bytes += head.size
    return report
