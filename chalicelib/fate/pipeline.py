"""FATE 1.x's pipeline record: which job made a model, of which components, with which parties.

A protobuf message of 14 fields that is stored beside its proto3 JSON form. Both are read and written by
hand. Values that nobody changes keep their bytes, so that a record that is read and written again is
the same record.
"""

import base64
import binascii
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from weighbridge.contract.errors import InvalidManifest

MAX_SIZE = 8 * 1024**2
"""Bytes of a record in either form."""
_JSON, _TEXT, _NUMBER = "json", "text", "number"
_FIELDS = (
    (1, "inferenceDsl", _JSON),
    (2, "trainDsl", _JSON),
    (3, "trainRuntimeConf", _JSON),
    (4, "fateVersion", _TEXT),
    (5, "modelId", _TEXT),
    (6, "modelVersion", _TEXT),
    (7, "parent", _NUMBER),
    (8, "loadedTimes", _NUMBER),
    (9, "roles", _JSON),
    (10, "workMode", _NUMBER),
    (11, "initiatorRole", _TEXT),
    (12, "initiatorPartyId", _NUMBER),
    (13, "runtimeConfOnParty", _JSON),
    (14, "parentInfo", _JSON),
)
_KINDS = {name: kind for _, name, kind in _FIELDS}
_BY_NUMBER = {number: name for number, name, _ in _FIELDS}
_MASK = (1 << 64) - 1
Value = bytes | str | int


@dataclass(frozen=True, slots=True)
class Pipeline:
    """A record: JSON texts as bytes, texts, and numbers, by their JSON names; defaults are absent."""

    values: Mapping[str, Value]

    def document(self, name: str) -> dict[str, Any]:
        """A field that holds a JSON object; `{}` if it is absent."""
        raw = self.values.get(name)
        if not isinstance(raw, bytes) or not raw:
            return {}
        try:
            found = json.loads(raw)
        except (ValueError, RecursionError):
            raise InvalidManifest(f"the pipeline record's {name} is no JSON") from None
        if not isinstance(found, dict):
            raise InvalidManifest(f"the pipeline record's {name} is no JSON object")
        return found

    def text(self, name: str) -> str:
        """A field that holds text."""
        return str(self.values.get(name, ""))

    def number(self, name: str) -> int:
        """A field that holds a number."""
        value = self.values.get(name, 0)
        return value if isinstance(value, int) else 0

    @property
    def parent(self) -> bool:
        """Whether this is a trained model, not one that was deployed from it."""
        return bool(self.number("parent"))

    @property
    def roles(self) -> dict[str, list[Any]]:
        """The parties by role."""
        found = self.document("roles") or self.document("trainRuntimeConf").get("role", {})
        if not isinstance(found, dict) or not all(isinstance(ids, list) for ids in found.values()):
            raise InvalidManifest("the pipeline record's roles are no lists of party ids")
        return found

    @property
    def initiator(self) -> tuple[str, str]:
        """The role and the party id of who started the job."""
        role, party_id = self.text("initiatorRole"), str(self.values.get("initiatorPartyId", ""))
        if role:
            return role, party_id
        told = self.document("trainRuntimeConf").get("initiator", {})
        if not isinstance(told, dict):
            return "", ""
        return str(told.get("role", "")), str(told.get("party_id", ""))

    def changed(self, **changes: Any) -> "Pipeline":
        """The record with other values; objects are given as they are, absent ones as None."""
        values = dict(self.values)
        for name, value in changes.items():
            if value is None or value is False or value == "":
                values.pop(name, None)
            elif _KINDS[name] == _JSON:
                values[name] = json.dumps(value, ensure_ascii=False).encode()
            else:
                values[name] = int(value) if _KINDS[name] == _NUMBER else str(value)
        return Pipeline(values)


def read(plain: bytes | None, as_json: bytes | None) -> Pipeline:
    """A record from its JSON form if there is one, else from its protobuf form."""
    for data in (plain, as_json):
        if data is not None and len(data) > MAX_SIZE:
            raise InvalidManifest(f"a pipeline record of {len(data)} bytes; {MAX_SIZE} at most")
    if as_json is not None:
        return from_json(as_json)
    if plain is None:
        raise InvalidManifest("the model has no pipeline record")
    return from_protobuf(plain)


def from_json(data: bytes) -> Pipeline:
    """A record in proto3 JSON; fields that are not known here are left out."""
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        raise InvalidManifest("Pipeline.json is no JSON") from None
    if not isinstance(found, dict):
        raise InvalidManifest("Pipeline.json is no JSON object")
    values: dict[str, Value] = {}
    for name, value in found.items():
        kind = _KINDS.get(name)
        if kind == _JSON and isinstance(value, str):
            values[name] = _base64(name, value)
        elif kind == _TEXT and isinstance(value, str):
            values[name] = value
        elif kind == _NUMBER and isinstance(value, int):
            values[name] = int(value)
        elif kind is not None and value is not None:
            raise InvalidManifest(f"Pipeline.json: {name} has the wrong type")
    return Pipeline({name: value for name, value in values.items() if value})


def _base64(name: str, text: str) -> bytes:
    """Proto3 readers take both alphabets, with or without padding."""
    plain = text.replace("-", "+").replace("_", "/").rstrip("=")
    try:
        return base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise InvalidManifest(f"Pipeline.json: {name} is not base64") from None


def from_protobuf(data: bytes) -> Pipeline:
    """A record in protobuf's encoding."""
    values: dict[str, Value] = {}
    for number, raw in _decoded(data):
        value: Value = raw
        name = _BY_NUMBER.get(number)
        if name is None:
            continue
        kind = _KINDS[name]
        if isinstance(value, int) != (kind == _NUMBER):
            raise InvalidManifest(f"the pipeline record's {name} has the wrong type")
        if kind == _TEXT and isinstance(value, bytes):
            try:
                value = value.decode("utf-8")
            except UnicodeDecodeError:
                raise InvalidManifest(f"the pipeline record's {name} is no text") from None
        elif isinstance(value, int):  # int32, negative ones as 64 bits
            value = ((value & 0xFFFFFFFF) ^ 0x80000000) - 0x80000000
        values[name] = value
    return Pipeline({name: value for name, value in values.items() if value})


def _decoded(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        number, wire = tag >> 3, tag & 7
        if wire == 0:
            value, at = _varint(data, at)
            yield number, value
            continue
        if wire == 2:
            size, at = _varint(data, at)
        elif wire in (1, 5):  # fixed widths: no field of ours
            size = 8 if wire == 1 else 4
        else:
            raise InvalidManifest("the pipeline record is no protobuf message")
        if number == 0 or at + size > len(data):
            raise InvalidManifest("the pipeline record is cut short")
        if wire == 2:
            yield number, data[at : at + size]
        at += size


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(data):
            raise InvalidManifest("the pipeline record is cut short")
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value & _MASK, at
    raise InvalidManifest("the pipeline record is no protobuf message")


def to_json(record: Pipeline) -> bytes:
    """The record in proto3 JSON."""
    found: dict[str, Any] = {}
    for _, name, _ in _FIELDS:
        value = record.values.get(name)
        if not value:
            continue
        if isinstance(value, bytes):
            found[name] = base64.b64encode(value).decode("ascii")
        else:
            found[name] = bool(value) if name == "parent" else value
    return json.dumps(found, indent=2, ensure_ascii=False).encode()


def to_protobuf(record: Pipeline) -> bytes:
    """The record in protobuf's encoding."""
    out = bytearray()
    for number, name, kind in _FIELDS:
        value = record.values.get(name)
        if not value:
            continue
        if kind == _NUMBER and isinstance(value, int):
            out += _as_varint(number << 3) + _as_varint(value & _MASK)
            continue
        data = value if isinstance(value, bytes) else str(value).encode()
        out += _as_varint(number << 3 | 2) + _as_varint(len(data)) + data
    return bytes(out)


def _as_varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def renamed(
    record: Pipeline, model_id: str, model_version: str, *, repair: bool = False
) -> Pipeline:
    """The record under another model id or version, also inside the two runtime confs. `repair` sets
    roles and initiator anew from the train conf, as FATE 1.9 does for older records."""
    train = record.document("trainRuntimeConf")
    parameters = train.get("job_parameters")
    if isinstance(parameters, dict):
        common = parameters.get("common")
        target = common if isinstance(common, dict) else parameters
        target.update(model_id=model_id, model_version=model_version)
    on_party = record.document("runtimeConfOnParty")
    own = on_party.get("job_parameters")
    if isinstance(own, dict):
        own.update(model_id=model_id, model_version=model_version)
    changes: dict[str, Any] = {"modelId": model_id, "modelVersion": model_version}
    if repair and isinstance(train.get("role"), dict):
        changes["roles"] = train["role"]
        if on_party:
            on_party["role"] = train["role"]
            on_party["initiator"] = train.get("initiator", on_party.get("initiator"))
    if train:
        changes["trainRuntimeConf"] = train
    if on_party:
        changes["runtimeConfOnParty"] = on_party
    same = all(record.document(n) == v for n, v in changes.items() if isinstance(v, dict))
    if same and (record.text("modelId"), record.text("modelVersion")) == (model_id, model_version):
        return record
    return record.changed(**changes)


def older_than(record: Pipeline, version: tuple[int, ...]) -> bool:
    """Whether the record was written by a FATE before that version; unknown counts as older."""
    parts = []
    for word in record.text("fateVersion").split("."):
        digits = word[: len(word) - len(word.lstrip("0123456789"))]
        if not digits:
            break
        parts.append(int(digits))
    return tuple(parts) < version
