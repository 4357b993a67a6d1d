"""What all tests share: a run with `--no-skips` fails where a test was skipped."""

import pytest


def pytest_addoption(parser):
    """Adds `--no-skips`, which `make test` uses."""
    parser.addoption("--no-skips", action="store_true", help="fail if any test is skipped")


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
