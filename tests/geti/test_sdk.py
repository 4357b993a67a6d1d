"""The real geti-sdk 2.13.1 and our own client, against the same server: equal results (E39)."""

import json
import subprocess
from pathlib import Path

import pytest

from tests.geti.driver import told
from tests.geti.stub import TOKEN, label, number
from weighbridge.contract import geti_access
from weighbridge.contract.errors import RegistryError
from weighbridge.geti.rest import RestSource

pytestmark = pytest.mark.real
ROOT = Path(__file__).resolve().parents[2]
PYTHON = ROOT / ".venv-geti" / "bin" / "python"


@pytest.fixture
def env(server, issued):
    """The variables of both."""
    return {"GETI_HOST": server[1], "GETI_TOKEN": TOKEN, "GETI_CA_FILE": str(issued.authority)}


def by_sdk(env, *ask):
    """What the SDK makes of the server, in its own environment."""
    if not PYTHON.exists():
        raise RuntimeError("geti-sdk is not installed: run `make .venv-geti`")
    done = subprocess.run(
        [PYTHON, "-W", "error", Path(__file__).with_name("driver.py")],
        input=json.dumps({"env": env, "ask": ask}), cwd="/",
        env={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "PYTHONDONTWRITEBYTECODE": "1",
             "PYTHONPATH": f"{ROOT}/sdk:{ROOT}"},
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, (done.stdout, done.stderr)
    assert TOKEN not in done.stdout + done.stderr
    return json.loads(done.stdout)


def by_rest(env, *ask):
    """What our own client makes of it."""
    try:
        source = RestSource(geti_access.read(env))
        return json.loads(json.dumps(told(source, ask)))
    except RegistryError as error:
        return {"error": type(error).__name__}


def test_e39_both_clients_give_the_same(geti, env):
    """Projects on two pages, groups, models, records and the bytes of packages."""
    geti.page = 1
    geti.project(0x100, "Pallets")
    geti.project(0x200, "Bolts & more", ("detection", "anomaly_classification"))
    geti.projects[number(0x200)]["pipeline"]["tasks"][2]["labels"] = [label("ok"), label("bad")]
    model = geti.models[number(0x202)]
    model["labels"] = [{**label("nut"), "hotkey": "ctrl+1", "is_background": False}]
    model["optimized_models"][0] |= {"performance": None, "precision": ["INT8", "FP16"]}
    empty = geti.models[number(0x102)]
    empty["optimized_models"] = empty["optimized_models"][2:]
    found = by_rest(env)
    assert [one["name"] for one in found["projects"]] == ["Pallets", "Bolts & more"]
    assert len(found["packages"]) == 2
    assert found["again"] == found["projects"]
    assert by_sdk(env) == found


@pytest.mark.parametrize(
    "switch", ["token", "workspaces", "missing", "broken", "certificate", "refused"]
)
def test_e39_both_clients_fail_alike(geti, env, switch):
    """A wrong token, two workspaces, a project that is gone, a broken package, a certificate of others."""
    geti.project(0x100, "Pallets")
    expected = {
        "token": "Unauthenticated", "workspaces": "InvalidRequest", "missing": "NotFound",
        "broken": "IntegrityError", "certificate": "TransferError", "refused": "Forbidden",
    }[switch]  # fmt: skip
    ask = [number(7)] if switch == "missing" else []
    if switch == "token":
        env["GETI_TOKEN"] = "geti_pat_of_somebody_else"
    elif switch == "workspaces":
        geti.workspaces.append("ws-2")
    elif switch == "broken":
        geti.packages[number(0x103)] = b"PK\x03\x04 broken"
    elif switch == "refused":
        geti.fail("/model_groups$", 403, 403)
    elif switch == "certificate":
        env.pop("GETI_CA_FILE")
    own = "Untrusted" if switch == "certificate" else expected  # a kind of TransferError
    assert by_rest(env, *ask) == {"error": own}
    assert by_sdk(env, *ask)["error"] == expected
