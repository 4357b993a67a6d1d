"""Notes on inbox folders that are no checkpoints: refused, or never complete; kept until they are."""

from chalicelib.registry import keys, outbox, paging
from chalicelib.registry.ports import Absent, ConditionFailed, Delete, Item, Put
from chalicelib.registry.projects import ProjectRecord
from chalicelib.registry.stores import Stores
from weighbridge.contract import codec
from weighbridge.contract.types import InboxDrop, InboxPage


def note(
    stores: Stores, record: ProjectRecord, drop: InboxDrop, *, model: str = "", code: str = ""
) -> None:
    """Says once, in the history and in `inbox ls`, why a folder is no checkpoint."""
    item = Item(keys.refusal(record.id, drop.folder), {"state": drop.state}, codec.encode(drop))
    details = {"message": drop.message, **({"code": code} if code else {})}
    if drop.missing:
        details["missing"] = ", ".join(drop.missing)
    event = outbox.entry(
        stores, record.id, f"inbox.{drop.state}", f"inbox:{record.project.name}", model=model,
        subject=drop.folder, details=details,
    )  # fmt: skip
    try:
        stores.table.transact([Put(item, (Absent(),)), event])
    except ConditionFailed:
        return
    outbox.wake(stores, record.id)


def forget(
    stores: Stores, record: ProjectRecord, folder: str, files: int = 0, *, lost: bool = False
) -> None:
    """Removes the note on a folder: it became a checkpoint, or was removed (`lost`) as one never."""
    key = keys.refusal(record.id, folder)
    if not lost:
        if stores.table.get(key) is not None:
            stores.table.write(Delete(key))
        return
    event = outbox.entry(
        stores, record.id, "inbox.expired", "sweep", subject=folder, details={"files": files}
    )
    stores.table.transact([Delete(key), event])
    outbox.wake(stores, record.id)


def listing(stores: Stores, record: ProjectRecord, *, limit: int, page: str | None) -> InboxPage:
    """The folders that are no checkpoints, by name."""
    items, following = paging.page_of(
        stores.table, f"inbox/{record.id}", f"P#{record.id}", keys.prefix("J#"),
        lambda item: codec.decode(InboxDrop, {"folder": item.key.sk[2:], **item.doc}),
        size=limit, page=page,
    )  # fmt: skip
    return InboxPage(items, following)
