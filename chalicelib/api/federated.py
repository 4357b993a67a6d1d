"""Federated models over HTTP: which parties hold a part of which version."""

from chalice.app import Blueprint

from chalicelib.api.http import PAGED, Call, endpoint
from chalicelib.registry import federated, parking
from chalicelib.registry.stores import iso
from chalicelib.wiring import stores
from weighbridge.contract import federated as identities
from weighbridge.contract.errors import InvalidRequest
from weighbridge.contract.types import (
    FederatedPage,
    FederatedVersion,
    NewArchive,
    WaitingArchive,
)

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


@endpoint(
    routes, "POST", BASE + "/archives", None, body=NewArchive, answers=WaitingArchive, status=201
)
def park(call: Call) -> WaitingArchive:
    """Names an uploaded blob as the archive of a party's model, which a restore takes in."""
    new: NewArchive = call.body
    call.who.require("write", call.project, new.model)
    if identities.parse(new.model) is None:
        raise InvalidRequest(f"{new.model[:200]!r} is no party's model (ROLE#PARTY_ID#MODEL_ID)")
    found = parking.park(stores(), call.project, new.model, new.label, new.blob)
    return WaitingArchive(new.model, new.label, found.blob, found.size, iso(found.until))
