"""`/v1/provider` and `/v1/component`: the provider verbs of 1.x, on the records that all doors share.

A provider of 1.x is a name with versions, each a path on the server: here, local providers.
"""

from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from chalicelib.api import doors
from chalicelib.fate.v1.wire import Answer, Asked, Refused, verb
from chalicelib.registry import providers
from chalicelib.settings import settings
from weighbridge.contract import providers as naming
from weighbridge.contract.errors import InvalidRequest, NotFound
from weighbridge.contract.types import NewProvider, Provider

CLASS_PATH = "class_path"
FAILED = 100


def _home(asked: Asked) -> str:
    """The project of this caller's providers."""
    return doors.project_name(asked.who, settings().provider_project)


def _local(asked: Asked, name: str = "") -> list[Provider]:
    """The providers that 1.x knows: those on the server's own disk."""
    project = _home(asked)
    asked.who.require("read", project)
    with suppress(NotFound):  # nobody has registered one yet
        return list(providers.matching(asked.at, project, name=name, device="local"))
    return []


def _entry(versions: Iterable[Provider]) -> dict[str, Any]:
    """The versions of a name; the default is the one that was registered last."""
    found: dict[str, Any] = {}
    latest: Provider | None = None
    for provider in versions:
        found[provider.version] = {
            "path": provider.metadata.get("path", ""),
            "python": provider.metadata.get("venv") or "",
            CLASS_PATH: provider.metadata.get(CLASS_PATH) or {},
            "components": sorted(name.lower() for name in provider.components),
        }
        if latest is None or provider.updated > latest.updated:
            latest = provider
    if latest is not None:
        found["default"] = {"version": latest.version}
    return found


@verb("provider/register", "write")
def register(asked: Asked) -> Answer:
    """Registers a local provider; one that is known keeps its components."""
    name, version, path = asked.need("name", "version", "path")
    classes = asked.fields.get(CLASS_PATH)
    if classes is not None and not isinstance(classes, dict):
        raise InvalidRequest(f"{CLASS_PATH} must be an object")
    metadata: dict[str, Any] = {"path": path, **({CLASS_PATH: classes} if classes else {})}
    project = _home(asked)
    asked.who.require("write", project)
    components: dict[str, Any] = {}
    with suppress(NotFound):
        there = providers.find(asked.at, project, str(naming.ProviderName(name, version, "local")))
        components, metadata = there.components, {**there.metadata, **metadata}
    new = NewProvider(name, version, "local", metadata, components=components)
    doors.made(asked.at, asked.who, project)
    providers.register(asked.at, asked.by, project, new)
    return Answer({"flow-server": {"weighbridge": {"retcode": 0, "retmsg": "success"}}})


@verb("provider/get", "read")
def listing(asked: Asked) -> Answer:
    """All local providers by name, each with its versions."""
    names: dict[str, list[Provider]] = {}
    for provider in _local(asked):
        names.setdefault(provider.name, []).append(provider)
    return Answer({name: _entry(versions) for name, versions in names.items()})


@verb("provider", "read", rest=2)
def show(asked: Asked) -> Answer:
    """The versions of one name; no data if it is unknown."""
    name, word = asked.rest
    if word != "get":
        raise Refused(FAILED, f"there is nothing at /v1/provider/{name[:80]}/{word[:80]}")
    found = [] if naming.part_problem(name) else _local(asked, name)
    return Answer({name: _entry(found)} if found else None)


@verb("component/get", "read")
def components(asked: Asked) -> Answer:
    """Every component by its lower-case name: which providers have it, and which of them comes first."""
    owners: dict[str, set[str]] = {}
    for provider in _local(asked):
        for component in provider.components:
            owners.setdefault(component.lower(), set()).add(provider.name)
    return Answer(
        {
            name: {"default_provider": min(found), "support_provider": sorted(found)}
            for name, found in sorted(owners.items())
        }
    )
