"""Tokens and sign-in tickets: made once, shown once, kept only as a digest."""

import hashlib
import hmac
import secrets
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase

from chalicelib.registry import keys, paging
from chalicelib.registry.ports import (
    Absent,
    ConditionFailed,
    Delete,
    Item,
    Key,
    Present,
    Put,
    Update,
)
from chalicelib.registry.stores import Stores, epoch, iso
from weighbridge.contract import codec, names
from weighbridge.contract.errors import (
    Forbidden,
    InvalidRequest,
    NotFound,
    TooLarge,
    Unauthenticated,
    Unavailable,
)
from weighbridge.contract.types import (
    VERBS,
    Deleted,
    IssuedToken,
    NewToken,
    Scope,
    SigningFacade,
    Token,
    TokenPage,
    Verb,
)

MAX_SCOPES = 50
MAX_DAYS = 3650
TOUCH_SECONDS = 600
"""The last use is written at most this often."""
TICKET_SECONDS = 300


@dataclass(frozen=True, slots=True)
class Principal:
    """Who calls, and what they may do."""

    name: str
    scopes: tuple[Scope, ...]
    token_id: str = ""
    expires: str = ""

    def may(self, verb: Verb, project: str = "*", model: str = "*", alias: str = "*") -> bool:
        """Whether some scope allows the verb there. `*` asks for a right over all of them."""
        return any(
            verb in scope.verbs
            and _covers(scope.project.lower(), project.lower())
            and (verb == "read" or _covers(scope.model, model))
            and (verb != "alias" or _covers(scope.alias, alias))
            for scope in self.scopes
        )

    def sees(self, project: str) -> bool:
        """Whether the project may be read."""
        return self.may("read", project)

    def require(self, verb: Verb, project: str = "*", model: str = "*", alias: str = "*") -> None:
        """Raises what the caller may know: `NotFound` for an invisible project, else `Forbidden`."""
        if self.may(verb, project, model, alias):
            return
        if project != "*" and not self.sees(project):
            raise NotFound(f"there is no project {project!r}")
        where = "/".join(part for part in (project, model) if part != "*") or "everything"
        raise Forbidden(f"this token may not {verb} {where}; ask for one with that scope")


def _covers(pattern: str, wanted: str) -> bool:
    if wanted == "*":
        return pattern == "*"
    return fnmatchcase(wanted, pattern)


def everything() -> tuple[Scope, ...]:
    """The scopes of an administrator."""
    return (Scope(VERBS),)


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def _key(identifier: str) -> Key:
    return Key(keys.TOKENS, identifier)


def _decoded(item: Item) -> Token:
    token = codec.decode(Token, dict(item.doc["token"]))
    used = int(item.attrs.get("n", 0))
    return replace(token, last_used=iso(used) if used else "")


def check_scopes(scopes: Sequence[Scope]) -> None:
    """Refuses scopes that are empty or cannot mean anything."""
    if not 1 <= len(scopes) <= MAX_SCOPES:
        raise InvalidRequest(f"a token needs 1 to {MAX_SCOPES} scopes, not {len(scopes)}")
    for scope in scopes:
        if not scope.verbs:
            raise InvalidRequest(f"a scope needs a verb: {', '.join(VERBS)}")
        for pattern in (scope.project, scope.model, scope.alias):
            if not pattern or len(pattern) > names.MAX_MODEL or "[" in pattern:
                raise InvalidRequest(f"{pattern[:80]!r} is no pattern; `*` and `?` may be used")
        if "read" in scope.verbs and scope.model != "*":
            raise InvalidRequest("read is granted per project: use a scope with model '*' for it")


def issue(stores: Stores, by: Principal, new: NewToken) -> IssuedToken:
    """A new token; its secret is in the answer and nowhere else. Nobody grants what they lack."""
    names.key("token name", new.name)
    check_scopes(new.scopes)
    if not 0 <= new.days <= MAX_DAYS:
        raise InvalidRequest(f"days must be from 0 (no expiry) to {MAX_DAYS}, not {new.days}")
    for scope in new.scopes:
        for verb in scope.verbs:
            if not any(_contains(own, verb, scope) for own in by.scopes):
                raise Forbidden(f"you may not grant {verb} on {scope.project}/{scope.model}")
    new = replace(new, signing=tuple(sorted(set(new.signing))))
    return _store(stores, by.name, new, secrets.token_hex(5), secrets.token_urlsafe(32))


def _contains(own: Scope, verb: Verb, scope: Scope) -> bool:
    return verb in own.verbs and all(
        mine == "*" or mine == asked
        for mine, asked in (
            (own.project, scope.project), (own.model, scope.model), (own.alias, scope.alias)
        )
    )  # fmt: skip


def _store(stores: Stores, by: str, new: NewToken, identifier: str, secret: str) -> IssuedToken:
    now = stores.now()
    expires = iso(now + new.days * 86400) if new.days else ""
    token = Token(identifier, new.name, new.scopes, iso(now), by, expires, signing=new.signing)
    doc = {"token": codec.encode(token), "digest": _digest(secret)}
    if len(str(doc)) > 30_000:
        raise TooLarge("the scopes of this token are too long together")
    stores.table.write(Put(Item(_key(identifier), {}, doc), (Absent(),)))
    return IssuedToken(token, f"wb_{identifier}_{secret}")


def bootstrap(stores: Stores, text: str) -> None:
    """Makes the first administrator's token of a deployment; a repeat changes nothing."""
    identifier, secret = parse(text)
    with suppress(ConditionFailed):
        _store(stores, "bootstrap", NewToken("admin", everything(), 0), identifier, secret)


def parse(text: str) -> tuple[str, str]:
    """The id and the secret of a token's text."""
    kind, _, rest = text.partition("_")
    identifier, _, secret = rest.partition("_")
    if kind != "wb" or not identifier or not secret or len(text) > 200:
        raise Unauthenticated("this is no token: it must look like wb_<id>_<secret>")
    return identifier, secret


def authenticate(stores: Stores, text: str) -> Principal:
    """The principal of a token, compared in constant time."""
    identifier, secret = parse(text)
    item = stores.table.get(_key(identifier))
    stored = str(item.doc["digest"]) if item else _digest("no such token")
    if not hmac.compare_digest(stored, _digest(secret)) or item is None:
        raise Unauthenticated("the token is wrong or was revoked")
    return _good(stores, item)


def signer(stores: Stores, identifier: str, facade: SigningFacade) -> Principal:
    """The principal whose token may sign for a facade; the signature itself was checked before."""
    item = stores.table.get(_key(identifier))
    if item is None or facade not in _decoded(item).signing:
        raise Unauthenticated(
            f"there is no token {identifier[:60]!r} that may sign requests of {facade}: make one with "
            f"`weighbridge token create NAME --signing {facade}`"
        )
    return _good(stores, item)


def _good(stores: Stores, item: Item) -> Principal:
    """The principal of a token that has not expired and has requests left; its last use is noted."""
    token = _decoded(item)
    now = stores.now()
    if token.expires and epoch(token.expires) <= now:
        raise Unauthenticated(f"the token {token.id} expired on {token.expires[:10]}")
    if int(item.attrs.get("n", 0)) < now - TOUCH_SECONDS:
        # Revoked meanwhile, or not written down this time: the request goes on.
        with suppress(ConditionFailed, Unavailable):
            stores.table.write(Update(item.key, set={"n": int(now)}, condition=(Present(),)))
    stores.throttle.admit(stores.table, token.id, now, stores.requests_per_minute)
    return Principal(f"token:{token.name}", token.scopes, token.id, token.expires)


def listing(stores: Stores, *, limit: int, page: str | None) -> TokenPage:
    """Tokens by id, without secrets."""
    items, following = paging.page_of(
        stores.table, "tokens", keys.TOKENS, ("", "\U0010ffff"), _decoded, size=limit, page=page
    )
    return TokenPage(items, following)


def revoke(stores: Stores, identifier: str) -> Deleted:
    """Ends a token at once."""
    try:
        stores.table.write(Delete(_key(identifier), (Present(),)))
    except ConditionFailed:
        raise NotFound(f"there is no token {identifier[:60]!r}") from None
    return Deleted(identifier)


def ticket(stores: Stores, principal: Principal) -> tuple[str, float]:
    """A one-time text that signs a browser in, and when it ends."""
    text = secrets.token_urlsafe(24)
    expires = stores.now() + TICKET_SECONDS
    doc = {
        "name": principal.name, "token_id": principal.token_id,
        "scopes": codec.encode(principal.scopes),
    }  # fmt: skip
    key = Key(keys.TICKETS, _digest(text))
    attrs: dict[str, str | int] = {"until": int(expires), "ttl": int(expires) + 60}
    stores.table.write(Put(Item(key, attrs, doc), (Absent(),)))
    return text, expires


def redeem(stores: Stores, text: str) -> Principal:
    """The principal of a ticket; a second use fails."""
    key = Key(keys.TICKETS, _digest(text))
    item = stores.table.get(key)
    if item is None or int(item.attrs["until"]) < stores.now():
        raise Unauthenticated("this sign-in link was used or has expired; ask for a new one")
    try:
        stores.table.write(Delete(key, (Present(),)))
    except ConditionFailed:
        raise Unauthenticated("this sign-in link was used already") from None
    scopes = tuple(codec.decode(Scope, s) for s in item.doc["scopes"])
    return Principal(str(item.doc["name"]), scopes, str(item.doc["token_id"]))
