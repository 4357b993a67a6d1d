"""FATE-Flow 1.x: what its clients find under `/v1`."""

from chalicelib.fate.v1 import archives, checkpoints, reading, serving, sets, tags
from chalicelib.fate.v1.wire import VERBS, routes

__all__ = ["VERBS", "archives", "checkpoints", "reading", "routes", "serving", "sets", "tags"]
