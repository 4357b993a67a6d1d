"""Object stores for tests: SeaweedFS as a real server, and a sender of signed requests."""

import contextlib
import http.client
import os
import socket
import ssl
import tempfile
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from chalicelib.storage.memory import Answer, Request
from chalicelib.storage.s3 import S3Blobs
from infra.embedded.seaweed import SeaweedFS

ACCESS_KEY = "weighbridge-test"
SECRET_KEY = "a secret that only this test knows"
REGION = "us-east-1"


@dataclass(frozen=True)
class Seaweed:
    """A running SeaweedFS with two empty buckets."""

    endpoint: str
    access_key: str
    secret_key: str
    bucket: str
    site_bucket: str
    server: SeaweedFS | None

    def blobs(self, bucket: str = "", prefix: str = "") -> S3Blobs:
        """The adapter on one of its buckets; close it when done."""
        return S3Blobs(
            bucket or self.bucket,
            REGION,
            self.endpoint,
            access_key=self.access_key,
            secret_key=self.secret_key,
            prefix=prefix,
        )


@contextlib.contextmanager
def seaweed_server(data: Path | None = None, **options) -> Iterator[Seaweed]:
    """SeaweedFS until the block ends; in a temporary folder unless `data` names one."""
    with contextlib.ExitStack() as stack:
        folder = data or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="seaweed-")))
        server = stack.enter_context(
            SeaweedFS(folder, access_key=ACCESS_KEY, secret_key=SECRET_KEY, **options)
        )
        running = Seaweed(
            server.endpoint, ACCESS_KEY, SECRET_KEY, "test-artifacts", "test-site", server
        )
        for bucket in (running.bucket, running.site_bucket):
            with contextlib.closing(running.blobs(bucket)) as blobs:
                blobs.ensure_bucket()
        yield running


@pytest.fixture(scope="session")
def seaweed() -> Iterator[Seaweed]:
    """One SeaweedFS for all tests of a process; take a fresh prefix in it.

    `WEIGHBRIDGE_TEST_S3` (with `WEIGHBRIDGE_TEST_S3_KEYS`, "ACCESS SECRET") names another store instead: a
    cluster, or whatever else is to hold what a registry asks of it.
    """
    if endpoint := os.environ.get("WEIGHBRIDGE_TEST_S3"):
        access, _, secret = os.environ["WEIGHBRIDGE_TEST_S3_KEYS"].partition(" ")
        there = Seaweed(endpoint, access, secret, "test-artifacts", "test-site", None)
        for bucket in (there.bucket, there.site_bucket):
            with contextlib.closing(there.blobs(bucket)) as blobs:
                blobs.ensure_bucket()
        yield there
        return
    with seaweed_server() as running:
        yield running


@pytest.fixture
def seaweed_blobs(seaweed: Seaweed) -> Iterator[S3Blobs]:
    """The adapter on SeaweedFS, with a prefix that no other test uses."""
    with contextlib.closing(seaweed.blobs(prefix=f"{uuid.uuid4().hex}/")) as blobs:
        yield blobs


Send = Callable[..., Answer]


def send(
    signed: Request,
    body: bytes = b"",
    headers: dict[str, str] | None = None,
    context: ssl.SSLContext | None = None,
) -> Answer:
    """Sends a signed request as it is, with `headers` in addition or instead."""
    address = urlsplit(signed.url)
    if address.scheme == "https":
        connection: http.client.HTTPConnection = http.client.HTTPSConnection(
            address.netloc, timeout=30, context=context
        )
    else:
        connection = http.client.HTTPConnection(address.netloc, timeout=30)
    with contextlib.closing(connection):
        sent = signed.headers | (headers or {})
        connection.request(signed.method, f"{address.path}?{address.query}", body, sent)
        answer = connection.getresponse()
        names = {name.lower(): value for name, value in answer.getheaders()}
        return Answer(answer.status, names, answer.read())


@pytest.fixture
def free_port() -> int:
    """A port on which nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
