"""JSON and text from files that nobody vouches for."""

import json
from typing import Any

MAX_DOCUMENT = 16 * 1024 * 1024
MAX_PARTS = 800_000
"""Values in a document: what bounds the memory that parsing it takes."""


class BadDocument(Exception):
    """No JSON, or more of it than is parsed."""


def parsed(data: bytes) -> Any:
    """The JSON value in these bytes. Raises `BadDocument`."""
    check(data)
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise BadDocument(f"it is no JSON: {error}"[:300]) from None


def check(data: bytes) -> None:
    """Refuses what would take too much memory to parse, before it is parsed."""
    if len(data) > MAX_DOCUMENT:
        raise BadDocument(f"it has {len(data)} bytes; {MAX_DOCUMENT} at most")
    parts = data.count(b",") + data.count(b"[") + data.count(b"{")
    if parts > MAX_PARTS:
        raise BadDocument(f"it has up to {parts} values; {MAX_PARTS} at most")


def text(value: object, limit: int = 200) -> str:
    """The beginning of a text as it can be stored anywhere; empty if it is none."""
    if not isinstance(value, str):
        return ""
    return value[:limit].encode("utf-8", "replace").decode("utf-8").replace("\0", "\ufffd")
