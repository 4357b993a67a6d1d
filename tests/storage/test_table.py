"""What every table engine does: one suite, so that none can drift from the others."""

import pytest

from chalicelib.registry.ports import (
    LAST,
    MAX_TRANSACTION,
    Absent,
    Check,
    Condition,
    ConditionFailed,
    Delete,
    Equal,
    Item,
    Key,
    Less,
    Missing,
    Predicate,
    Present,
    Put,
    Scalar,
    Update,
    Write,
)
from tests.storage.places import K, Opened, item
from weighbridge.contract.errors import TooLarge

FULL: dict[str, Scalar] = {
    "state": "open", "rev": 3, "n": -7, "until": 1_800_000_000, "ttl": 1_900_000_000, "ref": "p/m",
}  # fmt: skip


# items


def test_an_item_that_was_never_written_is_none(table: Opened) -> None:
    """Reading what is not there answers None, and an empty page."""
    assert table.get(K) is None
    assert table.get_many([K]) == {}
    assert table.query("model").items == ()
    assert table.query("model").next is None


def test_put_answers_and_stores_the_whole_item(table: Opened) -> None:
    """What was put is what comes back, from the write and from the read."""
    written = Item(K, FULL, {"a": 1})
    assert table.write(Put(written)) == written
    assert table.get(K) == written


def test_put_replaces_everything(table: Opened) -> None:
    """Attributes and fields of the earlier item do not shine through."""
    table.write(Put(Item(K, FULL, {"a": 1})))
    table.write(Put(item(n=1)))
    assert table.get(K) == item(n=1)


@pytest.mark.parametrize(
    "doc",
    [
        {},
        {"nested": {"list": [1, [2, {"deep": None}]], "empty": {}, "none": []}},
        {"floats": [0.1, 1e-300, 1.7976931348623157e308, -0.0, 5e-324, 3.0]},
        {"integers": [0, -1, 2**53 + 1, 2**63 - 1, 10**30], "true": True, "null": None},
        {"text": 'Größe 重さ 🏋 \u0000 \\ " \n \u2028', "": "empty key", "e": ""},
        {"reserved": {"S": "a", "NULL": True, "N": "1"}, "pk": "x", "doc": {"doc": 1}},
    ],
)
def test_documents_come_back_exactly(table: Opened, doc: dict[str, object]) -> None:
    """A document survives with its types, its order and its last digit."""
    table.write(Put(Item(K, {}, doc)))
    back = table.get(K)
    assert back
    assert repr(dict(back.doc)) == repr(doc)


@pytest.mark.parametrize("number", [0, -1, 10, 100, 2**53 + 1, -(2**53) - 1, 2**63 - 1, -(2**63)])
def test_whole_numbers_are_exact(table: Opened, number: int) -> None:
    """Numbers beyond a float's precision are neither rounded nor turned into floats."""
    table.write(Put(item(n=number)))
    back = table.get(K)
    assert back
    assert back.attrs["n"] == number
    assert type(back.attrs["n"]) is int
    neighbour = number - 1 if number > 0 else number + 1
    with pytest.raises(ConditionFailed):
        table.write(Update(K, set={"rev": 1}, condition=(Equal("n", neighbour),)))
    table.write(Update(K, set={"rev": 1}, condition=(Equal("n", number),)))


def test_adding_is_exact_beyond_a_float(table: Opened) -> None:
    """A counter above 2^53 moves by one."""
    table.write(Put(item(n=2**53)))
    changed = table.write(Update(K, add={"n": 1}))
    assert changed
    assert changed.attrs["n"] == 2**53 + 1


def test_empty_texts_are_values(table: Opened) -> None:
    """An empty text is not a missing attribute."""
    table.write(Put(item(state="", ref="")))
    assert table.get(K) == item(state="", ref="")
    with pytest.raises(ConditionFailed):
        table.write(Put(item(), (Missing("state"),)))
    table.write(Put(item(), (Equal("state", ""),)))


# updates and deletes


def test_update_changes_only_what_it_names(table: Opened) -> None:
    """Other attributes and the document stay as they are."""
    table.write(Put(Item(K, FULL, {"a": 1})))
    changed = table.write(Update(K, set={"state": "ready"}, add={"rev": 2}, remove=("ref", "ttl")))
    expected = Item(K, {"state": "ready", "rev": 5, "n": -7, "until": FULL["until"]}, {"a": 1})
    assert changed == expected
    assert table.get(K) == expected


def test_update_replaces_the_document_whole(table: Opened) -> None:
    """A document is one value: its old fields go."""
    table.write(Put(item(doc={"a": 1, "b": 2}, n=1)))
    assert table.write(Update(K, doc={"b": 3})) == item(doc={"b": 3}, n=1)
    assert table.write(Update(K, doc={})) == item(n=1)


@pytest.mark.parametrize(
    ("update", "expected"),
    [
        (Update(K, set={"state": "new"}), item(state="new")),
        (Update(K, add={"n": 5}), item(n=5)),
        (Update(K, doc={"a": 1}), item(doc={"a": 1})),
        (Update(K, remove=("n",)), item()),
        (Update(K), item()),
    ],
)
def test_update_creates_an_absent_item(table: Opened, update: Update, expected: Item) -> None:
    """Every form of update leaves an item behind."""
    assert table.write(update) == expected
    assert table.get(K) == expected


def test_update_without_changes_keeps_the_item(table: Opened) -> None:
    """An update that names nothing is a plain test of its condition."""
    table.write(Put(Item(K, FULL, {"a": 1})))
    assert table.write(Update(K, condition=(Equal("rev", 3),))) == Item(K, FULL, {"a": 1})


def test_delete_removes_and_is_idempotent(table: Opened) -> None:
    """A deleted item is gone; deleting it again is no error."""
    table.write(Put(item()))
    assert table.write(Delete(K)) is None
    assert table.get(K) is None
    assert table.write(Delete(K)) is None


# conditions

HOLDS = [
    (None, Absent()), (None, Missing("n")), (FULL, Present()), (FULL, Equal("state", "open")),
    (FULL, Equal("n", -7)), (FULL, Less("n", -6)), (FULL, Less("until", 1_800_000_001)),
    (FULL, Less("ref", "p/n")), ({}, Present()), ({}, Missing("state")),
    ({"rev": 9}, Less("rev", 10)), ({"state": "A"}, Less("state", "a")),
    ({"ref": "\uffff"}, Less("ref", "\U00010000")),
]  # fmt: skip
FAILS = [
    (None, Present()), (None, Equal("n", 0)), (None, Less("n", 1)), (FULL, Absent()),
    ({}, Absent()), (FULL, Equal("state", "Open")), (FULL, Equal("n", 7)), (FULL, Less("n", -7)),
    (FULL, Less("rev", 3)), ({}, Equal("state", "")), ({}, Less("until", 2**62)),
    (FULL, Missing("ref")), ({"rev": 10}, Less("rev", 9)),
    ({"ref": "\U00010000"}, Less("ref", "\uffff")),
]  # fmt: skip


def written(attrs: dict[str, Scalar] | None, table: Opened) -> Item | None:
    """The item under K with these attributes, stored; or none."""
    if attrs is None:
        return None
    return table.write(Put(Item(K, attrs, {"some": "thing"})))


def each_kind(condition: Condition) -> list[Put | Update | Delete]:
    return [
        Put(item(doc={"new": 1}), condition),
        Update(K, set={"state": "changed"}, condition=condition),
        Delete(K, condition),
    ]


@pytest.mark.parametrize(("attrs", "predicate"), HOLDS)
def test_a_predicate_that_holds_lets_every_write_pass(
    table: Opened, attrs: dict[str, Scalar] | None, predicate: Predicate
) -> None:
    """Put, update, delete and check go ahead, alone and in a transaction."""
    for index in range(3):
        before = written(attrs, table)
        table.transact([Check(K, (predicate,))])
        write = each_kind((predicate,))[index]
        table.write(write)
        assert table.get(K) != before or before is None
        table.write(Delete(K))
        written(attrs, table)
        table.transact([write])
        assert table.get(K) != before or before is None
        table.write(Delete(K))


@pytest.mark.parametrize(("attrs", "predicate"), FAILS)
def test_a_predicate_that_fails_stops_every_write(
    table: Opened, attrs: dict[str, Scalar] | None, predicate: Predicate
) -> None:
    """Nothing changes, and the error says which write, which key and what was in the way."""
    before = written(attrs, table)
    for write in each_kind((predicate,)):
        with pytest.raises(ConditionFailed) as alone:
            table.write(write)
        with pytest.raises(ConditionFailed) as together:
            table.transact([write])
        for caught in (alone.value, together.value):
            assert (caught.index, caught.key, caught.existing) == (0, K, before)
    with pytest.raises(ConditionFailed) as checked:
        table.transact([Check(K, (predicate,))])
    assert (checked.value.index, checked.value.existing) == (0, before)
    assert table.get(K) == before


def test_all_predicates_of_a_condition_must_hold(table: Opened) -> None:
    """One that fails among many that hold is enough to stop the write."""
    table.write(Put(item(state="open", rev=1)))
    good: Condition = (Present(), Equal("state", "open"), Less("rev", 2), Missing("ref"))
    for bad in (Absent(), Equal("state", "x"), Less("rev", 1), Missing("rev")):
        for position in range(len(good) + 1):
            condition = (*good[:position], bad, *good[position:])
            with pytest.raises(ConditionFailed):
                table.write(Update(K, add={"rev": 1}, condition=condition))
    changed = table.write(Update(K, add={"rev": 1}, condition=good))
    assert changed
    assert changed.attrs["rev"] == 2


# transactions


def test_a_transaction_does_all_of_its_writes(table: Opened) -> None:
    """Every kind of write in one transaction takes effect."""
    table.write(Put(item("old", n=1)))
    table.write(Put(item("gone")))
    table.write(Put(item("checked", state="ready")))
    table.transact(
        [
            Put(item("new", doc={"a": 1}), (Absent(),)),
            Update(Key("model", "old"), add={"n": 1}, doc={"b": 2}),
            Check(Key("model", "checked"), (Equal("state", "ready"),)),
            Delete(Key("model", "gone"), (Present(),)),
            Update(Key("other", "made"), set={"ref": "x"}),
        ]
    )
    assert table.query("model").items == (
        item("checked", state="ready"),
        item("new", doc={"a": 1}),
        item("old", doc={"b": 2}, n=2),
    )
    assert table.get(Key("other", "made")) == Item(Key("other", "made"), {"ref": "x"})


@pytest.mark.parametrize("failing", range(4))
def test_a_failed_transaction_does_nothing_and_names_the_write(table: Opened, failing: int) -> None:
    """The position is that of the caller's list, whatever the kinds of the writes are."""
    table.write(Put(item("item2", state="ready", doc={"v": 2})))
    table.write(Put(item("item3", n=4)))
    before = table.query("model").items
    fails: Condition = (Equal("rev", 99),)
    writes: list[Write] = [
        Put(item("item0"), fails if failing == 0 else (Absent(),)),
        Update(Key("model", "item1"), add={"n": 1}, condition=fails if failing == 1 else ()),
        Check(Key("model", "item2"), fails if failing == 2 else (Present(),)),
        Delete(Key("model", "item3"), fails if failing == 3 else (Equal("n", 4),)),
    ]
    with pytest.raises(ConditionFailed) as caught:
        table.transact(writes)
    assert caught.value.index == failing
    assert caught.value.key == Key("model", f"item{failing}")
    assert caught.value.existing == table.get(Key("model", f"item{failing}"))
    assert table.query("model").items == before


def test_the_first_failed_condition_is_named(table: Opened) -> None:
    """Of several failures the one that comes first in the list is reported."""
    writes = [Put(item(f"item{i}"), (Present(),) if i in (3, 5, 7) else ()) for i in range(9)]
    with pytest.raises(ConditionFailed) as caught:
        table.transact(writes)
    assert (caught.value.index, caught.value.existing) == (3, None)


def test_a_transaction_takes_a_hundred_writes_and_no_more(table: Opened) -> None:
    """The limit is refused before anything is written; an empty transaction is nothing."""
    table.transact([])
    table.transact([Put(item(f"{i:03}")) for i in range(MAX_TRANSACTION)])
    assert len(table.query("model", limit=1000).items) == MAX_TRANSACTION
    with pytest.raises(TooLarge) as caught:
        table.transact([Put(item(f"more{i:03}")) for i in range(MAX_TRANSACTION + 1)])
    assert caught.value.details["limit"] == MAX_TRANSACTION
    assert table.query("model", "more", "more" + LAST).items == ()


def test_two_writes_of_one_key_are_a_mistake(table: Opened) -> None:
    """A transaction cannot write an item twice; that is refused, not guessed at."""
    with pytest.raises(ValueError):
        table.transact([Put(item()), Delete(K)])
    assert table.get(K) is None


def test_ping_answers(table: Opened) -> None:
    """A store that is there is there."""
    table.ping()
