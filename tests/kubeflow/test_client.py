"""The real client 0.3.18 against a real server: it registers, gets, updates, pages and archives."""

import uuid
from urllib.parse import quote

import pytest

import weighbridge
from tests.e2e.edge.conftest import PACKAGE, opened
from tests.e2e.served import serving, until
from tests.kubeflow.client import KubeflowClient

pytestmark = pytest.mark.real
METADATA = {"text": "x", "whole": 3, "float": 0.5, "yes": True, "label": ""}


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """A server."""
    with serving(tmp_path_factory.mktemp("server")) as server:
        yield server


@pytest.fixture
def door(served):
    """The edge door of a project of its own, which is the Kubeflow client's too."""
    return opened(served, f"kubeflow-{uuid.uuid4().hex[:8]}")


@pytest.fixture
def client(served, door, tmp_path):
    """The client with a token of that project."""
    return KubeflowClient(served.url, door.token, tmp_path)


def test_register_get_update_archive(client, door):
    """What was registered is read back with its types; a second time is an error."""
    uri = "s3://bucket/models/net?endpoint=x"
    found = client(
        "register", name="my/net v2", version="1.0.0", uri=uri, metadata=METADATA,
        version_description="first", storage_key="key", storage_path="path", owner="team",
        model_source_kind="pipelines",
    )  # fmt: skip
    model, version, artifact = found["model"], found["version"], found["artifact"]
    assert (model["name"], model["owner"], model["state"]) == ("my/net v2", "team", "LIVE")
    assert (version["name"], version["author"], version["description"]) == ("1.0.0", "ann", "first")
    assert version["custom_properties"] == METADATA
    assert [type(v) for v in version["custom_properties"].values()] == [str, int, float, bool, str]
    assert (artifact["uri"], artifact["model_format_name"]) == (uri, "onnx")
    assert (artifact["storage_key"], artifact["model_source_kind"]) == ("key", "pipelines")
    assert client("again", name="my/net v2", version="1.0.0", uri=uri) == (
        "Version 1.0.0 already exists"
    )
    changed = client("update", name="my/net v2", version="1.0.0")
    assert changed["model"]["description"] == "Updated model description"
    assert changed["version"]["custom_properties"] == {**METADATA, "key": 42}
    assert changed["version"]["description"] == "Updated version description"
    assert changed["artifact"]["uri"] == "https://new.example/model.zip"
    for kind, old in found.items():
        assert changed[kind]["id"] == old["id"]
        assert changed[kind]["create_time_since_epoch"] == old["create_time_since_epoch"]
        assert int(changed[kind]["last_update_time_since_epoch"]) > int(
            old["last_update_time_since_epoch"]
        )
    assert client("archive", name="my/net v2") == "ARCHIVED"
    assert client("missing", name="my/net v2", version="9") == "Version 9 does not exist"
    host = door.url.removesuffix("/edge")
    assert client("old_prefix", host=host) == ["my/net v2"]


def test_pages(client, door):
    """The pager gives every model and version once, in every order, whatever the size of a page."""
    with door.native() as registry:
        for name in ("c", "a", "b", "e", "d"):
            client("register", name=name, version="1", uri=f"s3://b/{name}")
        for number in range(2, 6):
            client("register", name="a", version=str(number), uri=f"s3://b/a{number}")
        assert len(registry.client.models(door.project).items) == 5
    made = ["c", "a", "b", "e", "d"]
    for size in (1, 2, 5, 100):
        found = client("pages", size=size)
        assert found["creation_time up"] == found["update_time up"] == made
        assert found["creation_time down"] == made[::-1]
        assert found["id up"] == found["id down"][::-1]
        assert found[" up"] == sorted(made) == found[" down"][::-1]
        found = client("pages", size=size, model="a")
        assert found[" up"] == found["id up"] == found["creation_time up"] == list("12345")
        assert found[" down"] == list("54321")


def test_artifacts_filters_and_serving(client):
    """Artifacts of every kind, filters, environments and services."""
    client("register", name="net", version="1", uri="s3://b/net", metadata={"score": 0.9})
    client("register", name="net", version="2", uri="s3://b/net2", metadata={"score": 0.4})
    found = client("artifacts", name="net", version="1")
    assert found["alone"] == "changed"
    assert found["of_version"] == [
        ["ModelArtifact", "net"], ["DocArtifact", "paper"], ["DataSet", "train"],
        ["Parameter", "depth"], ["Metric", "accuracy"], ["Metric", "loss"],
    ]  # fmt: skip
    assert found["metrics"] == [["accuracy", 0.93, 7], ["loss", 0.93, 0]]
    assert found["named"] == ["paper"]
    assert found["all"] == ["accuracy", "alone", "depth", "loss", "net", "net", "paper", "train"]
    assert client("filtered", query="score.double_value > 0.5 AND name = '1'") == ["1"]
    assert client("filtered", query="score < 0.5 OR author = 'nobody'") == ["2"]
    assert client("serving", name="net", version="1") == {
        "state": "UNDEPLOYED", "services": ["svc"], "serves": True, "version": "1",
        "model": "net", "found": True, "environment": True,
    }  # fmt: skip


def test_one_registry_behind_three_doors(client, door, served, tmp_path):
    """An edge record, a pushed ZIP file and a model registered by the client: each is seen through the two
    other doors and in the catalogue."""
    import requests

    edge_id = door.registered(title="from-edge", version="1.5", category="Detection")
    (tmp_path / "net.zip").write_bytes(PACKAGE)
    with door.native() as registry:
        registry.push(f"{door.project}/from-push", tmp_path / "net.zip", label="2.5",
                      attributes={"category": "Anomaly"})  # fmt: skip
        client("register", name="from-kubeflow", version="3.5", uri="https://files.example/k.zip",
               metadata={"category": "Classification"})  # fmt: skip

        wanted = {"from-edge": ("1.5", "Detection"), "from-push": ("2.5", "Anomaly"),
                  "from-kubeflow": ("3.5", "Classification")}  # fmt: skip
        records = {r["name"]: r for r in door.get("/models").json()}
        assert {n: (r["version"], r["category"]) for n, r in records.items()} == wanted
        assert records["from-edge"]["id"] == edge_id
        assert records["from-kubeflow"]["file_url"] == "https://files.example/k.zip"
        for name, (version, category) in wanted.items():
            found = client("look", name=name, version=version)
            assert found["version"]["custom_properties"]["category"] == category
            assert found["artifact"]["name"] == name
            uri = found["artifact"]["uri"]
            assert uri == records[name]["file_url"] or uri.startswith(
                f"weighbridge://{door.project}/"
            )
            native = registry.client.version(door.project, name, 1)
            assert (native.state, native.attributes["category"]) == ("ready", category)
            assert native.package.id == records[name]["id"]
        # The client sends all properties back; the edge record stays what it is.
        before = door.record(edge_id)
        client("update_description", name="from-edge", version="1.5")
        after = door.record(edge_id)
        changing = {"last_updated_date": after["last_updated_date"]}
        assert after == {**before, **changing}

    with requests.Session() as browser:
        with weighbridge.Registry(served.url, served.token) as registry:
            browser.get(registry.client.ticket().url, timeout=30)
        for name, (_, category) in wanted.items():
            page = f"{served.url}/p/{door.project}/{quote(name)}/1/"

            def shown(page=page, category=category):
                answer = browser.get(page, timeout=30)
                return answer.status_code == 200 and category in answer.text

            until(shown)
        text = browser.get(f"{served.url}/p/{door.project}/from-kubeflow/1/", timeout=30).text
        assert "https://files.example/k.zip" in text


def test_what_is_not_routed_is_answered_in_the_clients_words(served, door):
    """Unknown paths and methods, with and without a token."""
    import requests

    base = f"{served.url}/api/model_registry/v1"
    for method, path, status in (
        ("GET", "a/b/c/d", 404), ("GET", "nothing", 404), ("DELETE", "registered_models/1", 405),
        ("PUT", "registered_models", 405), ("GET", "registered_models", 401),
    ):  # fmt: skip
        answer = requests.request(method, f"{base}/{path}", timeout=30)
        assert (answer.status_code, answer.json()["code"]) == (status, str(status)), path
        assert answer.json()["message"]
