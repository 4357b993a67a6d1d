"""Giving a label to another version: the new one bears it from the moment the old one does not."""

from dataclasses import replace

from chalicelib.registry import federated, keys, models, outbox, versions
from chalicelib.registry.ports import ConditionFailed, Equal, Item, Put, Update, Write
from chalicelib.registry.stores import Stores
from chalicelib.registry.versions import VersionRecord
from weighbridge.contract import names
from weighbridge.contract.errors import Conflict, Unavailable


def replaced(
    stores: Stores, by: str, project: str, model: str, label: str, number: int
) -> VersionRecord:
    """Moves a label to a ready version without one, in one transaction; answers that version.

    The version that had it stays, without a label: nothing that refers to it breaks.
    """
    names.label(label)
    for _ in range(models.RACES):
        record = models.find(stores, project, model)
        new = versions.numbered(stores, record, number)
        lock = stores.table.get(keys.label(record.id, label))
        held = int(lock.attrs["n"]) if lock else 0
        if held == number:
            return new
        if new.version.state != "ready" or new.version.label:
            raise Conflict(f"{new.reference} is {new.version.state} or has a label of its own")
        writes: list[Write] = []
        if held:
            old = versions.numbered(stores, record, held)
            if old.version.state != "ready":
                raise Conflict(f"{old.reference} has the label {label!r}, and is no ready version")
            writes.append(_labelled(old, ""))
        taken = (Equal("n", held),) if held else ()
        given = replace(new, version=replace(new.version, label=label))
        writes += [
            _labelled(new, label),
            Put(Item(keys.label(record.id, label), {"n": number}), taken),
            *federated.rows(record, label, number),
            outbox.entry(
                stores, record.project_id, "version.replaced", by, model=model,
                subject=f"{model}@{number}", versions=[n for n in (held, number) if n],
                details={"label": label, "before": held},
            ),
        ]  # fmt: skip
        try:
            stores.table.transact(writes)
        except ConditionFailed:
            continue  # one of the two was changed, or the label was given to a third
        outbox.wake(stores, record.project_id)
        return replace(given, version=replace(given.version, revision=new.version.revision + 1))
    raise Unavailable("too many others changed these versions at once; try again")


def _labelled(found: VersionRecord, label: str) -> Update:
    changed = replace(found.version, label=label)
    return Update(
        keys.version(found.model.id, keys.READY, found.number), add={"rev": 1},
        doc={**found.rest, **versions.document(changed)},
        condition=(Equal("rev", found.version.revision), Equal("state", "ready")),
    )  # fmt: skip
