"""Providers over our own API: registered, found, resolved; who may."""

import pytest

BASE = "/api/projects/providers/providers"
K8S = {"image": "i:1", "namespace": "fate"}
ACME = {"name": "acme", "version": "1.0", "device": "k8s", "metadata": K8S}
ONE = BASE + "/acme%3A1.0%40k8s"


def test_a_provider_is_registered_replaced_and_removed(api):
    """201, then 200; the project is made at the first."""
    assert api.error("GET", BASE) == (404, "not_found")
    status, made = api("POST", BASE, ACME)
    assert (status, made["provider_name"], made["revision"]) == (201, "acme:1.0@k8s", 1)
    status, made = api("POST", BASE, {**ACME, "components": {"lr": None}})
    assert (status, made["revision"]) == (200, 2)
    assert api.ok("GET", ONE)["components"] == {"lr": None}
    assert [p["name"] for p in api.ok("GET", BASE, device="k8s")["items"]] == ["acme"]
    assert api.ok("GET", BASE, name="nobody")["items"] == []
    found = api.ok("GET", "/api/projects/providers/components")["items"]
    assert [(c["name"], c["provider_name"]) for c in found] == [("lr", "acme:1.0@k8s")]
    assert api.ok("DELETE", ONE)["deleted"] == "acme:1.0@k8s"
    assert api.error("DELETE", ONE) == (404, "not_found")


@pytest.mark.parametrize(
    "wrong",
    [{"metadata": {}}, {"device": "moon"}, {"name": "a:b"}, {"protocol": "x"}, {"extra": 1}],
)
def test_what_is_wrong_is_400_with_its_fields(api, wrong):
    """And nothing is saved."""
    status, answer = api("POST", BASE, {**ACME, **wrong})
    assert (status, answer["error"]["code"]) == (400, "invalid_request")
    if "extra" not in wrong:
        assert answer["error"]["details"]["fields"]
        assert api.ok("GET", BASE)["items"] == []


def test_a_name_that_is_none_is_400(api):
    """Where a provider is meant."""
    api.ok("POST", BASE, ACME)
    assert api.error("GET", BASE + "/acme") == (400, "invalid_name")


def test_a_dag_is_resolved(api):
    """With the server's default, or the one asked for."""
    api.ok("POST", BASE, ACME)
    dag = {
        "dag": {
            "parties": [{"role": "guest", "party_id": ["1"]}],
            "tasks": {"lr_0": {"conf": {"provider": "acme:1.0@k8s"}}, "psi_0": {}},
        }
    }
    found = api.ok("POST", BASE + "/resolve", {"dag": dag})
    assert [(a["task"], a["provider"], a["level"]) for a in found["items"]] == [
        ("lr_0", "acme:1.0@k8s", "dag.tasks.conf"), ("psi_0", "fate:2.2.0@local", "default"),
    ]  # fmt: skip
    assert [p["place"] for p in found["problems"]] == ["dag.tasks.psi_0.provider"]
    found = api.ok("POST", BASE + "/resolve", {"dag": dag, "default": "acme:1.0@k8s"})
    assert found["problems"] == []
    assert api.error("POST", BASE + "/resolve", {"dag": dag, "default": "acme"})[0] == 400
    assert api.ok("POST", BASE + "/resolve", {"dag": "x"})["items"] == []


def test_rights(api):
    """Reading, writing and deleting are apart."""
    api.ok("POST", BASE, ACME)

    def token(*verbs):
        scopes = [{"verbs": ["read", *verbs], "project": "providers"}]
        return api.ok("POST", "/api/tokens", {"name": "x", "scopes": scopes, "days": 1})["secret"]

    reader, writer = token(), token("write")
    assert api.error("POST", BASE, ACME, token=reader)[0] == 403
    assert api("POST", BASE, ACME, token=writer)[0] == 200
    assert api.error("DELETE", ONE, token=writer)[0] == 403
    assert api.ok("DELETE", ONE, token=token("delete"))["deleted"]


def test_a_token_may_sign_where_it_was_made_so(api, monkeypatch):
    """The secrets are in the answer once; without a secret of the server there are none."""
    body = {"name": "x", "scopes": [{"verbs": ["read"]}], "days": 1}
    assert api.ok("POST", "/api/tokens", body)["signing"] == {}
    made = api.ok("POST", "/api/tokens", {**body, "signing": ["fate-v2", "fate-v1", "fate-v2"]})
    assert set(made["signing"]) == {"fate-v1", "fate-v2"}
    assert made["token"]["signing"] == ["fate-v1", "fate-v2"]
    listed = api.ok("GET", "/api/tokens")["items"]
    assert not any(secret in str(listed) for secret in made["signing"].values())
    assert api.error("POST", "/api/tokens", {**body, "signing": ["mlflow"]})[0] == 400
    from chalicelib.settings import settings

    monkeypatch.setenv("WEIGHBRIDGE_SECRET", "")
    settings.cache_clear()
    before = len(api.ok("GET", "/api/tokens")["items"])
    assert api.error("POST", "/api/tokens", {**body, "signing": ["fate-v2"]})[0] == 501
    assert len(api.ok("GET", "/api/tokens")["items"]) == before
