"""The emulated AWS that other tests rely on: alone on loopback, and gone when it should be."""

import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from chalicelib.registry.ports import Item, Key, Put
from chalicelib.storage.dynamo import DynamoTable
from tests import stack
from tests.stack import AWS_ENV, ROOT, ministack

pytestmark = pytest.mark.real
CLIENT = Config(retries={"total_max_attempts": 1}, connect_timeout=2, read_timeout=10)


@pytest.fixture(autouse=True)
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of the emulator."""
    for name, value in AWS_ENV.items():
        monkeypatch.setenv(name, value)


def until(holds: Callable[[], bool], seconds: float = 10) -> bool:
    """Whether it holds at last."""
    deadline = time.monotonic() + seconds
    while not holds() and time.monotonic() < deadline:
        time.sleep(0.02)
    return holds()


def listening(pid: int) -> set[str]:
    """The hexadecimal addresses on which a process listens, for IPv4 and IPv6."""
    inodes = {os.readlink(fd) for fd in Path(f"/proc/{pid}/fd").iterdir()}  # noqa: PTH115
    sockets = [
        line.split()
        for name in ("tcp", "tcp6")
        for line in Path(f"/proc/{pid}/net/{name}").read_text().splitlines()[1:]
    ]
    return {s[1] for s in sockets if s[3] == "0A" and f"socket:[{s[9]}]" in inodes}


def runs(pid: int) -> bool:
    """Whether there is such a process that is not just waiting to be collected."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_it_listens_on_one_port_of_loopback() -> None:
    """Nothing is reachable from elsewhere, whatever services are used."""
    with ministack() as running:
        table = DynamoTable("some-table", "us-east-1", running.endpoint)
        table.create_table()
        table.close()
        port = int(running.endpoint.rpartition(":")[2])
        assert listening(running.pid) == {f"0100007F:{port:04X}"}
    assert not runs(running.pid)


def test_it_stops_with_the_process_that_wanted_it() -> None:
    """A test run that is killed leaves no server behind."""
    code = (
        "import time; from tests.stack import ministack\n"
        "with ministack() as s: print(s.pid, flush=True); time.sleep(60)"
    )
    env = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'sdk'}"}
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout
        pid = int(owner.stdout.readline())
        assert runs(pid)
        owner.send_signal(signal.SIGKILL)
    assert until(lambda: not runs(pid))


def test_with_auth_it_enforces_policies() -> None:
    """A user without a policy is refused; without `auth` everybody may do everything."""
    for auth in (True, False):
        with ministack(auth=auth) as running:
            iam = boto3.client("iam", endpoint_url=running.endpoint, config=CLIENT)
            iam.create_user(UserName="nobody")
            key = iam.create_access_key(UserName="nobody")["AccessKey"]
            s3 = boto3.client(
                "s3",
                endpoint_url=running.endpoint,
                aws_access_key_id=key["AccessKeyId"],
                aws_secret_access_key=key["SecretAccessKey"],
                config=CLIENT,
            )
            if auth:
                with pytest.raises(ClientError, match="AccessDenied"):
                    s3.list_buckets()
            else:
                assert s3.list_buckets()["Buckets"] == []
            iam.close()
            s3.close()


def test_with_a_folder_it_survives_a_kill(tmp_path: Path) -> None:
    """State is on disk soon after a write, and there again after a start."""
    item = Item(Key("p", "s"), {"n": 1}, {"a": "remember me"})
    with ministack(data=tmp_path) as running:
        table = DynamoTable("some-table", "us-east-1", running.endpoint)
        table.create_table()
        table.write(Put(item))
        table.close()
        assert until(lambda: b"remember me" in saved(tmp_path))
        os.kill(running.pid, signal.SIGKILL)
    with ministack(data=tmp_path) as running:
        table = DynamoTable("some-table", "us-east-1", running.endpoint)
        assert table.get(item.key) == item
        table.close()


def saved(folder: Path) -> bytes:
    """What is on disk of the tables."""
    path = folder / "state" / "dynamodb.json"
    return path.read_bytes() if path.exists() else b""


def test_without_its_environment_it_says_how_to_make_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The error is the one command that helps; nothing is skipped."""
    monkeypatch.setattr(stack, "MINISTACK_PYTHON", tmp_path / "python")
    with pytest.raises(RuntimeError, match=r"make \.venv-ministack"), ministack():
        pytest.fail("it cannot run")


def test_its_address_answers_when_the_block_begins() -> None:
    """Nobody needs to wait or to try again."""
    with (
        ministack() as running,
        urllib.request.urlopen(f"{running.endpoint}/_ministack/health") as r,
    ):
        assert r.status == 200
