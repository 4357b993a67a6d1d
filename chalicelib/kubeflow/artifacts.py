"""Artifacts: what a version consists of, or was made with, as documents among its attributes.

The files that a version has in this registry are its artifact number 0, which nobody has to register. Of a
version without files the first address of a model artifact makes it a package, so that edge clients see it.
An artifact without a version is a registration of its own.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import quote

from chalicelib.kubeflow import fields, ids
from chalicelib.kubeflow import models as registered
from chalicelib.kubeflow import versions as registered_versions
from chalicelib.kubeflow.door import Asked
from chalicelib.kubeflow.properties import OWN, wire
from chalicelib.registry import packages
from chalicelib.registry.registrations import Registration
from chalicelib.registry.stores import iso
from chalicelib.registry.versions import VersionRecord
from weighbridge.contract.errors import AlreadyExists, InvalidRequest, NotFound, TooLarge
from weighbridge.contract.types import Version

MODEL = "model-artifact"
STATES = ("UNKNOWN", "PENDING", "LIVE", "MARKED_FOR_DELETION", "DELETED", "ABANDONED", "REFERENCE")
_ALL: fields.Kinds = {**fields.BASE, "artifactType": "text", "name": "text", "state": STATES}
_MODEL = ("uri", "modelFormatName", "modelFormatVersion", "storageKey", "storagePath",
          "serviceAccountName", "modelSourceKind", "modelSourceClass", "modelSourceGroup",
          "modelSourceId", "modelSourceName")  # fmt: skip
_DATA = ("uri", "digest", "sourceType", "source", "schema", "profile")
TYPES: dict[str, fields.Kinds] = {
    MODEL: {**_ALL, **dict.fromkeys(_MODEL, "text")},
    "doc-artifact": {**_ALL, "uri": "text"},
    "dataset-artifact": {**_ALL, **dict.fromkeys(_DATA, "text")},
    "metric": {**_ALL, "value": "number", "timestamp": "text", "step": "text"},
    "parameter": {
        **_ALL, "value": "text", "parameterType": ("string", "number", "boolean", "object"),
    },
}  # fmt: skip
_REQUIRED = {MODEL: ("uri",), "metric": ("value",), "parameter": ("value",)}
_USUAL = {"metric": {"step": "0"}, "parameter": {"parameterType": "string"}}
"""What the client cannot do without: it would fail on a whole list."""
_ATTRIBUTE = OWN + "artifact."
_NUMBERED = re.compile(re.escape(_ATTRIBUTE) + r"([1-9][0-9]{0,3})\Z", re.ASCII)
Stored = dict[str, Any]


def read(body: Mapping[str, Any], usual: str = "") -> Stored:
    """The fields of a body, by its type."""
    kind = body.get("artifactType") or usual
    if kind not in TYPES:
        raise InvalidRequest(
            f"artifactType must be one of {', '.join(TYPES)}, not {str(kind)[:40]!r}"
        )
    given = fields.read(body, TYPES[kind], _REQUIRED.get(kind, ()))
    if not given.get("name", "x"):
        del given["name"]
    return {**_USUAL.get(kind, {}), **given, "artifactType": kind}


def of(found: VersionRecord) -> dict[int, Stored]:
    """The artifacts of a version by number."""
    stored = {
        int(match[1]): dict(value)
        for name, value in found.version.attributes.items()
        if (match := _NUMBERED.match(name)) and _whole(value)
    }
    if found.version.files:
        stored[0] = {**_files(found), **_kept(found.version)}
    return dict(sorted(stored.items()))


def _whole(value: Any) -> bool:
    """Whether a document is one that `add` wrote: attributes can be changed through other doors."""
    return (
        isinstance(value, dict) and value.get("artifactType") in TYPES
        and isinstance(value.get("customProperties", {}), dict)
        and isinstance(value.get("name"), str)
        and fields.is_time(value.get("created")) and fields.is_time(value.get("updated"))
    )  # fmt: skip


def _kept(version: Version) -> Stored:
    """What was changed of the artifact that is the version's own files."""
    found = version.attributes.get(f"{_ATTRIBUTE}0")
    if not isinstance(found, dict) or not fields.is_time(found.get("updated")):
        return {}
    return {key: value for key, value in found.items() if key in (*TYPES[MODEL], "updated")}


def _files(found: VersionRecord) -> Stored:
    version = found.version
    name = "/".join(quote(part, safe="") for part in (version.project, version.model))
    at = version.published or version.created
    own = {
        "artifactType": MODEL, "name": registered.title(found.model),
        "uri": f"weighbridge://{name}@{version.number}",
        "state": "LIVE" if version.state == "ready" else "PENDING",
        "customProperties": {
            "files": wire(version.files), "size": wire(version.size),
            "manifest": wire(version.manifest),
        },
        "created": at, "updated": at,
    }  # fmt: skip
    if form := packages.text(version, "format"):
        own["modelFormatName"] = form
    return own


def document(own: str, stored: Mapping[str, Any]) -> dict[str, Any]:
    """An artifact with its id."""
    shown = {name: value for name, value in stored.items() if name not in ("created", "updated")}
    return {
        "id": own, "customProperties": {}, "state": "UNKNOWN", **shown,
        **fields.times(str(stored["created"]), stored["updated"]),
    }  # fmt: skip


def documents(found: VersionRecord, version: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """The artifacts of a version whose id is `version`."""
    for index, stored in of(found).items():
        yield index, document(ids.of_artifact(version, index), stored)


def loose(found: Registration) -> dict[str, Any]:
    """An artifact without a version."""
    times = {"created": found.created, "updated": found.updated}
    return document(str(found.number), {**found.document, "name": found.name, **times})


# Changes


def add(asked: Asked, found: VersionRecord, own: str, given: Stored) -> dict[str, Any]:
    """A new artifact of a version; its name is unique among those of its type."""
    now = iso(asked.at.now())
    stored = {"name": asked.at.random(), **given, "created": now, "updated": now}
    numbers: list[int] = []

    def applied(version: Version) -> Version:
        there = of(VersionRecord(found.model, version))
        _refuse_twin(there, stored, -1)
        if len(there) >= ids.MAX_ARTIFACTS:
            raise TooLarge(f"a version has {ids.MAX_ARTIFACTS} artifacts at most")
        numbers.append(max([0, *there]) + 1)
        return _with(version, numbers[-1], stored)

    _rewritten(asked, found, applied, {"artifact": stored["name"]})
    return document(ids.of_artifact(own, numbers[-1]), stored)


def change(
    asked: Asked, found: VersionRecord, own: str, body: Mapping[str, Any], kind: str
) -> dict[str, Any]:
    """Changes the artifact `own` of a version; its type stays, and the address of its own files."""
    _, index = ids.artifact(own)
    now = iso(asked.at.now())
    stored = existing(found, index, kind)
    given = changes(stored, body)
    if not index:
        fields.unchangeable(given, stored, "uri")

    def applied(version: Version) -> Version:
        there = of(VersionRecord(found.model, version))
        new = {**there[index], **given, "updated": now}
        _refuse_twin(there, new, index)
        if index:
            return _with(version, index, new)
        return _with(version, 0, {**_kept(version), **given, "updated": now})

    changed = _rewritten(asked, found, applied, {"artifact": stored.get("name", "")})
    return document(own, of(changed)[index])


def changes(stored: Mapping[str, Any], body: Mapping[str, Any]) -> Stored:
    """What a body changes of an artifact; its type stays."""
    kind = str(stored["artifactType"])
    given = fields.read(body, TYPES[kind])
    fields.unchangeable(given, stored, "artifactType")
    for name in ("name", *_REQUIRED.get(kind, ())):
        if given.get(name) == "":
            raise InvalidRequest(f"{name} must not become empty")
    return given


def _refuse_twin(there: Mapping[int, Stored], new: Stored, index: int) -> None:
    for other, one in there.items():
        same = all(one.get(key) == new.get(key) for key in ("name", "artifactType"))
        if other != index and same:
            raise AlreadyExists(f"the version has an artifact named {new['name']!r} already")


def _with(version: Version, index: int, stored: Stored) -> Version:
    attributes = {**version.attributes, f"{_ATTRIBUTE}{index}": stored}
    return replace(version, attributes=attributes)


def _rewritten(
    asked: Asked, found: VersionRecord, applied: registered_versions.Applied, told: dict[str, Any]
) -> VersionRecord:
    """Changes a version; as a package, unless another has the identity that it would have as one."""

    def packed(version: Version) -> Version:
        new = applied(version)
        if new.files:
            return new
        addresses = [
            str(one.get("uri", "")) for one in of(VersionRecord(found.model, new)).values()
            if one["artifactType"] == MODEL
        ]  # fmt: skip
        uri = next((one for one in addresses if one), "")
        return packages.elsewhere(new, found.model.id, uri) if uri else new

    try:
        return registered_versions.rewritten(asked, found, packed, told)
    except AlreadyExists as error:
        if "package" not in error.details:
            raise
        return registered_versions.rewritten(asked, found, applied, told)


def existing(found: VersionRecord, index: int, kind: str) -> Stored:
    """An artifact of a version, of that type if one is named; or `NotFound`."""
    stored = of(found).get(index)
    if stored is None or kind not in ("", stored["artifactType"]):
        raise NotFound(f"the version has no {kind or 'artifact'} with this id")
    return stored
