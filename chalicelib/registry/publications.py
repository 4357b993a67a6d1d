"""Who published which version to a serving system, and how often a version was loaded there."""

from collections.abc import Iterable
from typing import Any

from chalicelib.registry import keys, outbox, paging
from chalicelib.registry.ports import Check, Delete, Equal, Item, Put, Update, Write
from chalicelib.registry.stores import Stores, event_id, iso
from chalicelib.registry.versions import VersionRecord

MAX_LISTED = 1000


def record(
    stores: Stores, by: str, found: VersionRecord, kind: str, details: dict[str, Any]
) -> None:
    """Notes a publication of a ready version: `loaded` counts, `bound` gives it to a service. One
    transaction; `ConditionFailed` if the version was deleted meanwhile."""
    now = stores.now()
    key = keys.publication(found.model.id, found.number, event_id(now, stores.random()))
    told = {"kind": kind, "by": by, "at": iso(now), **details}
    writes: list[Write] = [
        Check(
            keys.version(found.model.id, keys.READY, found.number), (Equal("state", "ready"),)
        ),
        Put(Item(key, {}, told)),
        outbox.entry(
            stores, found.model.project_id, f"version.{kind}", by, model=found.model.model.name,
            subject=f"{found.model.model.name}@{found.number}", versions=[found.number],
            details=details or None,
        ),
    ]  # fmt: skip
    if kind == "loaded":
        writes.append(Update(keys.loads(found.model.id, found.number), add={"n": 1}))
    stores.table.transact(writes)
    outbox.wake(stores, found.model.project_id)


def loaded(stores: Stores, records: Iterable[VersionRecord]) -> dict[tuple[str, int], int]:
    """How often each version was loaded, by model id and number; what never was is left out."""
    wanted = {keys.loads(r.model.id, r.number): (r.model.id, r.number) for r in records}
    items = stores.table.get_many(wanted)
    return {wanted[key]: int(item.attrs.get("n", 0)) for key, item in items.items()}


def listing(stores: Stores, found: VersionRecord) -> list[dict[str, Any]]:
    """The publications of a version, oldest first."""
    bounds = keys.prefix(keys.publication(found.model.id, found.number, "").sk)
    items = paging.collect(stores.table, keys.of_model(found.model.id), bounds, limit=MAX_LISTED)
    return [dict(item.doc) for item in items]


def forget(stores: Stores, model_id: str, number: int) -> None:
    """Removes what is known of a deleted version's publications."""
    bounds = keys.prefix(keys.loads(model_id, number).sk)
    while items := paging.collect(stores.table, keys.of_model(model_id), bounds, limit=100):
        stores.table.write_many([Delete(item.key) for item in items])
