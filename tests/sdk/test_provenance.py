"""Provenance is collected without failing, and without secrets."""

import subprocess

import pytest

from weighbridge import provenance


@pytest.mark.parametrize(
    ("argv", "shown"),
    [
        (["train.py", "--lr", "0.1"], "train.py --lr 0.1"),
        (["t", "--token", "abc", "x"], "t --token '***' x"),
        (["t", "--hf-token=abc"], "t '--hf-token=***'"),
        (["t", "wb_1a_sEcr3t"], "t 'wb_***'"),
        (["t", "AWS_SECRET_ACCESS_KEY=abc"], "t 'AWS_SECRET_ACCESS_KEY=***'"),
        (["t", "--api-key", "abc"], "t --api-key '***'"),
        (["t", "postgres://u:pw@h/db"], "t 'postgres://***@h/db'"),
        (["t", "--password", "--lr", "1"], "t --password --lr 1"),
    ],
)
def test_command_hides_secrets(argv, shown):
    """What looks like a secret is not published with the command line."""
    assert provenance.command(argv) == shown


def test_command_is_bounded():
    """A command line of any length stays short enough to store."""
    assert len(provenance.command(["x" * 100_000])) <= 4000


def test_commit_and_changes_are_told(tmp_path):
    """Inside a git repository the commit and uncommitted changes are told; outside, nothing."""
    assert provenance.collect(tmp_path).git_commit == ""
    git = ["git", "-c", "user.name=t", "-c", "user.email=t@example.com"]
    (tmp_path / "f").write_text("1")
    for command in (["init", "-q"], ["add", "f"], ["commit", "-q", "-m", "x"]):
        subprocess.run([*git, *command], cwd=tmp_path, check=True)
    clean = provenance.collect(tmp_path)
    assert len(clean.git_commit) == 40
    assert not clean.git_dirty
    (tmp_path / "f").write_text("2")
    assert provenance.collect(tmp_path).git_dirty


def test_git_that_is_missing_is_no_error(tmp_path, monkeypatch):
    """Without git on the PATH there is just no commit."""
    monkeypatch.setenv("PATH", str(tmp_path))
    assert provenance.collect(tmp_path).git_commit == ""
