"""Federated models over HTTP: which parties hold a part of which version."""

from chalice.app import Blueprint

from chalicelib.api.http import PAGED, Call, endpoint
from chalicelib.registry import federated
from chalicelib.wiring import stores
from weighbridge.contract.errors import InvalidRequest
from weighbridge.contract.types import FederatedPage, FederatedVersion

routes = Blueprint(__name__)
BASE = "/api/projects/{project}/federated"


@endpoint(routes, "GET", BASE, "read", answers=FederatedPage, query=("model_id", *PAGED))
def listing(call: Call) -> FederatedPage:
    """Federated versions of a project, or of one model id: who has a part, and who is missing."""
    return federated.listing(
        stores(), call.project, model_id=call.one("model_id"), limit=call.limit, page=call.page
    )


@endpoint(
    routes, "GET", BASE + "/version", "read", answers=FederatedVersion, query=("model_id", "label")
)
def show(call: Call) -> FederatedVersion:
    """One federated version by model id and label."""
    model_id, label = call.one("model_id"), call.one("label")
    if not model_id or not label:
        raise InvalidRequest("name the federated version: model_id and label are both needed")
    return federated.show(stores(), call.project, model_id, label)
