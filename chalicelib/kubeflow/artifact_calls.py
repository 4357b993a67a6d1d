"""Artifacts over HTTP: of a version, of any, and those that belong to none."""

from collections.abc import Iterator, Mapping
from typing import Any

from chalicelib.api import doors
from chalicelib.kubeflow import artifacts, fields, ids, lists, versions
from chalicelib.kubeflow.artifacts import MODEL, TYPES
from chalicelib.kubeflow.door import Asked, call
from chalicelib.registry import registrations
from chalicelib.registry.registrations import Registration
from chalicelib.registry.versions import VersionRecord
from weighbridge.contract.errors import InvalidRequest, NotFound


@call("GET", "model_versions/*/artifacts")
def listing_of(asked: Asked) -> tuple[int, Any]:
    """The artifacts of a version."""
    query = asked.one("artifactType", *lists.QUERY)
    wanted, kind = lists.read(query), _kind(query)
    found = versions.by_id(asked, asked.id)

    def source(after: str | None, reverse: bool) -> Iterator[lists.Placed]:
        behind = None if after is None else _index(after)
        for index, one in _of(found, asked.id, behind, reverse):
            if kind in ("", one["artifactType"]):
                yield str(index), one

    return 200, lists.page(wanted, f"artifacts of {found.holder}/{kind}", source)


@call("POST", "model_versions/*/artifacts")
def upsert(asked: Asked) -> tuple[int, Any]:
    """Adds an artifact to a version, or changes the one whose id is given."""
    found = versions.by_id(asked, asked.id)
    asked.require("write", found.model.model.name)
    own = asked.body.get("id")
    if own is None:
        return 201, artifacts.add(asked, found, asked.id, artifacts.read(asked.body))
    version, _ = ids.artifact(own)
    if version != asked.id:
        raise InvalidRequest(
            f"the artifact {str(own)[:60]} is not of this version; leave its id out to add it"
        )
    return 200, artifacts.change(asked, found, own, asked.body, "")


@call("GET", "artifacts")
def listing(asked: Asked) -> tuple[int, Any]:
    """All artifacts, or those of a type."""
    query = asked.one("artifactType", *lists.QUERY)
    return _listed(asked, _kind(query), query)


@call("GET", "model_artifacts")
def listing_models(asked: Asked) -> tuple[int, Any]:
    """All model artifacts."""
    return _listed(asked, MODEL, asked.one(*lists.QUERY))


@call("POST", "artifacts")
def create(asked: Asked) -> tuple[int, Any]:
    """Registers an artifact without a version."""
    return _created(asked, artifacts.read(asked.body))


@call("POST", "model_artifacts")
def create_model(asked: Asked) -> tuple[int, Any]:
    """The same of a model artifact."""
    return _created(asked, artifacts.read(asked.body, MODEL))


def _created(asked: Asked, given: artifacts.Stored) -> tuple[int, Any]:
    doors.require_some_write(asked.who, asked.project)
    name = given.pop("name", "") or asked.at.random()
    project = asked.writable()
    made = registrations.create(asked.at, asked.by, project, "artifact", name, given)
    return 201, artifacts.loose(made)


@call("GET", "artifacts/*")
def show(asked: Asked) -> tuple[int, Any]:
    """One artifact."""
    return 200, _shown(asked, "")


@call("GET", "model_artifacts/*")
def show_model(asked: Asked) -> tuple[int, Any]:
    """One model artifact."""
    return 200, _shown(asked, MODEL)


def _shown(asked: Asked, kind: str) -> dict[str, Any]:
    version, index = ids.artifact(asked.id)
    if not version:
        return artifacts.loose(_alone(asked, index, kind))
    found = versions.by_id(asked, version)
    return artifacts.document(asked.id, artifacts.existing(found, index, kind))


def _alone(asked: Asked, number: int, kind: str) -> Registration:
    project = asked.existing()
    if project is not None:
        found = registrations.find(asked.at, project.id, "artifact", number)
        if kind in ("", found.document["artifactType"]):
            return found
    raise NotFound(f"there is no {kind or 'artifact'} with the id {number}")


@call("PATCH", "artifacts/*")
def change(asked: Asked) -> tuple[int, Any]:
    """Changes an artifact."""
    return 200, _changed(asked, "")


@call("PATCH", "model_artifacts/*")
def change_model(asked: Asked) -> tuple[int, Any]:
    """Changes a model artifact."""
    return 200, _changed(asked, MODEL)


def _changed(asked: Asked, kind: str) -> dict[str, Any]:
    version, index = ids.artifact(asked.id)
    if version:
        found = versions.by_id(asked, version)
        asked.require("write", found.model.model.name)
        return artifacts.change(asked, found, asked.id, asked.body, kind)
    doors.require_some_write(asked.who, asked.project)
    alone = _alone(asked, index, kind)
    given = artifacts.changes(alone.document, asked.body)
    fields.unchangeable(given, {"name": alone.name}, "name")
    given.pop("name", None)
    changed = registrations.rewrite(
        asked.at, asked.by, asked.record().id, "artifact", index,
        lambda old: {**old.document, **given},
    )  # fmt: skip
    return artifacts.loose(changed)


@call("GET", "artifact")
def find(asked: Asked) -> tuple[int, Any]:
    """The artifact of a name and a version, or of an external id."""
    return 200, _found(asked, "")


@call("GET", "model_artifact")
def find_model(asked: Asked) -> tuple[int, Any]:
    """The same among model artifacts."""
    return 200, _found(asked, MODEL)


def _found(asked: Asked, kind: str) -> dict[str, Any]:
    query = asked.one("name", "externalId", "parentResourceId")
    if query.get("name") and query.get("parentResourceId"):
        version = query["parentResourceId"]
        found = artifacts.documents(versions.by_id(asked, version), version)
        rows: Iterator[lists.Placed] = ((str(index), one) for index, one in found)
        field, wanted = "name", query["name"]
    elif query.get("externalId"):
        rows, field, wanted = _each(asked, None, False), "externalId", query["externalId"]
    else:
        raise InvalidRequest(
            "name the artifact by `name` and `parentResourceId`, or by `externalId`"
        )
    for _, one in rows:
        if one.get(field) == wanted and kind in ("", one["artifactType"]):
            return one
    raise NotFound(f"there is no {kind or 'artifact'} whose {field} is {wanted[:200]!r}")


# Lists


def _index(text: str) -> int:
    """A number in a page token."""
    if not (text.isascii() and text.isdigit() and len(text) <= 10):
        raise InvalidRequest("the page token is damaged; start the list anew")
    return int(text)


def _kind(query: Mapping[str, str]) -> str:
    kind = query.get("artifactType", "")
    if kind and kind not in TYPES:
        raise InvalidRequest(f"artifactType must be one of {', '.join(TYPES)}, not {kind[:40]!r}")
    return kind


def _listed(asked: Asked, kind: str, query: Mapping[str, str]) -> tuple[int, Any]:
    def source(after: str | None, reverse: bool) -> Iterator[lists.Placed]:
        for place, one in _each(asked, after, reverse):
            if kind in ("", one["artifactType"]):
                yield place, one

    return 200, lists.page(lists.read(query), f"artifacts/{kind}", source)


def _each(asked: Asked, after: str | None, reverse: bool) -> Iterator[lists.Placed]:
    """All artifacts by model, version and number, those without a version before them. The place of an
    artifact without a version begins with a line's end, as no model's name does."""
    alone = after is not None and after.startswith("\n")
    rest = (after or "").removeprefix("\n") if alone else ""
    if reverse:
        if not alone:
            yield from _of_versions(asked, after, True)
        yield from _without(asked, rest, True)
        return
    if after is None or alone:
        yield from _without(asked, rest, False)
    yield from _of_versions(asked, None if alone else after, False)


def _without(asked: Asked, after: str, reverse: bool) -> Iterator[lists.Placed]:
    project = asked.existing()
    if project is None:
        return
    behind = _index(after) if after else None
    for one in registrations.every(asked.at, project.id, "artifact", behind, reverse):
        yield f"\n{one.number}", artifacts.loose(one)


def _of_versions(asked: Asked, after: str | None, reverse: bool) -> Iterator[lists.Placed]:
    place, behind, start = "", 0, None
    if after is not None:
        place, _, last = after.rpartition("\n")
        name, _, number = place.partition("\n")
        behind = _index(last)
        # The version where the page ended comes once more: it may have further artifacts.
        start = f"{name}\n{_index(number) + (1 if reverse else -1)}"
    for found, shown in versions.batched(asked, versions.each(asked, start, reverse)):
        here = versions.placed(found)
        for index, one in _of(found, shown["id"], behind if here == place else None, reverse):
            yield f"{here}\n{index}", one


def _of(
    found: VersionRecord, own: str, behind: int | None, reverse: bool
) -> Iterator[tuple[int, dict[str, Any]]]:
    """The artifacts of a version behind one of them."""
    rows = list(artifacts.documents(found, own))
    for index, one in rows[::-1] if reverse else rows:
        if behind is None or (index < behind if reverse else index > behind):
            yield index, one
