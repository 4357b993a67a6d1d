"""Memory stays bounded whatever the size of a file."""

import os
import subprocess
import sys
from pathlib import Path

from tests.sdk.fake_server import MIB, TOKEN
from weighbridge.contract import digests, manifests, types
from weighbridge.contract.manifests import FileEntry
from weighbridge.transfer import plan

SDK = Path(__file__).resolve().parents[2] / "sdk"
RUN = """
import sys, weighbridge, weighbridge.registry
def peak():
    with open("/proc/self/status") as lines:
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
before = peak()
with weighbridge.Registry() as registry:
    if sys.argv[1] == "push":
        done = registry.push("p/m", sys.argv[2])
    else:
        done = registry.pull("p/m@1", sys.argv[2])
print(peak() - before)
"""


def _growth(fake, *arguments):
    env = {**os.environ, "PYTHONPATH": str(SDK), "WEIGHBRIDGE_URL": fake.url}
    env["WEIGHBRIDGE_TOKEN"] = TOKEN
    done = subprocess.run(
        [sys.executable, "-c", RUN, *arguments], env=env, capture_output=True, timeout=120
    )
    assert done.returncode == 0, done.stderr.decode()
    return int(done.stdout) * 1024


def test_push_of_one_gib_takes_little_memory(fake, state, tmp_path):
    """A sparse file of 1 GiB is pushed with less than 192 MiB more than an idle client has: the eight
    parts that are under way, and little else."""
    path = tmp_path / "sparse"
    with path.open("wb") as stream:
        stream.truncate(1024 * MIB)
    state.discard = True
    assert _growth(fake, "push", str(path)) < 192 * MIB
    assert sum(state.stored.values()) == 64
    assert len(state.ready()) == 1


def test_pull_takes_little_memory(fake, state, tmp_path):
    """A file of 256 MiB is pulled with less than 64 MiB more than an idle client has."""
    size = 256 * MIB
    data = bytes(size)
    parts = [digests.sha256_of(data[s.offset : s.offset + s.size]) for s in plan.cuts(size)]
    whole = digests.sha256_of(data)
    entry = FileEntry("zeros", size, whole, plan.blob_of(size, whole, parts))
    state.objects["k"] = data
    state.blobs["p", entry.blob] = "k"
    at = ("p", "m", 1)
    manifest = manifests.digest([entry])
    state.versions[at] = types.Version("p", "m", 1, "ready", manifest=manifest)
    state.files[at] = {"zeros": entry}
    assert _growth(fake, "pull", str(tmp_path / "out")) < 64 * MIB
    assert (tmp_path / "out" / "zeros").stat().st_size == size
