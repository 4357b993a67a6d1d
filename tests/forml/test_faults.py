"""Between ForML and the registry everything may fail: then a call succeeds, or raises `FailedError`.

Never is a failure taken for "nothing there yet": ForML would train from nothing, and commit that.
"""

import time
from collections import deque
from dataclasses import dataclass, field

import pytest

from tests.e2e.faults.proxy import REFUSALS

pytestmark = pytest.mark.real

KINDS = ("busy", "error", "lost", "reset", "truncated", "slow", "expired", "denied", "foreign")
"""503, 500, done but the answer is lost, reset amid the request, the answer cut short, slow, 403, 401,
and a 404 that is not the registry's."""
REFUSALS["denied"] = (401, "AccessDenied", "Who are you?")
REFUSALS["foreign"] = (404, "NotFound", "No such page")


@dataclass(slots=True)
class Plan:
    """Which requests fail, and how: all of them, or the next so many."""

    kind: str = ""
    left: float = 0
    passing: int = 0
    met: deque = field(default_factory=deque)

    def fault(self, *, carries):
        """The fault of the next request, or nothing."""
        if self.passing:
            self.passing -= 1
            return ""
        if not self.kind or self.left <= 0:
            return ""
        self.left -= 1
        self.met.append(self.kind)
        return self.kind

    def set(self, kind, left, passing=0):
        """The next `left` requests fail, after `passing` ones that do not."""
        self.kind, self.left, self.passing = kind, left, passing
        self.met.clear()


@pytest.fixture
def plan(counter):
    """Faults between ForML and the API, for all methods; none at the end."""
    found = Plan()
    before = dict(counter.proxy.ways)
    counter.proxy.ways.update(dict.fromkeys(("GET", "POST", "PUT", "PATCH", "DELETE"), found))
    yield found
    counter.proxy.ways.clear()
    counter.proxy.ways.update(before)


@pytest.fixture
def program(desk, tmp_path):
    """Somebody with a release of one generation."""
    assert desk.run("release", tmp_path / "p", "demo", "1.0") == "ok"
    assert desk.run("trained", "demo", "1.0") == ["ok", 1]
    return desk


METHODS = ("projects", "releases", "generations", "open", "read", "write", "pull", "mount")


def good(found):
    """Whether a call succeeded or failed as it should; never an empty answer."""
    return found == "failed" or found == "ok" or (found[0] == "ok" and found[1] not in ([], "", 0))


def test_a_passing_fault_is_repeated_or_failed(program, plan):
    """One fault of each kind at every call: the call gets through, or is `FailedError`."""
    for kind in KINDS:
        for method in METHODS:
            plan.set(kind, 1)
            found = program.run("call", "demo", "1.0", method)[method]
            assert good(found), (kind, method, found)
            if kind in ("busy", "lost", "slow"):
                assert found != "failed", (kind, method)
            assert plan.met, (kind, method)


def test_a_lasting_fault_is_an_error_and_never_an_empty_answer(program, plan):
    """While nothing gets through, every call is `FailedError`."""
    for kind in ("denied", "expired", "foreign"):
        plan.set(kind, 10**6)
        for method, found in program.run("call", "demo", "1.0", *METHODS).items():
            assert found == "failed", (kind, method, found)


def test_no_fault_makes_a_training_begin_from_nothing(program, plan):
    """A fault at any request of a training: it goes on from the last generation, or aborts."""
    rounds = 1
    for kind in ("busy", "lost", "denied", "expired", "foreign", "truncated"):
        for passing in range(10):
            plan.set(kind, 1 if kind in ("busy", "lost", "truncated") else 10**6, passing)
            found = program.run("trained", "demo", "1.0")
            plan.set("", 0)
            assert found in (["ok", rounds + 1], "failed", "invalid"), (kind, passing, found)
            listed = program.run("call", "demo", "1.0", "generations", "read")
            numbers = listed["generations"][1]
            assert numbers == list(range(1, numbers[-1] + 1))
            # The state says how many trainings it carries: as many as there are generations.
            assert program.run("trained", "demo", "1.0") == ["ok", numbers[-1] + 1]
            rounds = numbers[-1] + 1


def test_a_slow_answer_is_waited_for(program, plan):
    """Slowness alone changes nothing."""
    plan.set("slow", 4)
    started = time.monotonic()
    assert program.run("call", "demo", "1.0", "generations")["generations"] == ["ok", [1]]
    assert time.monotonic() > started
