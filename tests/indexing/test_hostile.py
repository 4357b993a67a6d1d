"""No hostile file is called safe, none of them executes, none takes long or much memory."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def seen():
    """Every hostile file as described in a process of its own, under the audit hook."""
    paths = os.pathsep.join((str(ROOT), str(ROOT / "sdk")))
    run = subprocess.run(
        [sys.executable, "-m", "tests.indexing.hostile_run"], cwd=ROOT, capture_output=True,
        env={**os.environ, "PYTHONPATH": paths}, timeout=300,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr.decode()[-2000:]
    return [json.loads(line) for line in run.stdout.splitlines()]


def test_none_is_called_safe(seen):
    """Every verdict is unsafe or unknown, and says why."""
    assert len(seen) >= 200
    for what, _, verdict, _, _, findings in seen:
        assert verdict in ("unsafe", "unknown"), what
        assert findings or verdict == "unknown", what


def test_a_plain_call_of_a_gadget_is_unsafe(seen):
    """Whatever is called outside of the list is named, and unsafe."""
    calls = [line for line in seen if line[0].startswith("call ")]
    assert len(calls) >= 100
    for what, _, verdict, _, _, findings in calls:
        assert verdict == "unsafe", what
        assert any(text.startswith("calls ") for text in findings), what


def test_none_takes_long(seen):
    """2 seconds of processor time at most, for each file."""
    slow = {what: seconds for what, _, _, seconds, _, _ in seen if seconds > 2}
    assert not slow


def test_none_takes_much_memory(seen):
    """The process that described all of them never held more than 256 MiB."""
    assert max(peak for _, _, _, _, peak, _ in seen) < 256


def test_the_guard_would_have_noticed():
    """The audit hook ends a process that does what the hostile files would."""
    code = (
        "import sys; from tests.indexing import hostile_run as h; sys.addaudithook(h.guard); "
        "h.armed = True; import os; os.system('true')"
    )
    paths = os.pathsep.join((str(ROOT), str(ROOT / "sdk")))
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True,
        env={**os.environ, "PYTHONPATH": paths}, timeout=60,
    )  # fmt: skip
    assert run.returncode == 99
    assert b"os.system" in run.stderr
