"""Between ForML and the registry everything may fail: then a call succeeds, or raises `FailedError`.

Never is a failure taken for "nothing there yet": ForML would train from nothing, and commit that.
"""

import random

import pytest

from tests.e2e.faults.proxy import Way
from tests.forml.plan import Plan

pytestmark = pytest.mark.real

KINDS = ("busy", "error", "lost", "reset", "truncated", "slow", "expired", "denied", "foreign")
"""503, 500, done but the answer is lost, reset amid the request's body, the answer cut short, slow, 403,
401, and a 404 that is not the registry's."""
READING = ("projects", "releases", "generations", "open", "read", "pull", "mount")
WRITING = ("write", "close", "push")
STORED = ("open", "read", "pull", "mount", *WRITING)
"""What fetches or sends bytes."""


def planned(proxy, found):
    """Faults as planned for all methods, while the test runs."""
    before = dict(proxy.ways)
    proxy.ways.update(dict.fromkeys(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"), found))
    yield found
    proxy.ways.clear()
    proxy.ways.update(before)


@pytest.fixture
def plan(counter):
    """Faults between ForML and the API."""
    yield from planned(counter.proxy, Plan())


@pytest.fixture
def store(counter):
    """Faults between ForML and the store."""
    yield from planned(counter.store, Plan())


@pytest.fixture
def program(desk, tmp_path):
    """Somebody with a release of one generation."""
    assert desk.run("release", tmp_path / "p", "demo", "1.0") == "ok"
    assert desk.run("trained", "demo", "1.0") == ["ok", 1]
    return desk


def outcome(program, method):
    """What became of a call on a machine that holds no package yet."""
    program.count += 1
    fresh = str(program.home / f"fresh-{program.count}")
    program.extra = {"TEST_STAGING": fresh, "WEIGHBRIDGE_CACHE": f"{fresh}-cache"}
    return program.run("call", "demo", "1.0", method)[method]


def good(found):
    """Whether a call succeeded or failed as it should; never an empty answer."""
    return found in ("failed", "ok") or (found[0] == "ok" and found[1] not in ([], "", 0))


def whole(program):
    """Whether the generations have no gap."""
    _, numbers = program.run("call", "demo", "1.0", "generations")["generations"]
    return numbers == list(range(1, len(numbers) + 1))


@pytest.mark.parametrize("method", READING + WRITING)
def test_a_passing_fault_is_repeated_or_failed(program, plan, method):
    """One fault of each kind at every call: the call gets through, or is `FailedError`."""
    for kind in KINDS:
        plan.set(kind, 1)
        found = outcome(program, method)
        assert good(found), (kind, found)
        assert plan.met, kind
        if kind in ("busy", "lost", "slow", "reset", "truncated"):
            assert found != "failed", kind
    plan.set("", 0)
    assert whole(program)


@pytest.mark.parametrize("method", STORED)
def test_a_passing_fault_of_the_store_is_overcome(program, store, method):
    """An expired link is asked for anew; what was cut short or changed on the way is sent again."""
    for kind in ("busy", "error", "lost", "reset", "truncated", "slow", "expired", "flipped"):
        store.set(kind, 1)
        found = outcome(program, method)
        assert good(found), (kind, found)
        assert found != "failed", kind
        assert store.met, kind
    store.set("", 0)
    assert whole(program)


def test_a_lasting_fault_is_an_error_and_never_an_empty_answer(program, plan, store):
    """While nothing gets through, every call is `FailedError`, and nothing of it is visible."""
    seen = ("releases", "generations")
    before = {method: outcome(program, method) for method in seen}
    for faults, methods in ((plan, READING + WRITING), (store, STORED)):
        for kind in ("denied", "expired", "foreign"):
            for method in methods:
                faults.set(kind, 10**6)
                assert outcome(program, method) == "failed", (kind, method)
        faults.set("", 0)
    assert {method: outcome(program, method) for method in seen} == before


def test_no_fault_makes_a_training_begin_from_nothing(program, plan, store):
    """A fault at any request of a training: it goes on from the last generation, or aborts."""
    rounds = 1
    for kind, faults, places in (
        ("lost", plan, 9), ("denied", plan, 9), ("foreign", plan, 9), ("expired", store, 4),
    ):  # fmt: skip
        once = kind == "lost"
        for passing in range(places):
            faults.set(kind, 1 if once else 10**6, passing)
            found = program.run("trained", "demo", "1.0")
            faults.set("", 0)
            assert found in (["ok", rounds + 1], "failed"), (kind, passing, found)
            assert not once or found != "failed", (kind, passing)
            # The state says how many trainings it carries: as many as there are generations.
            after = program.run("trained", "demo", "1.0")
            assert after in (["ok", rounds + 1], ["ok", rounds + 2]), (kind, passing, after)
            rounds = after[1]
    assert whole(program)


def test_a_large_state_survives_faults(counter, desk, tmp_path):
    """A fifth of the requests for its parts fail, each in another way."""
    rng = random.Random(1)
    counter.store.ways.update({m: Way(0.2, rng) for m in ("GET", "PUT")})
    try:
        assert desk.run("large", tmp_path, "demo", 40, 70)["same"]
    finally:
        counter.store.ways.clear()
    assert counter.store.faults()
