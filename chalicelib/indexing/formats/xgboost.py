"""XGBoost models: JSON, UBJSON, and the binary format of before version 3.1, by its signature.

Both documents hold the same names in the same, sorted order (xgboost.readthedocs.io, "Introduction to
Model IO"), so that trees stand between what we want: of a large file we read the beginning up to the
trees and the end behind them.
"""

import re
import struct
from collections.abc import Mapping
from typing import Any

from chalicelib.indexing.formats import jsonscan, texts, ubjson
from chalicelib.indexing.formats.jsonscan import BadJson, Path
from chalicelib.indexing.formats.ranged import Ranged
from chalicelib.indexing.formats.ubjson import BadUbjson, Cursor
from weighbridge.contract.types import Facts, Port

WHOLE = 4 * 1024 * 1024
"""A file up to this size is read in full, so that damage anywhere is seen."""
HEAD = 1024 * 1024
TAIL = 256 * 1024
MAX_INPUTS = 64
BINARY = b"binf"

_JSON = re.compile(
    rb'\s*+\{\s*+"(?:learner|version)"\s*+:\s*+[\[{]'
    rb'(?:\s*+"(?:attributes|feature_names|gradient_booster|learner_model_param)"|[\s\d,]*+\]\s*+,\s*+"learner")'
)
_UBJSON = b"{L\0\0\0\0\0\0\0\x07learner{"
_PARAM = b"learner_model_param"
_BOOSTER = re.compile(rb'"name"\s*+:\s*+"(gbtree|gblinear|dart)"')
_BOOSTER_UBJ = re.compile(rb"L\0\0\0\0\0\0\0\x04nameSL\0{7}[\x04\x06\x08](gbtree|gblinear|dart)")

_L: Path = ("learner",)
_GB: Path = ("learner", "gradient_booster")
_TREES: Path = (*_GB, "model", "trees")
_DART: Path = (*_GB, "gbtree", "model", "trees")
_TAKE: tuple[Path, ...] = (
    (*_L, "attributes"), (*_L, "feature_names"), (*_L, "feature_types"),
    (*_L, "learner_model_param"), (*_L, "objective"), (*_GB, "name"),
    (*_GB, "model", "gbtree_model_param"), (*_GB, "gbtree", "model", "gbtree_model_param"),
    (*_GB, "model", "boosted_rounds"), ("version",),
)  # fmt: skip

Values = dict[Path, Any]


def sniff(first: bytes, size: int) -> bool:
    """The learner's first members, in JSON or UBJSON, or the old signature."""
    return (
        first.startswith(_UBJSON)
        or _JSON.match(first) is not None
        or (first.startswith(BINARY) and size > 136)
    )


def read(ranged: Ranged) -> Facts:
    """The facts of a model."""
    first = ranged.read(0, min(64 * 1024, ranged.size))
    if first.startswith(BINARY):
        return _binary(first)
    kind = "xgboost-ubj" if first.startswith(_UBJSON) else "xgboost-json"
    try:
        values = _of_ubjson(ranged) if kind == "xgboost-ubj" else _of_json(ranged)
    except (BadJson, BadUbjson) as error:
        return Facts(kind, problem=str(error))
    return _facts(kind, values)


def _of_json(ranged: Ranged) -> Values:
    if ranged.size <= WHOLE:
        return jsonscan.scan(ranged.read(0, ranged.size), _TAKE).values
    head = jsonscan.scan(ranged.read(0, HEAD), _TAKE, partial=True).values
    tail = ranged.read(ranged.size - TAIL, TAIL)
    at = tail.rfind(b'"' + _PARAM + b'"')
    if at < 0:
        raise BadJson("its end holds no parameters: it is cut short")
    end = jsonscan.scan(b'{"learner":{' + tail[at:], _TAKE).values
    return {**head, **_booster(_BOOSTER, tail[:at]), **end}


def _of_ubjson(ranged: Ranged) -> Values:
    if ranged.size <= WHOLE:
        cursor = Cursor(ranged)
        found = ubjson.scan(cursor, _TAKE)
        if cursor.at != ranged.size:
            raise BadUbjson("there is more behind its end")
        return found.values
    first = ubjson.scan(Cursor(ranged), _TAKE, stop=_TREES)
    head = first if first.stopped else ubjson.scan(Cursor(ranged), _TAKE, stop=_DART)
    start = ranged.size - TAIL
    tail = ranged.read(start, TAIL)
    at = tail.rfind(b"L\0\0\0\0\0\0\0\x13" + _PARAM + b"{")
    if at < 0:
        raise BadUbjson("its end holds no parameters: it is cut short")
    end = ubjson.scan(Cursor(ranged, start + at, _UBJSON), _TAKE).values
    return {**head.values, **_booster(_BOOSTER_UBJ, tail[:at]), **end}


def _booster(pattern: re.Pattern[bytes], tail: bytes) -> Values:
    """The booster's name stands behind its trees, so near the end."""
    found = [match[1] for match in pattern.finditer(tail)]
    return {(*_GB, "name"): found[-1].decode()} if found else {}


def _object(values: Values, *path: str) -> Mapping[str, Any]:
    value = values.get(path)
    return value if isinstance(value, dict) else {}


def _names(value: object) -> list[str]:
    return [texts.text(v, 200) for v in value[:MAX_INPUTS]] if isinstance(value, list) else []


def _facts(kind: str, values: Values) -> Facts:
    params = _object(values, *_L, "learner_model_param")
    if not params:
        return Facts(kind, problem="it has no learner_model_param")
    trees = _object(values, *_GB, "model", "gbtree_model_param") or _object(
        values, *_GB, "gbtree", "model", "gbtree_model_param"
    )
    booster = texts.text(values.get((*_GB, "name")), 60)
    version = values.get(("version",))
    names = _names(values.get((*_L, "feature_names")))
    types = _names(values.get((*_L, "feature_types")))
    rounds = values.get((*_GB, "model", "boosted_rounds"))
    shown: dict[str, object] = {
        "objective": _object(values, *_L, "objective").get("name"),
        "booster": booster,
        "trees": trees.get("num_trees"),
        "parallel_trees": trees.get("num_parallel_tree"),
        "rounds": rounds,
        "features": params.get("num_feature"),
        "classes": params.get("num_class") if params.get("num_class") not in ("0", 0) else None,
        "targets": params.get("num_target"),
        "base_score": params.get("base_score"),
        "version": ".".join(map(texts.text, version)) if isinstance(version, list) else None,
        **{f"attribute {k}": v for k, v in _object(values, *_L, "attributes").items()},
    }
    ports = [Port(n, types[i] if i < len(types) else "") for i, n in enumerate(names)]
    return Facts(kind, architecture=booster, metadata=texts.metadata(shown), inputs=tuple(ports))


def _binary(first: bytes) -> Facts:
    """The fields of fixed place (LearnerModelParamLegacy) and the two names behind them."""
    if len(first) < 140:
        return Facts("xgboost-binary", problem="it is cut short")
    _, features, classes, _, _, major, minor = struct.unpack_from("<fIiiiII", first, 4)
    objective, at = _sized(first, 140)
    booster, _ = _sized(first, at)
    note = "the binary format, which XGBoost 3.1 and later no longer reads; save it again as UBJSON"
    shown = {
        "objective": objective, "booster": booster, "features": features, "classes": classes or None,
        "version": f"{major}.{minor}" if major else None,
    }  # fmt: skip
    named = objective and booster
    return Facts(
        "xgboost-binary", architecture=booster, metadata=texts.metadata(shown) if named else {},
        findings=(note,), problem="" if named else "its header is damaged",
    )  # fmt: skip


def _sized(data: bytes, at: int) -> tuple[str, int]:
    """A name behind its length of 8 bytes; empty if it is none."""
    length = int.from_bytes(data[at : at + 8], "little")
    name = data[at + 8 : at + 8 + length] if 0 < length <= 200 else b""
    shown = name.decode("ascii", "replace")
    return (shown if len(name) == length and shown.isprintable() else ""), at + 8 + length
