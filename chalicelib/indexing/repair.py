"""What the sweep does about events that never came: lost inbox drops and blobs without facts."""

from contextlib import suppress

from chalicelib.indexing import formats, letterbox, objects, reindex
from chalicelib.registry import facts, keys, projects, safety, sweep
from chalicelib.registry.ports import (
    ConditionFailed,
    Delete,
    Item,
    Key,
    Precondition,
    Present,
    Put,
    Update,
)
from chalicelib.registry.stores import Stores
from chalicelib.registry.sweep import Report
from weighbridge.contract import digests
from weighbridge.contract.errors import RegistryError
from weighbridge.contract.types import Facts

MARGIN = 3600
ATTEMPTS = 5
_LAST = Key("SWEEP", "inbox")


def run(stores: Stores) -> Report:
    """A sweep, then a look at what it found unindexed and at drops that no event announced."""
    report = sweep.run(stores)
    for project_id, blob in report.settled:
        report.indexed += _index(stores, project_id, blob)
    for project_id, note in report.waiting:
        report.indexed += _waiting(stores, project_id, note)
    for record in projects.records(stores):
        reindex.work(stores, record.id)
    last = stores.table.get(_LAST)
    since = int(last.attrs["n"]) - MARGIN if last else 0
    started = int(stores.now())
    failed = sum(
        letterbox.sweep(stores, record, since, report)
        for record in projects.records(stores)
        if record.project.inbox or report.thorough
    )
    if not failed:
        stores.table.write(Put(Item(_LAST, {"n": started})))
    return report


def _index(stores: Stores, project_id: str, blob: str, name: str = "") -> int:
    """Indexes a blob that has no facts yet; answers how many were (0 or 1)."""
    if facts.indexed(stores, project_id, blob) >= formats.INDEXER:
        return 0
    item = stores.table.get(keys.blob(project_id, blob))
    if item is None:
        return 0
    size = digests.parse_blob(blob).size
    objects.index(stores, project_id, blob, str(item.doc["key"]), size, name)
    return 1


def _waiting(stores: Stores, project_id: str, note: Item) -> int:
    """Takes up a verdict that nobody came back to; answers how many blobs were indexed (0 or 1).

    A file that cannot be looked at in several attempts (one may end the whole function) stays
    unknown, so that nothing waits for ever.
    """
    blob, holder = keys.parse_waiting(note.key.sk)
    if safety.committed(stores, holder) is None:
        opened = stores.table.get(keys.versions_of_holder(holder)[0])
        if opened is None:
            stores.table.write(Delete(note.key))
            return 0
    attempt = int(note.attrs.get("n", 0)) + 1
    later: dict[str, str | int] = {"until": int(stores.now()) + safety.WAIT_SECONDS, "n": attempt}
    with suppress(ConditionFailed):
        stores.table.write(Update(note.key, set=later, condition=(Present(),)))
    if facts.verdicts(stores, project_id, [blob]):
        safety.arrived(stores, project_id, blob)
        return 0
    if attempt <= ATTEMPTS:
        try:
            return _index(stores, project_id, blob, str(note.doc.get("path", "")))
        except (RegistryError, Precondition):
            return 0  # the store did not answer: the next attempt may have more luck
    problem = f"it could not be looked at in {ATTEMPTS} attempts"
    found = Facts("file", formats.INDEXER, problem=problem, verdict="unknown")
    objects.write(stores, project_id, blob, found)
    return 1
