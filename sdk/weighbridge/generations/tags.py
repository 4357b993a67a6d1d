"""The tag of a generation: a small TOML document, kept byte for byte. A copy is parsed for the catalogue."""

import tomllib
from typing import Any

MOST = 1000
"""Bytes of a value that the catalogue is told."""


def parsed(raw: bytes) -> dict[str, Any]:
    """The document; empty if it is none. Its writer is an old one with quirks, so nothing depends on it."""
    try:
        return tomllib.loads(raw.decode("utf-8"))
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError):
        return {}


def states(raw: bytes) -> list[str]:
    """The ids of the states that the tag lists, in their order."""
    found = parsed(raw).get("states", [])
    return [str(sid) for sid in found] if isinstance(found, list) else []


def metrics(raw: bytes) -> dict[str, float]:
    """What of the tag is a metric: the score of tuning."""
    score = _table(raw, "tuning").get("score")
    if isinstance(score, bool) or not isinstance(score, (int, float)):
        return {}
    return {"score": float(score)}


def tags(raw: bytes) -> dict[str, str]:
    """What else the catalogue shows of it."""
    found = {
        "training.timestamp": _table(raw, "training").get("timestamp"),
        "training.ordinal": _table(raw, "training").get("ordinal"),
        "tuning.timestamp": _table(raw, "tuning").get("timestamp"),
    }
    return {
        name: _text(value) for name, value in found.items() if value is not None and _text(value)
    }


def _table(raw: bytes, name: str) -> dict[str, Any]:
    found = parsed(raw).get(name)
    return found if isinstance(found, dict) else {}


def _text(value: object) -> str:
    text = value.isoformat() if hasattr(value, "isoformat") else str(value)
    return text.encode("utf-8", "replace")[:MOST].decode("utf-8", "ignore")
