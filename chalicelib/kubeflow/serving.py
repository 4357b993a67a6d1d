"""Where models are served, as their operators tell: serving environments, inference services in them, and
what these have served. Records only: nothing is deployed from here."""

from collections.abc import Iterator, Mapping
from typing import Any

from chalicelib.api import doors
from chalicelib.kubeflow import fields, ids, lists, versions
from chalicelib.kubeflow import models as registered
from chalicelib.kubeflow.door import Asked, call
from chalicelib.registry import registrations
from chalicelib.registry import versions as native
from chalicelib.registry.registrations import Kind, Registration
from chalicelib.registry.versions import VersionRecord
from weighbridge.contract.errors import InvalidRequest, NotFound
from weighbridge.contract.references import VersionSelector

STATES = ("UNKNOWN", "NEW", "RUNNING", "COMPLETE", "FAILED", "CACHED", "CANCELED")
_NAMED: fields.Kinds = {**fields.BASE, "name": "text"}
KINDS: dict[Kind, fields.Kinds] = {
    "environment": _NAMED,
    "service": {
        **_NAMED, "registeredModelId": "text", "servingEnvironmentId": "text",
        "modelVersionId": "text", "runtime": "text", "desiredState": ("DEPLOYED", "UNDEPLOYED"),
    },
    "serve": {**_NAMED, "modelVersionId": "text", "lastKnownState": STATES},
}  # fmt: skip
_USUAL: dict[Kind, dict[str, Any]] = {
    "artifact": {}, "environment": {}, "service": {"desiredState": "DEPLOYED"},
    "serve": {"lastKnownState": "UNKNOWN"},
}  # fmt: skip
_FIXED = ("name", "registeredModelId", "servingEnvironmentId")
_WHAT: dict[Kind, str] = {"environment": "serving environment", "service": "inference service",
                          "serve": "served model", "artifact": "artifact"}  # fmt: skip


def document(found: Registration) -> dict[str, Any]:
    """A registration as its clients know it."""
    return {
        "id": str(found.number), "name": found.name, "customProperties": {}, **_USUAL[found.kind],
        **found.document, **fields.times(found.created, found.updated),
    }  # fmt: skip


def _one(asked: Asked, kind: Kind, text: object) -> Registration:
    number = ids.number(text, _WHAT[kind])
    project = asked.existing()
    if project is None:
        raise NotFound(f"there is no {_WHAT[kind]} with the id {number}")
    return registrations.find(asked.at, project.id, kind, number)


def _listed(asked: Asked, kind: Kind, parent: int = 0, only: str = "") -> tuple[int, Any]:
    more = ("runtime",) if kind == "service" else ()
    query = asked.one(*more, *lists.QUERY)
    project = asked.existing()
    runtime = query.get("runtime", "")

    def source(after: str | None, reverse: bool) -> Iterator[lists.Placed]:
        if project is None:
            return
        behind = None if after is None else ids.number(after, _WHAT[kind])
        for one in registrations.every(asked.at, project.id, kind, behind, reverse, parent):
            if runtime in ("", one.document.get("runtime")):
                yield str(one.number), document(one)

    return 200, lists.page(lists.read(query), f"{kind} of {parent}/{runtime}", source)


def _created(asked: Asked, kind: Kind, given: fields.Given, parent: int = 0) -> tuple[int, Any]:
    name = given.pop("name", "") or asked.at.random()
    made = registrations.create(
        asked.at, asked.by, asked.writable(), kind, name, {**_USUAL[kind], **given}, parent
    )
    return 201, document(made)


def _changed(asked: Asked, kind: Kind) -> tuple[int, Any]:
    given = fields.read(asked.body, KINDS[kind])
    found = _one(asked, kind, asked.id)
    _writable(asked, found.document)
    fields.unchangeable(given, document(found), *_FIXED)
    if kind == "service" and given.get("modelVersionId"):
        _version(asked, {**found.document, **given})
    given.pop("name", None)
    changed = registrations.rewrite(
        asked.at, asked.by, asked.record().id, kind, found.number,
        lambda old: {**old.document, **given},
    )  # fmt: skip
    return 200, document(changed)


def _writable(asked: Asked, given: Mapping[str, Any]) -> None:
    """A right to write to the model that is served; to some model where none is named."""
    if "registeredModelId" in given:
        try:
            asked.require("write", registered.by_id(asked, given["registeredModelId"]).model.name)
            return
        except NotFound:
            pass  # the model was deleted since
    doors.require_some_write(asked.who, asked.project)


def _version(asked: Asked, given: Mapping[str, Any]) -> VersionRecord:
    """The version that is named, of the model that is named."""
    found = versions.by_id(asked, given["modelVersionId"])
    model = given.get("registeredModelId")
    if model is not None and registered.by_id(asked, model).id != found.model.id:
        raise InvalidRequest(
            f"the model version {given['modelVersionId'][:60]} is not of the registered model {model}"
        )
    return found


def _found(asked: Asked, kind: Kind) -> tuple[int, Any]:
    query = asked.one("name", "externalId", "parentResourceId")
    project = asked.existing()
    name, external, parent = (query.get(n, "") for n in ("name", "externalId", "parentResourceId"))
    if not external and not (name and (parent or kind == "environment")):
        more = "`name` and `parentResourceId`" if kind == "service" else "`name`"
        raise InvalidRequest(f"name the {_WHAT[kind]} by {more}, or by `externalId`")
    if project is not None and not external:
        own = ids.number(parent, _WHAT["environment"]) if parent else 0
        return 200, document(registrations.named(asked.at, project.id, kind, name, own))
    for one in registrations.every(asked.at, project.id, kind) if project else ():
        if one.document.get("externalId") == external:
            return 200, document(one)
    raise NotFound(f"there is no {_WHAT[kind]} {(external or name)[:200]!r}")


# Serving environments


@call("GET", "serving_environments")
def environments(asked: Asked) -> tuple[int, Any]:
    """All serving environments."""
    return _listed(asked, "environment")


@call("POST", "serving_environments")
def create_environment(asked: Asked) -> tuple[int, Any]:
    """Registers a serving environment."""
    given = fields.read(asked.body, KINDS["environment"], ("name",))
    doors.require_some_write(asked.who, asked.project)
    return _created(asked, "environment", given)


@call("GET", "serving_environments/*")
def environment(asked: Asked) -> tuple[int, Any]:
    """One serving environment."""
    return 200, document(_one(asked, "environment", asked.id))


@call("PATCH", "serving_environments/*")
def change_environment(asked: Asked) -> tuple[int, Any]:
    """Changes a serving environment."""
    return _changed(asked, "environment")


@call("GET", "serving_environment")
def find_environment(asked: Asked) -> tuple[int, Any]:
    """The serving environment of a name or an external id."""
    return _found(asked, "environment")


# Inference services


@call("GET", "inference_services")
def services(asked: Asked) -> tuple[int, Any]:
    """All inference services."""
    return _listed(asked, "service")


@call("GET", "serving_environments/*/inference_services")
def services_of(asked: Asked) -> tuple[int, Any]:
    """The inference services of an environment."""
    return _listed(asked, "service", _one(asked, "environment", asked.id).number)


@call("POST", "inference_services")
def create_service(asked: Asked) -> tuple[int, Any]:
    """Registers an inference service in the environment that the body names."""
    given = fields.read(asked.body, KINDS["service"], ("servingEnvironmentId", "registeredModelId"))
    return _created_service(asked, given)


@call("POST", "serving_environments/*/inference_services")
def create_service_of(asked: Asked) -> tuple[int, Any]:
    """Registers an inference service in the environment of the path."""
    given = fields.read(asked.body, KINDS["service"], ("registeredModelId",))
    if given.setdefault("servingEnvironmentId", asked.id) != asked.id:
        raise InvalidRequest("servingEnvironmentId is another environment's than the address says")
    return _created_service(asked, given)


def _created_service(asked: Asked, given: fields.Given) -> tuple[int, Any]:
    parent = _one(asked, "environment", given["servingEnvironmentId"]).number
    model = registered.by_id(asked, given["registeredModelId"])
    asked.require("write", model.model.name)
    if given.get("modelVersionId"):
        _version(asked, given)
    return _created(asked, "service", given, parent)


@call("GET", "inference_services/*")
def service(asked: Asked) -> tuple[int, Any]:
    """One inference service."""
    return 200, document(_one(asked, "service", asked.id))


@call("PATCH", "inference_services/*")
def change_service(asked: Asked) -> tuple[int, Any]:
    """Changes an inference service."""
    return _changed(asked, "service")


@call("GET", "inference_service")
def find_service(asked: Asked) -> tuple[int, Any]:
    """The inference service of a name and an environment, or of an external id."""
    return _found(asked, "service")


@call("GET", "inference_services/*/model")
def model_of(asked: Asked) -> tuple[int, Any]:
    """The registered model that a service serves."""
    found = _one(asked, "service", asked.id)
    record = registered.by_id(asked, found.document["registeredModelId"])
    return 200, registered.one(asked, record)


@call("GET", "inference_services/*/version")
def version_of(asked: Asked) -> tuple[int, Any]:
    """The version that a service serves: the one it names, else the latest of its model."""
    found = _one(asked, "service", asked.id)
    if found.document.get("modelVersionId"):
        return 200, versions.one(asked, versions.by_id(asked, found.document["modelVersionId"]))
    record = registered.by_id(asked, found.document["registeredModelId"])
    latest = native.of_model(asked.at, record, VersionSelector("latest", ""))
    return 200, versions.one(asked, latest)


@call("GET", "inference_services/*/serves")
def serves_of(asked: Asked) -> tuple[int, Any]:
    """What a service has served."""
    return _listed(asked, "serve", _one(asked, "service", asked.id).number)


@call("POST", "inference_services/*/serves")
def create_serve(asked: Asked) -> tuple[int, Any]:
    """Notes that a service serves a version."""
    given = fields.read(asked.body, KINDS["serve"], ("modelVersionId",))
    parent = _one(asked, "service", asked.id)
    found = _version(asked, given)
    asked.require("write", found.model.model.name)
    return _created(asked, "serve", given, parent.number)
