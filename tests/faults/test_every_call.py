"""Each call to a store, of each operation, fails once in each way: nobody is lied to, nothing is lost.

The one who asked gets the true answer, or an error that says to try again. Asking again succeeds, or says
that it is done; and when events, outboxes and sweeps have had their time, the registry is what it would be
without the fault: promises 2, 4, 5 and 6 of the architecture, and nothing is left behind.
"""

import itertools
import re

import pytest
from chalice.config import Config
from chalice.local import LocalGateway

from chalicelib import wiring
from chalicelib.api.http import OPERATIONS
from tests.api.conftest import Api
from tests.faults import base, meter, operations

RETRIED = {200, 201, 404, 409, 410}
"""What a repeated request may answer: done, or that there is nothing more to do."""


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The registry that is copied."""
    return base.build(tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="module")
def gateway():
    """The app behind Chalice's own gateway."""
    from app import app

    return LocalGateway(app, Config(
        chalice_stage="dev", user_provided_params={"chalice_app": app},
        config_from_disk={"app_name": "weighbridge", "stages": {"dev": {}}},
    ))  # fmt: skip


class Trial:
    """One operation on a copy of the registry."""

    def __init__(self, made, folder, gateway):
        folder.mkdir()
        self.base = made.copy(folder)
        self.meter = meter.Meter()
        self.stores = meter.metered(self.base.stores, self.meter)
        self.api = Api(gateway, self.base.stores, self.base.clock)

    def ask(self, act):
        """Status and body."""
        with wiring.using(self.stores):
            return act(self)

    def end(self, name):
        """What there is after everything has settled. Reading leaves nothing to settle."""
        self.meter.plan()
        if not name.startswith("GET"):
            base.settle(self.base)
        found = base.view(self.base)
        self.base.stores.table.close()
        return found


def request(method, path, body):
    """An operation of the API."""
    return lambda trial: operations.answered(trial.api, method, path, body)


def trials(made):
    """Operations by name. (A request's place is its name: `names` are the same in each copy.)"""
    found = {
        f"{method} {path} {number}": request(method, path, body)
        for number, (method, path, body) in enumerate(operations.requests(made.names))
    }
    for name, work in operations.works(made.names).items():
        found[name] = lambda trial, work=work: operations.worked(work, trial.stores)
    return found


def test_every_operation_is_tried(made):
    """Whoever adds a route adds it here."""
    asked = [(m, path.partition("?")[0]) for m, path, _ in operations.requests(made.names)]
    for operation in OPERATIONS:
        pattern = re.compile(re.sub(r"\\{[a-z]+\\}", "[^/]+", re.escape(operation.path)))
        assert any(m == operation.method and pattern.fullmatch(path) for m, path in asked), (
            f"{operation.method} {operation.path}"
        )


SHARES = 8


@pytest.mark.parametrize("share", range(SHARES))
def test_a_fault_at_any_call_breaks_no_promise(made, gateway, tmp_path, share, monkeypatch):
    """Every position, every kind."""
    monkeypatch.setenv("WEIGHBRIDGE_SECRET", "0123456789abcdef" * 4)
    serial = itertools.count()
    tried = 0
    for name, act in list(trials(made).items())[share::SHARES]:
        plain = Trial(made, tmp_path / str(next(serial)), gateway)
        status, body = plain.ask(act)
        calls = list(plain.meter.calls)
        assert status < 500, (name, body)
        expected = [plain.end(name)]
        for position, kind in itertools.product(range(1, len(calls) + 1), meter.KINDS):
            if kind == "half" and calls[position - 1].rpartition(".")[2] not in meter.BATCHES:
                continue
            tried += 1
            where = (name, calls[position - 1], position, kind)
            trial = Trial(made, tmp_path / str(next(serial)), gateway)
            trial.meter.plan(position, kind)
            found = trial.ask(act)
            assert trial.meter.met, where
            judge(where, found, (status, body))
            if found[0] >= 500:
                trial.meter.plan()
                again, text = trial.ask(act)
                assert again == status or again in RETRIED, (where, again, text)
            ended = trial.end(name)
            if ended != expected[0] and len(expected) == 1:
                # The first request did its work, and its answer was lost: then it was done twice.
                twice = Trial(made, tmp_path / str(next(serial)), gateway)
                twice.ask(act), twice.ask(act)
                expected.append(twice.end(name))
            assert ended in expected, where
    assert tried


def judge(where, found, plain):
    """Whether an answer to a request that met a fault is true, or says to try again."""
    status, body = found
    if "/api/health" in where[0] and status == 503:
        assert "try again" in body["catalog"] + body["blobs"], (where, found)
        return
    if status in (500, 503) and body and "error" in body:
        codes = {"unavailable"} if status == 503 else {"error"}
        assert body["error"]["code"] in codes, (where, found)
        assert body["error"]["message"], where
        return
    assert status == plain[0], (where, found)
    # (A token's last use is noted if it can be.)
    if where[0].startswith("GET") and "/api/tokens" not in where[0]:
        assert body == plain[1], (where, found)
