"""Custom properties and attributes: each value keeps its type on the way in and on the way out.

Texts, whole numbers, floats and truth values are attributes as they are, a struct is an object. What an
attribute cannot be by itself is kept as the client spelled it: an object with `metadataType`. Attributes
that came through another door are shown by the same rules.
"""

import base64
import binascii
import json
from collections.abc import Mapping
from typing import Any

from weighbridge.contract import edge, names
from weighbridge.contract.errors import InvalidRequest

OWN = "kubeflow."
"""Attributes of this door itself; a property whose name begins like this is quoted."""
_QUOTED = OWN + "property."
_TYPE = "metadataType"
_FIELDS = {
    "MetadataStringValue": "string_value", "MetadataIntValue": "int_value",
    "MetadataDoubleValue": "double_value", "MetadataBoolValue": "bool_value",
    "MetadataStructValue": "struct_value", "MetadataProtoValue": "proto_value",
}  # fmt: skip
_HIDDEN = frozenset({edge.CHANGED})
"""Kept by another door for itself."""
_KEPT = frozenset(
    {edge.NAME, edge.VERSION, edge.PRECISION, edge.PROJECT_NAME, edge.PROJECT_ID, edge.CREATED,
     edge.SIZE, *_HIDDEN}
)  # fmt: skip
_LIMIT = 2**63
_DIGITS = 10**9
"""Whole numbers from here on the client cannot read: it would fail on the whole list. They are shown as
floats as long as those are exact, else as texts."""
_EXACT = 2**53
MAX_PROPERTIES = 500

Wire = dict[str, Any]


def shown(attributes: Mapping[str, Any]) -> dict[str, Wire]:
    """The custom properties that attributes are."""
    found = {}
    for name, value in attributes.items():
        if (title := _title(name)) is not None and value is not None:
            found[title] = wire(value)
    return found


def wire(value: Any) -> Wire:
    """A value as a property."""
    if isinstance(value, bool):
        return {"bool_value": value, _TYPE: "MetadataBoolValue"}
    if isinstance(value, int):
        if abs(value) < _DIGITS:
            return {"int_value": str(value), _TYPE: "MetadataIntValue"}
        if abs(value) < _EXACT:
            return {"double_value": float(value), _TYPE: "MetadataDoubleValue"}
        return {"string_value": str(value), _TYPE: "MetadataStringValue"}
    if isinstance(value, float):
        return {"double_value": value, _TYPE: "MetadataDoubleValue"}
    if isinstance(value, str):
        return {"string_value": value, _TYPE: "MetadataStringValue"}
    if isinstance(value, dict) and value.get(_TYPE) in _FIELDS:
        return dict(value)
    return {"struct_value": _packed(value), _TYPE: "MetadataStructValue"}


def native(name: str, given: object) -> Any:
    """The attribute that a property is; `wire` makes the same property of it."""
    if not isinstance(given, dict) or given.get(_TYPE) not in _FIELDS:
        raise _wrong(name, f"must be an object with a {_TYPE}: one of {', '.join(_FIELDS)}")
    kind = str(given[_TYPE])
    field = _FIELDS[kind]
    allowed = {_TYPE, field, *(["type"] if field == "proto_value" else [])}
    if set(given) != allowed:
        raise _wrong(name, f"is a {kind} and must have exactly {', '.join(sorted(allowed))}")
    value = given[field]
    if field == "bool_value":
        if not isinstance(value, bool):
            raise _wrong(name, "must have true or false as bool_value")
        return value
    if field == "double_value":
        if not isinstance(value, (int, float)) or isinstance(value, bool):
            raise _wrong(name, "must have a number as double_value")
        try:
            return float(value)
        except OverflowError:
            raise _wrong(name, "has a double_value out of range") from None
    if not isinstance(value, str):
        raise _wrong(name, f"must have a text as {field}")
    if field == "int_value":
        return _whole(name, value)
    if field == "struct_value":
        return _unpacked(name, value)
    if field == "proto_value" and not isinstance(given["type"], str):
        raise _wrong(name, "must have a text as type")
    return dict(given) if field == "proto_value" else value


def given(value: object) -> dict[str, Wire]:
    """The properties of a request, each of them right."""
    if not isinstance(value, dict):
        raise InvalidRequest("customProperties must be an object")
    if len(value) > MAX_PROPERTIES:
        raise InvalidRequest(f"{len(value)} custom properties; {MAX_PROPERTIES} at most")
    for name, one in value.items():
        names.key("custom property", name)
        native(name, one)
    return value


def replaced(attributes: Mapping[str, Any], wanted: Mapping[str, Wire]) -> dict[str, Any]:
    """Attributes with these properties instead of those they had.

    A property that says what is there leaves it as it is: the client sends all of them back with every
    change, and structs as plain texts. What belongs to this door, or names a record of another, stays.
    """
    found = {}
    for name, value in attributes.items():
        title = _title(name)
        if title is None or value is None or (title in _KEPT and title not in wanted):
            found[name] = value
    for title, one in wanted.items():
        name = _QUOTED + title if title.startswith(OWN) else title
        if name in _HIDDEN:
            continue
        old = attributes.get(name)
        found[name] = old if old is not None and _same(wire(old), one) else native(title, one)
    return found


def _title(name: str) -> str | None:
    """The property's name that an attribute's stands for; None if it is no property."""
    if name.startswith(_QUOTED):
        return name.removeprefix(_QUOTED)
    return None if name.startswith(OWN) or name in _HIDDEN else name


def _same(old: Wire, new: Wire) -> bool:
    if old == new:
        return True
    text = new.get("string_value")
    return text is not None and text in (old.get("struct_value"), old.get("proto_value"))


def _packed(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return base64.b64encode(text.encode("utf-8", "surrogatepass")).decode()


def _unpacked(name: str, text: str) -> Any:
    try:
        found = json.loads(base64.b64decode(text, validate=True), parse_constant=_refuse)
    except (binascii.Error, ValueError, RecursionError):
        raise _wrong(name, "must have the base64 of a JSON object as struct_value") from None
    if not isinstance(found, (dict, list)):
        raise _wrong(name, "must have the base64 of a JSON object as struct_value")
    kept = {"struct_value": text, _TYPE: "MetadataStructValue"}
    return found if wire(found) == kept else kept


def _refuse(text: str) -> Any:
    raise ValueError(text)


def _whole(name: str, text: str) -> Any:
    digits = text.removeprefix("-")
    if not (digits.isascii() and digits.isdigit()) or len(text) > 20:
        raise _wrong(name, "must have the text of a whole number as int_value")
    value = int(text)
    if not -_LIMIT <= value < _LIMIT:
        raise _wrong(name, "has an int_value beyond 64 bits")
    return value


def _wrong(name: str, why: str) -> InvalidRequest:
    return InvalidRequest(f"the custom property {name[:80]!r} {why}")
