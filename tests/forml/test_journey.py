"""An unmodified ForML through the life of a project: release, train, apply, release again, list."""

import time

import pytest

from tests.forml.desk import expected
from weighbridge.generations.listings import FULL_SECONDS

pytestmark = pytest.mark.real


def asked(counter, since):
    """The requests since then, without the queries."""
    return [f"{event.method} {event.path}" for event in counter.events[since:]]


def later(started):
    """On a machine where a command takes long, its three listings are asked again every ten seconds."""
    return 3 * int((time.monotonic() - started) / FULL_SECONDS)


@pytest.mark.parametrize("runner", ["threads", "processes"])
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
    assert len(first) <= 15 + later(started), first
    since = len(counter.events)
    print(desk.model("train", "demo-project", runner=runner))
    second = asked(counter, since)
    assert desk.listed("demo-project", "0.1.0") == ["1", "2"], second

    since, started = len(counter.events), time.monotonic()
    assert desk.applied(runner=runner) == expected(2)
    applied = asked(counter, since)
    assert len(applied) <= 10 + later(started), applied
    assert desk.applied("0.1.0", "1", runner=runner) == expected(1)
    print(len(first), len(second), len(applied))

    desk.write("0.2.0", factor=2.0)
    print(desk.release())
    assert sorted(desk.listed("demo-project")) == ["0.1.0", "0.2.0"]
    assert desk.listed("demo-project", "0.2.0") == []
    desk.model("train", "demo-project", runner=runner)
    assert desk.applied(runner=runner) == expected(1, factor=2.0)
    assert desk.applied("0.1.0", runner=runner) == expected(2)
