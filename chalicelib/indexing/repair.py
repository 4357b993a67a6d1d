"""What the sweep does about events that never came: lost inbox drops and blobs without facts."""

from chalicelib.indexing import formats, inbox, objects
from chalicelib.registry import facts, keys, projects, sweep
from chalicelib.registry.ports import Item, Key, Put
from chalicelib.registry.stores import Stores
from chalicelib.registry.sweep import Report
from weighbridge.contract import digests
from weighbridge.contract.errors import NotFound, RegistryError

MARGIN = 3600
_LAST = Key("SWEEP", "inbox")


def run(stores: Stores) -> Report:
    """A sweep, then a look at what it found unindexed and at drops that no event announced."""
    report = sweep.run(stores)
    for project_id, blob in report.settled:
        report.indexed += _index(stores, project_id, blob)
    last = stores.table.get(_LAST)
    since = int(last.attrs["n"]) - MARGIN if last else 0
    started = int(stores.now())
    failed = sum(_drops(stores, record, since) for record in projects.records(stores))
    if not failed:
        stores.table.write(Put(Item(_LAST, {"n": started})))
    return report


def _index(stores: Stores, project_id: str, blob: str) -> int:
    """Indexes a blob that has no facts yet; answers how many were (0 or 1)."""
    if facts.indexed(stores, project_id, blob) >= formats.INDEXER:
        return 0
    item = stores.table.get(keys.blob(project_id, blob))
    if item is None:
        return 0
    size = digests.parse_blob(blob).size
    objects.index(stores, project_id, blob, str(item.doc["key"]), size)
    return 1


def _drops(stores: Stores, record: projects.ProjectRecord, since: int) -> int:
    """Looks at the markers that arrived since; answers how many must be looked at again."""
    failed = 0
    after = ""
    while record.project.inbox:
        try:
            page = stores.blobs.list(keys.inbox_prefix(record.project.name), after)
        except NotFound:
            break
        for head in page.heads:
            if head.key.endswith(tuple(f"/{m}" for m in inbox.MARKERS)) and head.modified >= since:
                try:
                    inbox.look(stores, head.key)
                except RegistryError:
                    failed += 1
        if page.next is None:
            break
        after = page.next
    return failed
