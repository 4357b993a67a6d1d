"""Who calls the 2.x door: Basic and Bearer tokens, signed requests; and what each may do."""

import base64
import hashlib

import pytest

from tests.fate.v2.conftest import TREE, Flow, archive
from weighbridge.contract.types import SIGNING


def issue(api, *verbs, project="*", signing=("fate-v2",)):
    """A token: its id, its text, and the secret that signs."""
    body = {
        "name": "old client", "scopes": [{"verbs": ["read", *verbs], "project": project}],
        "days": 1, "signing": list(signing),
    }  # fmt: skip
    made = api.ok("POST", "/api/tokens", body)
    return made["token"]["id"], made["secret"], made["signing"].get("fate-v2", "")


def signed(api, key, secret, nonce="1234", offset=0, user=""):
    """The headers that the 2.x client sends (`flow init --app-id --app-token`)."""
    moment = str(int(api.clock.time + offset) * 1000)
    inner = hashlib.md5(f"{key}{user}{nonce}{moment}".encode()).hexdigest()
    signature = hashlib.md5(f"{inner}{secret}".encode()).hexdigest()
    return {
        "appid": key, "username": user, "nonce": nonce, "timestamp": moment,
        "signature": signature,
    }  # fmt: skip


def asks(flow, headers, path="/provider/query"):
    """The code of a request with these headers and no token."""
    return flow.answer("GET", path, headers=headers, token="")["code"]


def test_a_signed_request_is_the_tokens(flow):
    """As long as its scopes allow."""
    key, _, secret = issue(flow.api, "write")
    assert asks(flow, signed(flow.api, key, secret)) == 0
    assert asks(flow, signed(flow.api, key, secret, "1", user="ann")) == 0
    headers = signed(flow.api, key, secret, "2")
    found = flow.answer("POST", "/provider/delete", b'{"name": "x"}', headers, token="")
    assert found["code"] == 0


def test_a_signed_request_counts_once_and_for_a_minute(flow):
    """A repeat is 5003, an old or early one 5000."""
    key, _, secret = issue(flow.api)
    assert asks(flow, signed(flow.api, key, secret)) == 0
    assert asks(flow, signed(flow.api, key, secret)) == 5003
    assert asks(flow, signed(flow.api, key, secret, offset=-62)) == 5000
    assert asks(flow, signed(flow.api, key, secret, offset=62)) == 5000
    assert asks(flow, signed(flow.api, key, secret, offset=-50)) == 0


@pytest.mark.parametrize(
    "changes",
    [{"signature": "0" * 32}, {"appid": "nobody"}, {"nonce": "9"}, {"username": "eve"}, {"nonce": ""},
     {"timestamp": "1"}, {"signature": ""}],
)  # fmt: skip
def test_what_is_not_signed_right_is_refused(flow, changes):
    """Whatever was changed."""
    key, _, secret = issue(flow.api)
    assert asks(flow, {**signed(flow.api, key, secret), **changes}) == 5003


def test_signing_is_off_by_default_and_for_one_door(flow):
    """A token must be made for it; its other secrets sign nothing here."""
    key, text, none = issue(flow.api, signing=())
    assert none == ""
    assert asks(flow, signed(flow.api, key, text)) == 5003
    made = flow.api.ok(
        "POST", "/api/tokens",
        {"name": "x", "scopes": [{"verbs": ["read"]}], "days": 1, "signing": list(SIGNING)},
    )  # fmt: skip
    key = made["token"]["id"]
    assert asks(flow, signed(flow.api, key, made["signing"]["fate-v1"])) == 5003
    assert asks(flow, signed(flow.api, key, made["signing"]["fate-v2"])) == 0
    assert "signing" not in str(flow.api.ok("GET", "/api/whoami"))


def test_a_revoked_token_signs_nothing(flow):
    """At once."""
    key, _, secret = issue(flow.api)
    flow.api.ok("DELETE", f"/api/tokens/{key}")
    assert asks(flow, signed(flow.api, key, secret)) == 5003


def test_a_token_is_the_password_of_basic_credentials(flow):
    """Whatever the user is called; a wrong one is 5004."""
    _, text, _ = issue(flow.api)
    for password, code in ((text, 0), (text + "x", 5004)):
        pair = base64.b64encode(f"user:{password}".encode()).decode()
        assert asks(flow, {"authorization": f"Basic {pair}"}) == code


def test_nobody_is_told_to_sign_in(flow):
    """With HTTP status 200, as everything."""
    assert asks(flow, {}) == 5004
    assert asks(flow, {"authorization": "Digest x"}) == 5004


def test_scopes_count(flow):
    """Reading, writing and deleting are apart; a project that is not visible is not there."""
    flow.import_zip(archive(TREE))
    api = flow.api
    ids = {"model_id": "job", "model_version": "0"}

    def caller(*verbs, project="models"):
        found = Flow(api)
        found.token = issue(api, *verbs, project=project)[1]
        return found

    reader, writer, deleter = caller(), caller("write"), caller("delete")
    assert reader.export()["code"] == 0
    assert reader.import_zip(archive(TREE))["code"] == 5005
    assert reader.post("/model/delete", ids)["code"] == 5005
    assert writer.import_zip(archive(TREE))["code"] == 0
    assert writer.post("/model/delete", ids)["code"] == 5005
    assert writer.post("/output/model/delete", **flow.task())["code"] == 5005
    assert len(flow.exported()) == 2
    stranger = caller("write", "delete", project="other")
    assert stranger.export()["code"] == 2005
    assert stranger.post("/model/delete", ids)["code"] == 2005
    assert deleter.post("/model/delete", ids)["code"] == 0


def test_rights_are_looked_at_before_anything_is_deleted(flow):
    """A token for one party's model deletes nothing of a model of two."""
    flow.import_zip(archive(TREE))
    api = flow.api
    scopes = [
        {"verbs": ["read"], "project": "models"},
        {"verbs": ["delete"], "project": "models", "model": "guest#9999#*"},
    ]
    made = api.ok("POST", "/api/tokens", {"name": "x", "scopes": scopes, "days": 1})
    narrow = Flow(api)
    narrow.token = made["secret"]
    ids = {"model_id": "job", "model_version": "0"}
    assert narrow.post("/model/delete", ids)["code"] == 5005
    assert len(flow.exported()) == 2
    assert narrow.post("/model/delete", {**ids, "role": "guest"})["data"]["deleted"] == 2


def test_anonymous_servers_let_anybody_in(flow, monkeypatch):
    """As far as they do."""
    from chalicelib.settings import settings

    monkeypatch.setenv("WEIGHBRIDGE_ANONYMOUS", "read")
    settings.cache_clear()
    assert asks(flow, {}) == 0
    found = flow.answer("POST", "/provider/delete", b'{"name": "x"}', {}, token="")
    assert found["code"] in (0, 5005)
