"""The door of Kubeflow's model registry clients. Every module adds its calls to `door`."""

from collections import defaultdict

from chalicelib.api.facades import View
from chalicelib.kubeflow import artifact_calls, models, serving, versions  # noqa: F401
from chalicelib.kubeflow.door import answer

VIEWS: dict[str, View] = defaultdict(lambda: answer)
