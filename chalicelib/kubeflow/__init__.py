"""The door of Kubeflow's model registry clients. Every module adds its calls to `door`."""

from chalicelib.kubeflow import artifact_calls, models, serving, versions  # noqa: F401
from chalicelib.kubeflow.door import routes as routes
