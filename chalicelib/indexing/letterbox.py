"""What the sweep does about an inbox: drops that no event announced, that never complete, or are old.

Only the sweep deletes. What becomes of a folder depends on when it last changed: a marker that is newer
than the last look is looked at; a folder that has been quiet for an hour and is no checkpoint is
reported, once; one that has been quiet for `inbox_seconds` is removed, whatever became of it.
"""

from collections.abc import Iterator
from contextlib import suppress

from chalicelib.indexing import inbox
from chalicelib.indexing.inbox import Drop
from chalicelib.registry import drops, keys
from chalicelib.registry.ports import Head
from chalicelib.registry.projects import ProjectRecord
from chalicelib.registry.stores import Stores, iso
from chalicelib.registry.sweep import Report
from weighbridge.contract.errors import NotFound, RegistryError
from weighbridge.contract.types import InboxDrop

QUIET_SECONDS = 3600
LISTED = 20
"""Missing files that a report names."""


def sweep(stores: Stores, record: ProjectRecord, since: int, report: Report) -> int:
    """One look at a project's inbox; answers how many drops must be looked at again."""
    failed = 0
    now = int(stores.now())
    for folder, heads in _folders(stores, keys.inbox_prefix(record.project.name)):
        last = max(head.modified for head in heads)
        if last < now - stores.inbox_seconds:
            _expire(stores, record, folder, heads)
            report.expired += len(heads)
            continue
        new = [h.key for h in heads if h.modified >= since and _is_marker(h.key)]
        try:
            for key in new if record.project.inbox else []:
                inbox.look(stores, key)
            if since - QUIET_SECONDS <= last <= now - QUIET_SECONDS:
                _report(stores, record, folder, heads)
        except RegistryError:
            failed += 1
    return failed


def _is_marker(key: str) -> bool:
    return key.rpartition("/")[2] in inbox.MARKERS


def _folders(stores: Stores, prefix: str) -> Iterator[tuple[str, list[Head]]]:
    """Each drop's folder (of other keys: the folder they lie in) with all that is in it."""
    after = ""
    folder, heads = "", list[Head]()
    while True:
        try:
            page = stores.blobs.list(prefix, after)
        except NotFound:
            break
        for head in page.heads:
            drop = inbox.parse(head.key)
            here = drop.folder if drop else head.key.rpartition("/")[0] + "/"
            if here != folder and heads:
                yield folder, heads
                heads = []
            folder = here
            heads.append(head)
        if page.next is None:
            break
        after = page.next
    if heads:
        yield folder, heads


def _report(stores: Stores, record: ProjectRecord, folder: str, heads: list[Head]) -> None:
    """Notes why a folder that nobody writes to any more is no checkpoint, if it is none."""
    drop = inbox.parse(heads[0].key)
    if drop is not None and inbox.adopted(stores, record, drop):
        return
    reason, missing = _reason(stores, drop, heads)
    if not reason:
        # It looks complete: its events were lost, or it is refused, which is noted as such.
        if record.project.inbox:
            inbox.look(stores, next(h.key for h in heads if _is_marker(h.key)))
        return
    drops.note(stores, record, InboxDrop(
        folder, "incomplete", reason, tuple(missing[:LISTED]), len(heads),
        sum(h.size for h in heads), iso(min(h.modified for h in heads)),
        iso(max(h.modified for h in heads)),
    ), model=drop.model if drop else "")  # fmt: skip


def _reason(stores: Stores, drop: Drop | None, heads: list[Head]) -> tuple[str, list[str]]:
    """Why a folder is no checkpoint, and what is missing; empty if it could be one."""
    if drop is None:
        return "it is outside the layout of the inbox (docs/how-to/inbox.md)", []
    names = {head.key.removeprefix(drop.folder): head for head in heads}
    if inbox.FATE_MARKER in names:
        try:
            listing = inbox.listing(stores, drop, names[inbox.FATE_MARKER])
        except RegistryError:
            return "", []
        missing = [name for name in inbox.files_of(listing) if name not in names]
        reason = f"database.yaml lists {len(missing)} files that are not there"
        return (reason, missing) if missing else ("", [])
    if inbox.MARKERS[1] in names:
        return "", []
    return f"its marker is missing: {' or '.join(inbox.MARKERS)}", [inbox.MARKERS[1]]


def _expire(stores: Stores, record: ProjectRecord, folder: str, heads: list[Head]) -> None:
    drop = inbox.parse(heads[0].key)
    useful = False
    with suppress(RegistryError):
        useful = drop is not None and inbox.adopted(stores, record, drop)
    for start in range(0, len(heads), 1000):
        stores.blobs.delete([head.key for head in heads[start : start + 1000]])
    drops.forget(stores, record, folder, len(heads), lost=not useful)
