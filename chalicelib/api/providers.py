"""Providers of federated jobs over HTTP."""

from chalice.app import Blueprint, Response

from chalicelib.api import doors
from chalicelib.api.http import PAGED, Call, answer, endpoint
from chalicelib.registry import providers
from chalicelib.settings import settings
from chalicelib.wiring import stores
from weighbridge.contract.types import (
    ComponentPage,
    Deleted,
    NewProvider,
    Provider,
    ProviderPage,
    Resolution,
    ResolveRequest,
)

routes = Blueprint(__name__)
BASE = "/api/projects/{project}/providers"
ONE = BASE + "/{provider}"
PARTS = ("name", "version", "device")


@endpoint(routes, "GET", BASE, "read", answers=ProviderPage, query=(*PARTS, *PAGED))
def listing(call: Call) -> ProviderPage:
    """Providers of a project by name, or those with that name, version or device."""
    return providers.listing(
        stores(), call.project, name=call.one("name"), version=call.one("version"),
        device=call.one("device"), limit=call.limit, page=call.page,
    )  # fmt: skip


@endpoint(routes, "POST", BASE, "write", body=NewProvider, answers=Provider, status=201)
def register(call: Call) -> Response:
    """Registers a provider (201) or replaces it (200); the project is made if it is not there."""
    doors.made(stores(), call.who, call.project)
    provider, old = providers.register(stores(), call.by, call.project, call.body)
    return answer(provider, 200 if old else 201)


@endpoint(routes, "POST", BASE + "/resolve", "read", body=ResolveRequest, answers=Resolution)
def resolve(call: Call) -> Resolution:
    """Which provider runs each task of a DAG at each party, and where in the DAG that is said."""
    return providers.resolve(stores(), call.project, call.body, settings().default_provider)


@endpoint(routes, "GET", ONE, "read", answers=Provider)
def show(call: Call) -> Provider:
    """One provider, by its whole name."""
    return providers.find(stores(), call.project, call.path["provider"])


@endpoint(routes, "DELETE", ONE, "delete", answers=Deleted)
def delete(call: Call) -> Deleted:
    """Removes a provider with its components."""
    return providers.delete(stores(), call.by, call.project, call.path["provider"])


@endpoint(
    routes, "GET", "/api/projects/{project}/components", "read", answers=ComponentPage,
    query=("name", "protocol", *PAGED),
)  # fmt: skip
def components(call: Call) -> ComponentPage:
    """The components of `limit` providers: of all, or those of that name or protocol."""
    return providers.components(
        stores(), call.project, name=call.one("name"), protocol=call.one("protocol"),
        limit=call.limit, page=call.page,
    )  # fmt: skip
