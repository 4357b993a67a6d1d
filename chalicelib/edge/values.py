"""The values of form fields: texts that mean numbers, JSON, lists. Each is parsed once, and what could not
be given back is refused here."""

import json
import math
import re
from typing import Any

MAX_DEPTH = 50
MAX_LABELS = 64 * 1024
_INTEGER = re.compile(r"\s*([+-]?[0-9]{1,18})(?:\.0*)?\s*\Z")
_FLOAT = re.compile(r"\s*[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?\s*\Z")
PRECISIONS = ("fp32", "fp16", "int8", "int4")


class Unusable(ValueError):
    """A text that means no such value."""


def number(text: str) -> float:
    """A finite float."""
    if len(text) > 400 or not _FLOAT.match(text):
        raise Unusable(text)
    value = float(text)
    if not math.isfinite(value):
        raise Unusable(text)
    return value


def whole(text: str) -> int:
    """A whole number that is no length below zero."""
    match = _INTEGER.match(text)
    if match is None or int(match[1]) < 0:
        raise Unusable(text)
    return int(match[1])


def document(text: str) -> Any:
    """What a JSON text holds: an object, a text or null. NaN and the like are no JSON."""

    def constant(word: str) -> Any:
        raise Unusable(word)

    try:
        value = json.loads(text, parse_constant=constant)
    except (ValueError, RecursionError):
        raise Unusable(text) from None
    if not isinstance(value, (dict, str, type(None))):
        raise Unusable(text)
    _returnable(value)
    return value


def labels(given: list[str]) -> list[Any]:
    """A list of texts or of objects: as a JSON array, as Python spells a list, or one field each."""
    if len(given) > 1:
        found: Any = list(given)
    else:
        found = _list(given[0])
    if not isinstance(found, list):
        raise Unusable(given[0])
    for kind in (str, dict):
        if all(isinstance(one, kind) for one in found):
            _returnable(found)
            return found
    raise Unusable(given[0])


def _list(text: str) -> Any:
    if len(text) > MAX_LABELS:
        raise Unusable(text)
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        pass
    if text.count("[") + text.count("{") + text.count("(") > 5000:
        raise Unusable(text)
    import ast

    try:
        return ast.literal_eval(text.strip())
    except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
        raise Unusable(text) from None


def _returnable(value: Any, depth: int = 0) -> None:
    """Refuses what JSON cannot give back: other types, numbers that are none, broken text."""
    if depth > MAX_DEPTH:
        raise Unusable("too deep")
    if isinstance(value, dict):
        for name, inner in value.items():
            if not isinstance(name, str):
                raise Unusable(repr(name))
            _returnable(name)
            _returnable(inner, depth + 1)
    elif isinstance(value, list):
        for inner in value:
            _returnable(inner, depth + 1)
    elif isinstance(value, str):
        try:
            value.encode("utf-8")
        except UnicodeEncodeError:
            raise Unusable(value) from None
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise Unusable(str(value))
    elif isinstance(value, int) and not isinstance(value, bool):
        if abs(value) >= 2**63:
            raise Unusable("too large")
    elif not isinstance(value, (bool, type(None))):
        raise Unusable(type(value).__name__)
