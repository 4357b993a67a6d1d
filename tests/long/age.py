"""Whether the long tests' results still speak for the code: part of `make check`.

    python -m tests.long.age

A group whose tests failed, or lack a result, or ran more than 20 commits of its folders ago, fails it.
Where there is no history to count in (an unpacked archive, a shallow clone), it says so and passes.
"""

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from tests.long.groups import GROUPS
from tests.long.results import FILE, ROOT, load

MOST = 20
"""Commits that may touch a group's folders before it must run again."""
HOW = "run `make test-long GROUP={}` and commit tests/long/results.json"


class Unknown(Exception):
    """The history does not tell."""


class History:
    """The commits of a work tree; `missing` says why there are none to ask about."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self.missing = ""
        try:
            top = self._git("rev-parse", "--show-toplevel")
        except Unknown as error:
            self.missing = str(error)
            return
        if Path(top).resolve() != root.resolve():
            self.missing = f"{root} is inside another repository"

    def _git(self, *words: str) -> str:
        command = ["git", "-C", str(self._root), *words]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=120)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise Unknown(f"git does not run: {error}") from None
        if done.returncode:
            raise Unknown(done.stderr.strip().splitlines()[0] if done.stderr else "git failed")
        return done.stdout.strip()

    def has(self, commit: str) -> bool:
        """Whether the commit is here."""
        try:
            self._git("cat-file", "-e", f"{commit}^{{commit}}")
        except Unknown:
            return False
        return bool(commit)

    def shallow(self) -> bool:
        """Whether older commits were left out when this was cloned."""
        return self._git("rev-parse", "--is-shallow-repository") == "true"

    def since(self, commit: str, folders: tuple[str, ...]) -> int:
        """Commits after `commit` that touch the folders."""
        return int(self._git("rev-list", "--count", f"{commit}..HEAD", "--", *folders))


def judge(results: Mapping[str, dict], history: History) -> tuple[list[str], list[str]]:
    """What is wrong, and what is only to be known; one line each."""
    wrong, known = [], []
    if history.missing:
        known.append(f"the age of the long tests' results is not checked: {history.missing}")
    for group in GROUPS:
        tests = results.get(group.name, {}).get("tests", {})
        again = HOW.format(group.name)
        functions = {name.partition("[")[0] for name in tests}
        for test in group.tests:
            if test not in functions:
                wrong.append(f"{group.name}: {test} has no result; {again}")
        for name, test in tests.items():
            if test["outcome"] != "passed":
                wrong.append(f"{group.name}: {name} failed on {test['date']}; mend it, and {again}")
        if not history.missing:
            for commit in sorted({test["commit"] for test in tests.values()}):
                _judge_commit(group, commit, history, wrong, known)
    return wrong, known


def _judge_commit(group, commit, history, wrong, known):
    again = HOW.format(group.name)
    if not history.has(commit):
        if history.shallow():
            known.append(
                f"{group.name}: the age of its result is not checked: this clone is shallow and lacks "
                f"{commit[:10] or 'its commit'}; `git fetch --unshallow` brings it"
            )
        else:
            wrong.append(
                f"{group.name}: its result is of {commit[:10] or 'no commit'}, which this repository "
                f"does not have; {again}"
            )
        return
    count = history.since(commit, group.folders)
    if count > MOST:
        wrong.append(
            f"{group.name}: {count} commits since {commit[:10]} touch {', '.join(group.folders)}, and "
            f"{MOST} at most may; {again}"
        )


def main() -> int:
    """Prints what is wrong; answers the exit code."""
    wrong, known = judge(load(FILE), History(ROOT))
    for line in known:
        print(f"note: {line}")
    for line in wrong:
        print(f"error: {line}", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
