"""A file of 8 GiB is pushed and pulled, and memory stays where it is."""

import sys
import tempfile
from pathlib import Path

import pytest

from benchmarks import cases, runs, targets
from benchmarks.runs import Measured

pytestmark = pytest.mark.real

GIB = 1024**3
SIZE = 8 * GIB
GROWN = 256 * 1024**2
"""Resident memory above that of the idle client, at its highest."""


def moved(command, env):
    """What `benchmarks.ours` printed about a push or a pull in a process of its own."""
    measured = Measured()
    found = runs.run(command, env, measured)
    assert found is not None, measured.errors
    return found


@pytest.mark.long
def test_eight_gibibytes_move_in_bounded_memory(record_property):
    """Random bytes, to a store that discards and serves the file itself; what comes back is the same."""
    # Not in `tmp_path`, which is kept after the test.
    with tempfile.TemporaryDirectory(prefix="size-") as name:
        folder = Path(name)
        file = cases.random_file(folder / "big.bin", SIZE)
        with targets.sink(folder, (file,)) as target:
            env = target.our_env(folder / "cache")
            ours = [sys.executable, "-m", "benchmarks.ours"]
            pushed = moved([*ours, "push", "big/m", str(file)], env)
            pulled = moved([*ours, "pull", "big/m@1", str(folder / "back")], env)
        for way, found in (("push", pushed), ("pull", pulled)):
            record_property(f"{way}_seconds", round(found["seconds"], 1))
            record_property(f"{way}_grown_mib", round(found["grown"] / 1024**2, 1))
            record_property(f"{way}_requests", found["requests"])
        assert pushed["sent"] == pulled["received"] == SIZE
        [back] = (path for path in (folder / "back").rglob("*") if path.is_file())
        assert back.stat().st_size == SIZE
        assert runs.sha256_of(back) == runs.sha256_of(file)
        assert pushed["grown"] <= GROWN, "of the push"
        assert pulled["grown"] <= GROWN, "of the pull"
