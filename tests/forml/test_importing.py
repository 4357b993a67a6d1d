"""Registries that ForML's own providers kept are taken over whole, as often as one likes."""

import json
import socket
import subprocess
import urllib.error
import urllib.request

import pytest

from tests.e2e.served import Person, until
from tests.forml.desk import PYTHON

pytestmark = pytest.mark.real


def check(desk, person, told, source, *words):
    """A dry run, the import, the same again; then all that ForML reads of it."""
    at = ("forml", "import", source, "--namespace", desk.namespace, *words)
    dry = person.json(*at, "--dry-run")
    assert {s["outcome"] for s in dry["steps"]} == {"missing"}
    first = person.json(*at)
    assert ({s["outcome"] for s in first["steps"]}, first["problems"]) == ({"imported"}, 0)
    assert len(first["steps"]) == len(told) * 4
    again = person.json(*at)
    assert ({s["outcome"] for s in again["steps"]}, again["problems"]) == ({"there"}, 0)
    found = desk.run("imported", json.dumps(told))
    for name in told:
        assert found[name] == {
            "releases": ["1.0", "1.1.dev1"], "generations": [1, 2], "states": [True, True],
            "mounted": "1.0",
        }  # fmt: skip


def test_a_posix_registry_is_taken_over(desk, counter, tmp_path):
    """Folders of ForML's posix provider; what was changed since is a problem, never overwritten."""
    person = Person(tmp_path, counter.url, counter.token)
    root = tmp_path / "old"
    told = desk.run("posix", tmp_path / "work", root)
    check(desk, person, told, root)
    sid = told["demo-one"][0][0]
    state = root / "demo-one" / "1.0" / "1" / f"{sid}.bin"
    state.write_bytes(b"changed")
    outcome = person.run("forml", "import", root, "--namespace", desk.namespace, "--json")
    assert outcome.code == 6
    [problem] = [s for s in outcome.json["steps"] if s["outcome"] == "problem"]
    assert (problem["project"], problem["generation"]) == ("demo-one", 1)
    assert "other content" in problem["problem"]
    (state.parent / "tag.toml").unlink()
    lost = person.run(
        "forml", "import", root, "--namespace", desk.namespace + "x", "--only", "demo-one"
    )
    assert lost.code == 6
    assert "--renumber" in lost.out
    person.ok(
        "forml",
        "import",
        root,
        "--namespace",
        desk.namespace + "x",
        "--only",
        "demo-one",
        "--renumber",
    )


def test_a_registry_on_a_tracking_server_is_taken_over(desk, counter, tmp_path):
    """Experiments and runs of ForML's mlflow provider."""
    person = Person(tmp_path, counter.url, counter.token)
    with socket.create_server(("127.0.0.1", 0)) as free:
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    home = tmp_path / "mlflow"
    home.mkdir()
    with (home / "log").open("wb") as log:
        server = subprocess.Popen(
            [PYTHON, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", url.rpartition(":")[2],
             "--workers", "1", "--backend-store-uri", f"sqlite:///{home}/store.db",
             "--artifacts-destination", str(home / "artifacts")],
            cwd=home, env={**desk.env(), "MLFLOW_DISABLE_TELEMETRY": "true"}, stdout=log, stderr=log,
            stdin=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
    try:
        until(lambda: _answers(server, url, home / "log"), 240, 0.5)
        told = desk.run("mlflow", tmp_path / "work", url, "team")
        check(desk, person, told, url, "--repoid", "team")
        assert person.json("forml", "import", url, "--namespace", desk.namespace)["steps"] == []
    finally:
        server.terminate()
        try:
            server.wait(30)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def _answers(server, url, log):
    assert server.poll() is None, log.read_text()
    try:
        with urllib.request.urlopen(f"{url}/health", timeout=5) as answer:
            return answer.status == 200
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return False
