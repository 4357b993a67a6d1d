"""What a version or checkpoint says of itself: its metrics as ordered items, and how much it may be."""

import json
from collections.abc import Mapping
from typing import Any

from chalicelib.registry import keys
from chalicelib.registry.ports import Item, Key, Put
from weighbridge.contract import names
from weighbridge.contract.errors import TooLarge

MAX_METRICS = 500
MAX_DOCUMENT = 200 * 1024


def metric_items(pk: str, metrics: dict[str, float], number: int) -> dict[Key, Put]:
    """One ordered item per metric; values that are no number are kept but not ranked."""
    if len(metrics) > MAX_METRICS:
        raise TooLarge(f"{len(metrics)} metrics; {MAX_METRICS} at most", limit=MAX_METRICS)
    puts = {}
    for name, value in metrics.items():
        names.key("metric name", name)
        if value - value == 0:  # finite
            key = keys.metric(pk, name, value, number)
            puts[key] = Put(Item(key))
    return puts


def bounded(document: Mapping[str, Any]) -> None:
    """Refuses a model, version or checkpoint whose descriptive part would outgrow an item."""
    size = len(json.dumps(document, ensure_ascii=False).encode("utf-8", "surrogatepass"))
    if size > MAX_DOCUMENT:
        raise TooLarge(
            f"metrics, params, tags and attributes hold {size} bytes together; {MAX_DOCUMENT} at "
            "most: put large things into a file",
            limit=MAX_DOCUMENT,
        )
