"""`results.json`: what each long test last found, of which commit, when, and on what machine.

It is written after every test, so that a run which is interrupted keeps what was done.
"""

import json
import subprocess
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.runs import machine
from tests.long.groups import NAMES, group_of

ROOT = Path(__file__).parents[2]
FILE = Path(__file__).with_name("results.json")
MOST_WORDS = 2000
ABOUT_THE_RUN = ("outcome", "commit", "date", "seconds", "machine", "uncommitted", "problem")


def load(file=FILE):
    """The groups, by name; none where nothing was run."""
    return json.loads(file.read_text(encoding="utf-8"))["groups"] if file.exists() else {}


def save(groups, file=FILE):
    """Replaces the file as a whole; each group with a summary of its tests."""
    whole = {name: summary(groups[name]["tests"]) for name in NAMES if name in groups}
    new = file.with_suffix(".new")
    new.write_text(json.dumps({"groups": whole}, indent=1) + "\n", encoding="utf-8")
    new.replace(file)


def summary(tests):
    """The group's entry: its oldest result dates it, and one failure is a failure of all."""
    oldest = min(tests.values(), key=lambda test: test["date"])
    failed = [name for name, test in tests.items() if test["outcome"] != "passed"]
    sums = {}
    for test in tests.values():
        for name, value in test.items():
            if name not in ABOUT_THE_RUN and name != "seed" and isinstance(value, int | float):
                sums[name] = round(sums.get(name, 0) + value, 1)
    return {
        "outcome": "failed" if failed else "passed",
        "commit": oldest["commit"],
        "date": oldest["date"],
        "count": len(tests),
        "failed": len(failed),
        "seconds": round(sum(test["seconds"] for test in tests.values()), 1),
        "sums": sums,
        "tests": dict(sorted(tests.items())),
    }


def stamp(root=ROOT):
    """Commit, day and machine of a run that begins now."""
    found = machine()
    where = f"{found['processor']}, {found['cores']} cores, {found['memory']}, {found['system']}"
    return {
        "commit": _git(root, "rev-parse", "HEAD") or "",
        # What runs write themselves is not counted.
        "uncommitted": bool(
            _git(root, "status", "--porcelain", "--", ".", f":(exclude){FILE.relative_to(ROOT)}")
        ),
        "machine": f"{where}, Python {found['python']}",
    }


def _git(root, *words):
    try:
        done = subprocess.run(
            ["git", "-C", str(root), *words], capture_output=True, text=True, timeout=60
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


class Recorder:
    """A pytest plugin of the process that the reports come to; notes each long test when it ends.

    What a test tells by `record_property` (seeds, counts) is kept with it.
    """

    def __init__(self, about, file=FILE):
        self.about = about
        self.file = file
        self.seen = set()
        self._failed = {}

    def pytest_runtest_logreport(self, report):
        """Setup, call and teardown of one test, in this order."""
        name = report.nodeid
        group = group_of(name)
        if group is None:
            return
        if report.outcome != "passed":
            self._failed.setdefault(name, report.longreprtext[-MOST_WORDS:])
        if report.when == "call":
            self._note(group, name, report.duration, report.user_properties)
        elif report.failed:
            self._note(group, name, report.duration, ())

    def _note(self, group, name, seconds, told):
        problem = self._failed.get(name)
        date = datetime.now(UTC).strftime("%Y-%m-%dT%H:%MZ")
        found = {
            "outcome": "failed" if problem else "passed", "date": date, "seconds": round(seconds, 1),
            **self.about, **dict(told), **({"problem": problem} if problem else {}),
        }  # fmt: skip
        groups = load(self.file)
        groups.setdefault(group.name, {"tests": {}})["tests"][name] = found
        self.seen.add(name)
        save(groups, self.file)

    def forget_others(self, names):
        """Removes from these groups the tests that a whole run of them did not meet any more."""
        groups = load(self.file)
        for name in names:
            if name in groups:
                tests = groups[name]["tests"]
                groups[name]["tests"] = {n: t for n, t in tests.items() if n in self.seen}
        save({name: group for name, group in groups.items() if group["tests"]}, self.file)


def done(groups, fuzz_seconds, speaks):
    """Tests that need not run again: they passed, for at least so long, and `speaks(group, commit)` says
    that a result of that commit speaks for the code of today."""
    return sorted(
        name
        for group, found in groups.items()
        for name, test in found["tests"].items()
        if test["outcome"] == "passed" and speaks(group, test["commit"])
        and test.get("fuzzed_seconds", fuzz_seconds) >= fuzz_seconds
    )  # fmt: skip
