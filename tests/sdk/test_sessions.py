"""`with registry.version(...)`: published at the end, given up or kept on an exception."""

import pytest

from tests.sdk.fake_server import MIB
from weighbridge.contract import errors
from weighbridge.transfer import statcache


def _fail(version, *checkpoints) -> None:
    """A training run that ends badly after some checkpoints."""
    with version as session:
        for step, path in enumerate(checkpoints, 1):
            session.checkpoint(step=step, files=path)
        _ = 1 / 0


def test_clean_end_publishes_everything(registry, state, content):
    """What was added and logged becomes one version when the block ends, and not before."""
    with registry.version("p/m", label="1.0", alias="best", parents=["p/m@1"]) as version:
        assert version.number == 1
        version.log_params(lr=0.1)
        version.log_metrics({"loss": 2.0})
        version.log_metrics(loss=1.0, acc=0.5)
        version.tag(team="a")
        version.describe("first")
        version.add(content("a", 100))
        version.add(content("d/b", 10).parent, as_name="sub")
        assert state.ready() == []
    (ready,) = state.ready()
    assert (ready.label, ready.description) == ("1.0", "first")
    assert (ready.metrics, ready.params) == ({"loss": 1.0, "acc": 0.5}, {"lr": 0.1})
    assert ready.tags == {"team": "a"}
    assert sorted(state.files["p", "m", 1]) == ["a", "sub/b"]
    assert state.aliases == {("p", "m", "best"): 1}
    assert version.result.reference == "p/m@1"
    assert version.result.sent_bytes == 110


def test_exception_gives_the_version_up(registry, state, content):
    """An exception leaves nothing visible, and passes through."""
    with pytest.raises(ZeroDivisionError):
        _fail(registry.version("p/m"))
    assert state.versions["p", "m", 1].state == "aborted"


def test_exception_after_checkpoints_keeps_the_version_open(registry, state, content):
    """With checkpoints the version stays open, and the exception says how to continue."""
    with pytest.raises(ZeroDivisionError) as caught:
        _fail(registry.version("p/m", label="x"), content("a", 100))
    assert state.versions["p", "m", 1].state == "open"
    assert "resume=True" in caught.value.__notes__[0]
    with registry.version("p/m", label="x", resume=True) as again:
        assert again.number == 1
        again.checkpoint(step=2, files=content("b", 100, seed=2))
    assert len(state.checkpoints["p", "m", 1]) == 2
    assert [v.number for v in state.ready()] == [1]


def test_exception_in_a_resumed_version_keeps_it_open(registry, state, content):
    """A version that was continued is not given up: it may hold an earlier run's checkpoints."""
    with pytest.raises(ZeroDivisionError):
        _fail(registry.version("p/m", label="x"), content("a", 100))
    with pytest.raises(ZeroDivisionError):
        _fail(registry.version("p/m", label="x", resume=True))
    assert state.versions["p", "m", 1].state == "open"


def test_resume_without_an_open_version_begins_one(registry, state, content):
    """`resume=True` on the first run just begins."""
    with registry.version("p/m", label="x", resume=True) as version:
        version.add(content("a", 1))
    assert [v.number for v in state.ready()] == [1]


def test_resume_needs_a_label(registry):
    """Without a label there is nothing to find an open version by."""
    with pytest.raises(errors.InvalidRequest):
        registry.version("p/m", resume=True)


def test_checkpoint_twice_is_one(registry, content, state):
    """The same content under the same identity is the same checkpoint; other content is refused."""
    with registry.version("p/m") as version:
        first = version.checkpoint(step=1, files=content("a", 100))
        assert version.checkpoint(step=1, files=content("a", 100)).number == first.number
        with pytest.raises(errors.AlreadyExists):
            version.checkpoint(step=1, files=content("a", 100, seed=9))
        assert version.checkpoint(step=2, files=content("a", 100)).number == 2


def test_checkpoint_of_a_ready_version(registry, content, tmp_path):
    """`push_checkpoint` and `pull` work on versions and checkpoints by reference."""
    registry.push("p/m", content("w", 10))
    path = content("ck", 20_000)
    pushed = registry.push_checkpoint("p/m@1", path, step=7, metrics={"loss": 1.0})
    assert (pushed.reference, pushed.checkpoint) == ("p/m@1:1", 1)
    pulled = registry.pull("p/m@1:last", tmp_path / "out")
    assert (tmp_path / "out" / "ck").read_bytes() == path.read_bytes()
    assert pulled.checkpoint == 1


@pytest.mark.parametrize("ref", ["p/m", "p/m@1:2"])
def test_checkpoint_needs_a_version(registry, content, ref):
    """A checkpoint is pushed to a version that is named, not to a model or checkpoint."""
    with pytest.raises(errors.InvalidRequest):
        registry.push_checkpoint(ref, content("a", 1), step=1)


@pytest.mark.parametrize("step", ["1", 1.5, True, None])
def test_step_is_a_whole_number(registry, content, step):
    """A step that is no whole number is refused before anything is sent."""
    with pytest.raises(errors.InvalidRequest):
        registry.push_checkpoint("p/m@1", content("a", 1), step=step)


def test_failed_commit_gives_the_version_up(registry, state, content):
    """When the server refuses the commit the version is given up, and the error is the server's."""

    def lose(kind, path):
        if path.endswith("/commit"):
            state.blobs.clear()

    state.before = lose
    with pytest.raises(errors.InvalidManifest), registry.version("p/m") as version:
        version.add(content("a", 100))
    assert state.versions["p", "m", 1].state == "aborted"


def test_path_added_twice_is_replaced(registry, state, content):
    """The last file under a name counts; a name that is a folder of another is refused at once."""
    with registry.version("p/m") as version:
        version.add(content("a", 100))
        version.add(content("x/a", 50, seed=2))
        with pytest.raises(errors.InvalidManifest):
            version.add(content("b", 1), as_name="a/b")
    assert state.files["p", "m", 1]["a"].size == 50


def test_number_is_not_known_before_the_block(registry):
    """A session that is not entered has no number yet."""
    with pytest.raises(errors.Conflict):
        _ = registry.version("p/m").number


def test_a_file_that_did_not_change_is_not_read_again(registry, content, monkeypatch):
    """Sessions, their checkpoints and pushes know each other's digests."""
    monkeypatch.setattr(statcache, "REST", -(10**12))
    path = content("w", 20 * MIB)
    with registry.version("p/m", label="1") as first:
        first.add(path)
    monkeypatch.setattr("weighbridge.transfer.upload.Stream", None)
    with registry.version("p/m", label="2") as second:
        second.add(path)
        second.checkpoint(step=1, files=path)
    registry.push_checkpoint("p/m@2", path, 2)
    assert second.result.sent_bytes == 0


def test_steps_are_counted_on_by_a_resumed_version(registry, state, content):
    """Without a step each checkpoint is the one after its component's last, across runs."""

    def killed():
        with registry.version("p/m", label="x") as run:
            assert run.last_step() is None
            assert run.checkpoint(files=content("a", 10)).step == 1
            assert run.checkpoint(step=10, files=content("a", 10, seed=2)).step == 10
            run.checkpoint(step=3, files=content("a", 10, seed=3), component="net")
            _ = 1 / 0

    with pytest.raises(ZeroDivisionError):
        killed()
    with registry.version("p/m", label="x", resume=True) as run:
        assert run.last_step() == 10
        assert run.checkpoint(files=content("a", 10, seed=4)).step == 11
        assert run.checkpoint(files=content("a", 10, seed=5)).step == 12
        assert run.checkpoint(files=content("a", 10, seed=6), component="net").step == 4
        assert run.checkpoint(files=content("a", 10, seed=7), component="new").step == 1


def test_resume_pulls_the_last_complete_checkpoint(registry, state, content, tmp_path):
    """Of an open version too; nothing to go on from is None; stale files are replaced."""
    with registry.version("p/m", label="x") as run:
        assert registry.resume("p/m@1", to=tmp_path / "work") is None
        run.checkpoint(step=5, files=content("w", 50), metrics={"loss": 2.0})
        run.checkpoint(step=6, files=content("w", 60, seed=2), metrics={"loss": 1.0})
        run.checkpoint(step=2, files=content("w", 40, seed=3), component="net")
        (tmp_path / "work").mkdir()
        (tmp_path / "work" / "w").write_bytes(b"half written")
        found = registry.resume("p/m@1", component="-", to=tmp_path / "work")
        assert (found.reference, found.step, found.metrics) == ("p/m@1:2", 6, {"loss": 1.0})
        assert [path.read_bytes() for path in found.files] == [
            content("w", 60, seed=2).read_bytes()
        ]
        assert registry.resume("p/m@1", to=tmp_path / "any").step == 2
    found = registry.resume("p/m@1", component="net", to=tmp_path / "net")
    assert (found.checkpoint.number, found.folder) == (3, tmp_path / "net")
