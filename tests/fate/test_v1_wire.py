"""How `/v1` talks: envelopes, both styles of errors, bodies of any type, and who may call."""

import base64
import hmac
import json
import time
import uuid
from urllib.parse import quote, urlencode

import pytest

from chalicelib.registry import tokens
from chalicelib.registry.tokens import Principal, everything
from tests.api.conftest import ADMIN
from tests.fate import models
from tests.fate.conftest import BOUNDARY, form
from weighbridge.contract.types import NewToken, Scope

GUEST = ("guest", 9999)


@pytest.mark.parametrize("path", ["nope", "model", "model/nope", "model/query/x/y/z", "a/b/c/d/e"])
def test_an_unknown_address_is_answered_as_fate_does(flow, path):
    """HTTP 200 and retcode 100."""
    status, answer = flow.both(path)
    assert (status, answer["retcode"]) == (200, 100)
    assert "data" not in answer


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [("model/bind", 200, 101), ("model/deploy", 200, 101), ("model/query/detail", 200, 101),
     ("checkpoint/list", 400, 400), ("checkpoint/get", 400, 400), ("model/export", 400, 400),
     ("model/transfer", 400, 400), ("model/store", 200, 101), ("model/restore", 200, 101),
     ("model/migrate", 200, 101), ("model/load", 200, 101), ("model/model_tag/create", 200, 101)],
)  # fmt: skip
def test_a_missing_field(flow, path, status, code):
    """Is refused in the style of its verb."""
    found, answer = flow.both(path, {})
    assert (found, answer["retcode"]) == (status, code)


@pytest.mark.parametrize(
    "headers", [{}, {"content-type": "text/plain"}, {"content-type": "application/x-made-up"},
                {"content-type": "application/x-www-form-urlencoded"}],
)  # fmt: skip
@pytest.mark.parametrize("slash", ["", "/"])
def test_bodies_are_json_whatever_their_type(flow, headers, slash):
    """A trailing slash and fields that nobody knows do no harm."""
    flow.add(models.federated(), [GUEST])
    body = json.dumps({"role": "guest", "conf_path": "/x", "filename": None, "deep": {"a": [1]}})
    found = flow(f"model/query{slash}", body.encode(), headers=headers)
    assert [r["f_role"] for r in found["data"]] == ["guest"]


def test_a_form_where_the_body_is_no_json(flow):
    """Fields of a urlencoded body count as well."""
    flow.add(models.federated(), [GUEST])
    kind = {"content-type": "application/x-www-form-urlencoded"}
    assert flow("model/query", b"role=guest&party_id=9999", headers=kind)["retcode"] == 0


@pytest.mark.parametrize("body", [b"{", b"[1]", b"[" * 100_000, b"\xff\xfe"])
def test_a_broken_body_is_a_bad_argument(flow, body):
    """Never a crash."""
    assert flow("model/query", body)["retcode"] == 101
    assert flow.both("model/export", body)[0] == 400


def test_broken_forms_are_bad_arguments(flow):
    """Whatever is broken."""
    for body in (b"", b"--", form({"role": "guest"}, b"x")[:-20], b"--x\r\n\r\n"):
        kind = {"content-type": f"multipart/form-data; boundary={BOUNDARY}"}
        assert flow.both("model/import", body, headers=kind)[0] == 400


def basic(text):
    """A header of Basic authentication."""
    return {"authorization": "Basic " + base64.b64encode(text.encode()).decode()}


def token(flow, *scopes, signing=()):
    """A token with these scopes."""
    who = Principal("test", everything())
    return tokens.issue(flow.stores, who, NewToken("t", scopes, signing=signing))


def test_who_may_call(flow):
    """A token as a password; without one 109, or 401 where the client looks at statuses."""
    flow.add(models.federated(), [GUEST])
    good = flow("model/query", {"role": "guest"}, token=None, headers=basic(f"me:{ADMIN}"))
    assert good["retcode"] == 0
    assert flow.both("model/query", {}, token=None)[1]["retcode"] == 109
    assert flow.both("model/export", {}, token=None)[0] == 401
    reader = token(flow, Scope(("read",), "models")).secret
    assert flow("model/query", {"role": "guest"}, token=reader)["retcode"] == 0
    assert flow("model/tag/create", {"tag_name": "x"}, token=reader)["retcode"] == 108
    training = models.federated(model_version="2")
    assert flow.take_in(training.archive(*GUEST), training.describe(*GUEST), reader)[0] == 403
    other = token(flow, Scope(("read", "write"), "theirs")).secret
    assert flow("model/query", {"role": "guest"}, token=other)["retcode"] == 100
    fields = {**training.describe(*GUEST), "force_update": 0}
    assert flow.take_in(training.archive(*GUEST), fields, other)[0] == 200
    assert flow("model/query", {"model_version": "2"}, token=other)["retcode"] == 0
    assert flow("model/query", {"model_version": "2"})["retcode"] == 100


def headers(secret, key, path, body=b"", fields=(), when=None, nonce=None):
    """The four headers as the client makes them."""
    stamp = str(round((when or time.time()) * 1000))
    nonce = nonce or str(uuid.uuid1())
    joined = b"\n".join([
        stamp.encode(), nonce.encode(), key.encode(), path.encode(), body,
        urlencode(sorted(fields), quote_via=quote, safe="-._~").encode(),
    ])  # fmt: skip
    signature = base64.b64encode(hmac.new(secret.encode(), joined, "sha1").digest()).decode()
    return {"TIMESTAMP": stamp, "NONCE": nonce, "APP_KEY": key, "SIGNATURE": signature}


@pytest.fixture
def signer(flow):
    """A token that may sign, its secret, and the time of the server."""
    from chalicelib.registry import signing
    from chalicelib.settings import settings

    issued = token(flow, Scope(("read", "write"), "models"), signing=("fate-v1",))
    return issued.token.id, signing.secret(settings().secret, "fate-v1", issued.token.id)


def test_a_signed_request(flow, signer):
    """Is its token's, once, in time, and as it was signed."""
    key, secret = signer
    flow.add(models.federated(), [GUEST])
    now = flow.stores.now()
    body = json.dumps({"role": "guest"}).encode()

    def ask(sent, data=body, path="model/query"):
        lower = {name.lower(): value for name, value in sent.items()}
        return flow(path, data, token=None, headers=lower)["retcode"]

    good = headers(secret, key, "/v1/model/query", body, when=now)
    assert ask(good) == 0
    assert ask(good) == 109, "a signature counts once"
    assert ask(headers(secret, key, "/v1/model/query", body, when=now - 61)) == 109
    assert ask(headers(secret, key, "/v1/model/query", body, when=now + 61)) == 109
    assert ask(headers(secret, key, "/v1/model/query", body, when=now - 59)) == 0
    assert ask(headers(secret, key, "/v1/model/tag/list", body, when=now)) == 109
    assert ask(headers(secret, key, "/v1/model/query", body, when=now), b'{"role": "host"}') == 109
    assert ask(headers("other", key, "/v1/model/query", body, when=now)) == 109
    assert ask(headers(secret, "nobody", "/v1/model/query", body, when=now)) == 109
    assert ask(headers(secret, key, "/stage/v1/model/query", body, when=now)) == 0


def test_a_signed_form(flow, signer):
    """Fields are signed, the file is not: its hash may be sent."""
    key, secret = signer
    training = models.federated()
    fields = {**training.describe(*GUEST), "force_update": 0, "file": "/a b/c~d.zip"}
    pairs = [(name, str(value)) for name, value in fields.items()]
    for changed, code in (({}, 0), ({"party_id": 1}, 109)):
        sent = headers(secret, key, "/v1/model/import", fields=pairs, when=flow.stores.now())
        sent["content-type"] = f"multipart/form-data; boundary={BOUNDARY}"
        body = form({**fields, **changed}, training.archive(*GUEST))
        status, answer = flow.both(
            "model/import", body, token=None, headers={k.lower(): v for k, v in sent.items()}
        )
        assert (status, answer["retcode"]) == ((401, 401) if code else (200, 0))


def test_a_token_that_may_not_sign(flow, signer):
    """Signs nothing, whatever secret is derived for it."""
    from chalicelib.registry import signing
    from chalicelib.settings import settings

    issued = token(flow, Scope(("read",), "models"))
    secret = signing.secret(settings().secret, "fate-v1", issued.token.id)
    sent = headers(secret, issued.token.id, "/v1/model/query", b"{}", when=flow.stores.now())
    lower = {name.lower(): value for name, value in sent.items()}
    assert flow("model/query", b"{}", token=None, headers=lower)["retcode"] == 109
