"""The table at one moment, as a file of our own in which everything can be looked up.

SQLite answers one SELECT from one snapshot. DynamoDB's scan sees some items before a change and others
after it; so what changed while it ran is read again, project by project, until nothing changes any more.
"""

import time
from collections.abc import Iterable, Iterator
from typing import Protocol

from chalicelib.registry import keys, projects
from chalicelib.registry.ports import LAST, Delete, Found, Item, Key, Put, Table
from chalicelib.registry.stores import Stores
from chalicelib.storage.sqlite import SqliteTable
from weighbridge.contract.errors import Unavailable

ROUNDS = 20
_BATCH = 1000
_DOORS = ("P", "F", "K", "Z", "S", "O", "G")
_EVENTS = 100


class Scanned(Table, Protocol):
    """A table that can be read from end to end."""

    consistent_scan: bool

    def scan(self) -> Iterator[Item]:
        """Every item, in no particular order."""


def take(source: Stores, table: Scanned, copy: SqliteTable) -> None:
    """Copies `table` into `copy`, which is empty. `Unavailable` if it changes all the time."""
    before = _marks(source)
    _fill(copy, table.scan(), int(source.now()))
    if table.consistent_scan:
        return
    known = before
    for _ in range(ROUNDS):
        after = _marks(source)
        changed = [pid for pid in known.keys() | after.keys() if known.get(pid) != after.get(pid)]
        if not changed:
            _refresh_projects(source.table, copy)
            if _marks(source) == after:
                return
            continue
        for project_id in changed:
            _read_again(source.table, copy, project_id, int(source.now()))
        known = after
    raise Unavailable(
        f"the registry changed in each of {ROUNDS} looks at it; take the backup when less is written, or "
        "let DynamoDB restore the table to a point in time, and back that up"
    )


def kept(item: Item, now: int) -> bool:
    """Whether an item belongs into a backup: not what is over, nor what only this server can go on
    with (sign-in links, counts of requests, open uploads, jobs and the archives that they made)."""
    pk, sk = item.key
    if (
        int(item.attrs.get("ttl", now + 1)) <= now
        or pk == keys.TICKETS
        or pk.startswith(("Y#", "R#"))
    ):
        return False
    if pk.startswith("P#"):
        return not sk.startswith(("U#", "T#", "Y#", "Z#"))
    return not (pk.startswith("G#") and (sk.startswith("J#") or sk.startswith("O#archives/")))


def everything(table: Table, pk: str, low: str = "", high: str = LAST) -> Iterator[Item]:
    """Every item of a partition."""
    after: str | None = None
    while True:
        page: Found = table.query(pk, low, high, after=after, limit=_BATCH)
        yield from page.items
        if page.next is None:
            return
        after = page.next


def _fill(copy: SqliteTable, found: Iterable[Item], now: int) -> None:
    batch: list[Put | Delete] = []
    for item in found:
        if kept(item, now):
            batch.append(Put(item))
        if len(batch) == _BATCH:
            copy.write_many(batch)
            batch.clear()
    copy.write_many(batch)


def _marks(source: Stores) -> dict[str, tuple[str, ...]]:
    """What tells that a project changed: every change leaves an entry in its outbox, and from there a
    line in its history."""
    found = {}
    for record in projects.records(source):
        month = time.strftime("%Y%m", time.gmtime(source.now()))
        waiting = [item.key.sk for item in everything(source.table, keys.of_outbox(record.id))]
        newest = source.table.query(
            keys.of_events(record.id, month), limit=_EVENTS, reverse=True
        ).items
        found[record.id] = tuple(sorted({*waiting, *(item.key.sk for item in newest)})[-_EVENTS:])
    return found


def _refresh_projects(table: Table, copy: SqliteTable) -> None:
    _replace(copy, keys.PROJECTS, everything(table, keys.PROJECTS))
    _replace(copy, keys.TOKENS, everything(table, keys.TOKENS))


def _read_again(table: Table, copy: SqliteTable, project_id: str, now: int) -> None:
    """Replaces all of a project but its blobs, which never change once something refers to them."""
    for kind in _DOORS:
        pk = f"{kind}#{project_id}"
        _replace(copy, pk, (i for i in everything(table, pk) if kept(i, now)))
    month = time.strftime("%Y%m", time.gmtime(now))
    pk = keys.of_events(project_id, month)
    _replace(copy, pk, everything(table, pk))
    for model in list(everything(copy, f"P#{project_id}", *keys.prefix("M#"))):
        model_id = str(model.doc["id"])
        pk = keys.of_model(model_id)
        _replace(copy, pk, everything(table, pk))
        for kind in (keys.READY, keys.OPEN, keys.HELD):
            for version in list(everything(copy, pk, *keys.prefix(f"{kind}#"))):
                points = keys.of_checkpoints(model_id, int(version.key.sk[2:]))
                _replace(copy, points, everything(table, points))


def _replace(copy: SqliteTable, pk: str, found: Iterable[Item]) -> None:
    items = {item.key: item for item in found}
    gone = [Delete(item.key) for item in everything(copy, pk) if item.key not in items]
    copy.write_many([*gone, *map(Put, items.values())])


def fetch_blob(table: Table, copy: SqliteTable, project_id: str, blob: str) -> Item | None:
    """A blob that came after the scan had passed its place, with all that is known of it."""
    key: Key = keys.blob(project_id, blob)
    if copy.get(key) is None:
        _replace(copy, key.pk, everything(table, key.pk))
    return copy.get(key)
