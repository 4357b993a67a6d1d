"""Who calls: a bearer token, or nobody where the server allows it."""

from chalicelib.api import observing
from chalicelib.registry import tokens
from chalicelib.registry.tokens import Principal
from chalicelib.settings import Anonymous, settings
from chalicelib.wiring import stores
from weighbridge.contract.errors import Unauthenticated
from weighbridge.contract.types import Scope, Verb

_ANONYMOUS: dict[Anonymous, tuple[Verb, ...]] = {
    "none": (),
    "read": ("read",),
    "write": ("read", "write", "alias"),
    "admin": ("read", "write", "alias", "approve", "delete", "admin"),
}


def anonymous() -> Principal | None:
    """The principal of a caller without a token, if the server allows any."""
    verbs = _ANONYMOUS[settings().anonymous]
    return Principal("anonymous", (Scope(verbs),)) if verbs else None


def authenticate(authorization: str | None) -> Principal:
    """The principal of an `Authorization` header."""
    if not authorization:
        if (nobody := anonymous()) is not None:
            return observing.known(nobody)
        raise Unauthenticated("no token was sent; run `weighbridge login`")
    kind, _, text = authorization.partition(" ")
    if kind.lower() != "bearer" or not text.strip():
        raise Unauthenticated("the Authorization header must be `Bearer wb_<id>_<secret>`")
    return observing.known(tokens.authenticate(stores(), text.strip()))
