"""The two YAML files of a FATE 1.x model, both of a fixed and simple shape: read safely, written plainly."""

import datetime
import json
from collections.abc import Mapping
from typing import Any

from weighbridge.contract.errors import InvalidManifest

MAX_SIZE = 1024**2


def read(data: bytes, name: str) -> dict[str, Any]:
    """A mapping in YAML; `name` is used in the error."""
    if len(data) > MAX_SIZE:
        raise InvalidManifest(f"{name} has {len(data)} bytes; {MAX_SIZE} at most")
    import yaml  # few requests need it

    try:
        found = yaml.safe_load(data)
    except (yaml.YAMLError, ValueError, TypeError, RecursionError) as error:
        raise InvalidManifest(f"{name} cannot be read: {error}"[:300]) from None
    if not isinstance(found, dict):
        raise InvalidManifest(f"{name} is no mapping")
    return found


def write(value: Mapping[str, Any], indent: int = 0) -> bytes:
    """Nested mappings of texts and numbers as YAML; texts are quoted as JSON does, which is YAML."""
    lines = []
    for key, inner in value.items():
        start = "  " * indent + json.dumps(str(key), ensure_ascii=False) + ":"
        if isinstance(inner, Mapping) and inner:
            lines.append(start.encode() + b"\n" + write(inner, indent + 1).rstrip(b"\n"))
        else:
            shown = {} if isinstance(inner, Mapping) else inner
            lines.append(f"{start} {json.dumps(shown, ensure_ascii=False)}".encode())
    return b"\n".join(lines) + b"\n"


def text(value: object) -> str:
    """A value that FATE writes as text; times that somebody left unquoted are dates to YAML."""
    return value.isoformat() if isinstance(value, datetime.datetime) else str(value)
