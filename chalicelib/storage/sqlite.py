"""`Table` on one SQLite file: durable, for one machine. Knows nothing of what the items mean."""

import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, cast

from chalicelib.registry.ports import (
    ATTRIBUTES,
    LAST,
    Absent,
    Check,
    Condition,
    ConditionFailed,
    Delete,
    Equal,
    Found,
    Item,
    Key,
    Less,
    Missing,
    Present,
    Put,
    Scalar,
    Update,
    Write,
)
from chalicelib.storage import items, units
from chalicelib.storage.sqlite_connections import Connections

_COLUMNS = ", ".join(ATTRIBUTES)
_SCHEMA = """
CREATE TABLE IF NOT EXISTS items (
    pk TEXT NOT NULL, sk TEXT NOT NULL,
    state TEXT, rev INTEGER, n INTEGER, until INTEGER, ttl INTEGER, ref TEXT, doc TEXT NOT NULL,
    PRIMARY KEY (pk, sk)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS items_ttl ON items (ttl) WHERE ttl IS NOT NULL;
"""
_GET = f"SELECT {_COLUMNS}, doc FROM items WHERE pk = ? AND sk = ?"  # noqa: S608
_PUT = f"INSERT OR REPLACE INTO items (pk, sk, {_COLUMNS}, doc) VALUES (?,?,?,?,?,?,?,?,?)"  # noqa: S608
_DELETE = "DELETE FROM items WHERE pk = ? AND sk = ?"


class SqliteTable:
    """`ports.Table` on the SQLite file at `path`, which is made on first use.

    A write that returned survives the death of the process and of the machine.
    """

    consistent_scan = True
    """A scan shows the table as it was at one moment."""

    def __init__(self, path: str) -> None:
        self._connections = Connections(path, _SCHEMA)

    def close(self) -> None:
        """Closes the file in every thread; the next call opens it again."""
        self._connections.close()

    def get(self, key: Key) -> Item | None:
        """The item, or None."""
        items.check_key(key)
        with self._connections.reading() as db:
            item = _load(db, key)
        if units.recording():
            units.report("get", reads=units.of_read(items.size_of(item)))
        return item

    def get_many(self, keys: Iterable[Key]) -> dict[Key, Item]:
        """Those of the items that exist."""
        wanted = list(dict.fromkeys(keys))
        for key in wanted:
            items.check_key(key)
        with self._connections.reading() as db:
            loaded = {key: _load(db, key) for key in wanted}
        if units.recording() and loaded:
            cost = sum(units.of_read(items.size_of(item)) for item in loaded.values())
            units.report("get_many", reads=cost)
        return {key: item for key, item in loaded.items() if item}

    def query(
        self,
        pk: str,
        low: str = "",
        high: str = LAST,
        *,
        after: str | None = None,
        limit: int = 100,
        reverse: bool = False,
    ) -> Found:
        """One page of a partition, in key order; it ends at `limit` items or at a megabyte."""
        items.check_bounds(pk, low, high, after, limit)
        sql = f"SELECT sk, {_COLUMNS}, doc FROM items WHERE pk = ? AND sk >= ? AND sk <= ?"  # noqa: S608
        values = [pk, low, high]
        if after is not None:
            sql += " AND sk < ?" if reverse else " AND sk > ?"
            values.append(after)
        sql += f" ORDER BY sk {'DESC' if reverse else 'ASC'}"
        page: list[Item] = []
        total, more = 0, False
        with self._connections.reading() as db:
            cursor = db.execute(sql, values)
            try:
                for sk, *row in cursor:
                    if len(page) == limit or total >= items.PAGE_BYTES:
                        more = True
                        break
                    page.append(_item(Key(pk, sk), row))
                    total += items.size(page[-1].key, page[-1].attrs, row[-1])
            finally:
                cursor.close()  # an unfinished one would hold its snapshot of the file
        if units.recording():
            units.report("query", reads=units.of_query([total]))
        return Found(tuple(page), page[-1].key.sk if more else None)

    def write(self, write: Put | Update | Delete) -> Item | None:
        """One write; the item as it is now, or `ConditionFailed`."""
        items.check_write(write)
        items.check_put(write)
        return self._apply([write], name="write")[0]

    def transact(self, writes: Sequence[Write]) -> None:
        """All or nothing."""
        if not writes:
            return
        items.check_transaction(writes)
        self._apply(writes, name="transact")

    def write_many(self, writes: Sequence[Put | Delete]) -> None:
        """Unconditional writes; here they happen to be atomic in groups of 1,000."""
        batch = items.last_of_each(writes)
        for start in range(0, len(batch), 1000):
            self._apply(batch[start : start + 1000], name="write_many")

    def write_each(self, writes: Sequence[Put | Update | Delete]) -> list[ConditionFailed | None]:
        """Each write by itself; here those that are not refused become durable together."""
        items.check_each(writes)
        refused: list[ConditionFailed | None] = []
        with self._accounted("write_each") as sizes, self._connections.writing() as db:
            for index, write in enumerate(writes):
                old = _load(db, write.key)
                held = _holds(write.condition, old)
                refused.append(None if held else ConditionFailed(index, write.key, old))
                new = _result(write, old) if held else None
                if held:
                    db.execute(*_statement(write, new))
                if units.recording():
                    sizes.append((items.size_of(old), items.size_of(new)))
        return refused

    def scan(self) -> Iterator[Item]:
        """Every item, by key: all as they were when the first one was asked for (backups)."""
        sql = f"SELECT pk, sk, {_COLUMNS}, doc FROM items ORDER BY pk, sk"  # noqa: S608
        with self._connections.reading() as db:
            cursor = db.execute(sql)
            try:
                for pk, sk, *row in cursor:
                    yield _item(Key(pk, sk), row)
            finally:
                cursor.close()

    def purge_expired(self, now: int, limit: int = 1000) -> int:
        """Drops up to `limit` items whose `ttl` has passed; how many it dropped."""
        with self._connections.writing() as db:
            chosen = db.execute(
                "SELECT pk, sk FROM items WHERE ttl < ? ORDER BY ttl LIMIT ?", (now, limit)
            ).fetchall()
            db.executemany(_DELETE, chosen)
        return len(chosen)

    def ping(self) -> None:
        """Raises `Unavailable` when the file cannot be read."""
        with self._connections.reading() as db:
            db.execute("SELECT 1 FROM items LIMIT 1").fetchone()

    def _apply(self, writes: Sequence[Write], *, name: str) -> list[Item | None]:
        """All of the writes in one transaction, conditions first; the items as they are then."""
        counted = units.recording()
        # Nothing is written before all is known to be right, so there is never a half to undo.
        with self._accounted(name) as sizes, self._connections.writing(whole=True) as db:
            before = [_load(db, w.key) if counted or _depends(w) else None for w in writes]
            sizes += [(items.size_of(old), 0) for old in before] if counted else []
            for index, (write, old) in enumerate(zip(writes, before, strict=True)):
                if not _holds(write.condition, old):
                    raise ConditionFailed(index, write.key, old)
            after = [_result(write, old) for write, old in zip(writes, before, strict=True)]
            statements = [
                _statement(write, new)
                for write, new in zip(writes, after, strict=True)
                if not isinstance(write, Check)
            ]
            for statement in statements:
                db.execute(*statement)
            if counted:
                sizes[:] = [
                    (old, items.size_of(new)) for (old, _), new in zip(sizes, after, strict=True)
                ]
        return after

    @contextmanager
    def _accounted(self, name: str) -> Iterator[list[tuple[int, int]]]:
        """Reports the sizes that the block collects, also when it fails: that costs the same."""
        sizes: list[tuple[int, int]] = []
        try:
            yield sizes
        finally:
            if sizes:
                double = name == "transact"
                cost = sum(units.of_write(old, new, transactional=double) for old, new in sizes)
                units.report(name, writes=cost)


def _load(db: sqlite3.Connection, key: Key) -> Item | None:
    row = db.execute(_GET, key).fetchone()
    return _item(key, row) if row else None


def _item(key: Key, row: Sequence[Any]) -> Item:
    attrs = {name: value for name, value in zip(ATTRIBUTES, row, strict=False) if value is not None}
    return Item(key, attrs, items.unpack(row[-1]))


def _holds(condition: Condition, item: Item | None) -> bool:
    attrs = item.attrs if item else {}
    for predicate in condition:
        match predicate:
            case Absent():
                held = item is None
            case Present():
                held = item is not None
            case Missing(attr):
                held = attr not in attrs
            case Equal(attr, value):
                held = attr in attrs and attrs[attr] == value
            case Less(attr, value):
                # the types are the same: an attribute has one type, and predicates were checked
                held = attr in attrs and cast("int", attrs[attr]) < cast("int", value)
        if not held:
            return False
    return True


def _depends(write: Write) -> bool:
    """Whether a write has to know what is there."""
    return bool(write.condition) or not isinstance(write, Put | Delete)


def _result(write: Write, old: Item | None) -> Item | None:
    """What is there after a write over the item `old`."""
    match write:
        case Put(item):
            return Item(item.key, dict(item.attrs), item.doc)
        case Update():
            new = _changed(write, old)
            items.check_size(write.key, items.size_of(new))
            return new
        case Delete():
            return None
        case _:
            return old


def _statement(write: Write, new: Item | None) -> tuple[str, Sequence[Any]]:
    """What executes a write that leads to the item `new`."""
    if new is None:
        return _DELETE, write.key
    row = [new.attrs.get(name) for name in ATTRIBUTES]
    return _PUT, [*new.key, *row, items.pack(new.doc)]


def _changed(update: Update, old: Item | None) -> Item:
    attrs: dict[str, Scalar] = dict(old.attrs) if old else {}
    attrs.update(update.set)
    for name, amount in update.add.items():
        attrs[name] = cast("int", attrs.get(name, 0)) + amount
    for name in update.remove:
        attrs.pop(name, None)
    items.check_attributes(attrs)
    doc: Mapping[str, Any] = old.doc if old else {}
    return Item(update.key, attrs, doc if update.doc is None else update.doc)
