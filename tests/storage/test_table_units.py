"""What operations cost: by our formula (SQLite), and by what emulators of the service report.

MiniStack agrees but for queries, of which it counts any as 1 unit. moto counts neither sizes nor
consistent reads (1 unit per write or batch request, half a unit per read and update), so its numbers
are of no use. Costs are therefore measured on SQLite.
"""

import threading
from collections.abc import Callable
from contextlib import suppress

import pytest

from chalicelib.registry.ports import (
    Absent,
    Check,
    ConditionFailed,
    Delete,
    Item,
    Key,
    Present,
    Put,
    Update,
)
from chalicelib.storage import items, units
from tests.storage.places import Opened, Place

K = Key("p", "s")
SMALL = Item(K)
LARGE = Item(K, {}, {"b": "x" * 3000})
KEYS = [Key("batch", f"{i:02}") for i in range(35)]
LARGES = [Item(key, {}, LARGE.doc) for key in KEYS[:30]]
Step = tuple[str, Callable[[Opened], object], float, float]

STEPS: list[Step] = [
    ("read what is absent", lambda t: t.get(K), 1, 0),
    ("put a small item", lambda t: t.write(Put(SMALL)), 0, 1),
    ("replace it by a larger one", lambda t: t.write(Put(LARGE)), 0, 3),
    ("replace that by a small one", lambda t: t.write(Put(SMALL)), 0, 3),
    ("grow by an update", lambda t: t.write(Update(K, doc=LARGE.doc)), 0, 3),
    ("count in a large item", lambda t: t.write(Update(K, add={"n": 1})), 0, 3),
    ("fail on a large item", lambda t: t.write(Delete(K, (Absent(),))), 0, 3),
    ("fail on an absent item", lambda t: t.write(Delete(Key("no", "no"), (Present(),))), 0, 1),
    ("read a large item", lambda t: t.get(K), 1, 0),
    ("check it in a transaction", lambda t: t.transact([Check(K, (Present(),))]), 0, 6),
    ("change it in a transaction", lambda t: t.transact([Update(K, add={"n": 1})]), 0, 6),
    ("put beside it", lambda t: t.transact([Check(K, (Present(),)), Put(Item(KEYS[0]))]), 0, 8),
    ("delete both", lambda t: t.transact([Delete(K), Delete(KEYS[0])]), 0, 8),
    ("delete an absent item", lambda t: t.write(Delete(K)), 0, 1),
    ("put a batch", lambda t: t.write_many([Put(i) for i in LARGES]), 0, 90),
    ("read a batch and 5 absent ones", lambda t: t.get_many(KEYS), 35, 0),
    ("query the batch", lambda t: t.query("batch"), 23, 0),
    ("query one of it", lambda t: t.query("batch", limit=1), 1, 0),
    ("query nothing", lambda t: t.query("nothing"), 1, 0),
    ("delete the batch", lambda t: t.write_many([Delete(k) for k in KEYS[:30]]), 0, 90),
]  # fmt: skip


def test_costs_are_those_of_dynamodb(shared_table: Opened, shared_place: Place) -> None:
    """Each operation takes the units that DynamoDB's price list says."""
    for name, step, reads, writes in STEPS:
        with units.recorded() as used, suppress(ConditionFailed):
            step(shared_table)
        if name == "query the batch" and shared_place.endpoint:
            reads = 1  # MiniStack counts any query as one unit
        assert (name, used.reads, used.writes) == (name, reads, writes)


@pytest.mark.parametrize(("size", "reads", "writes"), [
    (0, 1, 1), (1, 1, 1), (1024, 1, 1), (1025, 1, 2), (4096, 1, 4), (4097, 2, 5), (409_600, 100, 400),
])  # fmt: skip
def test_units_round_up(size: int, reads: int, writes: int) -> None:
    """A begun unit is a whole one, and in transactions two."""
    assert units.of_read(size) == reads
    assert units.of_write(0, size) == units.of_write(size, 0) == writes
    assert units.of_write(size, size, transactional=True) == 2 * writes


@pytest.mark.parametrize(("number", "size"), [
    (0, 1), (7, 2), (10, 2), (-7, 3), (12, 2), (123, 3), (1_800_000_000, 2), (1_800_000_001, 6),
])  # fmt: skip
def test_numbers_take_a_byte_per_two_digits(number: int, size: int) -> None:
    """Trailing zeros cost nothing, a sign one byte."""
    without = items.size(K, {}, "{}")
    assert items.size(K, {"n": number}, "{}") == without + len("n") + size


def test_recorders_nest_and_end(table: Opened) -> None:
    """An inner recorder sees its block, an outer one everything, and none what comes after."""
    with units.recorded() as outer:
        table.write(Put(SMALL))
        with units.recorded() as inner:
            table.get(K)
        table.query("p")
    table.get(K)
    assert [o.name for o in inner.operations] == ["get"]
    assert [o.name for o in outer.operations] == ["write", "get", "query"]


def test_other_threads_do_not_record(table: Opened) -> None:
    """One request's costs are not another's, though they run at the same time."""
    with units.recorded() as used:
        other = threading.Thread(target=lambda: table.write(Put(SMALL)))
        other.start()
        other.join()
    assert used.operations == []
