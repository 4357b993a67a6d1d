"""Drains a project's outbox: events into the history, changed pages into the site."""

import logging
from collections.abc import Sequence

from chalicelib.catalogue import publish
from chalicelib.catalogue.changes import Change
from chalicelib.catalogue.registry_source import RegistrySource
from chalicelib.registry import checkpoints, keys, outbox, projects, pruning, sweep
from chalicelib.registry.ports import LAST, Delete, Item
from chalicelib.registry.stores import Stores, event_id

BATCH = 500
LATE_SECONDS = 60.0
"""So long after a change its message is taken for lost."""
_LOG = logging.getLogger("weighbridge.catalogue")


def project(stores: Stores, project_id: str, before: str = LAST) -> int:
    """Drains until the outbox is empty, or holds nothing older than the event id `before`; answers how
    many entries were done.

    Entries are removed after the pages are written, so a failure repeats them: every step is
    idempotent. What arrives while one batch is rendered is gathered in the next.
    """
    done = 0
    while drained := _batch(stores, project_id, before=before):
        done += drained
    return done


def woken(stores: Stores, project_id: str) -> int:
    """Drains what was there when a message came, and what that led to. Who writes meanwhile sends a
    message of their own: following a burst entry by entry would render as often as there are changes."""
    done = drained = _batch(stores, project_id)
    while drained == BATCH:
        drained = _batch(stores, project_id)
        done += drained
    # Of what the drain itself evicts no message tells.
    return done + _batch(stores, project_id, by=pruning.BY)


def _batch(stores: Stores, project_id: str, by: str = "", before: str = LAST) -> int:
    """Drains the oldest entries, or those of them whose event is `by` somebody."""
    entries = stores.table.query(keys.of_outbox(project_id), high=before, limit=BATCH).items
    if by:
        entries = tuple(item for item in entries if outbox.event_of(item).by == by)
    if not entries:
        return 0
    outbox.append(stores, project_id, entries)
    try:
        _render(stores, project_id, entries)
    except Exception:
        # One page that cannot be made must not keep the others back: each on its own, and only
        # what failed stays in the outbox, for the next attempt and for whoever reads the log.
        _one_by_one(stores, project_id, entries)
        raise
    stores.table.write_many([Delete(item.key) for item in entries])
    return len(entries)


def _render(stores: Stores, project_id: str, entries: Sequence[Item]) -> None:
    changes = []
    for item in entries:
        event = outbox.event_of(item)
        model_id = str(item.doc.get("model_id", ""))
        numbers = tuple(int(n) for n in item.doc["versions"])
        changes.append(Change.of(event, numbers, model_id))
        if clean := int(item.doc.get("clean", 0)):
            sweep.clean_version(stores, project_id, model_id, clean)
        if gone := int(item.doc.get("release", 0)):
            # URLs that were signed for the bytes stay good until they are over.
            checkpoints.release_all(stores, project_id, model_id, gone, stores.sign_seconds)
        if event.kind == "project.deleted":
            publish.remove_project(stores.site, event.subject)
    publish.publish(RegistrySource(stores), stores.site, project_id, changes)
    pruning.settle_all(stores, project_id, [outbox.event_of(item) for item in entries])


def _one_by_one(stores: Stores, project_id: str, entries: Sequence[Item]) -> None:
    for item in entries:
        try:
            _render(stores, project_id, [item])
        except Exception:
            _LOG.exception("cannot render %s of %s", item.key.sk, project_id)
        else:
            stores.table.write(Delete(item.key))


def everything(stores: Stores, older: float = 0.0) -> int:
    """Drains all projects, those deleted since included: all there is, or what is older than so many
    seconds. (The sweep takes what messages were lost of, and leaves to its message what has one.)"""
    before = event_id(stores.now() - older, "") if older else LAST
    done = sum(project(stores, record.id, before) for record in projects.records(stores))
    for item in sweep.everything(stores.table, keys.DELETED):
        done += project(stores, item.key.sk)
        stores.table.write(Delete(item.key))
    return done
