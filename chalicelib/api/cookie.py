"""The cookie that opens rendered pages, and nothing else. Pure: no clock, no environment, no I/O.

`infra/edge/cookie.js` does the same at the CDN; both run `tests/infra/cookie_vectors.json`. A value
is `v1|key id|expiry|token id|project/project|signature`; `*` instead of projects means all of them.
"""

import hashlib
import hmac
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import quote

from weighbridge.contract.errors import InvalidRequest, TooLarge

SECURE_NAME = "__Host-weighbridge"
PLAIN_NAME = "weighbridge"
LIFETIME = 3600
MAX_VALUE = 3800
"""Browsers keep 4,096 bytes of name, value and attributes."""
EVERYTHING = "*"

_KEY_ID = re.compile(r"[a-z0-9]{1,16}")
_TOKEN_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_PROJECT = re.compile(r"[a-z0-9][a-z0-9._-]{0,95}")
_EXPIRY = re.compile(r"[1-9][0-9]{0,11}")
_SKEW = 60
_ALLOWED = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._~-/")
_FILES = (".html", ".json")


@dataclass(frozen=True, slots=True)
class Keys:
    """The key that signs, the keys that are still believed, and when all was last revoked.

    Cookies issued at or before `epoch` (epoch seconds) are refused.
    """

    current: str
    secrets: Mapping[str, str] = field(repr=False)
    epoch: int = 0


@dataclass(frozen=True, slots=True)
class Grant:
    """What a verified cookie says: who, which projects (lower case, or `*`), until when."""

    token_id: str
    projects: frozenset[str]
    expires: int


ANYONE = Grant("anonymous", frozenset({EVERYTHING}), 0)
"""What everybody has where pages need no cookie."""


def read_keys(secret: str, epoch: int = 0) -> Keys:
    """The keys in a setting: one secret, or `ID:SECRET ID:SECRET`, the signing one first.

    What signs is derived, so that the secret may serve other purposes as well.
    """
    pieces = secret.split()
    derived: dict[str, str] = {}
    for piece in pieces:
        name, colon, text = piece.partition(":")
        if not colon:
            name, text = "1", piece
        if not _KEY_ID.fullmatch(name) or len(text) < 32 or name in derived:
            raise InvalidRequest(
                "WEIGHBRIDGE_SECRET must be 32 characters or more, or two such secrets written as "
                "`new:SECRET old:SECRET`"
            )
        label = b"weighbridge page cookie " + name.encode("ascii")
        derived[name] = hmac.new(text.encode("utf-8"), label, hashlib.sha256).hexdigest()
    if not derived:
        raise InvalidRequest("WEIGHBRIDGE_SECRET is not set, so nobody can sign in")
    return Keys(next(iter(derived)), derived, epoch)


def issue(keys: Keys, token_id: str, projects: Iterable[str], now: float) -> str:
    """The value of a cookie that opens the pages of `projects` for an hour."""
    names = sorted({name.lower() for name in projects})
    if EVERYTHING in names:
        names = [EVERYTHING]
    elif not all(_PROJECT.fullmatch(name) for name in names):
        raise InvalidRequest("a project in a sign-in cookie is not a project name")
    if not _TOKEN_ID.fullmatch(token_id):
        raise InvalidRequest("a token id in a sign-in cookie is not one")
    expires = int(now) + LIFETIME
    payload = f"v1|{keys.current}|{expires}|{token_id}|{'/'.join(names)}"
    if len(payload) + 65 > MAX_VALUE:
        raise TooLarge(
            f"this token reads {len(names)} projects by name, more than a sign-in cookie can hold; "
            "sign in with a token for fewer projects, or for all of them",
            limit=MAX_VALUE,
        )
    return f"{payload}|{_sign(keys.secrets[keys.current], payload)}"


def verify(keys: Keys, value: str, now: float) -> Grant | None:
    """What the cookie grants; None if it is not ours, changed, expired or revoked."""
    if len(value) > MAX_VALUE or not value.isascii():
        return None
    payload, _, signature = value.rpartition("|")
    fields = payload.split("|")
    if len(fields) != 5 or fields[0] != "v1":
        return None
    _, key_id, expiry, token_id, projects = fields
    secret = keys.secrets.get(key_id)
    if secret is None or not hmac.compare_digest(_sign(secret, payload), signature):
        return None
    if not _EXPIRY.fullmatch(expiry):
        return None
    expires = int(expiry)
    issued = expires - LIFETIME
    if now >= expires or issued > now + _SKEW or issued <= keys.epoch:
        return None
    return Grant(token_id, frozenset(name for name in projects.split("/") if name), expires)


def normal(path: str) -> str | None:
    """A request's path, percent-decoded once, without `.`, `..` and double slashes.

    None if it is refused: it climbs above the root, or holds what no page address has and stores
    might read differently (an encoded slash, a backslash, NUL, a second layer of escapes).
    """
    if not path.startswith("/") or re.search(r"%(?![0-9A-Fa-f]{2})|%2[fF]", path):
        return None
    text = re.sub(r"%([0-9A-Fa-f]{2})", lambda match: chr(int(match[1], 16)), path)
    if not _ALLOWED.issuperset(text):
        return None
    kept: list[str] = []
    parts = text.split("/")[1:]
    for part in parts:
        if part == "..":
            if not kept:
                return None
            kept.pop()
        elif part not in ("", "."):
            kept.append(part)
    folder = parts[-1] in ("", ".", "..")
    return "/" + "/".join(kept) + ("/" if folder and kept else "")


def readable(path: str, grant: Grant | None) -> bool:
    """Whether the page at `path` (as the request spells it) may be shown to the cookie's owner."""
    project = _project(normal(path))
    if grant is None or project is None:
        return False
    return EVERYTHING in grant.projects or project in grant.projects


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do with a request for a page: `serve` the object `target`, `redirect` to the address
    `target` (a page's one spelling, or the sign-in form), or say that it is `missing`."""

    kind: Literal["serve", "redirect", "missing"]
    target: str = ""


def decide(path: str, grant: Grant | None) -> Decision:
    """Where a request below `/p/` goes. Absent and forbidden projects look the same."""
    clean = normal(path)
    if clean is None or _project(clean) is None:
        return Decision("missing")
    if grant is None:
        return Decision("redirect", f"/sign-in?next={quote(clean, safe='')}")
    if not readable(clean, grant):
        return Decision("missing")
    if not clean.endswith("/") and not clean.endswith(_FILES):
        clean += "/"
    if clean != path:
        return Decision("redirect", clean)
    return Decision("serve", clean[1:] + ("index.html" if clean.endswith("/") else ""))


def safe_next(text: str) -> str:
    """Where to go after signing in: a path on this server, `/` for anything else."""
    plain = text.startswith("/") and not text.startswith("//") and text.isprintable()
    return text if plain and text.isascii() and "\\" not in text else "/"


def name(secure: bool) -> str:
    """The cookie's name; browsers enforce Secure and Path=/ for the first."""
    return SECURE_NAME if secure else PLAIN_NAME


def set_cookie(value: str, secure: bool) -> str:
    """The `Set-Cookie` header that signs in, or out where `value` is empty. `secure` is false only
    for plain HTTP on loopback."""
    age = LIFETIME if value else 0
    flags = "; Secure" if secure else ""
    return f"{name(secure)}={value}; Path=/; Max-Age={age}; HttpOnly; SameSite=Lax{flags}"


def find(header: str, secure: bool) -> str:
    """Our cookie's value in a `Cookie` header; "" if it is not there."""
    wanted = name(secure)
    for piece in header.split(";"):
        key, _, value = piece.strip().partition("=")
        if key == wanted:
            return value.strip()
    return ""


def _project(clean: str | None) -> str | None:
    parts = clean.split("/") if clean else []
    if len(parts) < 3 or parts[1] != "p" or not _PROJECT.fullmatch(parts[2]):
        return None
    return parts[2]


def _sign(secret: str, payload: str) -> str:
    return hmac.new(secret.encode("ascii"), payload.encode("ascii"), hashlib.sha256).hexdigest()
