"""Tokens, scopes, grants and health, as they travel."""

from dataclasses import dataclass, field
from typing import Literal

Verb = Literal["read", "write", "alias", "approve", "delete", "admin"]

SigningFacade = Literal["fate-v1", "fate-v2"]
"""The doors whose clients sign requests with a secret, and do not send it."""

SIGNING: tuple[SigningFacade, ...] = ("fate-v1", "fate-v2")
VERBS: tuple[Verb, ...] = ("read", "write", "alias", "approve", "delete", "admin")


@dataclass(frozen=True, slots=True)
class Scope:
    """What a token may do: verbs on projects, models and aliases that match the patterns.

    Patterns are shell-style (`team-*`). `read` is granted per project: its model pattern must be `*`.
    """

    verbs: tuple[Verb, ...]
    project: str = "*"
    model: str = "*"
    alias: str = "*"


@dataclass(frozen=True, slots=True)
class Token:
    """A token as it may be shown: never with its secret. `signing`: the doors of foreign clients at
    which it may sign requests; none, unless it was made so."""

    id: str
    name: str
    scopes: tuple[Scope, ...]
    created: str = ""
    created_by: str = ""
    expires: str = ""
    last_used: str = ""
    signing: tuple[SigningFacade, ...] = ()


@dataclass(frozen=True, slots=True)
class TokenPage:
    """Tokens by id."""

    items: tuple[Token, ...]
    next: str | None = None


@dataclass(frozen=True, slots=True)
class NewToken:
    """Body of the request that makes a token. `days` 0 means that it does not expire. For each door in
    `signing` a secret of its own is derived."""

    name: str
    scopes: tuple[Scope, ...]
    days: int = 90
    signing: tuple[SigningFacade, ...] = ()


@dataclass(frozen=True, slots=True)
class IssuedToken:
    """A new token with its secret text, which is shown this once; so are the `signing` secrets, by the
    door that they are for."""

    token: Token
    secret: str
    signing: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Who:
    """Who the caller is."""

    principal: str
    scopes: tuple[Scope, ...]
    expires: str = ""


@dataclass(frozen=True, slots=True)
class InboxGrant:
    """Credentials that can only put objects under one project's inbox."""

    project: str
    bucket: str
    prefix: str
    endpoint: str
    region: str
    access_key: str
    secret_key: str
    session_token: str = ""
    expires: str = ""


@dataclass(frozen=True, slots=True)
class Ticket:
    """A one-time sign-in link for a browser."""

    url: str
    expires: str


@dataclass(frozen=True, slots=True)
class Health:
    """Whether the server can reach its stores."""

    status: Literal["ok", "degraded"]
    version: str
    time: str
    catalog: str = ""
    blobs: str = ""


@dataclass(frozen=True, slots=True)
class InboxRequest:
    """Asks for inbox credentials that live for some days."""

    days: int = 7


@dataclass(frozen=True, slots=True)
class InboxDrop:
    """A folder of the inbox that is no checkpoint: `refused`, or `incomplete` for an hour or more.

    `missing` names the first 20 files that it lacks; `first` and `last` are when files arrived.
    """

    folder: str
    state: Literal["incomplete", "refused"] = "refused"
    message: str = ""
    missing: tuple[str, ...] = ()
    files: int = 0
    size: int = 0
    first: str = ""
    last: str = ""


@dataclass(frozen=True, slots=True)
class InboxPage:
    """Folders of an inbox that are no checkpoints, by name."""

    items: tuple[InboxDrop, ...]
    next: str | None = None


@dataclass(frozen=True, slots=True)
class Nothing:
    """An empty body."""
