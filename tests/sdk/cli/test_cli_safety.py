"""`push`, `verdict` and `release` where a verdict is not safe."""

from dataclasses import replace

import pytest

from weighbridge.cli import exits


def block(client):
    client.all_projects["vision"] = replace(client.all_projects["vision"], safety="block")


def test_a_push_warns_of_files_that_can_execute_code(line):
    """Under `warn` it is published, with a warning on the error stream and exit code 0."""
    line.client.verdicts = ["unsafe"]
    assert line.run("push", "vision/digits", "model.safetensors") == 0
    assert "published vision/digits@5" in line.out
    assert "can execute code" in line.err
    assert "weighbridge verdict vision/digits@5" in line.err


@pytest.mark.parametrize(
    ("verdict", "told"), [("unsafe", "is blocked"), ("unknown", "is blocked"),
                          ("pending", "still being checked")]
)  # fmt: skip
def test_a_push_that_is_held_back_has_an_exit_code_of_its_own(line, verdict, told):
    """Under `block` the push answers 10 and says what it waits for."""
    block(line.client)
    line.client.verdicts = [verdict]
    words = ("push", "vision/digits", "model.safetensors", "--wait", "0")
    assert line.run(*words) == exits.HELD
    assert "stored vision/digits@5" in line.out
    assert told in line.err
    assert line.run("ls", "vision/digits", "--held") == 0
    assert line.out.splitlines()[1].split()[0] == "5"
    assert line.run("verdict", "vision/digits@5") == exits.HELD
    assert line.run("alias", "vision/digits@5", "staging", "--dry-run") == exits.HELD


def test_a_promotion_that_is_held_back_has_the_same_exit_code(line):
    """A version that the policy blocks is said to be so, for people and for programs."""
    block(line.client)
    line.client.verdicts = ["unsafe"]
    words = ("checkpoint", "promote", "vision/digits@1:3")
    assert line.run(*words) == exits.HELD
    assert "vision/digits@1:3 is now vision/digits@5" in line.out
    assert "is blocked" in line.err
    assert line.run(*words, "--json") == exits.HELD


def test_a_release_needs_a_reason_and_is_done_once(line):
    """Without --comment nothing is asked of the server; with it the version is let through."""
    block(line.client)
    line.client.verdicts = ["unsafe"]
    line.run("push", "vision/digits", "model.safetensors", "--wait", "0")
    assert line.run("release", "vision/digits@5") == exits.USAGE
    before = list(line.client.calls)
    assert line.run("release", "vision/digits@5", "--comment", "ours", "--dry-run") == 0
    assert line.client.calls == before
    assert line.run("release", "vision/digits@5", "--comment", "ours") == 0
    assert line.client.calls[-1] == ("release_version", "vision/digits@5", "ours")
    assert line.run("show", "vision/digits@5") == 0
    assert "unsafe, released by ada" in line.out
    assert line.run("release", "vision/digits@1", "--comment", "x") == 5
