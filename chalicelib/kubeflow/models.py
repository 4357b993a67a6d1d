"""Registered models: the models of the door's project, under names as free as their clients write them."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import islice
from typing import Any

from chalicelib.kubeflow import fields, ids, lists, properties
from chalicelib.kubeflow.door import Asked, call
from chalicelib.registry import foreign_ids, keys, models, projects
from chalicelib.registry.models import ModelRecord
from chalicelib.registry.stores import Stores, iso
from weighbridge.contract import edge
from weighbridge.contract.errors import AlreadyExists, InvalidName, InvalidRequest, NotFound
from weighbridge.contract.types import Card, Model, NewModel

LIVE, ARCHIVED = "LIVE", "ARCHIVED"
STATES = (LIVE, ARCHIVED)
_TEXTS = ("externalId", "owner", "maturity", "provider", "logo", "license", "licenseLink",
          "libraryName")  # fmt: skip
_KEPT = (*_TEXTS, "language", "tasks", "state")
KINDS: fields.Kinds = {
    **fields.BASE, **dict.fromkeys(_TEXTS, "text"), "name": "text", "language": "texts",
    "tasks": "texts", "readme": "text", "state": STATES,
}  # fmt: skip


def title(record: ModelRecord) -> str:
    """The model's name as its clients wrote it."""
    return edge.name_of(record.model.name)


def document(record: ModelRecord, own: str, readme: str = "") -> dict[str, Any]:
    """A model as a registered model; `own` is its id."""
    model = record.model
    found = {
        "id": own, "name": title(record), "state": LIVE,
        "owner": model.created_by, **fields.shown(model.attributes, _KEPT),
        "customProperties": properties.shown(model.attributes),
        **fields.times(model.created, model.attributes.get(fields.UPDATED)),
    }  # fmt: skip
    if model.description:
        found["description"] = model.description
    if readme:
        found["readme"] = readme
    return found


def documents(at: Stores, records: Sequence[ModelRecord]) -> list[dict[str, Any]]:
    """Models of one project with their cards, which are their readmes."""
    wanted = {keys.card(record.id): record.id for record in records}
    texts = {wanted[key]: str(item.doc["text"]) for key, item in at.table.get_many(wanted).items()}
    own = ids.of_models(at, records)
    return [document(record, own[record.id], texts.get(record.id, "")) for record in records]


def one(asked: Asked, record: ModelRecord) -> dict[str, Any]:
    """The same of one model."""
    return documents(asked.at, [record])[0]


def by_id(asked: Asked, text: object) -> ModelRecord:
    """The model of that id, or `NotFound`."""
    number = ids.number(text, "registered model")
    project = asked.existing()
    found = foreign_ids.record(asked.at, project.id, number) if project else None
    if project is not None and found is not None and not found.version:
        name = models.name_of(asked.at, project.id, found.model_id)
        if name is not None:
            return models.within(asked.at, project.id, project.project.name, name)
    raise NotFound(f"there is no registered model with the id {number}")


def by_name(asked: Asked, name: str) -> ModelRecord:
    """The model that clients know by that name, or `NotFound`."""
    project = asked.existing()
    spelled = [name]
    with suppress(InvalidName):
        spelled = [edge.model_of(name), name]
    for own in dict.fromkeys(spelled):
        item = asked.at.table.get(keys.model(project.id, own)) if project and own else None
        if project and item is not None and edge.name_of(own) == name:
            return models.within(asked.at, project.id, project.project.name, own)
    raise NotFound(f"there is no registered model named {name[:200]!r}")


@call("GET", "registered_models")
def listing(asked: Asked) -> tuple[int, Any]:
    """Registered models by name, or in the order asked for."""
    wanted = lists.read(asked.one(*lists.QUERY))
    project = asked.existing()

    def source(after: str | None, reverse: bool) -> Iterator[lists.Placed]:
        if project is None:
            return
        found = models.every(asked.at, project, after, reverse)
        size = min(wanted.size + 1, 100) if not wanted.order else 100
        while batch := list(islice(found, size)):
            for record, shown in zip(batch, documents(asked.at, batch), strict=True):
                yield record.model.name, shown

    return 200, lists.page(wanted, "models", source)


@call("POST", "registered_models")
def create(asked: Asked) -> tuple[int, Any]:
    """Registers a model."""
    given = fields.read(asked.body, KINDS, ("name",))
    name = edge.model_of(given["name"])
    asked.require("write", name)
    description = projects.description(given.get("description", ""))
    readme = _readme(given)
    try:
        by_name(asked, given["name"])
    except NotFound:
        pass
    else:
        raise AlreadyExists(f"there is a registered model named {given['name'][:200]!r} already")
    attributes = properties.replaced({}, given.get("customProperties", {}))
    attributes |= fields.kept(given, _KEPT)
    project = asked.writable()
    made = models.create(
        asked.at, asked.by, asked.project, NewModel(name, description, attributes=attributes)
    )
    if readme:
        models.set_card(asked.at, asked.by, asked.project, name, readme)
    return 201, one(asked, ModelRecord(project.id, project.project.name, made))


def _readme(given: fields.Given) -> Card | None:
    if "readme" not in given:
        return None
    if len(given["readme"].encode()) > models.MAX_CARD:
        raise InvalidRequest(f"a readme holds {models.MAX_CARD} bytes at most")
    return Card(given["readme"])


@call("GET", "registered_models/*")
def show(asked: Asked) -> tuple[int, Any]:
    """One registered model."""
    return 200, one(asked, by_id(asked, asked.id))


@call("PATCH", "registered_models/*")
def change(asked: Asked) -> tuple[int, Any]:
    """Changes what is said of a model, or archives it; its name stays."""
    given = fields.read(asked.body, KINDS)
    record = by_id(asked, asked.id)
    asked.require("write", record.model.name)
    fields.unchangeable(given, {"name": title(record)}, "name")
    readme = _readme(given)

    def applied(model: Model) -> Model:
        attributes = model.attributes
        if "customProperties" in given:
            attributes = properties.replaced(attributes, given["customProperties"])
        attributes = {
            **attributes, **fields.kept(given, _KEPT), fields.UPDATED: iso(asked.at.now()),
        }  # fmt: skip
        description = projects.description(given.get("description", model.description))
        return replace(model, description=description, attributes=attributes)

    told = {"fields": sorted(given)}
    changed = models.rewrite(asked.at, asked.by, asked.project, record.model.name, applied, told)
    if readme:
        models.set_card(asked.at, asked.by, asked.project, record.model.name, readme)
    return 200, one(asked, replace(record, model=changed))


@call("GET", "registered_model")
def find(asked: Asked) -> tuple[int, Any]:
    """The registered model of a name, or of an external id."""
    query = asked.one("name", "externalId")
    if query.get("name"):
        return 200, one(asked, by_name(asked, query["name"]))
    external = query.get("externalId")
    if not external:
        raise InvalidRequest("name the registered model by `name` or by `externalId`")
    project = asked.existing()
    for record in models.every(asked.at, project) if project else ():
        if record.model.attributes.get(fields.attribute("externalId")) == external:
            return 200, one(asked, record)
    raise NotFound(f"there is no registered model with the external id {external[:200]!r}")
