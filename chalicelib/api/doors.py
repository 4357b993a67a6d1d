"""What the doors of foreign clients share: who calls, and which project their names live in.

Foreign clients know no project. Theirs is the one that the token names, if all its scopes name the same
one without a wildcard; else the one of the server's settings. It is made at the first write.
"""

import base64
import binascii
from collections.abc import Callable
from contextlib import suppress

from chalicelib.api import auth, observing
from chalicelib.registry import projects, signing, tokens
from chalicelib.registry.signing import Claim
from chalicelib.registry.stores import Stores
from chalicelib.registry.tokens import Principal
from chalicelib.settings import settings
from chalicelib.wiring import stores
from weighbridge.contract.errors import AlreadyExists, NotFound, Unauthenticated
from weighbridge.contract.types import NewProject

_WILD = frozenset("*?[")


def authenticate(authorization: str | None) -> Principal:
    """The principal of a `Bearer` or `Basic` header; of Basic the password is the token, and the
    user's name is not looked at."""
    kind, _, text = (authorization or "").partition(" ")
    if kind.lower() != "basic":
        return auth.authenticate(authorization)
    try:
        pair = base64.b64decode(text.strip(), validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        raise Unauthenticated("the Basic credentials are not base64 of user:token") from None
    user, _, password = pair.partition(":")
    return observing.known(tokens.authenticate(stores(), password or user))


def signed(claim: Claim, sign: Callable[[str], str]) -> Principal:
    """The principal of a request that is signed with a token's secret for that door."""
    return observing.known(signing.authenticate(stores(), settings().secret, claim, sign))


def project_name(who: Principal, default: str = "") -> str:
    """The project that this caller's foreign names live in: the one that the token names, else the
    default of that door (empty: of all doors)."""
    named = {scope.project for scope in who.scopes}
    if len(named) == 1 and not _WILD & set(only := next(iter(named))):
        return observing.about(only)
    return observing.about(default or settings().door_project)


def writable(at: Stores, who: Principal, default: str = "") -> str:
    """The same before a write: made if it is not there and the caller may make it."""
    return made(at, who, project_name(who, default))


def made(at: Stores, who: Principal, name: str) -> str:
    """A project, made if it is not there and the caller may write to it."""
    try:
        projects.find(at, name)
    except NotFound:
        who.require("write", name)
        with suppress(AlreadyExists):
            projects.create(at, who.name, NewProject(name, "What foreign clients registered."))
    return name


def require_some_write(who: Principal, project: str) -> None:
    """A right to write to the project, or to some model of it: bytes that come have no model yet."""
    if not any(
        "write" in scope.verbs and who.may("write", project, scope.model) for scope in who.scopes
    ):
        who.require("write", project)
