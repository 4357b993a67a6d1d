"""Dataclasses to JSON and back, checked field by field. Standard library only.

Supported field types: `str int float bool`, `Any`, `X | None`, `tuple[X, ...]`, `dict[str, X]`,
`Literal[...]` and other dataclasses. A float that JSON cannot hold travels as the text `NaN`,
`Infinity` or `-Infinity`. Fields with a default may be absent; a server refuses unknown fields
(`strict=True`), a client ignores them, so that an older client can talk to a newer server.
"""

import dataclasses
import functools
import math
import types
import typing
from typing import Any, TypeVar

from weighbridge.contract.errors import InvalidRequest

T = TypeVar("T")
_NON_FINITE = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


def encode(value: Any) -> Any:
    """`value` as plain JSON types. Fields that are None are left out."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        pairs = ((f.name, getattr(value, f.name)) for f in dataclasses.fields(value))
        return {name: encode(item) for name, item in pairs if item is not None}
    if isinstance(value, dict):
        return {str(name): encode(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [encode(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else ("Infinity" if value > 0 else "-Infinity")
    return value


@functools.cache
def hints(cls: type) -> dict[str, Any]:
    """The resolved annotations of a dataclass."""
    return typing.get_type_hints(cls)


def decode(cls: type[T], data: Any, *, strict: bool = False, at: str = "") -> T:
    """`data` as an instance of the dataclass `cls`, or `InvalidRequest` naming the field."""
    if not isinstance(data, dict):
        raise InvalidRequest(f"{at or 'the body'} must be an object, not {_kind(data)}")
    known = {f.name: f for f in dataclasses.fields(cls)}  # type: ignore[arg-type]
    if strict and (unknown := sorted(set(data) - set(known))):
        raise InvalidRequest(
            f"unknown field {_join(at, str(unknown[0]))}; known are {', '.join(sorted(known))}",
            field=_join(at, str(unknown[0])),
        )
    values: dict[str, Any] = {}
    for name, field in known.items():
        if name in data:
            values[name] = _value(
                hints(typing.cast(Any, cls))[name], data[name], _join(at, name), strict
            )
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            raise InvalidRequest(f"the field {_join(at, name)} is missing", field=_join(at, name))
    return cls(**values)


def _join(at: str, name: str) -> str:
    return f"{at}.{name}" if at else name


def _kind(value: Any) -> str:
    return {dict: "object", list: "array", str: "text", bool: "true or false", int: "number",
            float: "number", type(None): "null"}.get(type(value), type(value).__name__)  # fmt: skip


def _value(hint: Any, data: Any, at: str, strict: bool) -> Any:
    origin = typing.get_origin(hint)
    if hint is Any:
        return data
    if origin in (typing.Union, types.UnionType):
        options = [o for o in typing.get_args(hint) if o is not type(None)]
        return None if data is None else _value(options[0], data, at, strict)
    if origin is typing.Literal:
        if data not in typing.get_args(hint):
            choices = ", ".join(map(str, typing.get_args(hint)))
            raise InvalidRequest(f"{at} must be one of {choices}, not {data!r}", field=at)
        return data
    if origin is tuple:
        if not isinstance(data, (list, tuple)):
            raise InvalidRequest(f"{at} must be an array, not {_kind(data)}", field=at)
        item = typing.get_args(hint)[0]
        return tuple(_value(item, d, f"{at}[{i}]", strict) for i, d in enumerate(data))
    if origin is dict:
        if not isinstance(data, dict):
            raise InvalidRequest(f"{at} must be an object, not {_kind(data)}", field=at)
        item = typing.get_args(hint)[1]
        return {str(k): _value(item, v, _join(at, str(k)), strict) for k, v in data.items()}
    if dataclasses.is_dataclass(hint):
        return decode(typing.cast(type, hint), data, strict=strict, at=at)
    return _scalar(getattr(hint, "__supertype__", hint), data, at)


def _scalar(hint: Any, data: Any, at: str) -> Any:
    if hint is float:
        if isinstance(data, str) and data in _NON_FINITE:
            return _NON_FINITE[data]
        if isinstance(data, (int, float)) and not isinstance(data, bool):
            try:
                return float(data)
            except OverflowError:
                raise InvalidRequest(f"{at} is out of range", field=at) from None
    elif hint is int:
        if isinstance(data, int) and not isinstance(data, bool):
            if abs(data) >= 2**63:
                raise InvalidRequest(f"{at} is out of range: {str(data)[:40]}", field=at)
            return data
        if isinstance(data, float) and data.is_integer() and abs(data) < 2**53:
            return int(data)
    elif isinstance(data, hint):
        return data
    raise InvalidRequest(
        f"{at} must be {_kind(hint()) if hint in (str, bool) else 'a number'}, not {_kind(data)}",
        field=at,
    )
