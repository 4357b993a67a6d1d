"""Pins: a pinned checkpoint is kept whatever the retention says, and nobody deletes it by accident."""

from dataclasses import replace

from chalicelib.registry import checkpoints, keys, outbox, retention, safety, series
from chalicelib.registry.ports import ConditionFailed, Equal, Missing, Present, Update, Write
from chalicelib.registry.stores import Stores
from chalicelib.registry.versions import VersionRecord
from weighbridge.contract.errors import NotFound
from weighbridge.contract.references import CheckpointSelector
from weighbridge.contract.types import Checkpoint


def pin(
    stores: Stores, by: str, found: VersionRecord, selector: CheckpointSelector, pinned: bool
) -> Checkpoint:
    """Keeps a checkpoint whatever the retention says, or gives it back to the retention."""
    record = checkpoints.resolve(stores, found, selector)
    old, model = record.checkpoint, found.model
    kind = keys.POINT if old.state == "ready" else keys.HELD
    key = keys.checkpoint(model.id, found.number, old.number, kind)
    # The revision tells who is about to let it through that it is pinned now.
    change = (
        Update(
            key, set={"state": series.PINNED}, add={"rev": 1},
            condition=(Present(), Missing("state")),
        )
        if pinned
        else Update(
            key, add={"rev": 1}, remove=("state",), condition=(Equal("state", series.PINNED),)
        )
    )  # fmt: skip
    event = outbox.entry(
        stores, model.project_id, "checkpoint.pinned" if pinned else "checkpoint.unpinned", by,
        model=model.model.name, subject=f"{model.model.name}@{found.number}:{old.number}",
        versions=[found.number],
    )  # fmt: skip
    writes: list[Write] = [change, event]
    if not pinned:
        writes.append(retention.note(stores, model.project_id, model.id, found.number))
    try:
        stores.table.transact(writes)
    except ConditionFailed as failed:
        if failed.existing is None:
            if safety.committed(stores, record.holder):  # it became ready meanwhile
                return pin(stores, by, found, record.selector, pinned)
            raise NotFound(f"{record.reference} is deleted") from None
        return replace(old, pinned=pinned)  # it was so already
    outbox.wake(stores, model.project_id)
    return replace(old, pinned=pinned)
