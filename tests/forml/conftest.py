"""A running registry that counts its requests, and people who use ForML with it."""

import os
import random
import socket
from dataclasses import dataclass

import pytest

from tests.e2e.faults.proxy import Event, FaultyS3, faulty_s3
from tests.e2e.served import Served, serving
from tests.forml.desk import Desk, Program
from tests.storage.blobs_fixtures import ACCESS_KEY, SECRET_KEY, seaweed_server


@dataclass(slots=True)
class Counter:
    """A running registry behind a proxy that counts."""

    served: Served
    proxy: FaultyS3
    store: FaultyS3
    """The same before its store, where packages and states go."""

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
    """A running registry with a proxy before its API and one before its store."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    home = tmp_path_factory.mktemp("forml")
    keys = {"WEIGHBRIDGE_S3_ACCESS_KEY": ACCESS_KEY, "WEIGHBRIDGE_S3_SECRET_KEY": SECRET_KEY}
    with (
        faulty_s3(f"http://127.0.0.1:{port}", 1, share=0) as proxy,
        seaweed_server(home) as seaweed,
        faulty_s3(seaweed.endpoint, 1, share=0) as store,
        serving(
            home, "--port", str(port), "--public-url", proxy.url, "--s3-endpoint", seaweed.endpoint,
            "--s3-public-url", store.url, extra=keys,
        ) as served,
    ):  # fmt: skip
        yield Counter(served, proxy, store)


@pytest.fixture(scope="session")
def shared(tmp_path_factory):
    """One program that has imported ForML."""
    found = Program(tmp_path_factory.mktemp("shared"), dict(os.environ))
    try:
        yield found
    finally:
        found.end()


@pytest.fixture
def namespace():
    """A namespace that nobody used."""
    return f"t-{random.randrange(10**12)}"


@pytest.fixture
def desk(tmp_path, counter, namespace, shared):
    """Somebody with an empty home, whose requests are counted."""
    found = Desk(tmp_path, counter.url, counter.token, shared, namespace)
    try:
        yield found
    finally:
        found.end()
