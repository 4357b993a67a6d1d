"""A registry whose clients reach its store by way of the faulty proxy; the registry itself does not."""

import json
import os
import random
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.e2e.faults.proxy import FaultyS3, faulty_s3
from tests.e2e.served import READY_SECONDS, Person
from tests.storage.blobs_fixtures import ACCESS_KEY, SECRET_KEY, seaweed_server


@dataclass(slots=True)
class World:
    """The server, and the proxy between its clients and its store."""

    url: str
    token: str
    proxy: FaultyS3
    seed: int

    def person(self, home: Path) -> Person:
        """Somebody with an empty home."""
        home.mkdir(parents=True, exist_ok=True)
        return Person(home, self.url, self.token)


@pytest.fixture
def world(tmp_path):
    """A fresh server and store; the seed is printed, and taken from `FAULT_SEED` if that is set."""
    seed = int(os.environ.get("FAULT_SEED") or random.randrange(10**6))
    print(f"FAULT_SEED={seed}")
    keys = {"WEIGHBRIDGE_S3_ACCESS_KEY": ACCESS_KEY, "WEIGHBRIDGE_S3_SECRET_KEY": SECRET_KEY}
    home = tmp_path / "server"
    home.mkdir()
    ready, log = home / "ready.json", home / "serve.log"
    with seaweed_server(home) as store, faulty_s3(store.endpoint, seed) as proxy:
        words = [
            sys.executable, "-m", "weighbridge.cli", "serve", "--port", "0", "--data",
            str(home / "data"), "--ready-file", str(ready), "--s3-endpoint", store.endpoint,
            "--s3-public-url", proxy.url,
        ]  # fmt: skip
        with log.open("ab") as output:
            server = subprocess.Popen(
                words, env={**Person(home).env(), **keys}, stdin=subprocess.DEVNULL,
                stdout=output, stderr=output,
            )  # fmt: skip
        try:
            deadline = time.monotonic() + READY_SECONDS
            while not ready.exists():
                assert server.poll() is None, log.read_text()
                assert time.monotonic() < deadline, log.read_text()
                time.sleep(0.05)
            found = json.loads(ready.read_text())
            yield World(found["url"], found["token"], proxy, seed)
        finally:
            server.terminate()
            try:
                server.wait(30)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()
