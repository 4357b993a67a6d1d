"""However large a model is, making and taking apart its archive takes the same memory."""

import json
import subprocess
import sys

import pytest

from tests.stack import ROOT

MIB = 1024 * 1024
MOST = 50 * MIB


def growth(seaweed, folder, mib):
    """What a process told that moved a model of that size."""
    command = [
        sys.executable, "-m", "tests.archives.memory_run", seaweed.endpoint, seaweed.access_key,
        seaweed.secret_key, seaweed.bucket, str(folder), str(mib),
    ]  # fmt: skip
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env={
        "PYTHONPATH": f"{ROOT}:{ROOT / 'sdk'}", "PATH": "/usr/bin:/bin",
    })  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    told = json.loads(done.stdout)
    assert told["size"] > mib * MIB
    print(told)
    return told["growth"]


@pytest.mark.real
def test_a_large_archive_takes_no_memory(seaweed, tmp_path):
    """A model of 192 MiB out and in: less than 50 MiB more than one of 18 MiB took."""
    assert growth(seaweed, tmp_path, 192) < MOST


@pytest.mark.real
@pytest.mark.long
def test_an_archive_of_two_gibibytes_takes_no_memory(seaweed, tmp_path):
    """A party model of 2 GiB (and a little more: ZIP64) out and in."""
    assert growth(seaweed, tmp_path, 2049) < MOST
