"""Events as lines that people read: the words for each kind, and the page that shows its subject."""

from chalicelib.catalogue import slugs
from weighbridge.contract.types import Event

WORDS = {
    "project.created": "new project", "project.changed": "project changed",
    "model.created": "new model", "model.changed": "model changed", "model.card": "card of",
    "model.deleted": "deleted model", "version.published": "published",
    "version.changed": "changed", "version.approved": "approved", "version.rejected": "rejected",
    "version.pending": "approval withdrawn from", "version.aborted": "gave up",
    "version.loaded": "loaded", "version.bound": "bound to a service",
    "version.registered": "announced", "version.replaced": "replaced",
    "version.deleted": "deleted", "version.checking": "checking", "version.blocked": "blocked",
    "version.released": "released", "version.verdict": "verdict on",
    "checkpoint.checking": "checking checkpoint", "checkpoint.blocked": "blocked checkpoint",
    "checkpoint.released": "released checkpoint", "checkpoint.verdict": "verdict on checkpoint",
    "inbox.incomplete": "incomplete drop", "inbox.refused": "refused drop",
    "inbox.expired": "expired drop", "reindex.started": "reindexing", "reindex.done": "reindexed",
    "alias.moved": "alias moved:", "alias.removed": "alias removed:",
    "checkpoint.published": "checkpoint", "checkpoint.deleted": "deleted checkpoint",
    "checkpoint.evicted": "evicted checkpoints of", "checkpoint.pinned": "pinned checkpoint",
    "checkpoint.unpinned": "unpinned checkpoint", "version.retention": "changed the retention of",
    "environment.registered": "new serving environment", "environment.changed": "changed serving environment",
    "service.registered": "new inference service", "service.changed": "changed inference service",
    "serve.registered": "served", "serve.changed": "changed what is served:",
    "artifact.registered": "new artifact", "artifact.changed": "changed artifact",
}  # fmt: skip
READY_POINTS = frozenset(
    {"checkpoint.published", "checkpoint.released", "checkpoint.pinned", "checkpoint.unpinned"}
)
"""Kinds after which the checkpoint has a page of its own, as long as retention keeps it."""


def happened(project: str, event: Event) -> tuple[str, Event, str, str]:
    """An event with its subject in full, and the address of the page that shows it."""
    if not event.model:
        return project, event, project, slugs.project_path(project)
    named = f"{project}/{event.model}"
    folder = f"{slugs.project_path(project)}{slugs.model_slug(event.model, '')}/"
    path = "" if folder.endswith("/~~/") or "deleted" in event.kind else folder
    subject = event.subject
    if event.kind.startswith("alias."):
        number = event.details.get("version") or 0
        return project, event, f"{named}@{subject}" + (f" → @{number}" if number else ""), path
    _, separator, number = subject.removeprefix(event.model).partition("@")
    number, _, point = number.partition(":")
    known = separator and number.isdigit() and event.kind not in ("version.aborted",)
    page = f"{path}{number}/" if path and known else path
    if page != path and point.isdigit() and event.kind in READY_POINTS:
        page += f"checkpoints/{point}/"
    return project, event, f"{project}/{subject}", page
