"""Metrics, parameters and tags as people give them, checked and made plain."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from weighbridge.contract import names
from weighbridge.contract.errors import InvalidRequest


def metrics_of(given: Mapping[str, Any] | None) -> dict[str, float]:
    """Metrics with legal names, as plain floats (NumPy's numbers too)."""
    found = {}
    for name, value in (given or {}).items():
        names.key("metric name", name)
        number = plain(f"the metric {name!r}", value)
        if isinstance(number, bool) or not isinstance(number, (int, float)):
            raise InvalidRequest(f"the metric {name!r} must be a number, not {value!r}")
        found[name] = float(number)
    return found


def params_of(given: Mapping[str, Any] | None) -> dict[str, Any]:
    """Parameters with legal names, as what JSON can hold."""
    found = {}
    for name, value in (given or {}).items():
        names.key("parameter name", name)
        found[name] = plain(f"the parameter {name!r}", value)
    return found


def tags_of(given: Mapping[str, str] | None) -> dict[str, str]:
    """Tags with legal names; values are text."""
    found = {}
    for name, value in (given or {}).items():
        names.key("tag name", name)
        if not isinstance(value, str):
            raise InvalidRequest(f"the tag {name!r} must be text, not {value!r}")
        found[name] = value
    return found


def plain(what: str, value: Any) -> Any:
    """A value as what JSON can hold, or `InvalidRequest` that names `what` it is."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, Mapping):
        return {str(k): plain(what, v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(what, item) for item in value]
    if isinstance(value, Path):
        return str(value)
    if getattr(value, "ndim", None) == 0 and callable(item := getattr(value, "item", None)):
        return plain(what, item())
    raise InvalidRequest(f"{what} is a {type(value).__name__}; give a number, text or a list")
