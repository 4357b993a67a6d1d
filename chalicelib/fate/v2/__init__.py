"""FATE-Flow 2.x: what its clients find under `/v2`."""

from chalicelib.api.facades import View
from chalicelib.fate.v2 import models, providers, tasks

VIEWS: dict[str, View] = {**models.VIEWS, **tasks.VIEWS, **providers.VIEWS}
