"""Model versions: ready versions by their label. What is registered here has no files until somebody
pushes some; its artifacts say where its bytes lie."""

import re
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import islice
from typing import Any

from chalicelib.kubeflow import fields, ids, lists, properties
from chalicelib.kubeflow import models as registered
from chalicelib.kubeflow.door import Asked, call
from chalicelib.registry import (
    changing,
    describing,
    foreign_ids,
    keys,
    models,
    packages,
    projects,
    publishing,
    versions,
)
from chalicelib.registry.models import ModelRecord
from chalicelib.registry.stores import iso
from chalicelib.registry.versions import VersionRecord
from weighbridge.contract import edge, manifests, names
from weighbridge.contract.errors import (
    AlreadyExists,
    InvalidName,
    InvalidRequest,
    NotFound,
    RegistryError,
)
from weighbridge.contract.references import VersionSelector
from weighbridge.contract.types import NewVersion, Version, VersionCommit

_KEPT = ("externalId", "author", "state")
KINDS: fields.Kinds = {
    **fields.BASE, "name": "text", "author": "text", "registeredModelId": "text",
    "state": registered.STATES,
}  # fmt: skip
Applied = Callable[[Version], Version]
_BATCH = 50
_NUMBER = re.compile(r"[0-9]{1,10}\Z", re.ASCII)
_SHOWN = ("ready", "checking", "blocked")


def title(version: Version) -> str:
    """The version's name: its label, else what edge clients call it, else its number."""
    return version.label or (packages.release(version) if version.package else str(version.number))


def document(found: VersionRecord, own: str, model: str) -> dict[str, Any]:
    """A version as a model version; `own` is its id, `model` that of its model."""
    version, said = found.version, found.version.attributes
    shown = {
        "id": own, "name": title(version),
        "registeredModelId": model, "state": registered.LIVE,
        "author": version.created_by, **fields.shown(said, _KEPT),
        "customProperties": properties.shown(said),
        **fields.times(
            version.published or version.created, said.get(fields.UPDATED),
            said.get(edge.CHANGED),
        ),
    }  # fmt: skip
    if version.description:
        shown["description"] = version.description
    return shown


def documents(asked: Asked, found: Sequence[VersionRecord]) -> list[dict[str, Any]]:
    """Versions of one project with their ids."""
    own = ids.of_versions(asked.at, found)
    return [document(r, own[r.model.id, r.number], own[r.model.id, 0]) for r in found]


def one(asked: Asked, found: VersionRecord) -> dict[str, Any]:
    """The same of one version."""
    return documents(asked, [found])[0]


def by_id(asked: Asked, text: object) -> VersionRecord:
    """The version of that id, or `NotFound`; one that is open is nobody's business yet."""
    number = ids.number(text, "model version")
    project = asked.existing()
    own = foreign_ids.record(asked.at, project.id, number) if project else None
    if project is not None and own is not None and own.version:
        name = models.name_of(asked.at, project.id, own.model_id)
        if name is not None:
            record = models.within(asked.at, project.id, project.project.name, name)
            found = versions.numbered(asked.at, record, own.version)
            if found.version.state in _SHOWN:
                return found
    raise NotFound(f"there is no model version with the id {number}")


def by_name(asked: Asked, record: ModelRecord, name: str) -> VersionRecord:
    """The version of that name. Without a label of that name every version is looked at."""
    with suppress(NotFound, InvalidName):
        lock = VersionSelector("label", names.label(name))
        found = versions.of_model(asked.at, record, lock)
        if found.version.state in _SHOWN:
            return found
    for version in versions.every(asked.at, record, reverse=True):
        if title(version) == name:
            return VersionRecord(record, version)
    raise NotFound(f"{registered.title(record)!r} has no version named {name[:200]!r}")


def of_model(asked: Asked, record: ModelRecord) -> lists.Source:
    """The versions of a model by number."""

    def source(after: str | None, reverse: bool) -> Iterator[lists.Placed]:
        place = int(after) if after is not None and _NUMBER.match(after) else None
        every = versions.every(asked.at, record, place, reverse)
        rows = (VersionRecord(record, version) for version in every)
        for found, shown in batched(asked, rows):
            yield str(found.number), shown

    return source


def batched(
    asked: Asked, rows: Iterator[VersionRecord]
) -> Iterator[tuple[VersionRecord, dict[str, Any]]]:
    """Versions with their documents, whose ids are looked up a hundred at a time."""
    while batch := list(islice(rows, _BATCH)):
        yield from zip(batch, documents(asked, batch), strict=True)


def each(asked: Asked, after: str | None, reverse: bool) -> Iterator[VersionRecord]:
    """All versions of all models, by the model's name, behind a place that `placed` wrote."""
    project = asked.existing()
    if project is None:
        return
    name, _, number = (after or "").partition("\n")
    if number:
        item = asked.at.table.get(keys.model(project.id, name))
        if item is not None:
            record = models.within(asked.at, project.id, project.project.name, name)
            behind = int(number) if _NUMBER.match(number) else None
            for version in versions.every(asked.at, record, behind, reverse):
                yield VersionRecord(record, version)
    for record in models.every(asked.at, project, name or None, reverse):
        for version in versions.every(asked.at, record, None, reverse):
            yield VersionRecord(record, version)


def placed(found: VersionRecord) -> str:
    """The place of a version among all."""
    return f"{found.model.model.name}\n{found.number}"


@call("GET", "model_versions")
def listing(asked: Asked) -> tuple[int, Any]:
    """All model versions."""
    wanted = lists.read(asked.one(*lists.QUERY))

    def source(after: str | None, reverse: bool) -> Iterator[lists.Placed]:
        for found, shown in batched(asked, each(asked, after, reverse)):
            yield placed(found), shown

    return 200, lists.page(wanted, "versions", source)


@call("GET", "registered_models/*/versions")
def listing_of(asked: Asked) -> tuple[int, Any]:
    """The versions of a registered model."""
    wanted = lists.read(asked.one(*lists.QUERY))
    record = registered.by_id(asked, asked.id)
    return 200, lists.page(wanted, f"versions of {record.id}", of_model(asked, record))


@call("POST", "model_versions")
def create(asked: Asked) -> tuple[int, Any]:
    """Registers a version of the model that the body names."""
    given = fields.read(asked.body, KINDS, ("name", "registeredModelId"))
    return _created(asked, given, given["registeredModelId"])


@call("POST", "registered_models/*/versions")
def create_of(asked: Asked) -> tuple[int, Any]:
    """Registers a version of the model in the path."""
    given = fields.read(asked.body, KINDS, ("name",))
    if given.get("registeredModelId", asked.id) != asked.id:
        raise InvalidRequest("registeredModelId is another model's than that of the address")
    return _created(asked, given, asked.id)


def _created(asked: Asked, given: fields.Given, model: object) -> tuple[int, Any]:
    record = registered.by_id(asked, model)
    asked.require("write", record.model.name)
    name = names.label(given["name"])
    description = projects.description(given.get("description", ""))
    try:
        by_name(asked, record, name)
    except NotFound:
        pass
    else:
        raise AlreadyExists(f"{registered.title(record)!r} has a version {name!r} already")
    attributes = properties.replaced({}, given.get("customProperties", {}))
    attributes |= fields.kept(given, _KEPT)
    describing.bounded(attributes)
    at, by, own = asked.at, asked.by, record.model.name
    opened = publishing.begin(
        at, by, asked.project, own, NewVersion(f"kubeflow {uuid.uuid4()}", name)
    )
    commit = VersionCommit(manifests.digest([]), description=description, attributes=attributes)
    try:
        version = publishing.commit(at, by, asked.project, own, opened.number, commit)
    except RegistryError:
        with suppress(RegistryError):  # if it cannot be given up now, the sweep does it
            publishing.abort(at, by, asked.project, own, opened.number)
        raise
    return 201, one(asked, VersionRecord(record, version))


@call("GET", "model_versions/*")
def show(asked: Asked) -> tuple[int, Any]:
    """One model version."""
    return 200, one(asked, by_id(asked, asked.id))


@call("PATCH", "model_versions/*")
def change(asked: Asked) -> tuple[int, Any]:
    """Changes what is said of a version, or archives it; its name and its model stay."""
    given = fields.read(asked.body, KINDS)
    found = by_id(asked, asked.id)
    asked.require("write", found.model.model.name)
    fields.unchangeable(given, one(asked, found), "name", "registeredModelId")

    def applied(version: Version) -> Version:
        attributes = version.attributes
        if "customProperties" in given:
            attributes = properties.replaced(attributes, given["customProperties"])
        description = projects.description(given.get("description", version.description))
        return replace(
            version, description=description, attributes={**attributes, **fields.kept(given, _KEPT)}
        )

    changed = rewritten(asked, found, applied, {"fields": sorted(given)})
    return 200, one(asked, changed)


def rewritten(
    asked: Asked, found: VersionRecord, applied: Applied, told: dict[str, Any]
) -> VersionRecord:
    """A version changed by this door, which notes when."""

    def dated(version: Version) -> Version:
        now = iso(asked.at.now())
        new = applied(version)
        new = replace(new, attributes={**new.attributes, fields.UPDATED: now})
        return packages.touched(new, None, now) if version.package else new

    selector = VersionSelector("number", str(found.number))
    version = changing.rewrite(
        asked.at, asked.by, asked.project, found.model.model.name, selector, dated, told
    )
    return VersionRecord(found.model, version)


@call("GET", "model_version")
def find(asked: Asked) -> tuple[int, Any]:
    """The version of a name and a registered model, or of an external id."""
    query = asked.one("name", "externalId", "parentResourceId")
    if query.get("name") and query.get("parentResourceId"):
        record = registered.by_id(asked, query["parentResourceId"])
        return 200, one(asked, by_name(asked, record, query["name"]))
    external = query.get("externalId")
    if not external:
        raise InvalidRequest(
            "name the model version by `name` and `parentResourceId`, or by `externalId`"
        )
    for found in each(asked, None, False):
        if found.version.attributes.get(fields.attribute("externalId")) == external:
            return 200, one(asked, found)
    raise NotFound(f"there is no model version with the external id {external[:200]!r}")
