"""The outbox and the history: every change leaves one entry, written with the change itself.

An entry says which pages are stale and, mostly, carries an event. Draining appends the event to the
project's history and removes the entry after the pages were rendered; doing it twice is harmless.
"""

import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any

from chalicelib.registry import keys, paging
from chalicelib.registry.ports import LAST, Item, Key, Put
from chalicelib.registry.stores import Stores, event_id, event_time, iso
from weighbridge.contract import codec
from weighbridge.contract.errors import InvalidRequest, Unavailable
from weighbridge.contract.types import Event, EventPage

_EVENT_ID = re.compile(r"[0-9a-f]{12,40}\Z")


def entry(
    stores: Stores,
    project_id: str,
    kind: str,
    by: str,
    *,
    model: str = "",
    subject: str = "",
    versions: Iterable[int] = (),
    details: dict[str, Any] | None = None,
    order: int = 0,
    model_id: str = "",
    clean: int = 0,
    release: int = 0,
) -> Put:
    """The outbox entry to write with a change. `versions` are those whose pages are stale.

    A `kind` that begins with `~` makes no line in the history. `order` (a revision) sorts changes
    of one model that fall into the same millisecond. `model_id` is for a model that will be gone;
    `clean` is the number of its version whose references are to be given up, `release` that of the
    version whose evicted checkpoints are.
    """
    now = stores.now()
    identifier = event_id(now, f"{order & 0xFFFFFF:06x}{stores.random()}")
    event = Event(identifier, iso(now), kind, by, model, subject, details or {})
    doc: dict[str, Any] = {"event": codec.encode(event), "versions": list(versions)}
    if model_id:
        doc["model_id"] = model_id
    if clean:
        doc["clean"] = clean
    if release:
        doc["release"] = release
    return Put(Item(Key(keys.of_outbox(project_id), identifier), {}, doc))


def identifier(put: Put) -> str:
    """The event id of an entry."""
    return put.key.sk


def wake(stores: Stores, project_id: str) -> None:
    """Asks for a drain soon; if the message is lost, the sweep drains."""
    with suppress(Unavailable):
        stores.queue.send("render", {"project": project_id})


def event_of(item: Item) -> Event:
    """The event an entry carries."""
    return codec.decode(Event, dict(item.doc["event"]))


def pending(stores: Stores, project_id: str, limit: int = 1000) -> tuple[Item, ...]:
    """The entries not yet drained, oldest first."""
    return stores.table.query(keys.of_outbox(project_id), limit=limit).items


def append(stores: Stores, project_id: str, entries: Iterable[Item]) -> None:
    """Writes the events of `entries` into the history; a repeat writes the same items."""
    puts = []
    for item in entries:
        event = event_of(item)
        if not event.kind.startswith("~"):
            key = Key(keys.of_events(project_id, _month(item.key.sk)), item.key.sk)
            puts.append(Put(Item(key, {}, {"event": item.doc["event"]})))
    if puts:
        stores.table.write_many(puts)


def history(
    stores: Stores,
    project_id: str,
    created: str,
    *,
    model: str | None = None,
    limit: int = 100,
    page: str | None = None,
    before: str = "",
) -> EventPage:
    """Events of a project (or of one model), newest first, those not yet drained included.

    `created` (ISO) is where the history begins, so that empty months end. `before` is an event's id,
    of any project: only what happened before it.
    """
    query = f"events/{project_id}/{model}"
    after = before or paging.after(query, page)
    merged: dict[str, Event] = {}
    for item in pending(stores, project_id):
        if after is None or item.key.sk < after:
            merged[item.key.sk] = event_of(item)
    first = created[:4] + created[5:7]
    month = _month(after) if after else _month(event_id(stores.now(), "0"))
    scanned: str | None = after
    exhausted = False
    # Of one model many may have to be passed over; of all, no more are read than are answered.
    size = min(limit + 1, 1000) if model is None else 1000
    while len([e for e in merged.values() if _wanted(e, model)]) <= limit:
        if month < first:
            exhausted = True
            break
        found = stores.table.query(
            keys.of_events(project_id, month), "", LAST, after=scanned, limit=size, reverse=True
        )
        for item in found.items:
            merged.setdefault(item.key.sk, event_of(item))
        if found.next is None:
            month, scanned = _before(month), None
        else:
            scanned = found.next
    events = [merged[i] for i in sorted(merged, reverse=True) if _wanted(merged[i], model)]
    more = len(events) > limit or not exhausted
    items = tuple(events[:limit])
    return EventPage(items, paging.token(query, items[-1].id) if more and items else None)


def across(
    stores: Stores, places: Sequence[tuple[str, str, str]], *, limit: int, before: str = ""
) -> tuple[list[tuple[str, Event]], str]:
    """Events of several projects (name, id, created), newest first, and the id to go on before
    (empty: there is nothing older). Cost: one history page per project."""
    if before and not _EVENT_ID.match(before):
        raise InvalidRequest("`before` must be the id of an event", before=before[:40])
    found: list[tuple[str, Event]] = []
    more = False
    for name, project_id, created in places:
        events = history(stores, project_id, created, limit=limit, before=before)
        more = more or events.next is not None
        found += [(name, event) for event in events.items]
    found.sort(key=lambda pair: pair[1].id, reverse=True)
    more = more or len(found) > limit
    found = found[:limit]
    return found, found[-1][1].id if more and found else ""


def _wanted(event: Event, model: str | None) -> bool:
    return not event.kind.startswith("~") and (model is None or event.model == model)


def _month(identifier_: str) -> str:
    text = iso(event_time(identifier_))
    return text[:4] + text[5:7]


def _before(month: str) -> str:
    year, number = int(month[:4]), int(month[4:])
    return f"{year - 1}12" if number == 1 else f"{year}{number - 1:02d}"
