"""`make check` fails when a long test's result no longer speaks for the code; real repositories, made here."""

import ast
import subprocess
from pathlib import Path

import pytest

from tests.long.age import MOST, History, judge
from tests.long.groups import GROUPS, group_of
from tests.long.results import ROOT
from tests.long.run import unchanged

TRANSFER = next(group for group in GROUPS if group.name == "transfer")


def git(folder, *words):
    """One git command there."""
    command = ["git", "-C", str(folder), "-c", "user.name=a", "-c", "user.email=a@b", *words]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def commit(folder, path, count=1):
    """So many commits that change a file; answers the last one."""
    file = folder / path
    file.parent.mkdir(parents=True, exist_ok=True)
    for _ in range(count):
        file.write_text((file.read_text() if file.exists() else "") + "x")
        git(folder, "add", path)
        git(folder, "commit", "-q", "-m", path)
    return git(folder, "rev-parse", "HEAD")


@pytest.fixture
def tree(tmp_path):
    """A repository with one commit."""
    folder = tmp_path / "tree"
    folder.mkdir()
    git(folder, "init", "-q")
    commit(folder, "README")
    return folder


def results(sha, **changes):
    """Results of all groups, of one commit."""
    test = {"outcome": "passed", "commit": sha, "date": "2026-01-01T00:00Z", **changes}
    return {group.name: {"tests": {f"{t}[1]": test for t in group.tests}} for group in GROUPS}


def test_results_of_this_commit_are_fresh(tree):
    """Nothing is wrong, and there is nothing to note."""
    assert judge(results(git(tree, "rev-parse", "HEAD")), History(tree)) == ([], [])


def test_a_result_ages_by_commits_in_its_folders_only(tree):
    """Twenty commits are let pass, the next is not; commits elsewhere do not count."""
    begun = git(tree, "rev-parse", "HEAD")
    commit(tree, "docs/page.md", MOST + 5)
    commit(tree, f"{TRANSFER.folders[0]}/upload.py", MOST)
    assert judge(results(begun), History(tree)) == ([], [])
    commit(tree, f"{TRANSFER.folders[0]}/sub/plan.py")
    wrong, known = judge(results(begun), History(tree))
    assert known == []
    [old] = (line for line in wrong if line.startswith("transfer:"))
    assert f"{MOST + 1} commits since {begun[:10]}" in old
    assert "make test-long GROUP=transfer" in old
    assert not any(line.startswith("indexing:") for line in wrong)


def test_a_run_that_is_resumed_trusts_what_speaks_for_the_same_code(tree):
    """Commits elsewhere do not matter; one that this repository lacks says nothing."""
    file = f"{TRANSFER.folders[0]}/upload.py"
    first = commit(tree, file)
    commit(tree, "docs/page.md", 3)
    assert unchanged(History(tree))("transfer", first)
    assert not unchanged(History(tree))("transfer", "d" * 40)
    commit(tree, file)
    assert not unchanged(History(tree))("transfer", first)


def test_what_failed_or_has_no_result_is_wrong(tree):
    """Whatever its age."""
    found = results(git(tree, "rev-parse", "HEAD"))
    del found["size"]
    name = f"{TRANSFER.tests[0]}[1]"
    found["transfer"]["tests"][name] = {**found["transfer"]["tests"][name], "outcome": "failed"}
    found["promises"]["tests"].popitem()
    wrong, _ = judge(found, History(tree))
    assert [line.partition(":")[0] for line in wrong] == ["promises", "transfer", "size"]
    assert "has no result" in wrong[0]
    assert "failed on 2026-01-01" in wrong[1]


def test_a_commit_that_nobody_has_is_wrong(tree):
    """The result is of a branch that was thrown away."""
    wrong, _ = judge(results("a" * 40), History(tree))
    assert len(wrong) == len(GROUPS)
    assert "which this repository does not have" in wrong[0]
    wrong, _ = judge(results(""), History(tree))
    assert "no commit" in wrong[0]


def test_a_shallow_clone_says_so_and_passes(tree, tmp_path):
    """The commit may be there but was not fetched."""
    begun = git(tree, "rev-parse", "HEAD")
    commit(tree, "README", 3)
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "-q", "--depth", "1", tree.as_uri(), str(clone))
    wrong, known = judge(results(begun), History(clone))
    assert wrong == []
    assert len(known) == len(GROUPS)
    assert "git fetch --unshallow" in known[0]


def test_without_a_repository_the_age_is_not_checked_but_outcomes_are(tmp_path, tree):
    """An unpacked archive, alone or inside another repository."""
    alone, within = tmp_path / "unpacked", tree / "unpacked"
    for folder in (alone, within):
        folder.mkdir()
        wrong, known = judge(results("a" * 40), History(folder))
        assert wrong == []
        assert len(known) == 1
        assert "is not checked" in known[0]
        wrong, _ = judge(results("a" * 40, outcome="failed"), History(folder))
        assert wrong


def test_without_git_the_age_is_not_checked(tree, monkeypatch):
    """No program, no history."""
    monkeypatch.setenv("PATH", "")
    wrong, known = judge(results("a" * 40), History(tree))
    assert wrong == []
    assert "git does not run" in known[0]


def marked():
    """Every function of the tests that is marked `long`, in whole or for some parameters."""
    found = set()
    for path in (ROOT / "tests").rglob("test_*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        place = path.relative_to(ROOT).as_posix()
        whole = any(
            isinstance(node, ast.Assign) and "mark.long" in ast.unparse(node) for node in tree.body
        )
        for node in tree.body:
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                words = " ".join(map(ast.unparse, node.decorator_list))
                if whole or "mark.long" in words:
                    found.add(f"{place}::{node.name}")
    return found


def test_every_long_test_is_in_one_group_and_every_group_vouches_for_code():
    """A long test that no group runs would never run; a folder that is gone would never change."""
    tests = [test for group in GROUPS for test in group.tests]
    assert len(tests) == len(set(tests))
    assert set(tests) == marked()
    assert all(group_of(f"{test}[a-1]") for test in tests)
    assert group_of("tests/unit/test_layers.py::test_none") is None
    for group in GROUPS:
        for folder in group.folders:
            assert (Path(ROOT) / folder).exists(), folder
