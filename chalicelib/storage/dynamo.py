"""`Table` on one DynamoDB table, through PynamoDB. Knows nothing of what the items mean."""

import threading
import uuid
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from functools import partial
from typing import Any, cast

from pynamodb.connection import Connection
from pynamodb.exceptions import TableError

from chalicelib.registry.ports import (
    LAST,
    Check,
    ConditionFailed,
    Delete,
    Equal,
    Found,
    Item,
    Key,
    Put,
    Update,
    Write,
)
from chalicelib.storage import dynamo_rows as rows
from chalicelib.storage import forks, items, units
from chalicelib.storage.dynamo_calls import PATIENCE_SECONDS, Refused, consumed, patiently, pauses
from weighbridge.contract.errors import Unavailable

_READ_BATCH, _WRITE_BATCH = 100, 25
_PING_SECONDS = 2.0
_WRITERS = 16


class DynamoTable:
    """`ports.Table` on a DynamoDB table. Construction does nothing on the network.

    A request whose answer was lost is repeated: an `Update` that adds may then have added twice.
    Use `transact`, which DynamoDB executes once, where that matters. After `patience` seconds
    without success a call raises `Unavailable`.
    """

    consistent_scan = False
    """A scan shows some items before a change and others after it."""
    _row: type[rows.Row] | None

    def __init__(
        self,
        table_name: str,
        region: str,
        endpoint: str = "",
        *,
        patience: float = PATIENCE_SECONDS,
    ) -> None:
        self._name = table_name
        self._region = region
        self._endpoint = endpoint
        self._patience = patience
        self._fresh()
        forks.watch(self, in_child=DynamoTable._fresh)

    def close(self) -> None:
        """Closes the connections; the next call opens new ones."""
        with self._lock:
            row, self._row = self._row, None
        if row:
            _connection(row).client.close()

    def get(self, key: Key) -> Item | None:
        """The item, or None."""
        items.check_key(key)
        row, connection = self._use()
        request = partial(connection.get_item, self._name, key.pk, key.sk, consistent_read=True)
        answer = patiently(request, self._patience)
        item = rows.item_of(row, answer.get("Item"))
        if units.recording():
            cost = consumed(answer, lambda: units.of_read(items.size_of(item)))
            units.report("get", reads=cost)
        return item

    def get_many(self, keys: Iterable[Key]) -> dict[Key, Item]:
        """Those of the items that exist, in batches of 100."""
        wanted = list(dict.fromkeys(keys))
        for key in wanted:
            items.check_key(key)
        found: dict[Key, Item] = {}
        for start in range(0, len(wanted), _READ_BATCH):
            for item in self._get_batch(wanted[start : start + _READ_BATCH]):
                found[item.key] = item
        return found

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
        """One page of a partition, in key order: one request, which ends at a megabyte."""
        items.check_bounds(pk, low, high, after, limit)
        # DynamoDB refuses bounds in the wrong order, and a start outside of them.
        if low > high or (after and (after <= low if reverse else after >= high)):
            return Found(())
        inside = after and (after <= high if reverse else after >= low)
        row, connection = self._use()
        request = partial(
            connection.query,
            self._name,
            pk,
            range_key_condition=rows.bounds(row, low, high),
            consistent_read=True,
            exclusive_start_key=rows.raw_key(Key(pk, after)) if after and inside else None,
            limit=limit,
            scan_index_forward=not reverse,
        )
        answer = patiently(request, self._patience)
        page = _items(row, answer["Items"])
        if units.recording():
            cost = consumed(answer, lambda: units.of_query(map(items.size_of, page)))
            units.report("query", reads=cost)
        last = answer.get("LastEvaluatedKey")
        return Found(tuple(page), last["sk"]["S"] if last else None)

    def write(self, write: Put | Update | Delete) -> Item | None:
        """One write; the item as it is now, or `ConditionFailed`."""
        items.check_write(write)
        items.check_put(write)
        row, connection = self._use()
        kind, request = self._request(write)
        if isinstance(write, Update):
            request["ReturnValues"] = "ALL_NEW"
        try:
            answer = patiently(partial(connection.dispatch, f"{kind}Item", request), self._patience)
        except Refused as refused:
            existing = rows.item_of(row, refused.raw)
            units.report("write", writes=units.of_write(items.size_of(existing), 0))
            if refused.unsure and _done(write, existing):
                return existing
            raise ConditionFailed(0, write.key, existing) from refused
        item = rows.item_of(row, answer.get("Attributes"))
        if isinstance(write, Put):
            item = write.item
        if units.recording():
            cost = consumed(answer, lambda: units.of_write(0, items.size_of(item)))
            units.report("write", writes=cost)
        return item

    def transact(self, writes: Sequence[Write]) -> None:
        """All or nothing; executed once, whatever happens to the answers."""
        if not writes:
            return
        items.check_transaction(writes)
        row, connection = self._use()
        # Not by PynamoDB's TransactWrite: it sorts the writes by kind, so that positions are lost.
        request = {
            "TransactItems": [{kind: body} for kind, body in map(self._request, writes)],
            "ClientRequestToken": uuid.uuid4().hex,
        }

        def cost() -> float:
            return sum(units.of_write(0, items.payload(w), transactional=True) for w in writes)

        try:
            answer = patiently(
                partial(connection.dispatch, "TransactWriteItems", request), self._patience
            )
        except Refused as refused:
            units.report("transact", writes=cost())
            failed = writes[refused.index]
            existing = rows.item_of(row, refused.raw)
            raise ConditionFailed(refused.index, failed.key, existing) from refused
        if units.recording():
            units.report("transact", writes=consumed(answer, cost))

    def write_many(self, writes: Sequence[Put | Delete]) -> None:
        """Unconditional writes in batches of 25, not atomic."""
        batch = items.last_of_each(writes)
        for start in range(0, len(batch), _WRITE_BATCH):
            self._write_batch(batch[start : start + _WRITE_BATCH])

    def write_each(self, writes: Sequence[Put | Update | Delete]) -> list[ConditionFailed | None]:
        """Each write by itself, several at a time."""
        items.check_each(writes)

        def one(numbered: tuple[int, Put | Update | Delete]) -> ConditionFailed | None:
            index, write = numbered
            try:
                self.write(write)
            except ConditionFailed as failed:
                return ConditionFailed(index, write.key, failed.existing)
            return None

        if len(writes) < 2:
            return [one(numbered) for numbered in enumerate(writes)]
        with ThreadPoolExecutor(min(_WRITERS, len(writes))) as pool:
            # Each in a copy of this context, so that what it costs is counted where it belongs.
            tasks = [
                pool.submit(copy_context().run, one, numbered) for numbered in enumerate(writes)
            ]
            return [task.result() for task in tasks]

    def scan(self) -> Iterator[Item]:
        """Every item, each as it was at some moment of the scan (backups)."""
        row, connection = self._use()
        start: Any = None
        while True:
            request = partial(
                connection.scan, self._name, exclusive_start_key=start, consistent_read=True
            )
            answer = patiently(request, self._patience)
            yield from _items(row, answer["Items"])
            start = answer.get("LastEvaluatedKey")
            if not start:
                return

    def purge_expired(self, now: int) -> int:
        """Nothing to do: the table's time to live does it."""
        return 0

    def ping(self) -> None:
        """Raises `Unavailable` when the table does not answer soon."""
        _, connection = self._use()
        request = partial(connection.get_item, self._name, "ping", "ping")
        patiently(request, min(self._patience, _PING_SECONDS))

    def create_table(self) -> None:
        """Makes the table, billed on demand, with `ttl` as its expiry; an existing one is kept."""
        row, connection = self._use()
        row.create_table()
        for _ in pauses(patience=60):
            if connection.describe_table(self._name)["TableStatus"] == "ACTIVE":
                break
        else:
            raise Unavailable(f"the table {self._name} does not become active")
        try:
            connection.update_time_to_live(self._name, "ttl")
        except TableError as error:
            if "already enabled" not in str(error):
                raise

    def _fresh(self) -> None:
        """Forgets the client: a child process must not use the connections of its parent."""
        self._lock = threading.Lock()
        self._row = None

    def _use(self) -> tuple[type[rows.Row], Connection]:
        with self._lock:
            if self._row is None:
                row = rows.row_of(self._name, self._region, self._endpoint)
                # Made here, once: threads may share a botocore client, but not make one together.
                assert _connection(row).client
                self._row = row
            return self._row, _connection(self._row)

    def _request(self, write: Write) -> tuple[str, rows.Raw]:
        """The kind of the write and its request, as a transaction wants it."""
        row, connection = self._use()
        condition = rows.expression(row, write.condition)
        parts: dict[str, Any] = {"range_key": write.key.sk, "condition": condition}
        if condition is not None:
            parts["return_values_on_condition_failure"] = "ALL_OLD"
        if isinstance(write, Put):
            parts |= {"key": "Item", "attributes": rows.raw_of(row, write.item)}
        elif isinstance(write, Update):
            parts |= {"actions": rows.actions(row, write)}
        kind = "ConditionCheck" if isinstance(write, Check) else type(write).__name__
        return kind, connection.get_operation_kwargs(self._name, write.key.pk, **parts)

    def _get_batch(self, keys: Sequence[Key]) -> Iterator[Item]:
        row, connection = self._use()
        wanted: list[Any] = [rows.raw_key(key) for key in keys]
        for _ in pauses(self._patience):
            request = partial(connection.batch_get_item, self._name, wanted, consistent_read=True)
            answer = patiently(request, self._patience)
            page = _items(row, answer["Responses"].get(self._name, []))
            yield from page
            left = (answer.get("UnprocessedKeys") or {}).get(self._name, {}).get("Keys", [])
            if units.recording():
                absent = len(wanted) - len(page) - len(left)
                cost = consumed(answer, partial(_cost_of_reads, page, absent))
                units.report("get_many", reads=cost)
            if not left:
                return
            wanted = left
        raise Unavailable("the metadata table left reads of a batch undone for too long")

    def _write_batch(self, batch: Sequence[Put | Delete]) -> None:
        row, connection = self._use()
        puts = [rows.raw_of(row, write.item) for write in batch if isinstance(write, Put)]
        deletes = [rows.raw_key(write.key) for write in batch if isinstance(write, Delete)]
        for _ in pauses(self._patience):
            request = partial(connection.batch_write_item, self._name, puts, deletes)
            answer = patiently(request, self._patience)
            left = (answer.get("UnprocessedItems") or {}).get(self._name, [])
            if units.recording():
                cost = consumed(answer, partial(_cost_of_writes, () if left else batch))
                units.report("write_many", writes=cost)
            if not left:
                return
            puts = [entry["PutRequest"]["Item"] for entry in left if "PutRequest" in entry]
            deletes = [entry["DeleteRequest"]["Key"] for entry in left if "DeleteRequest" in entry]
        raise Unavailable("the metadata table left writes of a batch undone for too long")


def _connection(row: type[rows.Row]) -> Connection:
    return row._get_connection().connection


def _items(row: type[rows.Row], raws: Iterable[rows.Raw]) -> list[Item]:
    return [item for raw in raws if (item := rows.item_of(row, raw))]


def _cost_of_reads(page: Sequence[Item], absent: int) -> float:
    return sum(units.of_read(items.size_of(item)) for item in page) + absent


def _cost_of_writes(batch: Sequence[Put | Delete]) -> float:
    return sum(units.of_write(0, items.payload(write)) for write in batch)


def _done(write: Put | Update | Delete, existing: Item | None) -> bool:
    """Whether the item that is in the way looks as this very write would have left it."""
    if isinstance(write, Delete) or existing is None:
        return isinstance(write, Delete) and existing is None
    if isinstance(write, Put):
        return existing == write.item
    expected = dict(write.set)
    known = {p.attr: p.value for p in write.condition if isinstance(p, Equal)}
    for name, amount in write.add.items():
        if name not in known:
            return False
        expected[name] = cast("int", known[name]) + amount
    return (
        expected.items() <= existing.attrs.items()
        and not set(write.remove) & set(existing.attrs)
        and (write.doc is None or write.doc == existing.doc)
    )
