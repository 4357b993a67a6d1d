"""A registry behind a proxy, its store behind another; and servers that are broken by themselves."""

import contextlib
import json
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from unittest.mock import patch
from urllib.parse import urlsplit

import pytest

from tests.e2e.doctor.between import Between, between
from tests.e2e.served import READY_SECONDS, Person
from tests.stack import ROOT
from weighbridge.config import Config
from weighbridge.doctor import Options, Visit, examine, pages


@dataclass
class Report:
    """What an examination found."""

    fine: bool
    levels: dict = field(default_factory=dict)
    findings: list = field(default_factory=list)

    def of(self, check):
        """The finding of one check."""
        return next(found for found in self.findings if found.check == check)

    def wrong(self):
        """The checks that are not as they should be."""
        return {check for check, level in self.levels.items() if level in ("fail", "warning")}


def examined(url, token, **options):
    """An examination of an address."""
    visit = Visit(Config(url, token), Options(**{"wait": 30.0, **options}))
    fine = examine(visit)
    order = {"ok": 0, "skipped": 1, "warning": 2, "fail": 3}
    levels = {}
    for found in visit.findings:
        worst = levels.get(found.check, "ok")
        levels[found.check] = max(worst, found.level, key=order.__getitem__)
    return Report(fine, levels, visit.findings)


@dataclass
class Clinic:
    """The registry as clients reach it."""

    api: Between
    store: Between
    token: str
    served: object

    def examine(self, token=None, patient=False, **options):
        """An examination through the proxies; only a patient one waits for events and pages."""
        token = self.token if token is None else token
        with contextlib.ExitStack() as parts:
            for slow in () if patient else ("indexed", "rendered"):
                parts.enter_context(patch.object(pages, slow))
            return examined(self.api.url, token, **options)


@pytest.fixture(scope="session")
def clinic(embedded):
    """A real registry behind proxies that pass everything on, until they are spoiled."""
    ready = json.loads((embedded.data.parent / "ready.json").read_text())
    with between(embedded.url) as api, between(ready["s3"]) as store:
        api.swaps = [(api.url, embedded.url), (store.url, store.upstream)]
        store.swaps = [(api.url, embedded.url)]
        yield Clinic(api, store, embedded.token, embedded)


@contextlib.contextmanager
def broken(home, defect):
    """A server with a defect; its address and token."""
    ready = home / "ready.json"
    words = [sys.executable, "-m", "tests.e2e.doctor.broken", defect, "--port=0"]
    with (home / "serve.log").open("wb") as log:
        process = subprocess.Popen(
            [*words, f"--data={home / 'data'}", f"--ready-file={ready}"],
            env={**Person(home).env(), "PYTHONPATH": f"{ROOT}:{ROOT / 'sdk'}"},
            cwd=home, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
        )  # fmt: skip
    try:
        deadline = time.monotonic() + READY_SECONDS
        while not ready.exists():
            assert process.poll() is None, (home / "serve.log").read_text()
            assert time.monotonic() < deadline, (home / "serve.log").read_text()
            time.sleep(0.05)
        found = json.loads(ready.read_text())
        yield found["url"], found["token"]
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@pytest.fixture
def closed_port():
    """An address at which nothing answers."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}"


def host(url):
    """The host and port of an address."""
    return urlsplit(url).netloc
