"""What all tests share: a run with `--no-skips` fails where a test was skipped."""

import pytest

SLOW = (
    "tests/training/",
    "tests/e2e/",
    "tests/storage/",
    "tests/faults/",
    "tests/infra/",
    "tests/indexing/",
)
"""Folders whose files take long; of the first ones most."""


def pytest_addoption(parser):
    """Adds `--no-skips`, which `make test` uses."""
    parser.addoption("--no-skips", action="store_true", help="fail if any test is skipped")


def pytest_collection_modifyitems(items):
    """Long files come first: one that is begun last keeps a single worker busy while all others wait.
    (xdist would begin with the files that have most tests; `make test` tells it not to.)"""
    ranks = {folder: rank for rank, folder in enumerate(SLOW)}

    def rank(item):
        return next((ranks[f] for f in SLOW if item.nodeid.startswith(f)), len(SLOW))

    items.sort(key=rank)


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory, monkeypatch):
    """Nothing that an earlier test, or the person at this machine, pulled is there."""
    monkeypatch.setenv("WEIGHBRIDGE_CACHE", str(tmp_path_factory.mktemp("cache")))


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """Turns a skip into a failure: what is not run proves nothing."""
    outcome = yield
    report = outcome.get_result()
    if report.skipped and item.config.getoption("--no-skips") and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped, which --no-skips does not allow: {report.longrepr}"
