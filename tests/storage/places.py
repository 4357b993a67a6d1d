"""Where a table is, in a form that fits on a command line; and a program for other processes."""

import itertools
import sys
from dataclasses import dataclass
from typing import Any

from chalicelib.registry.ports import Absent, Item, Key, Put, Scalar, Update
from chalicelib.storage.dynamo import DynamoTable
from chalicelib.storage.sqlite import SqliteTable

Opened = SqliteTable | DynamoTable


@dataclass(frozen=True, slots=True)
class Place:
    """An engine and the name of a table on it."""

    engine: str
    name: str
    endpoint: str = ""

    def connect(self) -> Opened:
        """The table, which may not exist yet."""
        if self.engine == "sqlite":
            return SqliteTable(self.name)
        return DynamoTable(self.name, "us-east-1", self.endpoint)

    def open(self) -> Opened:
        """The table, made if it is not there."""
        table = self.connect()
        self.make(table)
        return table

    def make(self, table: Opened) -> None:
        """Makes it if it is not there."""
        if isinstance(table, DynamoTable):
            table.create_table()


def all_of(table: Opened, pk: str, **options: Any) -> list[str]:
    """The sort keys of every page of a query."""
    found = table.query(pk, **options)
    keys = [item.key.sk for item in found.items]
    while found.next is not None:
        found = table.query(pk, **{**options, "after": found.next})
        keys += [item.key.sk for item in found.items]
    return keys


K = Key("model", "item")


def item(sk: str = "item", doc: dict[str, object] | None = None, **attrs: Scalar) -> Item:
    """An item in the partition of `K`."""
    return Item(Key("model", sk), attrs, doc or {})


COUNTER = Key("counter", "counter")


def count(table: Opened, times: int) -> list[int]:
    """The numbers that `times` increments of one counter gave."""
    taken = (table.write(Update(COUNTER, add={"n": 1})) for _ in range(times))
    return [int(item.attrs["n"]) for item in taken if item]


def pair(writer: str, number: int) -> list[Put]:
    """Two new items that belong together."""
    sk = f"{number:06}"
    doc = {"text": sk * 50}
    return [Put(Item(Key(f"{writer}-{side}", sk), {}, doc), (Absent(),)) for side in "ab"]


def main(engine: str, name: str, endpoint: str, job: str, argument: str) -> None:
    """`count TIMES` prints the numbers it got; `pairs WRITER` prints each stored one, for ever."""
    table = Place(engine, name, endpoint).open()
    if job == "count":
        print(*count(table, int(argument)), flush=True)
    else:
        for number in itertools.count():
            table.transact(pair(argument, number))
            print(number, flush=True)
    table.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
