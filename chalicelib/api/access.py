"""Tokens, tickets and who am I over HTTP; health and the API's own description."""

import time
from dataclasses import replace

from chalice.app import Blueprint, Response

from chalicelib.api import openapi
from chalicelib.api.http import HEADERS, PAGED, Call, answer, endpoint
from chalicelib.registry import signing, tokens
from chalicelib.registry.stores import iso
from chalicelib.settings import settings
from chalicelib.version import VERSION
from chalicelib.wiring import healthy, stores
from weighbridge.contract.types import (
    Deleted,
    Health,
    IssuedToken,
    NewToken,
    Nothing,
    Ticket,
    TokenPage,
    Who,
)

routes = Blueprint(__name__)


@endpoint(routes, "GET", "/api/health", None, answers=Health, token=False)
def health(call: Call) -> Response:
    """Whether the server reaches its stores; needs no token."""
    state = healthy()
    fine = all(value == "ok" for value in state.values())
    found = Health("ok" if fine else "degraded", VERSION, iso(time.time()), **state)
    return answer(found, 200 if fine else 503)


@endpoint(routes, "GET", "/api/openapi.json", None, token=False)
def description(call: Call) -> Response:
    """This API as an OpenAPI document; needs no token."""
    return Response(body=openapi.text(), status_code=200, headers=dict(HEADERS))


@endpoint(routes, "GET", "/api/whoami", None, answers=Who)
def whoami(call: Call) -> Who:
    """The caller and the scopes of the token."""
    return Who(call.who.name, call.who.scopes, call.who.expires)


@endpoint(routes, "GET", "/api/tokens", "admin", answers=TokenPage, query=PAGED)
def listing(call: Call) -> TokenPage:
    """All tokens, without their secrets."""
    return tokens.listing(stores(), limit=call.limit, page=call.page)


@endpoint(routes, "POST", "/api/tokens", "admin", body=NewToken, answers=IssuedToken, status=201)
def create(call: Call) -> IssuedToken:
    """Makes a token; its secret is shown this once."""
    wanted: NewToken = call.body
    master = settings().secret
    if wanted.signing:
        signing.masters(master)  # refuses before anything is made
    issued = tokens.issue(stores(), call.who, wanted)
    derived: dict[str, str] = {
        f: signing.secret(master, f, issued.token.id) for f in issued.token.signing
    }
    return replace(issued, signing=derived)


@endpoint(routes, "DELETE", "/api/tokens/{token}", "admin", answers=Deleted)
def revoke(call: Call) -> Deleted:
    """Revokes a token at once."""
    return tokens.revoke(stores(), call.path["token"])


@endpoint(routes, "POST", "/api/tickets", None, body=Nothing, answers=Ticket, status=201)
def ticket(call: Call) -> Ticket:
    """A one-time link that signs a browser in."""
    text, expires = tokens.ticket(stores(), call.who)
    return Ticket(f"{settings().public_url.rstrip('/')}/t/{text}", iso(expires))
