"""One registry behind every door: edge records are versions, pushed ZIP files are edge records; and the
clients of the edge registry as they are."""

import io
import zipfile
from pathlib import Path

import pytest
import requests

import weighbridge
from tests.e2e.edge.conftest import PACKAGE, archive, opened
from tests.e2e.served import until
from weighbridge.contract.errors import AlreadyExists

pytestmark = pytest.mark.real


def test_an_edge_record_is_a_version(door, tmp_path):
    """The SDK finds, compares and pulls it; what it changes is seen at the edge door."""
    own = door.registered(title="a/b", score="0.9", category="Detection", precision="int8")
    door.registered(title="a/b", version="2", labels='["x"]')
    with door.native() as registry:
        first = registry.client.version(door.project, "a%2Fb", 1)
        assert first.package.id == own
        assert first.metrics == {"score": 0.9}
        assert first.attributes["category"] == "Detection"
        compared = registry.client.compare(f"{door.project}/a%2Fb@1", f"{door.project}/a%2Fb@2")
        sections = {s.title: {d.name for d in s.differences} for s in compared.sections}
        assert {"category", "precision", "labels", "package_version"} <= sections["attributes"]
        assert sections["metrics"] == {"score"}
        registry.pull(f"{door.project}/a%2Fb@1", tmp_path / "out")
        assert (tmp_path / "out" / "m.zip").read_bytes() == PACKAGE
        registry.client.change_version(
            door.project, "a%2Fb", 1, metrics={"score": 0.95}, attributes={"architecture": "X"}
        )
        found = door.record(own)
        assert (found["architecture"], found["score"]) == ("X", 0.95)
        registry.client.delete_version(door.project, "a%2Fb", 1)
    assert door.get(f"/models/{own}").status_code == 404
    door.registered(title="a/b", precision="int8")


def test_a_pushed_zip_is_an_edge_record(door, tmp_path):
    """With an id of its own, and conflicts as any other; what is no package is not listed."""
    (tmp_path / "bolt.zip").write_bytes(PACKAGE)
    (tmp_path / "note.txt").write_text("x")
    with door.native() as registry:
        attributes = {"precision": ["fp16"], "category": "Detection"}
        registry.push(
            f"{door.project}/bolt", [tmp_path / "bolt.zip", tmp_path / "note.txt"], label="1.0",
            attributes=attributes, metrics={"score": 0.5},
        )  # fmt: skip
        registry.push(f"{door.project}/bolt", tmp_path / "note.txt")
        (found,) = door.get("/models?name=bolt&version=1.0&precision=FP16").json()
        assert found == door.get("/models").json()[0]
        assert (found["category"], found["score"]) == ("Detection", 0.5)
        assert found["size"] == len(PACKAGE)
        assert door.get(f"/models/{found['id']}/files").content == PACKAGE
        answer = door.post(title="bolt", version="1.0", precision="fp16")
        assert answer.status_code == 409
        assert f"'{found['id']}'" in answer.text
        own = door.registered(title="bolt", version="2.0")
        # The other way round the push stands, as a version that edge clients do not see.
        registry.push(f"{door.project}/bolt", tmp_path / "bolt.zip", label="2.0")
        assert registry.client.version(door.project, "bolt", "=2.0").package is None
        assert [r["id"] for r in door.get("/models?version=2.0").json()] == [own]
        (other,) = door.get("/models?version=2.0").json()
        taken = {"package_version": "1.0", "precision": ["fp16"]}
        with pytest.raises(AlreadyExists, match=found["id"]):
            registry.client.change_version(door.project, "bolt", 3, attributes=taken)
        assert door.get("/models?version=2.0").json() == [other]
    assert door.ask("DELETE", f"/models/{found['id']}").status_code == 204


def test_the_page_of_a_version_shows_what_the_edge_says(embedded, door):
    """Attributes and score stand in the catalogue."""
    door.registered(title="shown", category="Anomaly-X", target_device_type="cloud")
    with requests.Session() as browser:
        with weighbridge.Registry(embedded.url, embedded.token) as registry:
            browser.get(registry.client.ticket().url, timeout=30)

        def page():
            answer = browser.get(f"{embedded.url}/p/{door.project}/shown/1/", timeout=30)
            return answer.text if answer.status_code == 200 else ""

        text = until(page)
    for words in ("Anomaly-X", "target_device_type", "cloud", "package_version"):
        assert words in text


# Clients as they are


def pipeline_server_fetch(url, auth, params, folder):
    """What the video pipeline server does: one match, its files, unpacked beside its name."""
    answer = requests.get(f"{url}/models", params=params, auth=auth, timeout=300)
    if answer.status_code != 200 or len(answer.json()) != 1:
        return None
    (model,) = answer.json()
    files = requests.get(f"{url}/models/{model['id']}/files", auth=auth, timeout=300, stream=True)
    assert files.headers["Content-Type"] == "application/zip"
    name = f"{model['name']}_m-{model['version']}_{model['precision'][0]}".lower()
    with zipfile.ZipFile(io.BytesIO(files.content)) as found:
        inner = found.namelist()[0]
        cut = "" if "deployment" in inner else inner
        for entry in found.namelist():
            target = Path(folder, name, entry.removeprefix(cut))
            if not entry.endswith("/"):
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(found.read(entry))
    return Path(folder, name)


@pytest.mark.parametrize("which", ["embedded", "redirecting"])
def test_the_video_pipeline_server_finds_and_unpacks_a_model(which, request, tmp_path):
    """With packages inline and behind a redirect."""
    door = opened(request.getfixturevalue(which))
    data = archive(**{"deployment/Detection/model/model.xml": "<net/>"})
    door.registered(title="Pallets", version="v1", precision="fp16", origin="Geti", data=data)
    door.registered(title="Pallets", version="v1", precision="fp32", origin="Geti", data=data)
    params = {"name": "pallets", "version": "v1", "precision": "FP16"}
    found = pipeline_server_fetch(door.url, ("x", door.token), params, tmp_path)
    assert found.name == "pallets_m-v1_fp16"
    assert (found / "deployment/Detection/model/model.xml").read_text() == "<net/>"
    del params["precision"]
    assert pipeline_server_fetch(door.url, ("x", door.token), params, tmp_path) is None
    params["name"] = "unknown"
    assert pipeline_server_fetch(door.url, ("x", door.token), params, tmp_path) is None


def test_a_time_series_client_takes_the_first(door):
    """Element 0, its files, an archive of three folders."""
    data = archive(**{"udfs/a.py": "", "models/m": "", "tick_scripts/t": ""})
    door.registered(title="windturbine", version="1.0", data=data)
    auth = ("x", door.token)
    listed = requests.get(
        f"{door.url}/models?name=windturbine&version=1.0", auth=auth, timeout=10
    ).json()
    files = requests.get(f"{door.url}/models/{listed[0]['id']}/files", auth=auth, timeout=30)
    with zipfile.ZipFile(io.BytesIO(files.content)) as found:
        assert found.testzip() is None
