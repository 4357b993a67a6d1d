"""`/v2/provider`: registered, queried and deleted as the 2.x client does, on the records of all doors."""

import pytest

from tests.fate.v2.conftest import Flow

K8S = {"image": "i:1", "namespace": "fate"}
HOME = "/api/projects/providers/providers"


def acme(**changes):
    """A registration."""
    found = {"name": "acme", "device": "k8s", "version": "1.0", "metadata": K8S, **changes}
    return {name: value for name, value in found.items() if value is not ...}


def register(flow, **changes):
    """Registers it."""
    return flow.post("/provider/register", acme(**changes))


def test_a_provider_is_registered_and_updated(flow):
    """With the messages of the reference; all is replaced but the time of its creation."""
    assert register(flow) == {"code": 0, "message": "create success"}
    flow.api.clock.time += 5
    changed = {**K8S, "image": "i:2", "config": {"a": 1}}
    assert register(flow, metadata=changed) == {"code": 0, "message": "update success"}
    [row] = flow.get("/provider/query", name="acme")["data"]
    assert row["update_time"] - row["create_time"] == 5000
    assert row["metadata"] == changed


def test_a_provider_is_queried_in_the_shape_of_the_reference(flow):
    """With what the metadata of its device may leave out."""
    register(flow)
    created = int(flow.api.clock.time * 1000)
    assert flow.get("/provider/query", provider_name="acme:1.0@k8s")["data"] == [
        {
            "name": "acme", "version": "1.0", "device": "k8s", "provider_name": "acme:1.0@k8s",
            "metadata": {**K8S, "config": None}, "create_time": created, "update_time": created,
        }
    ]  # fmt: skip
    register(flow, device="local", metadata={"path": "/p"})
    register(flow, device="docker", metadata={"base_url": "", "image": "i"})
    rows = {r["device"]: r["metadata"] for r in flow.get("/provider/query")["data"]}
    assert rows["local"] == {"path": "/p", "venv": None}
    assert rows["docker"] == {"base_url": "", "image": "i"}


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({}, 3), ({"name": "acme"}, 2), ({"device": "k8s"}, 3), ({"version": "2.0"}, 2),
        ({"name": "acme", "version": "2.0"}, 1), ({"provider_name": "beta:2.0@k8s"}, 1),
        ({"provider_name": "beta:2.0@k8s", "name": "acme"}, 0), ({"provider_name": "beta"}, 0),
        ({"name": "nobody"}, 0), ({"provider_name": "a:b:c@d"}, 0), ({"other": "x"}, 3),
    ],
)  # fmt: skip
def test_every_filter_counts(flow, query, found):
    """Without any, all are told; a name that is none matches nothing."""
    assert flow.get("/provider/query", **query)["data"] == []
    for name, version in (("acme", "1.0"), ("acme", "2.0"), ("beta", "2.0")):
        register(flow, name=name, version=version)
    assert len(flow.get("/provider/query", **query)["data"]) == found


@pytest.mark.parametrize(
    ("changes", "code", "fields"),
    [
        ({"device": ...}, 5001, {"device"}), ({"name": 7}, 5001, {"name"}),
        ({"metadata": ..., "name": ...}, 5001, {"metadata", "name"}), ({"metadata": "x"}, 5001, {"metadata"}),
        ({"components_description": ["x"]}, 5001, {"components_description"}),
        ({"device": "moon"}, 4001, None), ({"protocol": "smtp"}, 5001, {"protocol"}),
        ({"metadata": {}}, 5001, {"metadata.image", "metadata.namespace"}),
        ({"device": "docker", "metadata": {"image": "i"}}, 5001, {"metadata.base_url"}),
        ({"device": "local", "metadata": {}}, 5001, {"metadata.path"}),
        ({"name": "a:b"}, 5001, {"name"}), ({"version": "1@2"}, 5001, {"version"}),
        ({"protocol": "bfia", "components_description": {"lr": {}}}, 5001,
         {"components_description.lr.componentName", "components_description.lr.inputData",
          "components_description.lr.outputData"}),
    ],
)  # fmt: skip
def test_a_wrong_registration_saves_nothing(flow, changes, code, fields):
    """The fields that are wrong are named."""
    found = register(flow, **changes)
    assert found["code"] == code
    if fields is not None:
        assert set(found["data"]["json"]) == fields
    assert flow.get("/provider/query")["data"] == []


def test_unknown_members_are_ignored(flow):
    """Clients send what their files hold."""
    assert register(flow, conf_path="/x", extra=[1])["code"] == 0


def test_matching_providers_are_deleted(flow):
    """True if there were any; never all without a filter."""
    for name, version in (("acme", "1.0"), ("acme", "2.0"), ("beta", "2.0")):
        register(flow, name=name, version=version)
    assert flow.post("/provider/delete", {})["code"] == 6000
    assert len(flow.get("/provider/query")["data"]) == 3
    assert flow.post("/provider/delete", name="acme")["data"] is True
    assert flow.post("/provider/delete", name="acme")["data"] is False
    assert flow.post("/provider/delete", provider_name="beta:2.0@k8s")["data"] is True
    assert flow.get("/provider/query")["data"] == []


def test_all_doors_see_the_same_providers(flow):
    """Ours, 2.x and 1.x, which knows those on a disk."""
    entry = {"componentName": "HeteroLR", "inputData": [], "outputData": []}
    register(flow, protocol="bfia", components_description={"HeteroLR": entry})
    register(flow, device="local", metadata={"path": "/fate"},
             components_description={"HeteroLR": {}, "PSI": None})  # fmt: skip
    api = flow.api
    found = api.ok("GET", HOME)["items"]
    assert {p["provider_name"]: p["protocol"] for p in found} == {
        "acme:1.0@k8s": "bfia", "acme:1.0@local": "fate",
    }  # fmt: skip
    found = api.ok("GET", "/api/projects/providers/components", name="HeteroLR", protocol="bfia")
    assert [c["description"] for c in found["items"]] == [entry]
    v1 = api.ok("POST", "/v1/provider/get", {})
    assert v1["data"]["acme"] == {
        "1.0": {"path": "/fate", "python": "", "class_path": {}, "components": ["heterolr", "psi"]},
        "default": {"version": "1.0"},
    }
    register(flow, name="late", device="docker", metadata={"image": "i", "base_url": ""})
    api.ok("DELETE", HOME + "/late%3A1.0%40docker")
    assert len(flow.get("/provider/query")["data"]) == 2


def test_1x_registers_and_reads(flow):
    """A name with versions; the default is the one that was registered last."""
    api = flow.api

    def post(at, **body):
        return api.ok("POST", f"/v1{at}", body)

    assert post("/provider/fate/get") == {"retcode": 0, "retmsg": "success"}
    assert post("/provider/get")["data"] == {}
    for version in ("1.11.3", "1.11.2"):
        api.clock.time += 1
        found = post(
            "/provider/register", name="fate", version=version, path="/fate", conf_path="x"
        )
        assert found["retcode"] == 0
    entry = post("/provider/fate/get")["data"]["fate"]
    assert set(entry) == {"1.11.2", "1.11.3", "default"}
    assert entry["default"] == {"version": "1.11.2"}
    register(flow, name="fate", version="1.11.2", device="local", metadata={"path": "/old"},
             components_description={"HeteroLR": None})  # fmt: skip
    post("/provider/register", name="fate", version="1.11.2", path="/new",
         class_path={"interface": "a.b"})  # fmt: skip
    entry = post("/provider/fate/get")["data"]["fate"]["1.11.2"]
    assert entry == {
        "path": "/new", "python": "", "class_path": {"interface": "a.b"}, "components": ["heterolr"],
    }  # fmt: skip
    assert post("/component/get")["data"] == {
        "heterolr": {"default_provider": "fate", "support_provider": ["fate"]}
    }
    assert post("/provider/register", name="fate", version="1")["retcode"] == 101
    assert post("/provider/register", name="a:b", version="1", path="/p")["retcode"] == 101
    assert post("/provider/fate/put")["retcode"] == 100


def test_providers_live_where_the_token_says(flow):
    """In the project that it names, else in the one of the settings; rights are those of the token."""
    api = flow.api

    def token(verbs, project):
        scopes = [{"verbs": verbs, "project": project}]
        body = {"name": "x", "scopes": scopes, "days": 1}
        return api.ok("POST", "/api/tokens", body)["secret"]

    team = Flow(api)
    team.token = token(["read", "write"], "team")
    assert register(team)["code"] == 0
    assert [p["name"] for p in api.ok("GET", "/api/projects/team/providers")["items"]] == ["acme"]
    assert flow.get("/provider/query")["data"] == []
    assert team.post("/provider/delete", name="acme")["code"] == 5005
    reader = Flow(api)
    reader.token = token(["read"], "team")
    assert register(reader)["code"] == 5005
    assert len(reader.get("/provider/query")["data"]) == 1
