"""Signing schemes of old clients: a secret per token and facade, a time window, and spent signatures.

The secret of a scheme is derived, never stored: HMAC-SHA256 of facade and token id under a master that
itself is derived from `WEIGHBRIDGE_SECRET`. It signs for that one facade only, and only for tokens that
were made for it (`NewToken.signing`); revoking the token ends it. See docs/decisions/0013-providers.md.
"""

import hashlib
import hmac
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from chalicelib.registry import keys, tokens
from chalicelib.registry.ports import Absent, ConditionFailed, Item, Key, Put
from chalicelib.registry.stores import Stores
from chalicelib.registry.tokens import Principal
from weighbridge.contract.errors import Unauthenticated, Unsupported
from weighbridge.contract.types import SigningFacade

WINDOW = 60
"""Seconds that a client's clock may be off, either way."""
MIN_SECRET = 32
MAX_TEXT = 200


@dataclass(frozen=True, slots=True)
class Claim:
    """What a signed request says of itself: whose token, when (epoch milliseconds as text), a nonce,
    and the signature."""

    facade: SigningFacade
    token_id: str
    timestamp: str
    nonce: str
    signature: str


def masters(setting: str) -> tuple[str, ...]:
    """The masters in `WEIGHBRIDGE_SECRET` (one secret, or `new:SECRET old:SECRET`), newest first."""
    found = []
    for piece in setting.split():
        text = piece.partition(":")[2] or piece
        if len(text) < MIN_SECRET:
            raise Unsupported(
                f"signing needs a WEIGHBRIDGE_SECRET of {MIN_SECRET} characters or more"
            )
        label = b"weighbridge signing schemes"
        found.append(hmac.new(text.encode(), label, hashlib.sha256).hexdigest())
    if not found:
        raise Unsupported("this server has no WEIGHBRIDGE_SECRET, so no secret can be derived")
    return tuple(found)


def secret(setting: str, facade: SigningFacade, token_id: str) -> str:
    """The secret of a token for a facade: 64 hex digits, to be shown once."""
    return _derived(masters(setting)[0], facade, token_id)


def _derived(master: str, facade: str, token_id: str) -> str:
    return hmac.new(master.encode(), f"{facade}\0{token_id}".encode(), hashlib.sha256).hexdigest()


def authenticate(
    stores: Stores, setting: str, claim: Claim, sign: Callable[[str], str]
) -> Principal:
    """The principal of a signed request, or `Unauthenticated`. `sign` makes the signature that the
    scheme expects with a given secret; it is asked once per master, so that secrets can be rotated.

    A signature counts once, and within 60 seconds of its time.
    """
    for text in (claim.token_id, claim.timestamp, claim.nonce, claim.signature):
        if not text or len(text) > MAX_TEXT:
            raise Unauthenticated(
                "a part of the signature is missing or too long", reason="signature"
            )
    given = claim.signature.encode("utf-8", "replace")
    good = False
    for master in masters(setting):  # all of them, so that the time taken tells nothing
        expected = sign(_derived(master, claim.facade, claim.token_id)).encode()
        good |= hmac.compare_digest(given, expected)
    if not good:
        raise Unauthenticated("the signature is wrong", reason="signature")
    who = tokens.signer(stores, claim.token_id, claim.facade)
    _spend(stores, claim)
    return who


def _spend(stores: Stores, claim: Claim) -> None:
    """Takes a signature, or refuses one that is too old, too new or was seen before."""
    if not (claim.timestamp.isascii() and claim.timestamp.isdigit() and len(claim.timestamp) < 17):
        raise Unauthenticated("the timestamp must be epoch milliseconds", reason="time")
    now = stores.now()
    if abs(int(claim.timestamp) / 1000 - now) > WINDOW:
        raise Unauthenticated(
            f"the timestamp is more than {WINDOW} seconds off; set the clock of the client",
            reason="time",
        )
    digest = hashlib.sha256(f"{claim.timestamp}\0{claim.nonce}\0{claim.signature}".encode())
    key = Key(keys.of_signatures(claim.token_id), f"{claim.facade}#{digest.hexdigest()}")
    kept: dict[str, str | int] = {"ttl": int(now) + 2 * WINDOW + 60}
    spent = False
    with suppress(ConditionFailed):
        stores.table.write(Put(Item(key, kept), (Absent(),)))
        spent = True
    if not spent:
        raise Unauthenticated(
            "this signature was used before; sign every request anew", reason="replay"
        )
