"""What only foreign registries know: serving environments, the services in them, what they served, and
artifacts that belong to no version. Each is a document under a number, with a name that is unique among
those of its kind and parent. Nothing else of the registry rests on them.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from chalicelib.registry import door_keys, foreign_ids, keys, outbox, paging
from chalicelib.registry.describing import bounded
from chalicelib.registry.models import RACES
from chalicelib.registry.ports import (
    Absent,
    Check,
    ConditionFailed,
    Equal,
    Item,
    Put,
    Write,
)
from chalicelib.registry.projects import ProjectRecord
from chalicelib.registry.stores import Stores, iso
from weighbridge.contract import names
from weighbridge.contract.errors import AlreadyExists, Conflict, NotFound, Unavailable

Kind = Literal["artifact", "environment", "service", "serve"]
_LETTER: dict[str, str] = {"artifact": "A", "environment": "E", "service": "I", "serve": "V"}
_WORD: dict[str, str] = {
    "artifact": "artifact", "environment": "serving environment", "service": "inference service",
    "serve": "served model",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Registration:
    """One of them. `parent` is the number of what it belongs to, 0 if that is nothing."""

    kind: Kind
    number: int
    name: str
    parent: int
    document: Mapping[str, Any]
    created: str
    updated: str
    revision: int = 1


def _item(project_id: str, found: Registration) -> Item:
    doc = {
        "name": found.name, "parent": found.parent, "document": dict(found.document),
        "created": found.created, "updated": found.updated,
    }  # fmt: skip
    bounded(doc)
    key = door_keys.registration(project_id, _LETTER[found.kind], found.number)
    return Item(key, {"rev": found.revision}, doc)


def _decoded(kind: Kind, item: Item) -> Registration:
    doc = item.doc
    return Registration(
        kind, int(item.key.sk.partition("#")[2]), str(doc["name"]), int(doc["parent"]),
        doc["document"], str(doc["created"]), str(doc["updated"]), int(item.attrs.get("rev", 0)),
    )  # fmt: skip


def create(
    stores: Stores,
    by: str,
    project: ProjectRecord,
    kind: Kind,
    name: str,
    document: Mapping[str, Any],
    parent: int = 0,
) -> Registration:
    """A new one in a live project; `AlreadyExists` if its name is taken."""
    letter = _LETTER[kind]
    names.key(f"name of the {_WORD[kind]}", name)
    lock = door_keys.registration_name(project.id, letter, parent, name)
    if stores.table.get(lock) is not None:
        raise _taken(kind, name)
    number = foreign_ids.take(stores, project.id)
    now = iso(stores.now())
    found = Registration(kind, number, name, parent, document, now, now)
    writes: list[Write] = [
        Put(Item(lock, {"n": number}), (Absent(),)),
        Check(keys.project(project.project.name), (Equal("state", "live"),)),
        Put(_item(project.id, found), (Absent(),)),
        outbox.entry(stores, project.id, f"{kind}.registered", by, subject=name),
    ]
    if parent:
        writes.append(Put(Item(door_keys.registration_child(project.id, letter, parent, number))))
    try:
        stores.table.transact(writes)
    except ConditionFailed as failed:
        if failed.index == 0:
            raise _taken(kind, name) from None
        raise Conflict(f"the project {project.project.name!r} is being deleted") from None
    outbox.wake(stores, project.id)
    return found


def _taken(kind: Kind, name: str) -> AlreadyExists:
    return AlreadyExists(f"there is a {_WORD[kind]} named {name!r} already")


def find(stores: Stores, project_id: str, kind: Kind, number: int) -> Registration:
    """The one of that number, or `NotFound`."""
    if 0 < number <= foreign_ids.MOST:
        item = stores.table.get(door_keys.registration(project_id, _LETTER[kind], number))
        if item is not None:
            return _decoded(kind, item)
    raise NotFound(f"there is no {_WORD[kind]} with the id {number}")


def named(stores: Stores, project_id: str, kind: Kind, name: str, parent: int = 0) -> Registration:
    """The one of that name, or `NotFound`."""
    names.key(f"name of the {_WORD[kind]}", name)
    lock = stores.table.get(door_keys.registration_name(project_id, _LETTER[kind], parent, name))
    if lock is None:
        raise NotFound(f"there is no {_WORD[kind]} named {name!r}")
    return find(stores, project_id, kind, int(lock.attrs["n"]))


def every(
    stores: Stores,
    project_id: str,
    kind: Kind,
    after: int | None = None,
    reverse: bool = False,
    parent: int = 0,
) -> Iterator[Registration]:
    """Those behind a number, read as they are asked for; with `parent`, what belongs to it."""
    letter, pk = _LETTER[kind], door_keys.of_registrations(project_id)
    if not parent:
        place = None if after is None else door_keys.registration(project_id, letter, after).sk
        for item in paging.walk(stores.table, pk, keys.prefix(f"{letter}#"), place, reverse):
            yield _decoded(kind, item)
        return
    child = door_keys.registration_child
    low = child(project_id, letter, parent, 0).sk.rpartition("#")[0] + "#"
    place = None if after is None else child(project_id, letter, parent, after).sk
    for item in paging.walk(stores.table, pk, keys.prefix(low), place, reverse):
        yield find(stores, project_id, kind, int(item.key.sk.rpartition("#")[2]))


def rewrite(
    stores: Stores,
    by: str,
    project_id: str,
    kind: Kind,
    number: int,
    applied: Callable[[Registration], Mapping[str, Any]],
) -> Registration:
    """The one of that number with the document that `applied` makes of its newest state."""
    for _ in range(RACES):
        old = find(stores, project_id, kind, number)
        new = replace(
            old, document=applied(old), updated=iso(stores.now()), revision=old.revision + 1
        )
        event = outbox.entry(stores, project_id, f"{kind}.changed", by, subject=new.name)
        try:
            stores.table.transact(
                [Put(_item(project_id, new), (Equal("rev", old.revision),)), event]
            )
        except ConditionFailed:
            continue
        outbox.wake(stores, project_id)
        return new
    raise Unavailable(f"too many others changed the {_WORD[kind]} {number} at once; try again")
