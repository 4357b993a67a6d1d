"""FATE-Flow 1.x: what its clients find under `/v1`."""

from collections import defaultdict

from chalicelib.api.facades import View
from chalicelib.fate.v1 import archives, checkpoints, providers, reading, serving, sets, tags
from chalicelib.fate.v1.wire import VERBS, answer

VIEWS: dict[str, View] = defaultdict(lambda: answer)

__all__ = [
    "VERBS", "VIEWS", "archives", "checkpoints", "providers", "reading", "serving", "sets", "tags",
]  # fmt: skip
