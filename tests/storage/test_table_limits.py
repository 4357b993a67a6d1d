"""What every table engine refuses, and the largest that it takes."""

import pytest

from chalicelib.registry.ports import (
    MAX_ITEM,
    Delete,
    Equal,
    Item,
    Key,
    Less,
    Put,
    Scalar,
    Update,
)
from tests.storage.places import K, Opened, Place, item
from weighbridge.contract.errors import InvalidRequest, TooLarge


def sized(total: int) -> Item:
    """An item of so many bytes by DynamoDB's count, most of them in two-byte characters."""
    left = total - len("pkskdoc") - len(K.pk) - len(K.sk) - len('{"b":""}')
    return Item(K, {}, {"b": "é" * (left // 2) + "x" * (left % 2)})


def test_an_item_may_have_400_kib_and_no_more(table: Opened, place: Place) -> None:
    """The largest item is stored; one byte more is refused by every write, before it is sent."""
    moto = place.engine == "dynamodb" and not place.endpoint
    largest = sized(405_000 if moto else MAX_ITEM)  # moto draws the line too early
    table.write(Put(largest))
    assert table.get(K) == largest
    over = sized(MAX_ITEM + 1)
    for call in (
        lambda: table.write(Put(over)),
        lambda: table.transact([Put(item("other")), Put(over)]),
        lambda: table.write_many([Put(item("other")), Put(over)]),
    ):
        with pytest.raises(TooLarge) as caught:
            call()
        assert caught.value.details["limit"] == MAX_ITEM
    assert [i.key for i in table.query("model").items] == [K]


def test_an_update_may_not_outgrow_the_limit(table: Opened) -> None:
    """Growth by an update is refused as well, alone and in a transaction, and changes nothing."""
    table.write(Put(item(doc={"b": "x" * 300_000})))
    update = Update(K, set={"ref": "y" * 150_000})
    with pytest.raises(TooLarge):
        table.write(update)
    with pytest.raises(TooLarge):
        table.transact([Put(item("other")), update])
    assert table.query("model").items == (item(doc={"b": "x" * 300_000}),)


def test_a_transaction_has_a_limit_in_bytes(table: Opened) -> None:
    """More than four megabytes in one transaction are refused, and nothing is written."""
    writes = [Put(item(f"{i:02}", doc={"b": "x" * 390_000})) for i in range(11)]
    with pytest.raises(TooLarge):
        table.transact(writes)
    assert table.query("model").items == ()
    table.transact(writes[:10])


@pytest.mark.parametrize(
    "key",
    [Key("", "a"), Key("a", ""), Key("p" * 2049, "a"), Key("a", "é" * 513), Key("a", "\ud800")],
)
def test_keys_that_cannot_be_stored_are_refused(table: Opened, key: Key) -> None:
    """Empty, too long or not even text: every operation says so."""
    for call in (
        lambda: table.get(key),
        lambda: table.get_many([K, key]),
        lambda: table.write(Put(Item(key))),
        lambda: table.transact([Delete(key)]),
        lambda: table.write_many([Delete(key)]),
    ):
        with pytest.raises(InvalidRequest):
            call()


def test_the_longest_keys_work(table: Opened) -> None:
    """2,048 bytes of partition key and 1,024 of sort key are the limit, in UTF-8."""
    key = Key("é" * 1024, "重" * 341 + "x")
    table.write(Put(Item(key)))
    assert table.get(key) == Item(key)
    assert table.query(key.pk, key.sk, key.sk).items == (Item(key),)


@pytest.mark.parametrize(
    ("attrs", "error"),
    [
        ({"colour": "red"}, ValueError), ({"doc": "x"}, ValueError), ({"n": "1"}, TypeError),
        ({"n": 1.0}, TypeError), ({"n": True}, TypeError), ({"state": 1}, TypeError),
        ({"n": 2**63}, InvalidRequest), ({"ref": "\ud800"}, InvalidRequest),
    ],
)  # fmt: skip
def test_attributes_of_another_kind_are_refused(
    table: Opened, attrs: dict[str, Scalar], error: type[Exception]
) -> None:
    """An item has the known attributes with their types, on every engine, and so do conditions."""
    (name, value), *_ = attrs.items()
    for write in (
        Put(Item(K, attrs)),
        Update(K, set=attrs),
        Put(item(), (Equal(name, value),)),
        Delete(K, (Less(name, value),)),
    ):
        with pytest.raises(error):
            table.write(write)
    assert table.get(K) is None


def test_an_update_may_not_contradict_itself(table: Opened) -> None:
    """Setting, adding to and removing one attribute at a time cannot be meant."""
    for update in (
        Update(K, set={"n": 1}, add={"n": 1}),
        Update(K, set={"n": 1}, remove=("n",)),
        Update(K, add={"n": 1}, remove=("n",)),
        Update(K, remove=("n", "n")),
        Update(K, add={"state": 1}),
        Update(K, remove=("colour",)),
    ):
        with pytest.raises((ValueError, TypeError)):
            table.write(update)
    assert table.get(K) is None


def test_documents_that_are_not_json_are_refused(table: Opened) -> None:
    """Not-a-number and halves of characters never reach the store."""
    for doc in ({"x": float("nan")}, {"x": float("inf")}, {"x": "\ud800"}, {"x": {1, 2}}):
        with pytest.raises((ValueError, TypeError, InvalidRequest)):
            table.write(Put(item(doc=doc)))  # type: ignore[arg-type]
    assert table.get(K) is None
