"""Which server and which token: argument, environment, file; and a token stays with its server."""

import json
import stat

import pytest

from weighbridge import Registry, config
from weighbridge.contract.errors import InvalidRequest
from weighbridge.http import Pool


@pytest.fixture
def env(tmp_path):
    """An environment with only a configuration file of its own."""
    return {"WEIGHBRIDGE_CONFIG": str(tmp_path / "w" / "config.json")}


def test_argument_comes_before_environment_before_file(env):
    """The nearest source wins, for address and token each."""
    config.save_server("http://file:1/", "from-file", env=env)
    assert config.load(env=env) == config.Config("http://file:1", "from-file")
    env |= {"WEIGHBRIDGE_URL": "http://env:2", "WEIGHBRIDGE_TOKEN": "from-env"}
    assert config.load(env=env) == config.Config("http://env:2", "from-env")
    assert config.load("http://arg:3", "from-arg", env=env) == config.Config(
        "http://arg:3", "from-arg"
    )


def test_stored_token_is_not_offered_to_another_server(env):
    """A token that was stored for one address is never used for another."""
    config.save_server("http://a:1", "secret-a", env=env)
    assert config.load("http://b:1", env=env).token == ""
    env["WEIGHBRIDGE_URL"] = "http://c:1"
    assert config.load(env=env).token == ""
    assert config.load("http://A:1/", env=env).token == "secret-a"


def test_several_servers_are_remembered(env):
    """Each server keeps its token; the last saved one is the default."""
    config.save_server("http://a:1", "x", env=env)
    config.save_server("https://b:1", "y", "ca.pem", env=env)
    assert config.load("http://a:1", env=env).token == "x"
    chosen = config.load(env=env)
    assert (chosen.url, chosen.token) == ("https://b:1", "y")
    assert chosen.ca_file.endswith("/ca.pem")
    assert config.forget(env=env)
    assert config.load(env=env).url == "http://a:1"
    assert config.forget("http://a:1", env=env)
    assert not config.forget("http://a:1", env=env)
    assert not config.path(env).exists()


def test_file_is_private(env):
    """The file that holds tokens is readable by its owner only."""
    file = config.save_server("http://a:1", "x", env=env)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert [p.name for p in file.parent.iterdir()] == ["config.json"]


def test_nothing_known_is_said(env):
    """Without any address the error says what to do."""
    with pytest.raises(InvalidRequest, match="weighbridge login"):
        config.load(env=env)


@pytest.mark.parametrize(
    "url", ["ftp://x", "localhost:80", "http://", "http://u:p@h", "http://h?x"]
)
def test_bad_address_is_refused(env, url):
    """What is no plain HTTP address is refused."""
    with pytest.raises(InvalidRequest):
        config.load(url, env=env)


@pytest.mark.parametrize("text", ["{", "[]", "\xff"])
def test_damaged_file_is_named(env, text):
    """A file that cannot be understood is named, not overwritten."""
    file = config.path(env)
    file.parent.mkdir()
    file.write_bytes(text.encode("latin-1"))
    with pytest.raises(InvalidRequest, match=r"config\.json"):
        config.load(env=env)
    with pytest.raises(InvalidRequest):
        config.save_server("http://a:1", "x", env=env)
    assert file.read_bytes() == text.encode("latin-1")


def test_token_is_not_printed(env):
    """The configuration's text form hides the token."""
    config.save_server("http://a:1", "wb_1_topsecret", env=env)
    assert "topsecret" not in repr(config.load(env=env))
    assert json.loads(config.path(env).read_text())["servers"]["http://a:1"]["token"]


def test_constructing_a_registry_does_nothing_on_the_network(env, monkeypatch):
    """A registry for an address where nothing listens can be made."""
    monkeypatch.setenv("WEIGHBRIDGE_CONFIG", env["WEIGHBRIDGE_CONFIG"])
    with Registry("http://127.0.0.1:1", "x") as registry:
        assert registry.client.pool.requests == 0


def test_connections_are_limited_by_a_setting():
    """A number from 1 to 512, or an error that says so."""
    assert config.connections({}) == 64
    assert config.connections({"WEIGHBRIDGE_CONNECTIONS": "3"}) == 3
    for text in ("0", "513", "many", "-1", "1e2", "٣"):
        with pytest.raises(InvalidRequest, match="from 1 to 512"):
            config.connections({"WEIGHBRIDGE_CONNECTIONS": text})


def test_what_proves_a_pull_is_a_setting():
    """What is asked for comes first; anything else than the two is an error that names its place."""
    assert config.verify(env={}) == "whole"
    assert config.verify(env={"WEIGHBRIDGE_VERIFY": "parts"}) == "parts"
    assert config.verify("whole", {"WEIGHBRIDGE_VERIFY": "parts"}) == "whole"
    with pytest.raises(InvalidRequest, match="WEIGHBRIDGE_VERIFY is 'none'; write whole or parts"):
        config.verify(env={"WEIGHBRIDGE_VERIFY": "none"})
    with pytest.raises(InvalidRequest, match="verify is ''"):
        config.verify("", {})


def test_a_setting_that_is_none_is_told_before_anything_is_asked(env, monkeypatch):
    """No version is left open by it."""
    monkeypatch.setenv("WEIGHBRIDGE_CONNECTIONS", "all")
    with pytest.raises(InvalidRequest, match="WEIGHBRIDGE_CONNECTIONS"):
        Pool(env=None)
    with pytest.raises(InvalidRequest, match="from 1 to 512"):
        Pool(env={**env, "WEIGHBRIDGE_CONNECTIONS": "0"})
