"""Models: named series of versions, with tags, settings, a card and aliases."""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

from chalicelib.registry import (
    describing,
    keys,
    labels,
    newer,
    outbox,
    paging,
    projects,
    retention,
    usage,
)
from chalicelib.registry.ports import (
    Absent,
    Check,
    ConditionFailed,
    Delete,
    Equal,
    Item,
    Key,
    Present,
    Put,
    Update,
    Write,
)
from chalicelib.registry.projects import ProjectRecord
from chalicelib.registry.stores import Stores, iso
from weighbridge.contract import codec, names
from weighbridge.contract.errors import (
    AlreadyExists,
    Conflict,
    InUse,
    InvalidRequest,
    NotFound,
    TooLarge,
    Unavailable,
)
from weighbridge.contract.types import (
    Card,
    Deleted,
    Model,
    ModelChanges,
    ModelPage,
    ModelSettings,
    NewModel,
    NewProject,
)

MAX_TAGS = 100
MAX_TAG_VALUE = 1024
MAX_CARD = 256 * 1024
RACES = 12
"""How often a change that lost a race is tried on the new state before the caller must."""


@dataclass(frozen=True, slots=True)
class ModelRecord:
    """A model with the ids its items are kept under. `aliases` live in the same item."""

    project_id: str
    project: str
    model: Model
    state: str = "live"
    rest: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)
    """What a later version of this code keeps in the item (`newer.py`)."""
    found_in: ProjectRecord | None = field(default=None, compare=False, repr=False)
    """Its project, if that was read on the way to it."""

    @property
    def id(self) -> str:
        """The model's id."""
        return self.model.id

    @property
    def key(self) -> Key:
        """The model's key."""
        return keys.model(self.project_id, self.model.name)

    @property
    def name(self) -> str:
        """`project/model`, for messages."""
        return f"{self.project}/{self.model.name}"


def _record(item: Item, project_id: str) -> ModelRecord:
    model = codec.decode(Model, dict(item.doc))
    model = replace(model, revision=int(item.attrs.get("rev", 0)))
    state = str(item.attrs.get("state", "live"))
    return ModelRecord(project_id, model.project, model, state, newer.rest(item.doc, Model))


def _doc(model: Model) -> dict[str, object]:
    doc: dict[str, object] = codec.encode(model)
    doc.pop("revision")
    doc.pop("greatest")
    return doc


def tags(given: dict[str, str]) -> dict[str, str]:
    """Tags within bounds."""
    if len(given) > MAX_TAGS:
        raise TooLarge(f"{len(given)} tags; {MAX_TAGS} at most", limit=MAX_TAGS)
    for name, value in given.items():
        names.key("tag", name)
        if len(value.encode("utf-8", "surrogatepass")) > MAX_TAG_VALUE:
            raise TooLarge(
                f"the value of tag {name!r} is longer than {MAX_TAG_VALUE} bytes",
                limit=MAX_TAG_VALUE,
            )
    return given


def merged(old: dict[str, str], changes: dict[str, str]) -> dict[str, str]:
    """Tags with `changes` applied; an empty value removes."""
    return tags({k: v for k, v in {**old, **changes}.items() if v != ""})


def _settings(given: ModelSettings) -> ModelSettings:
    if given.main_metric:
        names.key("metric name", given.main_metric)
    for metric in given.directions:
        names.key("metric name", metric)
    for pattern in given.protected_aliases:
        if not pattern or len(pattern) > names.MAX_ALIAS or pattern == "latest":
            raise InvalidRequest(f"{pattern!r} is no alias pattern; write for example 'prod*'")
    retention.checked(given.retention)
    return given


def find(stores: Stores, project: str, name: str) -> ModelRecord:
    """The model, or `NotFound`. Two reads: the project and the model with its aliases."""
    names.model_name(name)
    found_in = projects.find(stores, project)
    return replace(within(stores, found_in.id, project, name), found_in=found_in)


def project_of(stores: Stores, record: ModelRecord) -> ProjectRecord:
    """The project of a model, as it was read with the model, or now."""
    return record.found_in or projects.find(stores, record.project)


def within(stores: Stores, project_id: str, project: str, name: str) -> ModelRecord:
    """The model of a project whose id is known."""
    item = stores.table.get(keys.model(project_id, name))
    if item is None:
        raise NotFound(f"there is no model {project}/{name}")
    return _record(item, project_id)


def name_of(stores: Stores, project_id: str, model_id: str) -> str | None:
    """The name of a model whose id is known; None if it was deleted."""
    item = stores.table.get(keys.model_name(project_id, model_id))
    return str(item.attrs["ref"]) if item else None


def create(stores: Stores, by: str, project: str, new: NewModel) -> Model:
    """A new model in a live project."""
    record = projects.find(stores, project)
    name = names.model_name(new.name)
    now = stores.now()
    seed = f"{record.id}/{name}/{now}/{stores.random()}"
    model = Model(
        project=record.project.name, name=name, id=hashlib.sha256(seed.encode()).hexdigest()[:16],
        description=projects.description(new.description), tags=tags(new.tags),
        settings=_settings(new.settings), created=iso(now), created_by=by, revision=1,
        attributes=new.attributes,
    )  # fmt: skip
    describing.bounded(_doc(model))
    item = Item(keys.model(record.id, name), {"state": "live", "rev": 1}, _doc(model))
    event = outbox.entry(stores, record.id, "model.created", by, model=name, subject=name)
    live = Check(keys.project(project), (Equal("state", "live"),))
    by_id = Put(Item(keys.model_name(record.id, model.id), {"ref": name}))
    counted = usage.more_models(stores, record)
    try:
        stores.table.transact([Put(item, (Absent(),)), live, by_id, event, counted])
    except ConditionFailed as failed:
        if failed.index == 1:
            raise Conflict(f"the project {project!r} is being deleted") from None
        if failed.index == 4:
            raise Unavailable("others make models in this project as well; try again") from None
        raise AlreadyExists(f"there is a model {project}/{name} already") from None
    outbox.wake(stores, record.id)
    return model


def made(
    stores: Stores, by: str, project: str, name: str, allow: Callable[[], None]
) -> ModelRecord:
    """The model, made with its project where one of them is missing. `allow` is called before a
    project is made, and raises if the caller may not."""
    with suppress(NotFound):
        return find(stores, project, name)
    try:
        projects.find(stores, project)
    except NotFound:
        allow()
        with suppress(AlreadyExists):
            projects.create(stores, by, NewProject(project))
    with suppress(AlreadyExists):
        create(stores, by, project, NewModel(name))
    return find(stores, project, name)


def listing(
    stores: Stores, project: str, *, prefix: str, limit: int, page: str | None
) -> ModelPage:
    """Models of a project by name."""
    record = projects.find(stores, project)
    items, following = paging.page_of(
        stores.table, f"models/{record.id}/{prefix}", f"P#{record.id}",
        keys.prefix(f"M#{prefix}"), lambda item: _record(item, record.id).model,
        size=limit, page=page,
    )  # fmt: skip
    return ModelPage(labels.with_greatest(stores, items), following)


def every(
    stores: Stores, project: ProjectRecord, after: str | None = None, reverse: bool = False
) -> Iterator[ModelRecord]:
    """The models of a project whose names come behind `after`, read as they are asked for."""
    place = None if after is None else f"M#{after}"
    for item in paging.walk(stores.table, f"P#{project.id}", keys.prefix("M#"), place, reverse):
        yield _record(item, project.id)


def revise(
    stores: Stores,
    record: ModelRecord,
    decide: Callable[[ModelRecord], tuple[Model, list[Write]]],
) -> ModelRecord:
    """Changes a model under its revision, deciding anew on the new state when a race was lost.

    `decide` answers the changed model and what to write with it, in one transaction.
    """
    for _ in range(RACES):
        if record.state != "live":
            raise Conflict(f"the model {record.name} is being deleted")
        model, more = decide(record)
        update = Update(
            record.key, add={"rev": 1}, doc={**record.rest, **_doc(model)},
            condition=(Equal("rev", record.model.revision), Equal("state", "live")),
        )  # fmt: skip
        try:
            stores.table.transact([update, *more])
        except ConditionFailed as failed:
            if failed.index != 0:
                raise
            record = within(stores, record.project_id, record.project, record.model.name)
            continue
        outbox.wake(stores, record.project_id)
        return replace(record, model=replace(model, revision=record.model.revision + 1))
    raise Unavailable(f"too many others changed {record.name} at once; try again")


def change(stores: Stores, by: str, project: str, name: str, changes: ModelChanges) -> Model:
    """The model with `changes` applied."""

    def applied(model: Model) -> Model:
        if changes.description is not None:
            model = replace(model, description=projects.description(changes.description))
        if changes.tags is not None:
            model = replace(model, tags=merged(model.tags, changes.tags))
        if changes.settings is not None:
            model = replace(model, settings=_settings(changes.settings))
        if changes.attributes is not None:
            model = replace(model, attributes={**model.attributes, **changes.attributes})
        return model

    return rewrite(stores, by, project, name, applied, codec.encode(changes))


def rewrite(
    stores: Stores,
    by: str,
    project: str,
    name: str,
    applied: Callable[[Model], Model],
    details: dict[str, Any],
) -> Model:
    """The model as `applied` makes it from its newest state; `details` are told in the history."""

    def decide(record: ModelRecord) -> tuple[Model, list[Write]]:
        model = applied(record.model)
        describing.bounded(_doc(model))
        writes: list[Write] = [
            outbox.entry(
                stores, record.project_id, "model.changed", by, model=name, subject=name,
                details=details,
            )
        ]  # fmt: skip
        if model.settings != record.model.settings and retention.has_rules(
            model.settings.retention
        ):  # what no rule keeps any more is found by the sweep
            writes.append(retention.note(stores, record.project_id, record.id, 0))
        if model.settings.label_order != record.model.settings.label_order:
            writes += labels.turned(stores, record)
        return model, writes

    changed = revise(stores, find(stores, project, name), decide)
    if labels.ordered(changed.model):
        labels.mark(stores, changed)  # of the versions that are there
    return labels.with_greatest(stores, [changed.model])[0]


def card(stores: Stores, record: ModelRecord) -> Card:
    """The model's card; empty if it has none."""
    item = stores.table.get(keys.card(record.id))
    return Card(str(item.doc["text"]) if item else "")


def set_card(stores: Stores, by: str, project: str, name: str, new: Card) -> Card:
    """Replaces the model's card."""
    if len(new.text.encode()) > MAX_CARD:
        raise TooLarge(f"a card holds {MAX_CARD} bytes at most", limit=MAX_CARD)
    record = find(stores, project, name)
    event = outbox.entry(stores, record.project_id, "model.card", by, model=name, subject=name)
    stores.table.transact([Put(Item(keys.card(record.id), {}, {"text": new.text})), event])
    outbox.wake(stores, record.project_id)
    return new


def delete(stores: Stores, by: str, project: str, name: str) -> Deleted:
    """Removes a model without versions; `InUse` names what it still holds.

    Closing first: a commit reads the model after its version was opened, so either it sees the
    closing, or the look below sees its open version.
    """
    record = find(stores, project, name)
    closing = Update(record.key, set={"state": "closing"}, add={"rev": 1}, condition=(Present(),))
    try:
        stores.table.write(closing)
    except ConditionFailed:
        raise NotFound(f"there is no model {record.name}") from None
    held: list[str] = []
    kinds = ((keys.READY, "version"), (keys.HELD, "version"), (keys.OPEN, "open version"))
    for kind, word in kinds:
        found = stores.table.query(keys.of_model(record.id), *keys.prefix(f"{kind}#"), limit=3)
        held += [f"{word} {int(item.key.sk[2:])}" for item in found.items]
    if held:
        stores.table.write(Update(record.key, set={"state": "live"}, add={"rev": 1}))
        raise InUse(
            f"the model {record.name} still has {', '.join(held)}; delete them first", by=held
        )
    event = outbox.entry(
        stores, record.project_id, "model.deleted", by, model=name, subject=name,
        model_id=record.id,
    )  # fmt: skip
    stores.table.transact([
        Delete(record.key), Delete(keys.model_name(record.project_id, record.id)), event,
        usage.less(record.project_id, "models"),
    ])  # fmt: skip
    outbox.wake(stores, record.project_id)
    return Deleted(record.name)
