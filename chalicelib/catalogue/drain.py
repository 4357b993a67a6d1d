"""Drains a project's outbox: events into the history, changed pages into the site."""

from chalicelib.catalogue import publish
from chalicelib.catalogue.publish import Change
from chalicelib.catalogue.registry_source import RegistrySource
from chalicelib.registry import keys, outbox, projects, sweep
from chalicelib.registry.ports import Delete
from chalicelib.registry.stores import Stores

BATCH = 500


def project(stores: Stores, project_id: str) -> int:
    """Drains until the outbox is empty; answers how many entries were done.

    Entries are removed after the pages are written, so a failure repeats them: every step is
    idempotent. What arrives while one batch is rendered is gathered in the next.
    """
    done = 0
    while True:
        entries = stores.table.query(keys.of_outbox(project_id), limit=BATCH).items
        if not entries:
            return done
        outbox.append(stores, project_id, entries)
        changes = []
        for item in entries:
            event = outbox.event_of(item)
            changes.append(Change.of(event, [int(n) for n in item.doc["versions"]]))
            if "clean" in event.details:
                sweep.clean_version(
                    stores, project_id, event.details["model_id"], event.details["clean"]
                )
            if event.kind == "project.deleted":
                publish.remove_project(stores.site, event.subject)
        publish.publish(RegistrySource(stores), stores.site, project_id, changes)
        stores.table.write_many([Delete(item.key) for item in entries])
        done += len(entries)


def everything(stores: Stores) -> int:
    """Drains all projects (the sweep's part)."""
    return sum(project(stores, record.id) for record in projects.records(stores))
