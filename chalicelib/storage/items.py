"""What both table engines agree on: legal keys, attributes and documents, and the limits.

DynamoDB would refuse most of this itself, each thing in its own words; checking here makes SQLite
refuse exactly the same, so that nothing works on one engine only.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from chalicelib.registry.ports import (
    ATTRIBUTES,
    MAX_ITEM,
    MAX_TRANSACTION,
    Check,
    Condition,
    Delete,
    Equal,
    Item,
    Key,
    Less,
    Missing,
    Put,
    Scalar,
    Update,
    Write,
)
from weighbridge.contract.errors import InvalidRequest, TooLarge

MAX_PK, MAX_SK = 2048, 1024
MAX_TRANSACTION_BYTES = 4 * 1024 * 1024
PAGE_BYTES = 1024 * 1024
"""A query's page ends here, whatever its limit; on SQLite so that tests meet short pages."""

TEXTS = frozenset({"state", "ref"})
NUMBERS = frozenset(ATTRIBUTES) - TEXTS


_JSON = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def pack(doc: Mapping[str, Any]) -> str:
    """A document as JSON text; numbers come back exactly, in the order of its keys."""
    if not doc:  # most items have none
        return "{}"
    text = _JSON.encode(doc)
    _encodable(text)
    return text


def unpack(text: str | None) -> dict[str, Any]:
    """The document that `pack` wrote; an item without one has an empty document."""
    loaded: dict[str, Any] = json.loads(text) if text and text != "{}" else {}
    return loaded


def check_key(key: Key) -> None:
    """Refuses keys that DynamoDB could not store."""
    for text, limit in ((key.pk, MAX_PK), (key.sk, MAX_SK)):
        if not 0 < _encodable(text) <= limit:
            raise InvalidRequest(f"a key must be 1 to {limit} bytes long: {text[:80]!r}")


def check_bounds(pk: str, low: str, high: str, after: str | None, limit: int) -> None:
    """Refuses query bounds that DynamoDB could not compare."""
    check_key(Key(pk, high))
    for text in (low, after):
        if text:
            check_key(Key(pk, text))
    if limit < 1:
        raise ValueError(f"limit must be 1 or more, not {limit}")


def check_write(write: Write) -> None:
    """Refuses what one engine would take and the other would not."""
    check_key(write.key)
    check_condition(write.condition)
    if isinstance(write, Put):
        check_attributes(write.item.attrs)
    elif isinstance(write, Update):
        check_attributes(write.set)
        check_attributes(write.add)
        names = [*write.set, *write.add, *write.remove]
        if len(set(names)) < len(names):
            raise ValueError(f"an attribute is changed twice: {names}")
        if not NUMBERS.issuperset(write.add):
            raise ValueError(f"only numbers can be added to: {sorted(write.add)}")
        for name in write.remove:
            _known(name)


def check_condition(condition: Condition) -> None:
    """Refuses predicates on attributes that items do not have, or of another type."""
    for predicate in condition:
        if isinstance(predicate, (Equal, Less)):
            check_attributes({predicate.attr: predicate.value})
        elif isinstance(predicate, Missing):
            _known(predicate.attr)


def check_attributes(attrs: Mapping[str, Scalar]) -> None:
    """Refuses unknown attributes and values of the wrong type."""
    for name, value in attrs.items():
        _known(name)
        if name in TEXTS:
            if not isinstance(value, str):
                raise TypeError(f"{name} is a text, not {value!r}")
            _encodable(value)
        elif not isinstance(value, int) or isinstance(value, bool):
            raise TypeError(f"{name} is a whole number, not {value!r}")
        elif not -(2**63) <= value < 2**63:
            raise InvalidRequest(f"{name} is out of range: {str(value)[:40]}")


def check_each(writes: Sequence[Put | Update | Delete]) -> None:
    """Refuses writes that would be refused one by one, and two of one key."""
    if len({write.key for write in writes}) < len(writes):
        raise ValueError("two writes of one batch have the same key")
    for write in writes:
        check_write(write)
        check_put(write)


def check_transaction(writes: Sequence[Write]) -> None:
    """Refuses transactions that DynamoDB would refuse as a whole."""
    if len(writes) > MAX_TRANSACTION:
        raise TooLarge(
            f"{len(writes)} writes in one transaction; {MAX_TRANSACTION} are possible",
            limit=MAX_TRANSACTION,
        )
    if len({write.key for write in writes}) < len(writes):
        raise ValueError("two writes of one transaction have the same key")
    for write in writes:
        check_write(write)
        check_put(write)
    total = sum(payload(write) for write in writes)
    if total > MAX_TRANSACTION_BYTES:
        raise TooLarge(
            f"one transaction of {total} bytes; {MAX_TRANSACTION_BYTES} are possible",
            limit=MAX_TRANSACTION_BYTES,
        )


def last_of_each(writes: Iterable[Put | Delete]) -> list[Put | Delete]:
    """The writes of a batch, the last one where several have the same key."""
    batch = list(writes)
    for write in batch:
        if write.condition:
            raise ValueError("a batch cannot have conditions")
        check_write(write)
        check_put(write)
    return list({write.key: write for write in batch}.values())


def size(key: Key, attrs: Mapping[str, Scalar], doc: str) -> int:
    """The size of an item as DynamoDB counts it: names and values; numbers take half a digit."""
    total = 4 + len(key.pk.encode()) + len(key.sk.encode()) + 3 + len(doc.encode())
    for name, value in attrs.items():
        total += len(name)
        total += len(value.encode()) if isinstance(value, str) else _digits(value)
    return total


def check_put(write: Write) -> None:
    """Raises `TooLarge` for a whole item that no engine would store."""
    if isinstance(write, Put):
        check_size(write.key, payload(write))


def check_size(key: Key, size: int) -> int:
    """`size`, or `TooLarge` if no engine would store the item."""
    if size > MAX_ITEM:
        raise TooLarge(
            f"an item of {size} bytes ({key.pk[:80]}); {MAX_ITEM} are possible", limit=MAX_ITEM
        )
    return size


def payload(write: Write) -> int:
    """The bytes that a write brings along."""
    if isinstance(write, Put):
        return size(write.key, write.item.attrs, pack(write.item.doc))
    if isinstance(write, Update):
        doc = pack(write.doc) if write.doc is not None else ""
        return size(write.key, {**write.set, **write.add}, doc)
    if isinstance(write, (Delete, Check)):
        return size(write.key, {}, "")
    raise TypeError(f"not a write: {write!r}")


def size_of(item: Item | None) -> int:
    """The size of a whole item; 0 for an absent one."""
    return size(item.key, item.attrs, pack(item.doc)) if item else 0


def _digits(value: int) -> int:
    digits = str(abs(value)).rstrip("0")
    return 1 + (len(digits) + 1) // 2 + (value < 0)


def _known(name: str) -> None:
    if name not in ATTRIBUTES:
        raise ValueError(f"{name!r} is none of the attributes {', '.join(ATTRIBUTES)}")


def _encodable(text: str) -> int:
    try:
        return len(text.encode())
    except UnicodeEncodeError:
        raise InvalidRequest("the text holds half of a surrogate pair") from None
