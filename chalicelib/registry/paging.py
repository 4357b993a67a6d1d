"""Page tokens: opaque, checked, and bound to the query they continue."""

import base64
import hashlib
import json
from collections.abc import Callable, Iterator
from typing import TypeVar

from chalicelib.registry.ports import Found, Item, Table
from weighbridge.contract.errors import InvalidRequest

MAX_LIMIT = 1000
T = TypeVar("T")


def _digest(query: str, after: str) -> str:
    return hashlib.sha256(f"{query}\0{after}".encode()).hexdigest()[:16]


def token(query: str, after: str) -> str:
    """The token that continues `query` after the sort key `after`."""
    data = json.dumps([after, _digest(query, after)], separators=(",", ":")).encode()
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def after(query: str, page: str | None) -> str | None:
    """The sort key in a token made for the same query; another's token is refused."""
    if not page:
        return None
    try:
        text, digest = json.loads(base64.urlsafe_b64decode(page + "=" * (-len(page) % 4)))
    except (ValueError, TypeError):
        raise InvalidRequest("the page token is damaged; start the list anew") from None
    if not isinstance(text, str) or digest != _digest(query, text):
        raise InvalidRequest("the page token belongs to another list; start this one anew")
    return text


def limit(value: int) -> int:
    """A page size within bounds."""
    if not 1 <= value <= MAX_LIMIT:
        raise InvalidRequest(f"limit must be from 1 to {MAX_LIMIT}, not {value}")
    return value


def page_of(
    table: Table,
    query: str,
    pk: str,
    bounds: tuple[str, str],
    convert: Callable[[Item], T],
    *,
    size: int,
    page: str | None,
    reverse: bool = False,
) -> tuple[tuple[T, ...], str | None]:
    """One page of a partition, converted, and the token of the next."""
    found: Found = table.query(
        pk, *bounds, after=after(query, page), limit=limit(size), reverse=reverse
    )
    following = token(query, found.next) if found.next is not None else None
    return tuple(convert(item) for item in found.items), following


def walk(
    table: Table, pk: str, bounds: tuple[str, str], after_: str | None, reverse: bool = False
) -> Iterator[Item]:
    """Items of a partition behind the sort key `after_`, read as they are asked for."""
    size = 100
    while True:
        found = table.query(pk, *bounds, after=after_, limit=size, reverse=reverse)
        yield from found.items
        if found.next is None:
            return
        after_, size = found.next, MAX_LIMIT


def collect(
    table: Table, pk: str, bounds: tuple[str, str], *, limit: int, reverse: bool = False
) -> list[Item]:
    """The first `limit` items, whatever a store's own pages hold (a page ends at 1 MB)."""
    items: list[Item] = []
    after_: str | None = None
    while len(items) < limit:
        found = table.query(
            pk, *bounds, after=after_, limit=min(limit - len(items), MAX_LIMIT), reverse=reverse
        )
        items += found.items
        if found.next is None:
            break
        after_ = found.next
    return items
