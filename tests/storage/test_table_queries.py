"""How every table engine reads ranges and batches."""

import pytest

from chalicelib.registry.ports import (
    LAST,
    Absent,
    Delete,
    Item,
    Key,
    Put,
)
from chalicelib.storage import units
from tests.storage.places import K, Opened, all_of, item

ORDERED = [
    "\x01", "0", "00", "1", "A", "Z", "_", "a", "a\x00", "a!", "aa", "b", "~", "\x7f", "é", "߿",
    "ࠀ", "重", "\ud7ff", "\ue000", "\uffff", "\U00010000", "🏋", "\U0010fffe",
]  # fmt: skip


def test_sort_keys_order_by_their_bytes(table: Opened) -> None:
    """Case, accents and characters beyond 16 bits sort as their UTF-8 bytes do."""
    assert sorted(ORDERED, key=str.encode) == ORDERED
    table.write_many([Put(item(sk)) for sk in reversed(ORDERED)])
    assert [i.key.sk for i in table.query("model").items] == ORDERED
    backwards = [i.key.sk for i in table.query("model", reverse=True).items]
    assert backwards == ORDERED[::-1]


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("limit", [1, 2, 7, 100])
def test_pages_join_to_the_whole_partition(table: Opened, limit: int, reverse: bool) -> None:
    """Following `next` gives every item once and in order, for any limit and direction."""
    table.write_many([Put(item(sk)) for sk in ORDERED])
    table.write_many([Put(Item(Key(pk, "a"))) for pk in ("mode", "model0", "Model")])
    expected = ORDERED[::-1] if reverse else ORDERED
    assert all_of(table, "model", limit=limit, reverse=reverse) == expected
    assert len(table.query("model", limit=limit, reverse=reverse).items) == min(limit, len(ORDERED))


def test_bounds_are_inclusive(table: Opened) -> None:
    """Both ends belong to the range, whether items lie there or not."""
    table.write_many([Put(item(sk)) for sk in "abcdefg"])
    cases = {
        ("b", "d"): "bcd", ("b", "b"): "b", ("bb", "d"): "cd", ("", "b"): "ab", ("f", LAST): "fg",
        ("", LAST): "abcdefg", ("h", LAST): "", ("", "Z"): "", ("d", "b"): "", ("aa", "az"): "",
    }  # fmt: skip
    for (low, high), expected in cases.items():
        assert all_of(table, "model", low=low, high=high) == list(expected)
        assert all_of(table, "model", low=low, high=high, reverse=True) == list(expected)[::-1]


def test_a_prefix_is_a_range(table: Opened) -> None:
    """`prefix` to `prefix + LAST` is every key that starts so, whatever follows."""
    starting = [f"v#{rest}" for rest in ("", *ORDERED)]
    table.write_many([Put(item(sk)) for sk in (*starting, "v", "v$", "w#")])
    assert all_of(table, "model", low="v#", high="v#" + LAST) == starting


@pytest.mark.parametrize("after", ["", "a", "b", "bb", "c", "d", "e", "f", "g", "z"])
def test_after_excludes_up_to_and_including(table: Opened, after: str) -> None:
    """`after` may be any text: of an item, of none, and outside of the bounds."""
    table.write_many([Put(item(sk)) for sk in "abcdefg"])
    forwards = [sk for sk in "bcdef" if sk > after]
    backwards = [sk for sk in "fedcb" if sk < after]
    options = {"low": "b", "high": "f", "after": after or None}
    assert all_of(table, "model", **options) == (forwards if after else list("bcdef"))
    if after:
        assert all_of(table, "model", reverse=True, **options) == backwards


def test_after_an_item_that_was_deleted_meanwhile(table: Opened) -> None:
    """A page token stays good when its item is gone."""
    table.write_many([Put(item(sk)) for sk in "abcd"])
    page = table.query("model", limit=2)
    assert page.next == "b"
    table.write(Delete(Key("model", "b")))
    assert [i.key.sk for i in table.query("model", after=page.next).items] == ["c", "d"]


def test_a_page_ends_at_a_megabyte(table: Opened) -> None:
    """Large items come in several pages although the limit is not reached; none is lost."""
    blob = "x" * 60_000
    table.write_many([Put(item(f"{i:02}", doc={"blob": blob})) for i in range(50)])
    page = table.query("model", limit=1000)
    assert page.next is not None
    assert 10 < len(page.items) < 25
    assert all_of(table, "model", limit=1000) == [f"{i:02}" for i in range(50)]
    assert all_of(table, "model", limit=1000, reverse=True) == [f"{i:02}" for i in range(50)][::-1]


# batches


def test_many_items_are_written_read_and_deleted(table: Opened) -> None:
    """Batches may be longer than any request can be."""
    stored = [Item(Key(f"part{i % 7}", f"{i:03}"), {"n": i}, {"i": i}) for i in range(260)]
    table.write_many([Put(one) for one in stored])
    missing = [Key("part0", f"missing{i}") for i in range(30)]
    keys = [*missing, *(one.key for one in stored), *(one.key for one in stored[:5])]
    assert table.get_many(iter(keys)) == {one.key: one for one in stored}
    table.write_many([Delete(one.key) for one in stored[:130]] + [Put(Item(Key("new", "x")))])
    assert set(table.get_many(keys)) == {one.key for one in stored[130:]}
    assert table.get(Key("new", "x")) == Item(Key("new", "x"))


def test_large_items_fit_into_batches(table: Opened) -> None:
    """More bytes than one answer may have are fetched all the same."""
    stored = [
        Item(Key("big", f"{i:02}"), {}, {"blob": chr(97 + i % 26) * 390_000}) for i in range(45)
    ]
    table.write_many([Put(one) for one in stored])
    assert table.get_many([one.key for one in stored]) == {one.key: one for one in stored}


def test_the_last_write_of_a_key_in_a_batch_wins(table: Opened) -> None:
    """A batch may name a key twice; the order of the list decides."""
    table.write_many(
        [Put(item(n=1)), Delete(K), Put(item(n=2)), Put(item("b")), Delete(Key("model", "b"))]
    )
    assert table.query("model").items == (item(n=2),)


def test_batches_refuse_conditions(table: Opened) -> None:
    """A condition that a batch could not keep is refused, not ignored."""
    with pytest.raises(ValueError):
        table.write_many([Put(item()), Put(item("b"), (Absent(),))])
    assert table.query("model").items == ()
    table.write_many([])
    assert table.get_many([]) == {}


def test_each_write_is_done_or_refused_by_itself(table: Opened) -> None:
    """Of many conditional writes those that are refused are named; the others are done."""
    table.write_many([Put(item(sk)) for sk in "bd"])
    new = {sk: Item(item(sk).key, {"n": 7}) for sk in "abcdef"}
    refused = table.write_each([Put(one, (Absent(),)) for one in new.values()])
    assert [failed.existing if failed else None for failed in refused] == [
        None, item("b"), None, item("d"), None, None,
    ]  # fmt: skip
    assert [failed.index for failed in refused if failed] == [1, 3]
    found = table.query("model").items
    assert found == (new["a"], item("b"), new["c"], item("d"), new["e"], new["f"])
    assert table.write_each([]) == []
    with pytest.raises(ValueError, match="same key"):
        table.write_each([Put(new["a"]), Delete(new["a"].key)])


def test_each_write_costs_what_it_would_cost_alone(table: Opened) -> None:
    """Writing many at once is no cheaper, also where they are refused."""
    with units.recorded() as alone:
        for sk in "abc":
            table.write(Put(item(sk), (Absent(),)))
    writes = [Put(item(sk), (Absent(),)) for sk in "abc"]
    with units.recorded() as refused:
        assert all(table.write_each(writes))
    assert alone.writes == refused.writes > 0
