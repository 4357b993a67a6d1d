"""Changing and deleting ready versions: descriptions, approval, and what a deletion must respect."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from chalicelib.registry import (
    describing,
    federated,
    keys,
    labels,
    models,
    outbox,
    packages,
    projects,
    publishing,
    usage,
    versions,
)
from chalicelib.registry.models import ModelRecord
from chalicelib.registry.ports import (
    ConditionFailed,
    Delete,
    Equal,
    Item,
    Put,
    Update,
    Write,
)
from chalicelib.registry.stores import Stores, iso
from chalicelib.registry.versions import VersionRecord
from weighbridge.contract import codec, names
from weighbridge.contract.errors import Conflict, InUse, TooLarge, Unavailable
from weighbridge.contract.references import VersionSelector
from weighbridge.contract.types import (
    Approval,
    ApprovalChange,
    Deleted,
    Model,
    Version,
    VersionChanges,
)

MAX_COMMENT = 2000


def _write(
    stores: Stores, found: VersionRecord, changed: Version, event: Put, more: list[Write]
) -> Version:
    """Replaces a ready version's description under its revision."""
    document = {**found.rest, **versions.document(changed)}
    describing.bounded(document)
    update = Update(
        keys.version(found.model.id, keys.READY, found.number), add={"rev": 1}, doc=document,
        condition=(Equal("rev", found.version.revision), Equal("state", "ready")),
    )  # fmt: skip
    stores.table.transact([update, event, *more])
    outbox.wake(stores, found.model.project_id)
    return replace(changed, revision=found.version.revision + 1)


def _ready(stores: Stores, project: str, model: str, selector: VersionSelector) -> VersionRecord:
    found = versions.resolve(stores, project, model, selector)
    if found.version.state != "ready":
        raise Conflict(f"{found.reference} is {found.version.state}, not ready")
    return found


def change(
    stores: Stores,
    by: str,
    project: str,
    model: str,
    selector: VersionSelector,
    changes: VersionChanges,
) -> Version:
    """A ready version with `changes` applied; its files never change."""

    def applied(old: Version) -> Version:
        new = old
        if changes.description is not None:
            new = replace(new, description=projects.description(changes.description))
        if changes.tags is not None:
            new = replace(new, tags=models.merged(old.tags, changes.tags))
        if changes.metrics is not None:
            new = replace(new, metrics={**old.metrics, **changes.metrics})
        if changes.params is not None:
            for name in changes.params:
                names.key("param", name)
            new = replace(new, params={**old.params, **changes.params})
        if changes.attributes is not None:
            new = replace(new, attributes={**old.attributes, **changes.attributes})
        return packages.touched(new, changes.attributes, iso(stores.now()))

    return rewrite(stores, by, project, model, selector, applied, codec.encode(changes))


def rewrite(
    stores: Stores,
    by: str,
    project: str,
    model: str,
    selector: VersionSelector,
    applied: Callable[[Version], Version],
    details: dict[str, Any],
) -> Version:
    """A ready version as `applied` makes it from its newest state; `details` are told in the history.
    If it becomes a package whose identity is taken, that is an error that names the other."""
    for _ in range(models.RACES):
        found = _ready(stores, project, model, selector)
        old = found.version
        new = applied(old)
        pk = keys.of_model(found.model.id)
        before = describing.metric_items(pk, old.metrics, found.number)
        after = describing.metric_items(pk, new.metrics, found.number)
        more: list[Write] = [Delete(key) for key in before.keys() - after.keys()]
        more += [after[key] for key in after.keys() - before.keys()]
        more += packages.moved(found.model.project_id, found.model.id, old, new)
        if len(more) > 90:
            raise TooLarge("more than 45 metrics changed in one request", limit=45)
        event = outbox.entry(
            stores, found.model.project_id, "version.changed", by, model=model,
            subject=f"{model}@{found.number}", versions=[found.number], details=details,
        )  # fmt: skip
        try:
            return _write(stores, found, new, event, more)
        except ConditionFailed as failed:
            if packages.concerns(failed):
                raise packages.taken(failed) from None
            continue
    raise Unavailable("too many others changed this version at once; try again")


def approve(
    stores: Stores,
    by: str,
    project: str,
    model: str,
    selector: VersionSelector,
    change_: ApprovalChange,
) -> Version:
    """Signs a version off, or rejects it."""
    if len(change_.comment.encode()) > MAX_COMMENT:
        raise TooLarge(f"a comment holds {MAX_COMMENT} bytes at most", limit=MAX_COMMENT)
    for _ in range(models.RACES):
        found = _ready(stores, project, model, selector)
        approval = Approval(change_.state, by, iso(stores.now()), change_.comment)
        event = outbox.entry(
            stores, found.model.project_id, f"version.{change_.state}", by, model=model,
            subject=f"{model}@{found.number}", versions=[found.number],
            details={"comment": change_.comment} if change_.comment else None,
        )  # fmt: skip
        try:
            return _write(stores, found, replace(found.version, approval=approval), event, [])
        except ConditionFailed:
            continue
    raise Unavailable("too many others changed this version at once; try again")


def delete(stores: Stores, by: str, project: str, model: str, selector: VersionSelector) -> Deleted:
    """Deletes a version (also one that is held back), or aborts an open one; `InUse` says what still
    refers to it.

    The deletion is conditional on the model's revision, as every alias move is, so that no alias
    can come to point to it meanwhile.
    """
    found = versions.resolve(stores, project, model, selector)
    if found.version.state == "open":
        publishing.abort(stores, by, project, model, found.number)
        return Deleted(found.reference)
    target = found.number

    def decide(record: ModelRecord) -> tuple[Model, list[Write]]:
        current = versions.numbered(stores, record, target)
        _refuse_if_used(stores, current)
        ended = replace(current.version, state="deleted")
        tombstone = Item(
            keys.version(record.id, keys.ENDED, target), {"state": "deleted"},
            versions.document(ended),
        )  # fmt: skip
        kind = keys.READY if current.version.state == "ready" else keys.HELD
        writes: list[Write] = [
            Delete(
                keys.version(record.id, kind, target),
                (Equal("rev", current.version.revision),),
            ),
            Put(tombstone), usage.less(record.project_id, "versions"),
            outbox.entry(
                stores, record.project_id, "version.deleted", by, model=model,
                subject=f"{model}@{target}", versions=[target],
                clean=target, model_id=record.id,
            ),
        ]  # fmt: skip
        writes += labels.freed(stores, record, current.version.label, target)
        writes += federated.gone(record, current.version.label)
        return record.model, [*writes, *packages.given_up(record.project_id, current.version)]

    for _ in range(models.RACES):
        try:
            models.revise(stores, models.find(stores, project, model), decide)
        except ConditionFailed:
            continue  # the version itself was changed: look again
        return Deleted(found.reference, found.version.size)
    raise Unavailable("too many others changed this version at once; try again")


def _refuse_if_used(stores: Stores, found: VersionRecord) -> None:
    used = [f"alias {name}" for name in found.version.aliases]
    used += [f"version {child} (its parent)" for child in versions.children(stores, found)]
    if used:
        raise InUse(
            f"{found.reference} is still referred to by {', '.join(used[:10])}; "
            "move or delete these first",
            by=used,
        )
