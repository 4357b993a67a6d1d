"""An unmodified ForML through the life of a project: release, train, apply, release again, list."""

import os
import signal
import time

import pytest

from tests.e2e.served import until
from tests.forml.desk import expected
from tests.forml.plan import Plan
from weighbridge.generations.listings import FULL_SECONDS

pytestmark = pytest.mark.real


def asked(counter, since):
    """The requests since then, without the queries."""
    return [f"{event.method} {event.path}" for event in counter.events[since:]]


LISTINGS = 3
"""Requests of a process for projects, releases and generations, once in ten seconds."""
WORKERS = {"threads": 0, "processes": 2}
"""Processes beside the command's own. Dask's pool decides how many of them get work."""


def most(requests, started, runner):
    """So many requests a command may need, on a machine where it takes long too."""
    again = int((time.monotonic() - started) / FULL_SECONDS)
    return requests + LISTINGS * (again + max(0, WORKERS[runner] - 1))


@pytest.mark.parametrize("runner", WORKERS)
def test_a_project_is_released_trained_and_applied(desk, counter, runner):
    """States are carried from training to training, and old generations stay what they were."""
    desk.init("0.1.0")
    print(desk.release())
    assert desk.listed() == ["demo-project"]
    assert desk.listed("demo-project") == ["0.1.0"]

    again = desk.release()
    assert "not an increment" in again, again
    desk.write("0.0.9")
    lower = desk.release()
    assert "not an increment" in lower, lower
    assert desk.listed("demo-project") == ["0.1.0"]

    since, started = len(counter.events), time.monotonic()
    print(desk.model("train", "demo-project", runner=runner))
    first = asked(counter, since)
    assert len(first) <= most(15, started, runner), first
    print(desk.model("train", "demo-project", runner=runner))
    assert desk.listed("demo-project", "0.1.0") == ["1", "2"]

    since, started = len(counter.events), time.monotonic()
    assert desk.applied(runner=runner) == expected(2)
    applied = asked(counter, since)
    assert len(applied) <= most(10, started, runner), applied
    assert desk.applied("0.1.0", "1", runner=runner) == expected(1)
    print(f"requests: {len(first)} to train, {len(applied)} to apply")

    desk.write("0.2.0", factor=2.0)
    print(desk.release())
    assert sorted(desk.listed("demo-project")) == ["0.1.0", "0.2.0"]
    assert desk.listed("demo-project", "0.2.0") == []
    desk.model("train", "demo-project", runner=runner)
    assert desk.applied(runner=runner) == expected(1, factor=2.0)
    assert desk.applied("0.1.0") == expected(2)


def test_a_killed_training_leaves_nothing_behind(desk, counter):
    """`forml model train` dies when its states are written and its generation is to be closed: nothing
    of it is listed, and the next training goes on from the one before."""
    desk.init("0.1.0")
    desk.release()
    desk.model("train", "demo-project")
    since = len(counter.events)
    desk.model("train", "demo-project")
    second = asked(counter, since)
    posts = [request for request in second if request.startswith("POST")]
    assert posts[-1].endswith("/checkpoints"), posts
    faults = Plan("busy", 10**6, passing=len(posts) - 1)
    counter.proxy.ways["POST"] = faults
    try:
        pid, _ = desk.start("cli", desk.home, "model", "-R", "threads", "train", "demo-project")
        until(lambda: faults.met, 240)
        os.kill(pid, signal.SIGKILL)
    finally:
        del counter.proxy.ways["POST"]
    assert desk.listed("demo-project", "0.1.0") == ["1", "2"]
    desk.model("train", "demo-project")
    assert desk.listed("demo-project", "0.1.0") == ["1", "2", "3"]
    assert desk.applied() == expected(3)
