"""Items, conditions and updates in PynamoDB's words. No requests are made here."""

from collections.abc import Mapping
from functools import reduce
from operator import and_
from typing import Any

from pynamodb.attributes import Attribute, JSONAttribute, UnicodeAttribute
from pynamodb.constants import NUMBER
from pynamodb.expressions.condition import Condition as Expression
from pynamodb.expressions.update import Action
from pynamodb.models import Model

from chalicelib.registry.ports import (
    ATTRIBUTES,
    LAST,
    Absent,
    Condition,
    Equal,
    Item,
    Key,
    Less,
    Missing,
    Predicate,
    Present,
    Update,
)
from chalicelib.storage import items

Raw = dict[str, Any]
"""An item or a request as the service spells it: `{"n": {"N": "1"}}`."""


class Integer(Attribute[int]):
    """Whole numbers, exact at any size; PynamoDB's own number is a float to type checkers."""

    attr_type = NUMBER

    def serialize(self, value: Any) -> str:
        """As the service wants it."""
        return str(int(value))

    def deserialize(self, value: Any) -> int:
        """As the service sends it."""
        return int(value)


class Document(JSONAttribute):
    """A document in the same spelling as on the other engine, so that sizes are the same."""

    def serialize(self, value: Any) -> str:
        """JSON text."""
        return items.pack(value)

    def deserialize(self, value: Any) -> dict[str, Any]:
        """The document of a JSON text."""
        return items.unpack(value)


class Row(Model):
    """An item; `row_of` adds the table's name and address."""

    pk = UnicodeAttribute(hash_key=True)
    sk = UnicodeAttribute(range_key=True)
    state = UnicodeAttribute(null=True)
    rev = Integer(null=True)
    n = Integer(null=True)
    until = Integer(null=True)
    ttl = Integer(null=True)
    ref = UnicodeAttribute(null=True)
    doc = Document(null=True)


def row_of(name: str, place: str, endpoint: str) -> type[Row]:
    """The model of one table, with a client of its own."""

    class TableRow(Row):
        class Meta:
            table_name = name
            region = place
            host = endpoint or None
            billing_mode = "PAY_PER_REQUEST"
            # A Lambda has 29 seconds in all; `dynamo_calls` repeats what may be repeated.
            connect_timeout_seconds = 2
            read_timeout_seconds = 5
            max_retry_attempts = 0
            max_pool_connections = 64

    return TableRow


def raw_of(row: type[Row], item: Item) -> Raw:
    """The item as the service wants it, key included."""
    values: dict[str, Any] = dict(item.attrs)
    return row(item.key.pk, item.key.sk, doc=item.doc, **values).serialize()


def raw_key(key: Key) -> Raw:
    """The key as the service wants it."""
    return {"pk": {"S": key.pk}, "sk": {"S": key.sk}}


def item_of(row: type[Row], raw: Raw | None) -> Item | None:
    """The item that the service sent; None where it sent none."""
    if not raw:
        return None
    loaded = row.from_raw_data(raw)
    values = ((name, getattr(loaded, name)) for name in ATTRIBUTES)
    attrs = {name: value for name, value in values if value is not None}
    return Item(Key(loaded.pk, loaded.sk), attrs, loaded.doc or {})


def expression(row: type[Row], condition: Condition) -> Expression | None:
    """All predicates of the condition in one expression."""
    if not condition:
        return None
    return reduce(and_, (_one(row, predicate) for predicate in condition))


def _one(row: type[Row], predicate: Predicate) -> Expression:
    match predicate:
        case Absent():
            return row.pk.does_not_exist()
        case Present():
            return row.pk.exists()
        case Missing(attr):
            return _attribute(row, attr).does_not_exist()
        case Equal(attr, value):
            return _attribute(row, attr) == value
        case Less(attr, value):
            return _attribute(row, attr) < value


def actions(row: type[Row], update: Update) -> list[Action]:
    """The changes of the update; never none, so that an absent item is made in any case."""
    changes: list[Action] = [_attribute(row, n).set(v) for n, v in update.set.items()]
    changes += [_attribute(row, name).add(amount) for name, amount in update.add.items()]
    changes += [_attribute(row, name).remove() for name in update.remove]
    if update.doc is not None:
        changes.append(row.doc.set(update.doc))
    elif not update.set and not update.add:
        empty: Mapping[str, Any] = {}
        changes.append(row.doc.set(row.doc | empty))
    return changes


def bounds(row: type[Row], low: str, high: str) -> Expression | None:
    """The sort keys from `low` to `high`; DynamoDB compares with no empty text."""
    if low and high != LAST:
        return row.sk.between(low, high)
    if low:
        return row.sk >= low
    return row.sk <= high if high != LAST else None


def _attribute(row: type[Row], name: str) -> Attribute[Any]:
    attribute: Attribute[Any] = getattr(row, name)
    return attribute
