"""Small numbers for models and versions, for clients that know nothing else: given once, from one counter
per project, when such a client first sees the record.

Two items lead from record to number and back. The way back is written first, so a number that a client
was told always leads somewhere; of two who number one record at once, one number leads there in vain.
"""

from collections.abc import Iterable
from typing import NamedTuple

from chalicelib.registry import door_keys, keys
from chalicelib.registry.ports import Absent, Item, Put, Update
from chalicelib.registry.stores import Stores
from weighbridge.contract.errors import Conflict

MOST = 10**9 - 1


class Numbered(NamedTuple):
    """A model, or one of its versions."""

    model_id: str
    version: int = 0


def take(stores: Stores, project_id: str, count: int = 1) -> int:
    """The first of `count` new numbers of a project."""
    counter = Update(keys.counter(door_keys.of_registrations(project_id)), add={"n": count})
    item = stores.table.write(counter)
    last = int(item.attrs["n"]) if item else 0
    if last > MOST:
        raise Conflict(f"the project has given out all {MOST} numbers for foreign clients")
    return last - count + 1


def numbers(stores: Stores, project_id: str, wanted: Iterable[Numbered]) -> dict[Numbered, int]:
    """The numbers of records; those that have none yet get one. Cost: a read per record, and two writes
    for one that is new."""
    places = {door_keys.foreign_number(project_id, *one): one for one in wanted}
    found = {
        places[key]: int(item.attrs["n"]) for key, item in stores.table.get_many(places).items()
    }
    new = [one for one in places.values() if one not in found]
    if not new:
        return found
    first = take(stores, project_id, len(new))
    given = {one: first + index for index, one in enumerate(new)}
    stores.table.write_many([
        Put(Item(door_keys.foreign_record(project_id, n), {"ref": one.model_id, "n": one.version}))
        for one, n in given.items()
    ])  # fmt: skip
    refused = stores.table.write_each([
        Put(Item(door_keys.foreign_number(project_id, *one), {"n": n}), (Absent(),))
        for one, n in given.items()
    ])  # fmt: skip
    for (one, n), failed in zip(given.items(), refused, strict=True):
        twin = failed.existing if failed else None
        found[one] = int(twin.attrs["n"]) if twin else n
    return found


def record(stores: Stores, project_id: str, number: int) -> Numbered | None:
    """The record of a number; None if nothing was given it."""
    item = stores.table.get(door_keys.foreign_record(project_id, number))
    return Numbered(str(item.attrs["ref"]), int(item.attrs["n"])) if item else None
