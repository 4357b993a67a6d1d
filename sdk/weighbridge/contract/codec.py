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
from collections.abc import Callable, Hashable, Sequence
from typing import Any, TypeVar

from weighbridge.contract.errors import InvalidRequest

T = TypeVar("T")
_NON_FINITE = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


def encode(value: Any) -> Any:
    """`value` as plain JSON types. Fields that are None are left out."""
    if isinstance(value, (str, int)) or value is None:
        return value
    names = _names(typing.cast(Hashable, type(value)))
    if names is not None:
        pairs = ((name, getattr(value, name)) for name in names)
        return {name: encode(item) for name, item in pairs if item is not None}
    if isinstance(value, dict):
        return {str(name): encode(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [encode(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else ("Infinity" if value > 0 else "-Infinity")
    return value


@functools.cache
def _names(cls: Hashable) -> tuple[str, ...] | None:
    """The fields of a dataclass; None for another type."""
    if not dataclasses.is_dataclass(cls):
        return None
    return tuple(f.name for f in dataclasses.fields(cls))


@functools.cache
def hints(cls: type) -> dict[str, Any]:
    """The resolved annotations of a dataclass."""
    return typing.get_type_hints(cls)


def decode(cls: type[T], data: Any, *, strict: bool = False, at: str = "") -> T:
    """`data` as an instance of the dataclass `cls`, or `InvalidRequest` naming the field."""
    try:
        return typing.cast(T, _decoder(typing.cast(Hashable, cls), strict)(data))
    except _Refused as refused:
        where = _join(at, refused.at)
        message, named = refused.word(where), _join(where, refused.field)
        raise InvalidRequest(message, **({"field": named} if named else {})) from None


class _Refused(Exception):
    """What is wrong, and where. `at` grows from the inside out, for most values are right and their
    place need not be known."""

    def __init__(self, word: Callable[[str], str], field: str = "") -> None:
        super().__init__()
        self.word = word
        self.at = ""
        self.field = field

    def inside(self, place: str) -> "_Refused":
        """The same, seen from further out."""
        joined = self.at if self.at.startswith("[") or not self.at else f".{self.at}"
        self.at = f"{place}{joined}"
        return self


_Decode = Callable[[Any], Any]


@functools.cache
def _decoder(hint: Any, strict: bool) -> _Decode:
    """How a value of this type is read: worked out once per type."""
    origin = typing.get_origin(hint)
    if hint is Any:
        return lambda data: data
    if origin in (typing.Union, types.UnionType):
        inner = _decoder(next(o for o in typing.get_args(hint) if o is not type(None)), strict)
        return lambda data: None if data is None else inner(data)
    if origin is typing.Literal:
        return functools.partial(_choice, typing.get_args(hint))
    if origin is tuple:
        return functools.partial(_array, _decoder(typing.get_args(hint)[0], strict))
    if origin is dict:
        return functools.partial(_mapping, _decoder(typing.get_args(hint)[1], strict))
    if dataclasses.is_dataclass(hint):
        return _record(typing.cast(type, hint), strict)
    return functools.partial(_scalar, getattr(hint, "__supertype__", hint))


def _record(cls: type, strict: bool) -> _Decode:
    known = {f.name: f for f in dataclasses.fields(cls)}
    decoders = {name: _decoder(hint, strict) for name, hint in hints(cls).items() if name in known}
    required = [
        name
        for name, f in known.items()
        if f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING
    ]

    def read(data: Any) -> Any:
        if not isinstance(data, dict):
            raise _Refused(lambda at: f"{at or 'the body'} must be an object, not {_kind(data)}")
        values = {}
        for name, value in data.items():
            decoder = decoders.get(name)
            if decoder is None:
                if strict:
                    raise _unknown(sorted(set(map(str, data)) - set(known))[0], sorted(known))
                continue
            try:
                values[name] = decoder(value)
            except _Refused as refused:
                raise refused.inside(name) from None
        for name in required:
            if name not in values:
                raise _missing(name)
        return cls(**values)

    return read


def _unknown(name: str, known: Sequence[str]) -> _Refused:
    words = f"known are {', '.join(known)}"
    return _Refused(lambda at: f"unknown field {_join(at, name)}; {words}", name)


def _missing(name: str) -> _Refused:
    return _Refused(lambda at: f"the field {_join(at, name)} is missing", name)


def _join(at: str, name: str) -> str:
    return f"{at}.{name}" if at and name else at or name


def _kind(value: Any) -> str:
    return {dict: "object", list: "array", str: "text", bool: "true or false", int: "number",
            float: "number", type(None): "null"}.get(type(value), type(value).__name__)  # fmt: skip


def _choice(options: tuple[Any, ...], data: Any) -> Any:
    if data not in options:
        choices = ", ".join(map(str, options))
        raise _Refused(lambda at: f"{at} must be one of {choices}, not {data!r}")
    return data


def _array(item: _Decode, data: Any) -> Any:
    if not isinstance(data, (list, tuple)):
        raise _Refused(lambda at: f"{at} must be an array, not {_kind(data)}")
    found = []
    for index, value in enumerate(data):
        try:
            found.append(item(value))
        except _Refused as refused:
            raise refused.inside(f"[{index}]") from None
    return tuple(found)


def _mapping(item: _Decode, data: Any) -> Any:
    if not isinstance(data, dict):
        raise _Refused(lambda at: f"{at} must be an object, not {_kind(data)}")
    found = {}
    for name, value in data.items():
        try:
            found[str(name)] = item(value)
        except _Refused as refused:
            raise refused.inside(str(name)) from None
    return found


def _scalar(hint: Any, data: Any) -> Any:
    if hint is float:
        if isinstance(data, str) and data in _NON_FINITE:
            return _NON_FINITE[data]
        if isinstance(data, (int, float)) and not isinstance(data, bool):
            try:
                return float(data)
            except OverflowError:
                raise _Refused(lambda at: f"{at} is out of range") from None
    elif hint is int:
        if isinstance(data, int) and not isinstance(data, bool):
            if abs(data) >= 2**63:
                raise _Refused(lambda at: f"{at} is out of range: {str(data)[:40]}")
            return data
        if isinstance(data, float) and data.is_integer() and abs(data) < 2**53:
            return int(data)
    elif isinstance(data, hint):
        return data
    wanted = _kind(hint()) if hint in (str, bool) else "a number"
    raise _Refused(lambda at: f"{at} must be {wanted}, not {_kind(data)}")
