"""Secrets of signing schemes: derived per token and facade, good once, within a minute."""

import hashlib

import pytest

from chalicelib.registry import signing, tokens
from chalicelib.registry.signing import Claim
from chalicelib.registry.tokens import Principal
from weighbridge.contract.errors import Unauthenticated, Unsupported
from weighbridge.contract.types import NewToken

MASTER = "0123456789abcdef" * 4
ADMIN = Principal("admin", tokens.everything())


def sign(secret, text="x"):
    """A scheme for the tests."""
    return hashlib.sha256(f"{text}{secret}".encode()).hexdigest()


@pytest.fixture
def token(stores):
    """A token that may sign at one door."""
    return tokens.issue(
        stores, ADMIN, NewToken("old client", tokens.everything(), signing=("fate-v2",))
    ).token


def claim(stores, token, nonce="1", offset=0.0, master=MASTER, facade="fate-v2"):
    """A request signed as the client would."""
    signature = sign(signing.secret(master, facade, token.id))
    return Claim(facade, token.id, str(int((stores.now() + offset) * 1000)), nonce, signature)


def test_a_signed_request_is_the_tokens(stores, token):
    """With all its rights."""
    who = signing.authenticate(stores, MASTER, claim(stores, token), sign)
    assert (who.name, who.token_id, who.scopes) == ("token:old client", token.id, token.scopes)


def test_a_signature_counts_once(stores, token):
    """The same nonce and time again is a replay; another nonce is another request."""
    signing.authenticate(stores, MASTER, claim(stores, token), sign)
    with pytest.raises(Unauthenticated, match="before"):
        signing.authenticate(stores, MASTER, claim(stores, token), sign)
    signing.authenticate(stores, MASTER, claim(stores, token, "2"), sign)


@pytest.mark.parametrize("offset", [-61, 61, 1e6])
def test_a_signature_counts_within_a_minute(stores, token, offset):
    """Either way; the nonce is not spent by one that is refused."""
    with pytest.raises(Unauthenticated, match="60 seconds"):
        signing.authenticate(stores, MASTER, claim(stores, token, offset=offset), sign)
    for near in (-59, 59):
        signing.authenticate(stores, MASTER, claim(stores, token, offset=near), sign)


def test_a_replay_is_remembered_as_long_as_it_could_pass(stores, clock, token):
    """A signature from the future is refused again until its minute is over."""
    early = claim(stores, token, offset=59)
    signing.authenticate(stores, MASTER, early, sign)
    clock.time += 118
    stores.table.purge_expired(int(clock.time))
    with pytest.raises(Unauthenticated, match="before"):
        signing.authenticate(stores, MASTER, early, sign)


def test_what_is_not_signed_right_is_refused(stores, token):
    """A wrong secret, another facade's, a token that may not sign, one that is gone."""
    other = tokens.issue(stores, ADMIN, NewToken("plain", tokens.everything())).token
    for bad in (
        claim(stores, token, master="f" * 64),
        claim(stores, token, facade="fate-v1"),
        claim(stores, other),
        Claim("fate-v2", token.id, "soon", "1", sign(signing.secret(MASTER, "fate-v2", token.id))),
        Claim("fate-v2", token.id, "", "", ""),
        Claim("fate-v2", token.id, "1", "1", "\udcff"),
    ):
        with pytest.raises(Unauthenticated):
            signing.authenticate(stores, MASTER, bad, sign)
    tokens.revoke(stores, token.id)
    with pytest.raises(Unauthenticated):
        signing.authenticate(stores, MASTER, claim(stores, token), sign)


def test_an_expired_token_signs_nothing(stores, clock, token):
    """Its days are over."""
    clock.time += 91 * 86400
    with pytest.raises(Unauthenticated, match="expired"):
        signing.authenticate(stores, MASTER, claim(stores, token), sign)


def test_secrets_differ_by_token_and_facade_and_can_be_rotated(stores, token):
    """What was shown under the old secret is good while it is still named."""
    found = {signing.secret(MASTER, f, t) for f in ("fate-v1", "fate-v2") for t in ("a", "b")}
    assert len(found) == 4
    old = claim(stores, token)
    signing.authenticate(stores, f"new:{'n' * 32} old:{MASTER}", old, sign)
    with pytest.raises(Unauthenticated):
        signing.authenticate(stores, "n" * 32, claim(stores, token, "2"), sign)


@pytest.mark.parametrize("setting", ["", "short", "new:short old:" + MASTER])
def test_without_a_secret_nothing_is_derived(setting):
    """The error says which setting is missing."""
    with pytest.raises(Unsupported, match="WEIGHBRIDGE_SECRET"):
        signing.secret(setting, "fate-v1", "x")
