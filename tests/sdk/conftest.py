"""A fake server, a registry that speaks to it, and a home of its own for each test."""

import pytest

from tests.sdk.fake_server import TOKEN, serving
from weighbridge import Registry


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A configuration and a cache that no other test sees."""
    monkeypatch.setenv("WEIGHBRIDGE_CONFIG", str(tmp_path / "home" / "config.json"))
    monkeypatch.setenv("WEIGHBRIDGE_CACHE", str(tmp_path / "home" / "cache"))
    for name in ("WEIGHBRIDGE_URL", "WEIGHBRIDGE_TOKEN", "WEIGHBRIDGE_CA_FILE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    return tmp_path / "home"


@pytest.fixture
def fake(home):
    """A running fake server."""
    with serving() as server:
        yield server


@pytest.fixture
def state(fake):
    """What the fake server knows."""
    return fake.state


@pytest.fixture
def registry(fake):
    """A registry on the fake server."""
    with Registry(fake.url, TOKEN) as registry:
        yield registry


@pytest.fixture
def content(tmp_path):
    """Makes files of recognisable bytes."""

    def make(name: str, size: int, seed: int = 1):
        path = tmp_path / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        block = bytes((i * 131 + seed * 17 + (i >> 8)) % 256 for i in range(65536))
        with path.open("wb") as stream:
            written = 0
            while written < size:
                # The position in each block keeps parts from being equal.
                head = written.to_bytes(8, "big")
                piece = (head + block[8:])[: size - written]
                written += stream.write(piece)
        return path

    return make


@pytest.fixture(params=["whole", "parts"])
def verify(request, monkeypatch):
    """Both ways to prove what was pulled, one after the other."""
    monkeypatch.setenv("WEIGHBRIDGE_VERIFY", request.param)
    return request.param
