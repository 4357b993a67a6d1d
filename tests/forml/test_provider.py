"""The provider by ForML's own library: every rule, every trap that was seen, races and identity."""

import time

import pytest

from tests.e2e.served import Person

pytestmark = pytest.mark.real


def test_a_provider_keeps_every_rule(desk, tmp_path):
    """One registry from empty to two generations; errors are of the right family, nothing is half there."""
    found = desk.run("life", tmp_path / "packages", "demo-project")
    assert found == {
        "empty": [],
        "unknown project": "invalid",
        "unknown release": "invalid",
        "projects": ["demo-project"],
        "releases": ["1.0.dev1"],
        "push 1.0.dev1": "invalid",
        "push 1.dev1": "invalid",
        "push 0.9": "invalid",
        "none yet": [],
        "not staged": "invalid",
        "gap": "invalid",
        "still none": [],
        "again": "ok",
        "other": "invalid",
        "generations": [1],
        "tag kept": True,
        "states kept": [True, True, True],
        "no such state": True,
        "rewritten": "invalid",
        "written again": "ok",
        "open unknown": "invalid",
        "read unknown": "invalid",
        "mount unknown": "invalid",
        "pull unknown": "invalid",
        "write unknown": "invalid",
        "close unknown": "invalid",
        "odd name": "invalid",
        "odd key": "key",
    }


def test_registries_are_equal_by_address_namespace_and_staging(desk):
    """Pickled ones too. The base class would take two addresses with one staging for the same, and
    answer for one with the states of the other."""
    found = desk.run("identity", "http://127.0.0.1:9")
    assert found["twins"] == [True, True, True]
    assert found["others"] == [False, False, False]
    assert found["stock"] is True
    assert found["qualified"] is True
    assert desk.token not in found["shown"]


def test_packages_are_mounted_as_folders_named_by_their_content(desk, tmp_path):
    """Namespace packages can be imported; one version of two registries is two folders; pulls are
    apart; workers at once find the whole, and no draft is left."""
    found = desk.run("namespaces", tmp_path / "packages", "demo-project")
    assert found == {
        "one": "one", "paths differ": True, "two": "WHO = 'two'\n", "again": True,
        "pulled apart": True, "left": [],
    }  # fmt: skip
    desk.extra["TEST_STAGING"] = str(tmp_path / "another")
    many = desk.run("mounted_by_many", "demo-project", 8)
    assert many == [many[0]] * 8
    assert len(many[0]) == 3


@pytest.mark.parametrize("texts", [("1.0",), ("1.0", "1.0.0")])
def test_of_32_processes_that_release_one_version_one_wins(desk, tmp_path, texts):
    """31 get `Level.Invalid`; one release is there."""
    found = desk.run("many", "race_release", 32, tmp_path / "p{index}", "demo", "/".join(texts))
    assert sorted(found) == ["invalid"] * 31 + ["ok"]
    listed = desk.run("call", "demo", "1.0", "releases")
    assert listed["releases"][1] in ([text] for text in texts)


def test_of_32_processes_that_close_one_generation_one_wins(desk, tmp_path):
    """31 get `Level.Invalid`; the winner's state is there, no number is left out."""
    assert desk.run("release", tmp_path / "p", "demo", "1.0") == "ok"
    found = desk.run("many", "race_close", 32, "demo", "1.0", 1)
    won = [sid for sid, result in found if result == "ok"]
    assert len(won) == 1
    assert [result for _, result in found].count("invalid") == 31
    calls = desk.run("call", "demo", "1.0", "generations", "read")
    assert calls["generations"] == ["ok", [1]]
    assert calls["read"][1].startswith("of ")


def test_what_a_token_may_not_do_is_an_error_and_no_empty_registry(desk, counter, tmp_path):
    """A hidden namespace is not taken for one without projects; a reader reads, and writes nothing."""
    desk.run("release", tmp_path / "p", "demo", "1.0")
    assert desk.run("trained", "demo", "1.0") == ["ok", 1]
    person = Person(tmp_path, counter.url, counter.token)
    reading = ("projects", "releases", "generations", "open", "read", "pull", "mount")
    writing = ("write", "close", "push")
    for project, read in (("elsewhere", "failed"), (desk.namespace, "ok")):
        words = ("token", "create", project, "--verb", "read", "--project", project)
        desk.token = person.json(*words)["secret"]
        found = desk.run("call", "demo", "1.0", *reading, *writing)
        assert {found[m] if read == "failed" else found[m][0] for m in reading} == {read}
        assert {found[m] for m in writing} == {"failed"}


def test_a_training_that_dies_before_its_close_leaves_nothing(desk, tmp_path):
    """Killed between write and close: the listing is unchanged, and the next training goes on right."""
    desk.run("release", tmp_path / "p", "demo", "1.0")
    assert desk.run("trained", "demo", "1.0") == ["ok", 1]
    desk.killed("die_between", "demo", "1.0")
    assert desk.run("call", "demo", "1.0", "generations")["generations"] == ["ok", [1]]
    assert desk.run("trained", "demo", "1.0") == ["ok", 2]


@pytest.mark.long
def test_large_packages_and_states(desk, tmp_path):
    """A package of 100 MB with 7,000 entries, and a state of 1 GB."""
    found = desk.run("large", tmp_path, "demo", 1024, 7000)
    assert found["same"]
    assert found["files"] == 7000
    print(found["seconds"])


def test_fairly_large_packages_and_states(desk, tmp_path):
    """The same with a package of 4 MB with 700 entries, and a state of 40 MB, sent in parts."""
    started = time.monotonic()
    found = desk.run("large", tmp_path, "demo", 40, 700)
    assert found["same"]
    assert found["files"] == 700
    print(found["seconds"], time.monotonic() - started)
