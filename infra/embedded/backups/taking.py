"""Taking a backup: the table first, then the objects that it speaks of, then a proof that none is missing.

A version's bytes never change, and nothing is deleted while something refers to it. So an object that is
read after the table can only be missing if what referred to it was deleted meanwhile.
"""

import hashlib
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from chalicelib.registry import keys, projects
from chalicelib.registry.ports import Delete, Head, Item, Precondition, Put
from chalicelib.registry.stores import Stores, iso
from chalicelib.storage.sqlite import SqliteTable
from chalicelib.version import VERSION
from infra.embedded.backups import contents, records, snapshot
from infra.embedded.backups.records import Backup, Stored
from infra.embedded.backups.vault import Vault
from weighbridge.contract import cuts, digests, manifests
from weighbridge.contract.errors import IntegrityError, NotFound, Unavailable

KEPT = ("blobs/", "manifests/", "parts/", "facts/")
_AT_ONCE = 8
_PAGE = 1000


@dataclass(slots=True)
class Taking:
    """One backup under way. `copied` and `moved` count the objects, and their bytes, that were not in the
    vault yet."""

    stores: Stores
    vault: Vault
    copy: SqliteTable
    stored: dict[str, Stored] = field(default_factory=dict)
    before: dict[str, Stored] = field(default_factory=dict)
    copied: int = 0
    moved: int = 0
    tell: Callable[[str], None] = lambda text: None


def take(
    stores: Stores, vault: Vault, tell: Callable[[str], None] = lambda text: None
) -> tuple[Backup, int, int]:
    """A new backup in the vault; how many objects and bytes were new."""
    before = _before(vault)
    with tempfile.TemporaryDirectory(prefix="weighbridge-backup-") as folder:
        copy = SqliteTable(str(Path(folder) / "table.sqlite"))
        try:
            work = Taking(stores, vault, copy, before=before, tell=tell)
            snapshot.take(stores, stores.table, copy)  # type: ignore[arg-type]
            _objects(work)
            _close(work)
            return _finished(work), work.copied, work.moved
        finally:
            copy.close()


def _before(vault: Vault) -> dict[str, Stored]:
    """What the newest backup holds, by key: it need not be read again."""
    try:
        newest = records.chosen(vault)
        lines = records.read_lines(
            vault, f"{records.BACKUPS}{newest.name}/objects.gz", newest.objects_sha256
        )
        return {stored.key: stored for stored in map(records.stored_of, lines)}
    except NotFound:
        return {}


def _objects(work: Taking) -> None:
    """Everything in the bucket that the table speaks of. What blobs are is known from the table."""
    blob_of = {
        str(item.doc["key"]): _blob_of(item) for item in work.copy.scan() if item.key.sk == "BLOB"
    }
    for prefix in (*KEPT[1:], KEPT[0]):  # part lists before the blobs that are cut by them
        after: str | None = ""
        while after is not None:
            page = work.stores.blobs.list(prefix, after)
            wanted = [h for h in page.heads if prefix != KEPT[0] or h.key in blob_of]
            _copy(work, wanted, blob_of)
            after = page.next
        work.tell(f"{prefix} done: {work.copied:,} new objects, {work.moved:,} bytes")


def _blob_of(item: Item) -> str:
    return item.key.pk.split("#", 2)[2]


def _copy(work: Taking, heads: list[Head], blob_of: dict[str, str]) -> None:
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        for stored, new in pool.map(
            lambda head: _one(work, head, blob_of.get(head.key, "")), heads
        ):
            if stored is not None:
                work.stored[stored.key] = stored
                work.copied += new
                work.moved += stored.size * new


def _one(work: Taking, head: Head, blob: str) -> tuple[Stored | None, bool]:
    """Where an object is kept (None: it is gone), and whether it is new there."""
    known = work.before.get(head.key)
    if (
        known is not None
        and (known.size, known.etag) == (head.size, head.etag)
        and work.vault.size(records.object_name(known.content)) == known.size
    ):
        return known, False
    try:
        return _read(work, head, blob)
    except NotFound:
        return None, False
    except Precondition:
        raise Unavailable(f"{head.key} changed while it was read; take the backup again") from None


def _read(work: Taking, head: Head, blob: str) -> tuple[Stored, bool]:
    if not blob:
        data = work.stores.blobs.read(head.key)
        content = hashlib.sha256(data).hexdigest()
        stored = Stored(head.key, len(data), head.etag, content)
        return stored, _keep(work, stored, [data])
    digest = digests.parse_blob(blob)
    content = blob if digest.parts else str(digest.sha256)
    stored = Stored(head.key, digest.size, head.etag, content)
    project_id = head.key.split("/")[1]
    sizes = part_sizes(work.stores, project_id, blob) if digest.parts else ()
    blocks = contents.of_object(work.stores.blobs, head.key, head.size, head.etag)
    what = f"the object {head.key} (blob {blob}) of the registry"
    return stored, _keep(work, stored, contents.checked(blocks, content, sizes, what))


def part_sizes(stores: Stores, project_id: str, blob: str) -> tuple[int, ...]:
    """How a blob in parts is cut."""
    try:
        listed = cuts.decode(stores.blobs.read(keys.parts_object(project_id, blob)))
    except NotFound:
        listed = ()
    return contents.cuts_of(blob, [part.size for part in listed])


def _keep(work: Taking, stored: Stored, blocks: Iterator[bytes] | list[bytes]) -> bool:
    name = records.object_name(stored.content)
    if work.vault.size(name) == stored.size:
        return False
    work.vault.write(name, blocks)
    return True


def _close(work: Taking) -> None:
    """Makes sure that all which the table's copy names is there, and that no number can come twice."""
    copied = Stores(work.copy, work.stores.blobs, work.stores.queue, work.stores.site)
    missing: list[str] = []
    for record in projects.records(copied):
        for model in snapshot.everything(work.copy, f"P#{record.id}", *keys.prefix("M#")):
            missing += _model(work, record.id, record.project.name, model)
    if missing:
        raise IntegrityError(
            f"the registry itself lacks {len(missing)} of its files, or they were deleted while they were "
            f"read: {'; '.join(missing[:10])}. Take the backup again; if it says the same, delete what is "
            "broken",
            missing=missing[:1000],
        )
    _forget_lost(work)


def _model(work: Taking, project_id: str, project: str, model: Item) -> list[str]:
    model_id, name = str(model.doc["id"]), str(model.doc["name"])
    pk = keys.of_model(model_id)
    numbers, missing = {0}, []
    for kind in (keys.READY, keys.HELD, keys.OPEN, keys.ENDED):
        for version in snapshot.everything(work.copy, pk, *keys.prefix(f"{kind}#")):
            number = int(version.key.sk[2:])
            numbers.add(number)
            what = f"{project}/{name}@{number}"
            if kind in (keys.READY, keys.HELD):
                missing += _files(work, project_id, what, str(version.doc.get("manifest", "")))
            points = keys.of_checkpoints(model_id, number)
            for state in (keys.POINT, keys.HELD):
                for point in snapshot.everything(work.copy, points, *keys.prefix(f"{state}#")):
                    manifest = str(point.doc.get("manifest", ""))
                    missing += _files(work, project_id, f"{what}:{int(point.key.sk[2:])}", manifest)
    counter = work.copy.get(keys.counter(pk))
    if int(counter.attrs.get("n", 0)) < max(numbers) if counter else max(numbers):
        attrs = {**(counter.attrs if counter else {}), "n": max(numbers)}
        work.copy.write(Put(Item(keys.counter(pk), attrs, counter.doc if counter else {})))
    aliases: dict[str, int] = dict(model.doc.get("aliases", {}))
    missing += [
        f"{project}/{name}@{alias} points to {number}, which is not there"
        for alias, number in aliases.items()
        if work.copy.get(keys.version(model_id, keys.READY, number)) is None
    ]
    return missing


def _files(work: Taking, project_id: str, what: str, manifest: str) -> list[str]:
    """What is missing of the files of a version or checkpoint."""
    if not manifest:
        return []
    key = keys.manifest_object(project_id, manifest)
    if key not in work.stored and not _fetch(work, key, ""):
        return [f"{what}: its list of files"]
    data = b"".join(work.vault.read(records.object_name(work.stored[key].content)))
    missing = []
    for entry in manifests.decode(data):
        item = snapshot.fetch_blob(work.stores.table, work.copy, project_id, entry.blob)
        at = str(item.doc["key"]) if item else ""
        if not at or (at not in work.stored and not _fetch(work, at, entry.blob)):
            missing.append(f"{what}: {entry.path}")
    return missing


def _fetch(work: Taking, key: str, blob: str) -> bool:
    """Copies an object that came after the list had passed its place."""
    try:
        head = work.stores.blobs.head(key)
    except NotFound:
        return False
    if blob and digests.parse_blob(blob).parts:
        listed = keys.parts_object(key.split("/")[1], blob)
        if listed not in work.stored:
            _fetch(work, listed, "")
    _copy(work, [head], {key: blob})
    return key in work.stored


def _forget_lost(work: Taking) -> None:
    """Drops blobs that nothing refers to and whose object is gone: a push would take them for stored."""
    for item in list(work.copy.scan()):
        if item.key.sk == "BLOB" and str(item.doc["key"]) not in work.stored:
            partition = snapshot.everything(work.copy, item.key.pk)
            work.copy.write_many([Delete(found.key) for found in list(partition)])


def _finished(work: Taking) -> Backup:
    now = work.stores.now()
    name = time.strftime("%Y%m%dT%H%M%S", time.gmtime(now)) + f"{int(now * 1000) % 1000:03d}Z"
    folder = f"{records.BACKUPS}{name}"
    if work.vault.size(f"{folder}/backup.json") is not None:
        raise Unavailable(f"the backup {name} was taken this very moment; take the next one later")
    items, table = records.write_lines(
        work.vault, f"{folder}/table.gz", map(records.line_of, work.copy.scan())
    )
    listed = sorted(work.stored.values(), key=lambda stored: stored.key)
    objects, digest = records.write_lines(
        work.vault, f"{folder}/objects.gz", map(records.stored_line, listed)
    )
    size = sum(stored.size for stored in listed)
    made = Backup(name, iso(now), VERSION, items, objects, size, table, digest)
    records.finish(work.vault, made)
    return made
