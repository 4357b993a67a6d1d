"""Works on a reindexing job, a bounded piece at a time, wherever it was left."""

import time
from collections.abc import Iterator
from dataclasses import replace

from chalicelib.indexing import formats, objects
from chalicelib.registry import keys, reindexing, safety, versions
from chalicelib.registry.ports import ConditionFailed, Item, Precondition, Put
from chalicelib.registry.reindexing import JobRecord
from chalicelib.registry.stores import Stores
from weighbridge.contract import digests
from weighbridge.contract.errors import RegistryError
from weighbridge.contract.manifests import FileEntry

BATCH = 50
PIECE_SECONDS = 60.0
_KINDS = tuple(sorted((keys.OPEN, keys.READY, keys.HELD)))
_POINTS = tuple(sorted((keys.POINT, keys.HELD)))

Place = tuple[str, str, str]


def work(stores: Stores, project_id: str, seconds: float = PIECE_SECONDS) -> bool:
    """Goes on with the project's job for so long; answers whether there is more to do."""
    record = reindexing.find(stores, project_id)
    if record is None or record.job.state != "running":
        return False
    end = time.monotonic() + seconds
    try:
        for place, holder, item in _places(stores, record):
            manifest = str(item.doc.get("manifest", ""))
            files = versions.files(stores, project_id, manifest) if manifest else ()
            begin = record.cursor[3] if place == record.cursor[:3] else 0
            for start in range(begin, len(files), BATCH):
                record = _batch(stores, record, files[start : start + BATCH])
                record = reindexing.save(
                    stores, replace(record, cursor=(*place, start + len(files[start:][:BATCH])))
                )
                if time.monotonic() > end:
                    reindexing.wake(stores, project_id)
                    return True
            if (
                manifest
                and not record.job.dry_run
                and ("formats" not in item.doc or item.doc.get("verdict") == "pending")
            ):
                _judge(stores, project_id, holder)
        reindexing.save(stores, replace(record, job=replace(record.job, state="done")))
    except ConditionFailed:
        pass  # another worker is on it
    return False


def _places(stores: Stores, record: JobRecord) -> Iterator[tuple[Place, str, Item]]:
    """Every version and checkpoint of the job from its cursor on, in order: where, its name as a
    holder, and its item."""
    job, (at_model, at_version, at_point, _) = record.job, record.cursor
    only = job.model or None
    of_project = f"P#{record.project_id}"
    first = f"M#{only or at_model}"
    for model in _from(stores, of_project, "M#", first):
        name, model_id = model.key.sk[2:], str(model.doc["id"])
        if only is not None and name != only:
            return
        resumed = name == at_model
        for kind in _KINDS:
            start = max(f"{kind}#", at_version if resumed else "")
            for item in _from(stores, keys.of_model(model_id), f"{kind}#", start):
                number = int(item.key.sk[2:])
                if job.version and number != job.version:
                    continue
                here = item.key.sk if resumed and item.key.sk == at_version else ""
                if not (here and at_point):
                    yield (name, item.key.sk, ""), keys.holder(model_id, number), item
                pk = keys.of_checkpoints(model_id, number)
                for point_kind in _POINTS:
                    low = max(f"{point_kind}#", at_point if here else "")
                    for point in _from(stores, pk, f"{point_kind}#", low):
                        held_by = keys.holder(model_id, number, int(point.key.sk[2:]))
                        yield (name, item.key.sk, point.key.sk), held_by, point


def _from(stores: Stores, pk: str, prefix: str, start: str) -> Iterator[Item]:
    """The items of a prefix from `start` on, that one included."""
    high = keys.prefix(prefix)[1]
    after: str | None = None
    while start <= high:
        page = stores.table.query(pk, start, high, after=after, limit=100)
        yield from page.items
        if page.next is None:
            return
        after = page.next


def _batch(stores: Stores, record: JobRecord, files: tuple[FileEntry, ...]) -> JobRecord:
    job, project_id = record.job, record.project_id
    wanted = {entry.blob: entry.path for entry in files}
    facts = stores.table.get_many(keys.facts(project_id, blob) for blob in wanted)
    items = stores.table.get_many(keys.blob(project_id, blob) for blob in wanted)
    indexed = failed = 0
    for blob in sorted(wanted):
        known, item = (
            facts.get(keys.facts(project_id, blob)),
            items.get(keys.blob(project_id, blob)),
        )
        current = known is not None and int(known.attrs.get("n", 0)) >= formats.INDEXER
        if item is None or (current and not job.everything):
            continue
        if job.dry_run:
            indexed += 1
            continue
        size = digests.parse_blob(blob).size
        try:
            done = objects.index(
                stores, project_id, blob, str(item.doc["key"]), size, wanted[blob],
                again=job.everything,
            )  # fmt: skip
            indexed += done
        except (RegistryError, Precondition):
            failed += 1
    return replace(record, job=replace(
        job, looked=job.looked + len(wanted), indexed=job.indexed + indexed,
        failed=job.failed + failed,
    ))  # fmt: skip


def _judge(stores: Stores, project_id: str, holder: str) -> None:
    """Decides what was committed before there were verdicts, or formats, by the way of a note as always."""
    if safety.committed(stores, holder) is None:
        return
    note = Item(keys.waiting(project_id, "-", holder), {"until": int(stores.now())})
    stores.table.write(Put(note))
    safety.advance(stores, project_id, note)
