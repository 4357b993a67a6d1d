"""A running registry that counts its requests, and people who use ForML with it."""

import random
import socket
from dataclasses import dataclass

import pytest

from tests.e2e.faults.proxy import Event, FaultyS3, faulty_s3
from tests.e2e.served import Served, serving
from tests.forml.desk import Desk


@dataclass(slots=True)
class Counter:
    """A running registry behind a proxy that counts."""

    served: Served
    proxy: FaultyS3

    @property
    def url(self) -> str:
        """The address that clients use."""
        return self.proxy.url

    @property
    def token(self) -> str:
        """A token that may do everything."""
        return self.served.token

    @property
    def events(self) -> list[Event]:
        """Every request so far."""
        return self.proxy.events


@pytest.fixture(scope="session")
def counter(tmp_path_factory):
    """A proxy before the API of a running registry; `events` has every request."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with faulty_s3(f"http://127.0.0.1:{port}", 1, share=0) as proxy:
        home = tmp_path_factory.mktemp("forml")
        with serving(home, "--port", str(port), "--public-url", proxy.url) as served:
            yield Counter(served, proxy)


@pytest.fixture
def namespace():
    """A namespace that nobody used."""
    return f"t-{random.randrange(10**12)}"


@pytest.fixture
def desk(tmp_path, counter, namespace):
    """Somebody with an empty home, whose requests are counted."""
    found = Desk(tmp_path, counter.url, counter.token, namespace)
    try:
        yield found
    finally:
        found.end()
