"""Projects: the boundary of access and of deduplication."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from chalicelib.registry import keys, newer, outbox, paging
from chalicelib.registry.ports import (
    Absent,
    ConditionFailed,
    Delete,
    Equal,
    Item,
    Key,
    Present,
    Put,
    Update,
)
from chalicelib.registry.stores import Stores, iso
from weighbridge.contract import codec, names
from weighbridge.contract.errors import (
    AlreadyExists,
    Conflict,
    InUse,
    InvalidRequest,
    NotFound,
    TooLarge,
)
from weighbridge.contract.types import (
    Deleted,
    NewProject,
    Project,
    ProjectChanges,
    ProjectPage,
    Quota,
)

MAX_DESCRIPTION = 10_000
MAX_QUOTA = 2**60


@dataclass(frozen=True, slots=True)
class ProjectRecord:
    """A project with the id under which its items and objects are kept."""

    id: str
    project: Project
    revision: int = 0
    rest: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)
    """What a later version of this code keeps in the item (`newer.py`)."""


def _record(item: Item) -> ProjectRecord:
    doc = dict(item.doc)
    identifier, revision = doc.pop("id"), int(item.attrs.get("rev", 0))
    project = codec.decode(Project, doc)
    return ProjectRecord(identifier, project, revision, newer.rest(doc, Project))


def _doc(record: ProjectRecord) -> dict[str, object]:
    return {**record.rest, "id": record.id, **codec.encode(record.project)}


def description(text: str) -> str:
    """A description within bounds."""
    if len(text.encode()) > MAX_DESCRIPTION:
        raise TooLarge(
            f"a description holds {MAX_DESCRIPTION} bytes at most; use the model card for more",
            limit=MAX_DESCRIPTION,
        )
    return text


def find(stores: Stores, name: str) -> ProjectRecord:
    """The project of that name (in any case), or `NotFound`."""
    names.project_name(name)
    item = stores.table.get(keys.project(name))
    if item is None:
        raise NotFound(f"there is no project {name!r}")
    return _record(item)


def by_id(stores: Stores, project_id: str) -> Project | None:
    """The project of that id; None if it was deleted."""
    item = stores.table.get(keys.project_name(project_id))
    if item is None:
        return None
    try:
        record = find(stores, str(item.attrs["ref"]))
    except NotFound:
        return None
    return record.project if record.id == project_id else None


def create(stores: Stores, by: str, new: NewProject) -> Project:
    """A new project; its name is unique regardless of case."""
    name = names.project_name(new.name)
    now = stores.now()
    seed = f"{name}/{now}/{stores.random()}"
    record = ProjectRecord(
        hashlib.sha256(seed.encode()).hexdigest()[:12],
        Project(name, description(new.description), False, iso(now), by),
    )
    item = Item(keys.project(name), {"state": "live", "rev": 1}, _doc(record))
    event = outbox.entry(stores, record.id, "project.created", by, subject=name)
    by_id = Put(Item(keys.project_name(record.id), {"ref": name}))
    try:
        stores.table.transact([Put(item, (Absent(),)), by_id, event])
    except ConditionFailed as failed:
        taken = _record(failed.existing).project.name if failed.existing else name
        raise AlreadyExists(f"there is a project {taken!r} already", project=taken) from None
    outbox.wake(stores, record.id)
    return record.project


def listing(stores: Stores, *, limit: int, page: str | None) -> ProjectPage:
    """Projects by name."""
    items, following = paging.page_of(
        stores.table, "projects", keys.PROJECTS, ("", "\U0010ffff"),
        lambda item: _record(item).project, size=limit, page=page,
    )  # fmt: skip
    return ProjectPage(items, following)


def records(stores: Stores) -> list[ProjectRecord]:
    """Every project (for the sweep)."""
    found: list[ProjectRecord] = []
    after: str | None = None
    while True:
        page = stores.table.query(keys.PROJECTS, after=after, limit=1000)
        found += [_record(item) for item in page.items]
        if page.next is None:
            return found
        after = page.next


def change(stores: Stores, by: str, name: str, changes: ProjectChanges) -> Project:
    """The project with `changes` applied."""
    record = find(stores, name)
    project = record.project
    if changes.description is not None:
        project = replace(project, description=description(changes.description))
    if changes.inbox is not None:
        project = replace(project, inbox=changes.inbox)
    if changes.safety is not None:
        project = replace(project, safety=changes.safety)
    if changes.quota is not None:
        project = replace(project, quota=_quota(changes.quota))
    changed = replace(record, project=project)
    update = Update(
        keys.project(name), add={"rev": 1}, doc=_doc(changed),
        condition=(Equal("rev", record.revision), Equal("state", "live")),
    )  # fmt: skip
    event = outbox.entry(
        stores, record.id, "project.changed", by, subject=project.name,
        details=codec.encode(changes),
    )  # fmt: skip
    try:
        stores.table.transact([update, event])
    except ConditionFailed:
        raise Conflict(f"the project {name!r} was changed by another; look and retry") from None
    outbox.wake(stores, record.id)
    return project


def _quota(quota: Quota) -> Quota:
    for name, value in codec.encode(quota).items():
        if not 0 <= value <= MAX_QUOTA:
            raise InvalidRequest(
                f"a quota of {name} is from 0 (none) to {MAX_QUOTA}, not {value}", limit=MAX_QUOTA
            )
    return quota


def delete(stores: Stores, by: str, name: str) -> Deleted:
    """Removes an empty project; `InUse` names what it still holds."""
    record = find(stores, name)
    key = keys.project(name)
    try:  # closing first: a model is created only under a live project, so none can slip in
        stores.table.write(Update(key, set={"state": "closing"}, condition=(Present(),)))
    except ConditionFailed:
        raise NotFound(f"there is no project {name!r}") from None
    models = stores.table.query(f"P#{record.id}", *keys.prefix("M#"), limit=3).items
    providers = stores.table.query(f"P#{record.id}", *keys.prefix("V#"), limit=3).items
    if models or providers:
        stores.table.write(Update(key, set={"state": "live"}, condition=(Present(),)))
        held = [item.key.sk[2:] for item in (*models, *providers)]
        word = "models" if models else "providers"
        raise InUse(
            f"the project {name!r} still has {word} ({', '.join(held)}); delete them first",
            by=held,
        )
    event = outbox.entry(stores, record.id, "project.deleted", by, subject=record.project.name)
    leftover = Put(Item(Key(keys.DELETED, record.id)))
    stores.table.transact([Delete(key), Delete(keys.project_name(record.id)), leftover, event])
    counts = [keys.usage(record.id, kind) for kind in ("bytes", "versions", "models")]
    stores.table.write_many([Delete(count) for count in counts])
    outbox.wake(stores, record.id)
    return Deleted(record.project.name)
