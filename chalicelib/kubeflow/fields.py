"""Fields of requests: checked by name and type, and kept as attributes of this door.

`null` counts as not given. What the server sets itself may stand in a request and is not looked at.
"""

import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any, Literal

from chalicelib.kubeflow import properties
from chalicelib.kubeflow.properties import OWN
from chalicelib.registry.stores import epoch
from weighbridge.contract.errors import InvalidRequest

Kind = Literal["text", "texts", "number", "properties"]
Kinds = Mapping[str, Kind | Collection[str]]
"""Fields by name: a type, or the words that may stand there."""
BASE: Kinds = {"description": "text", "externalId": "text", "customProperties": "properties"}
SET = ("id", "createTimeSinceEpoch", "lastUpdateTimeSinceEpoch")
UPDATED = OWN + "updated"
Given = dict[str, Any]


def read(body: Mapping[str, Any], kinds: Kinds, required: Iterable[str] = ()) -> Given:
    """The fields that a body gives."""
    found: Given = {}
    for name, value in body.items():
        if name in SET or value is None:
            continue
        if name not in kinds:
            raise InvalidRequest(f"unknown field {name[:60]!r}; known are {', '.join(kinds)}")
        found[name] = _checked(name, value, kinds[name])
    for name in required:
        if found.get(name) in (None, ""):
            raise InvalidRequest(f"the field {name} is missing")
    return found


def _checked(name: str, value: Any, kind: Kind | Collection[str]) -> Any:
    if kind == "properties":
        return properties.given(value)
    if kind == "number":
        if not isinstance(value, (int, float)) or isinstance(value, bool):
            raise InvalidRequest(f"{name} must be a number")
        return value
    if kind == "texts":
        if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
            raise InvalidRequest(f"{name} must be an array of texts")
        return value
    if not isinstance(value, str):
        raise InvalidRequest(f"{name} must be a text")
    if kind != "text" and value not in kind:
        raise InvalidRequest(f"{name} must be one of {', '.join(kind)}, not {value[:40]!r}")
    return value


def unchangeable(given: Mapping[str, Any], document: Mapping[str, Any], *names: str) -> None:
    """Refuses another value of what cannot be changed."""
    for name in names:
        if name in given and given[name] != document.get(name):
            raise InvalidRequest(f"{name} cannot be changed: it is {document.get(name)!r}")


def attribute(name: str) -> str:
    """The attribute in which a field is kept."""
    return OWN + re.sub("[A-Z]", lambda match: "_" + match[0].lower(), name)


def kept(given: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    """Those of the fields that were given, as attributes."""
    return {attribute(name): given[name] for name in names if name in given}


def shown(attributes: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    """Those of the fields that attributes hold."""
    pairs = ((name, attributes.get(attribute(name))) for name in names)
    return {name: value for name, value in pairs if isinstance(value, (str, list))}


def milliseconds(time: str) -> str:
    """A time of ours as clients know times; of none 0."""
    return str(round(epoch(time) * 1000)) if time else "0"


def times(created: str, *changed: object) -> dict[str, str]:
    """The two times of a record: the newest of `changed` counts. Others than ours do not."""
    later = [str(one) for one in changed if is_time(one) and str(one) > created]
    return {
        "createTimeSinceEpoch": milliseconds(created),
        "lastUpdateTimeSinceEpoch": milliseconds(max([created, *later])),
    }


def is_time(value: object) -> bool:
    """Whether a value is a time as this registry writes times."""
    return isinstance(value, str) and _OURS.match(value) is not None


_OURS = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z\Z", re.ASCII)
