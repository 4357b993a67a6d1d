"""`weighbridge site` on the data of a real server: built, checked, repaired."""

import json
import subprocess
import sys

import pytest

from chalicelib.storage.s3 import S3Blobs
from infra.embedded.seaweed import REGION
from tests.e2e.embedded import serving
from tests.e2e.served import until
from tests.infra.asking import over_http

pytestmark = pytest.mark.real


def site(env, *words):
    """The command's exit code and output."""
    command = [sys.executable, "-m", "weighbridge.cli", "site", *words]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=120)
    return done.returncode, done.stdout, done.stderr


def store(served):
    """The site of a running server, written past it."""
    keys = json.loads((served.data / "secrets.json").read_text())
    return S3Blobs(
        "weighbridge-site", REGION, endpoint=served.s3, access_key=keys["s3_access_key"],
        secret_key=keys["s3_secret_key"],
    )  # fmt: skip


def test_site_is_built_checked_and_repaired(tmp_path):
    """While it is served the folder is refused; afterwards what is planted is told and put right."""
    data, out = tmp_path / "data", tmp_path / "public"
    weights = tmp_path / "model.bin"
    weights.write_bytes(b"weights")
    with serving.serve(data) as served:
        serving.run(served.env, "push", "vision/digits", str(weights), cwd=tmp_path)
        serving.run(served.env, "checkpoint", "push", "vision/digits@1", str(weights), "--step", "5",
                    cwd=tmp_path)  # fmt: skip
        env = served.env
        pages = store(served)
        # A fresh server puts its styles there by its first sweep, this page last.
        until(lambda: pages.list("404.html").heads)
        code, _, said = site(env, "check", f"--data={data}")
        assert (code, "is being served already" in said) == (7, True)
    code, told, said = site(env, "check", f"--data={data}")
    assert (code, "nothing is wrong" in told) == (0, True), (told, said)
    code, told, said = site(env, "build", f"--data={data}", f"--out={out}")
    assert code == 0, said
    assert (out / "p/vision/digits/1/checkpoints/1/index.html").is_file()
    (out / "p/vision/digits/1/index.html").unlink()
    code, told, _ = site(env, "check", f"--data={data}", f"--out={out}", "--json")
    found = json.loads(told)
    assert (code, found["missing"]) == (1, ["p/vision/digits/1/index.html"])
    assert {"page": "p/vision/digits/index.html", "link": "/p/vision/digits/1/"} in found["broken"]
    assert site(env, "check", f"--data={tmp_path}")[0] == 2
    with serving.serve(data) as served:
        pages = store(served)
        pages.delete(["p/vision/digits/1/index.html"])
        pages.put("p/gone/index.html", b"left behind")
    code, told, _ = site(env, "check", f"--data={data}", "--repair")
    assert (code, "missing p/vision/digits/1/index.html" in told) == (0, True), told
    assert "stray   p/gone/index.html" in told
    with serving.serve(data) as served:
        assert over_http(served.port, "GET", "/api/health").status == 200
        assert store(served).head("p/vision/digits/1/index.html").size
