"""The bytes on a real distributed store: SeaweedFS as a cluster, of which a machine dies meanwhile."""

import contextlib
import os
import subprocess
import sys
import uuid

import pytest

import weighbridge
from tests.e2e.served import Person, serving
from tests.stack import ROOT
from tests.storage.cluster import KEY, SECRET, cluster

pytestmark = pytest.mark.real
SUITE = ("test_blobs.py", "test_copies.py", "test_forms.py")
MIB = 1024**2


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    """The cluster."""
    with cluster(tmp_path_factory.mktemp("cluster")) as found:
        yield found


@pytest.mark.long
def test_the_behaviour_suite_holds_on_a_cluster(running):
    """Every promise of the port, as on one machine: the same tests, at another address."""
    env = {
        **os.environ, "WEIGHBRIDGE_TEST_S3": running.gateways[0],
        "WEIGHBRIDGE_TEST_S3_KEYS": f"{KEY} {SECRET}",
    }  # fmt: skip
    files = [f"tests/storage/{name}" for name in SUITE]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", "seaweedfs", *files],
        cwd=ROOT, env=env, capture_output=True, text=True, timeout=900,
    )  # fmt: skip
    print(done.stdout[-500:])
    assert done.returncode == 0, done.stdout[-5000:]


@pytest.mark.long
def test_a_registry_survives_a_machine_of_its_store(running, tmp_path):
    """Through one gateway in, through the other out; with a volume server dead all is read, pushed as a
    delta and pulled again. `weighbridge doctor` finds nothing that fails."""
    home = tmp_path / "server"
    home.mkdir()
    name = uuid.uuid4().hex[:8]
    env = {
        **running.env, "WEIGHBRIDGE_BUCKET": f"artifacts-{name}", "WEIGHBRIDGE_SITE_BUCKET": f"site-{name}",
    }  # fmt: skip
    options = ("--s3-endpoint", running.gateways[0], "--s3-public-url", running.gateways[1])
    big = tmp_path / "big.bin"
    big.write_bytes(os.urandom(80 * MIB))
    with (
        serving(home, *options, extra=env) as served,
        weighbridge.Registry(served.url, served.token) as registry,
    ):
        first = registry.push("vision/digits", big)
        assert first.sent_bytes == 80 * MIB
        person = Person(tmp_path, served.url, served.token)
        report = person.json("doctor", "--wait", "90")
        assert report["ok"], report
        running.kill("volume2")
        registry.pull("vision/digits@1", to=tmp_path / "out")
        assert (tmp_path / "out" / "big.bin").read_bytes() == big.read_bytes()
        with big.open("r+b") as changed:
            changed.seek(40 * MIB)
            changed.write(os.urandom(MIB))
        second = registry.push("vision/digits", big)
        assert second.sent_bytes < 40 * MIB
        registry.pull("vision/digits@2", to=tmp_path / "again")
        assert (tmp_path / "again" / "big.bin").read_bytes() == big.read_bytes()
        with contextlib.closing(running.blobs(env["WEIGHBRIDGE_BUCKET"], 1)) as blobs:
            assert sum(head.size for head in blobs.list("blobs/").heads) >= 160 * MIB
