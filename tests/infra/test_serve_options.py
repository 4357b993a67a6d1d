"""What `serve` may be asked for, and the folder that it keeps everything in."""

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from infra.embedded import options
from infra.embedded.data_folder import DataFolder
from weighbridge.contract.errors import Conflict, InvalidRequest, Unavailable

ROOT = Path(__file__).parents[2]


@pytest.fixture
def tls(tmp_path):
    for name in ("cert.pem", "key.pem"):
        (tmp_path / name).write_text("x")
    return [f"--tls-cert={tmp_path / 'cert.pem'}", f"--tls-key={tmp_path / 'key.pem'}"]


def test_the_default_is_loopback_without_anonymous_access():
    """Nothing but this machine, and nobody without a token."""
    asked = options.parse([], {"XDG_DATA_HOME": "/data"})
    assert (asked.host, asked.port, asked.anonymous) == ("127.0.0.1", 8470, "none")
    assert asked.data == Path("/data/weighbridge")
    assert asked.address(8470) == "http://127.0.0.1:8470"
    assert options.default_data({}) == Path.home() / ".local/share/weighbridge"


def test_a_network_is_served_over_tls(tls):
    """Address, certificate and key; the address that clients use follows, or is given."""
    asked = options.parse([*tls, "--host=10.1.2.3", "--port=443"])
    assert asked.address(443) == "https://10.1.2.3:443"
    asked = options.parse([*tls, "--host=0.0.0.0", "--public-url=https://Models.example:8470/"])
    assert asked.address(1) == "https://models.example:8470"
    asked = options.parse([*tls, "--host=::1"])
    assert asked.address(1) == "https://[::1]:1"


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (["--anonymous=read", "--host=10.1.2.3", "TLS"], "loopback only"),
        (["--anonymous=admin", "--public-url=https://models.example"], "loopback only"),
        (["--host=10.1.2.3"], "needs --tls-cert"),
        (["--host=models.example"], "needs --tls-cert"),
        (["--host=0.0.0.0", "TLS"], "needs --public-url"),
        (["--host=::", "TLS"], "needs --public-url"),
        (["--tls-cert=CERT"], "go together"),
        (["--public-url=http://models.example", "TLS"], "https://"),
        (["--public-url=https://models.example"], "--s3-public-url"),
        (["--s3-public-url=https://s3.example"], "needs --tls-cert"),
        (["--port=65536"], "no port"),
        (["--port=-1"], "no port"),
        (["--tls-cert=/nowhere", "--tls-key=/nowhere"], "cannot be read"),
    ],
)
def test_what_cannot_be_served_safely_is_refused(argv, says, tls):
    """Each unsafe or contradictory combination names what is wrong."""
    words = []
    for word in argv:
        words += tls if word == "TLS" else [tls[0] if word == "--tls-cert=CERT" else word]
    with pytest.raises(InvalidRequest, match=says):
        options.parse(words)


@pytest.mark.parametrize(
    "url", ["models.example", "ftp://x", "http://x/path", "http://x:y", "http://u@x", "http://"]
)
def test_an_address_is_an_address(url, capsys):
    """Addresses with a path, a user name or no scheme end the process with a usage error."""
    with pytest.raises(SystemExit) as caught:
        options.parse([f"--public-url={url}"])
    assert caught.value.code == 2
    assert "--public-url" in capsys.readouterr().err


def test_secrets_are_made_once_and_are_nobody_elses(tmp_path):
    """The second start finds those of the first; only the owner can read them or the folder."""
    path = tmp_path / "a" / "data"
    folder = DataFolder(path)
    made = folder.secrets()
    folder.close()
    again = DataFolder(path)
    assert again.secrets() == made
    again.close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o700
    assert stat.S_IMODE((path / "secrets.json").stat().st_mode) == 0o600
    assert made.admin_token.startswith("wb_")
    assert len(made.secret) >= 64
    assert made.admin_token not in repr(made)
    assert sorted(p.name for p in path.iterdir()) == ["secrets.json", "serve.lock"]


def test_damaged_secrets_are_not_replaced(tmp_path):
    """A file that cannot be read is an error: new secrets would lock everybody out."""
    (tmp_path / "secrets.json").write_text("{")
    folder = DataFolder(tmp_path)
    with pytest.raises(Unavailable, match="secrets"):
        folder.secrets()
    folder.close()


def test_one_folder_is_served_once(tmp_path):
    """A second process is told who has it; when that one is killed, the folder is free."""
    code = (
        "import sys; from pathlib import Path; from infra.embedded.data_folder import DataFolder;"
        "f = DataFolder(Path(sys.argv[1])); print('held', flush=True); sys.stdin.read()"
    )
    env = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'sdk'}"}
    holder = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=env,
    )
    with holder:
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(Conflict, match=f"process {holder.pid}"):
            DataFolder(tmp_path)
        holder.kill()
        holder.wait(10)
    DataFolder(tmp_path).close()


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path):
    """A file in its place is named in the message."""
    (tmp_path / "file").write_text("")
    with pytest.raises(Unavailable, match="file"):
        DataFolder(tmp_path / "file")


def test_the_environment_holds_this_stack_and_no_other(tmp_path, monkeypatch):
    """What another stack left in the environment does not count; lifetimes may be set there."""
    from infra.embedded.data_folder import new_secrets
    from infra.embedded.stack import environment

    monkeypatch.setenv("WEIGHBRIDGE_BUCKET", "other")
    monkeypatch.setenv("WEIGHBRIDGE_SIGN_SECONDS", "60")
    asked = options.Options(tmp_path)
    found = environment(asked, tmp_path, new_secrets(), "http://127.0.0.1:1")
    assert found["WEIGHBRIDGE_BUCKET"] == "weighbridge-artifacts"
    assert found["WEIGHBRIDGE_SIGN_SECONDS"] == "60"
    assert found["WEIGHBRIDGE_CATALOG"] == f"sqlite:{tmp_path}/catalog.sqlite"
    other = options.Options(tmp_path, s3_endpoint="http://s3.example:9000")
    found = environment(other, tmp_path, new_secrets(), "http://127.0.0.1:1")
    assert found["WEIGHBRIDGE_BUCKET"] == "other"
    assert "WEIGHBRIDGE_S3_ACCESS_KEY" not in found
    assert json.dumps(found)
