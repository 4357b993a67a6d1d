"""Results are noted test by test, merged into what is there, and say truthfully what was run."""

import json
import os
import subprocess
import sys

import pytest

from tests.long import results
from tests.long.groups import GROUPS
from tests.long.results import ROOT, done, load, save
from tests.long.run import main

INDEXING = GROUPS[0]
NAME = INDEXING.tests[0]
ABOUT = {"commit": "c" * 40, "uncommitted": False, "machine": "a machine"}

# A small project with the test that the group names, run with the recorder as `make test-long` does.
RUN = """
import sys
from pathlib import Path
import pytest
from tests.long.results import Recorder
recorder = Recorder({about!r}, Path("results.json"))
sys.exit(pytest.main(["-p", "no:cacheprovider", "-c", "empty.ini", *sys.argv[1:]], plugins=[recorder]))
"""
TEST = """
import os, signal, sys
import pytest

@pytest.mark.parametrize("target", ["a", "b", "c"])
def test_damage_for_long(target, record_property):
    record_property("seed", 7)
    record_property("files", 10)
    if target == os.environ.get("FAIL"):
        raise ValueError("this one " + target)
    if target == os.environ.get("INTERRUPT"):
        raise KeyboardInterrupt
"""


@pytest.fixture
def project(tmp_path):
    """A folder where the group's test is another one."""
    file = tmp_path / NAME.partition("::")[0]
    file.parent.mkdir(parents=True)
    file.write_text(TEST)
    (tmp_path / "empty.ini").write_text("[pytest]\naddopts = --import-mode=importlib\n")
    return tmp_path


def run(project, *words, **env):
    """Runs it; answers exit code, and the group's result."""
    path = os.pathsep.join(map(str, (ROOT, ROOT / "sdk")))
    done = subprocess.run(
        [sys.executable, "-c", RUN.format(about=ABOUT), *words], cwd=project, capture_output=True,
        text=True, env={**os.environ, "PYTHONPATH": path, **env},
    )  # fmt: skip
    found = load(project / "results.json")
    return done, found.get("indexing", {"tests": {}})


@pytest.mark.parametrize("workers", [(), ("-n", "2")], ids=["one process", "two workers"])
def test_each_test_is_noted_with_what_it_told(project, workers):
    """Seed, counts, time, commit and machine; sums over the group; by one process or several."""
    done, group = run(project, *workers)
    assert done.returncode == 0, done.stdout
    assert sorted(group["tests"]) == [f"{NAME}[{t}]" for t in "abc"]
    test = group["tests"][f"{NAME}[b]"]
    assert test["outcome"] == "passed"
    assert (test["seed"], test["files"]) == (7, 10)
    assert {name: test[name] for name in ABOUT} == ABOUT
    assert group["outcome"] == "passed"
    assert group["count"] == 3
    assert group["sums"] == {"files": 30}


def test_a_failure_is_noted_with_its_reason_and_mended_by_the_next_run(project):
    """One failure is the group's; running only that test again merges into the rest."""
    _, group = run(project, FAIL="b")
    assert (group["outcome"], group["failed"], group["count"]) == ("failed", 1, 3)
    assert "ValueError: this one b" in group["tests"][f"{NAME}[b]"]["problem"]
    _, group = run(project, "-k", "[b]")
    assert (group["outcome"], group["failed"], group["count"]) == ("passed", 0, 3)
    assert "problem" not in group["tests"][f"{NAME}[b]"]


def test_an_interrupted_run_keeps_what_was_done(project):
    """The one under way has no result."""
    done, group = run(project, INTERRUPT="c")
    assert done.returncode == 2
    assert sorted(group["tests"]) == [f"{NAME}[{t}]" for t in "ab"]


def test_only_what_passed_at_this_commit_for_as_long_is_left_out(tmp_path):
    """A result of another commit, a failure, or a shorter search runs again."""
    file = tmp_path / "results.json"
    test = {"outcome": "passed", "date": "2026-01-01T00:00Z", "seconds": 1.0, **ABOUT}
    tests = {
        "done": {**test, "fuzzed_seconds": 600},
        "other commit": {**test, "commit": "d" * 40},
        "failed": {**test, "outcome": "failed"},
        "short": {**test, "fuzzed_seconds": 60},
        "no search": test,
    }
    save({"indexing": {"tests": tests}}, file)

    def speaks(group, commit):
        return (group, commit) == ("indexing", ABOUT["commit"])

    assert done(load(file), 600, speaks) == ["done", "no search"]
    assert done(load(file), 60, speaks) == ["done", "no search", "short"]


def test_tests_that_are_gone_are_forgotten_by_a_whole_run(tmp_path):
    """Other groups stay as they are."""
    file = tmp_path / "results.json"
    test = {"outcome": "passed", "date": "2026-01-01T00:00Z", "seconds": 1.0, **ABOUT}
    save({name: {"tests": {"new": test, "old": test}} for name in ("indexing", "size")}, file)
    recorder = results.Recorder(ABOUT, file)
    recorder.seen = {"new"}
    recorder.forget_others(["indexing"])
    assert {name: sorted(g["tests"]) for name, g in load(file).items()} == {
        "indexing": ["new"], "size": ["new", "old"],
    }  # fmt: skip


def test_the_oldest_result_dates_a_group(tmp_path):
    """So that merging a fresh test into old ones makes nothing look younger."""
    file = tmp_path / "results.json"
    test = {"outcome": "passed", "seconds": 1.0, **ABOUT}
    tests = {"a": {**test, "date": "2026-02-01T00:00Z"}, "b": {**test, "date": "2026-01-01T00:00Z"}}
    tests["b"]["commit"] = "d" * 40
    save({"size": {"tests": tests}}, file)
    group = json.loads(file.read_text())["groups"]["size"]
    assert (group["date"], group["commit"]) == ("2026-01-01T00:00Z", "d" * 40)


def test_a_group_that_there_is_not_is_an_error(capsys):
    """The names are told."""
    with pytest.raises(SystemExit):
        main(["--group", "transfers"])
    assert "no such group: transfers; there are indexing" in capsys.readouterr().err
