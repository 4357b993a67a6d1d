"""A Geti server for each test, under an authority of its own."""

import pytest

from tests.e2e.embedded.certificates import authority
from tests.geti.stub import TOKEN, running
from weighbridge.contract.geti_access import Access
from weighbridge.geti.rest import RestSource
from weighbridge.transfer import plan


@pytest.fixture(scope="session")
def issued(tmp_path_factory):
    """A certificate for 127.0.0.1."""
    return authority(tmp_path_factory.mktemp("authority")).issue("127.0.0.1")


@pytest.fixture
def server(issued):
    """The server, and its address."""
    with running(issued) as found:
        yield found


@pytest.fixture
def geti(server):
    """The server's content."""
    return server[0]


@pytest.fixture
def access(server, issued):
    """How the server is reached."""
    return Access(server[1], TOKEN, ca_file=str(issued.authority))


@pytest.fixture
def source(access, monkeypatch):
    """Our own client; its waits are short."""
    monkeypatch.setattr(plan, "BACKOFF", 0.001)
    found = RestSource(access)
    yield found
    found.close()
