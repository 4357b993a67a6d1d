"""`/v2/provider`: what runs the components of jobs, on the records that all doors share."""

from typing import Any

from chalice.app import Response

from chalicelib.api import doors
from chalicelib.api.facades import View
from chalicelib.fate.v2 import envelope
from chalicelib.fate.v2.envelope import Asked, Failure, door, invalid, reply
from chalicelib.registry import providers
from chalicelib.registry.stores import epoch
from chalicelib.settings import settings
from weighbridge.contract import providers as naming
from weighbridge.contract.errors import InvalidName, NotFound
from weighbridge.contract.types import NewProvider, Provider

VIEWS: dict[str, View] = {}
FILTERS = ("name", "device", "version", "provider_name")


def home(asked: Asked) -> str:
    """The project of this caller's providers."""
    return doors.project_name(asked.who, settings().provider_project)


@door(VIEWS, "POST", "/v2/provider/register")
def register(asked: Asked) -> Response:
    """Registers a provider, or replaces it; nothing is saved unless all is right."""
    body = asked.json()
    wrong = {
        name: ["Not a valid mapping type."]
        for name in ("metadata", "components_description")
        if body.get(name) is not None and not isinstance(body[name], dict)
    }
    if body.get("metadata") is None:
        wrong["metadata"] = ["Missing data for required field."]
    given = asked.texts("json", ("name", "device", "version"), ("protocol",), wrong)
    if given["device"] not in naming.DEVICES:
        devices = ", ".join(naming.DEVICES)
        raise Failure(
            envelope.DEVICE_NOT_SUPPORTED,
            f"Device not supported: device[{given['device'][:80]}]; known are {devices}",
        )
    new = NewProvider(
        given["name"], given["version"], given["device"], body["metadata"],
        given["protocol"] or "fate", body.get("components_description") or {},
    )  # fmt: skip
    if problems := naming.problems(new):
        raise invalid("json", problems)
    project = home(asked)
    asked.who.require("write", project)
    doors.made(asked.at, asked.who, project)
    _, old = providers.register(asked.at, asked.who.name, project, new)
    return reply(None, "update success" if old else "create success")


def _matching(asked: Asked, given: dict[str, str]) -> list[Provider]:
    """The providers that match every filter; all of them without any."""
    parts = {part: given[part] for part in ("name", "version", "device")}
    if given["provider_name"]:
        try:
            wanted = naming.parse(given["provider_name"])
        except InvalidName:
            return []
        for part, value in (
            ("name", wanted.name), ("version", wanted.version), ("device", wanted.device),
        ):  # fmt: skip
            if parts[part] not in ("", value):
                return []
            parts[part] = value
    project = home(asked)
    asked.who.require("read", project)
    try:
        return list(providers.matching(asked.at, project, **parts))
    except NotFound:  # nobody has registered one yet
        return []


def _row(provider: Provider) -> dict[str, Any]:
    metadata = dict(provider.metadata)
    for name in ("config",) if provider.device == "k8s" else ("venv",):
        if provider.device != "docker":
            metadata.setdefault(name, None)
    return {
        "name": provider.name, "version": provider.version, "device": provider.device,
        "provider_name": provider.provider_name, "metadata": metadata,
        "create_time": int(epoch(provider.created) * 1000),
        "update_time": int(epoch(provider.updated) * 1000),
    }  # fmt: skip


@door(VIEWS, "GET", "/v2/provider/query")
def query(asked: Asked) -> list[dict[str, Any]]:
    """The providers that match; all of them without a filter."""
    return [_row(p) for p in _matching(asked, asked.texts("querystring", (), FILTERS))]


@door(VIEWS, "POST", "/v2/provider/delete")
def delete(asked: Asked) -> bool:
    """Removes the providers that match; whether there were any. Never all of them without a filter."""
    given = asked.texts("json", (), FILTERS)
    if not any(given.values()):
        raise Failure(envelope.FAILED, f"name at least one of {', '.join(FILTERS)}")
    project = home(asked)
    found = _matching(asked, given)
    if found:
        asked.who.require("delete", project)
    for provider in found:
        providers.delete(asked.at, asked.who.name, project, provider.provider_name)
    return bool(found)
