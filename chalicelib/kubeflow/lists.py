"""Lists: what may be asked of them, and their pages. A page token names its list, and the place to go on
behind, so it is the same for the same page, as the client's pager relies on."""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from chalicelib.kubeflow import filters
from chalicelib.registry import paging
from weighbridge.contract.errors import InvalidRequest

QUERY = ("pageSize", "orderBy", "sortOrder", "nextPageToken", "filterQuery")
ORDERS = {
    "CREATE_TIME": "createTimeSinceEpoch", "LAST_UPDATE_TIME": "lastUpdateTimeSinceEpoch", "ID": "id",
}  # fmt: skip
USUAL, MOST = 100, 1000
MAX_ANSWER = 4 * 1024 * 1024
"""Bytes of a page: a function can answer 6 MB, escapes included."""
MAX_SORTED = 20_000
"""Records that one list may put in order: they are all read for it."""

Document = dict[str, Any]
Placed = tuple[str, Document]
"""A record, and its place in the table's own order."""
Source = Callable[[str | None, bool], Iterator[Placed]]
"""The records behind a place, in the table's order or from the end."""


@dataclass(frozen=True, slots=True)
class Listing:
    """What was asked of a list."""

    size: int
    order: str
    descending: bool
    filter: str
    token: str

    def name(self, what: str) -> str:
        """Names the list, so that a token fits no other."""
        return f"kubeflow/{what}/{self.order}/{self.descending}/{self.filter}"


def read(query: Mapping[str, str]) -> Listing:
    """What a query asks of a list."""
    size = query.get("pageSize", "")
    if size and not (size.isascii() and size.isdigit() and int(size[:9]) >= 1):
        raise InvalidRequest(f"pageSize must be a whole number from 1 on, not {size[:40]!r}")
    order = query.get("orderBy", "")
    if order and order not in ORDERS:
        raise InvalidRequest(f"orderBy must be one of {', '.join(ORDERS)}, not {order[:40]!r}")
    sort = query.get("sortOrder", "") or "ASC"
    if sort not in ("ASC", "DESC"):
        raise InvalidRequest(f"sortOrder must be ASC or DESC, not {sort[:40]!r}")
    return Listing(
        min(int(size[:9] or USUAL), MOST), order, sort == "DESC", query.get("filterQuery", ""),
        query.get("nextPageToken", ""),
    )  # fmt: skip


def page(asked: Listing, what: str, source: Source) -> Document:
    """One page of a list. Without an order it is that of the table, and no more is read than is needed."""
    test = filters.read(asked.filter) if asked.filter.strip() else None
    after = paging.after(asked.name(what), asked.token)
    rows = _sorted(asked, source, test) if asked.order else source(after, asked.descending)
    found: list[Document] = []
    place, size, more = "", 0, False
    for at, document in rows:
        if asked.order:
            if after is not None and not _behind(at, after, asked.descending):
                continue
        elif test is not None and not test(document):
            continue
        size += len(json.dumps(document, ensure_ascii=False).encode("utf-8", "surrogatepass"))
        if len(found) == asked.size or (found and size > MAX_ANSWER):
            more = True
            break
        found.append(document)
        place = at
    return {
        "items": found, "size": len(found), "pageSize": asked.size,
        "nextPageToken": paging.token(asked.name(what), place) if more else "",
    }  # fmt: skip


def _sorted(asked: Listing, source: Source, test: filters.Test | None) -> Iterator[Placed]:
    rows: list[tuple[tuple[int, int], Document]] = []
    for _, document in source(None, False):
        if test is None or test(document):
            rows.append(((int(document[ORDERS[asked.order]]), int(document["id"])), document))
            if len(rows) > MAX_SORTED:
                raise InvalidRequest(
                    f"more than {MAX_SORTED} records would have to be put in order; leave orderBy "
                    "out, or narrow the list by filterQuery"
                )
    rows.sort(key=lambda row: row[0], reverse=asked.descending)
    return ((f"{key[0]}/{key[1]}", document) for key, document in rows)


def _behind(place: str, after: str, descending: bool) -> bool:
    one, other = _key(place), _key(after)
    return one < other if descending else one > other


def _key(place: str) -> tuple[int, int]:
    try:
        first, second = place.split("/")
        return int(first), int(second)
    except ValueError:
        raise InvalidRequest("the page token is damaged; start the list anew") from None
