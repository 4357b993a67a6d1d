"""`Checkpointer`: snapshots become checkpoints of one open version, and failures do not end training."""

import math
import os
import subprocess
import sys
from pathlib import Path

import pytest

from weighbridge.contract.errors import Conflict, InvalidName, InvalidRequest, Unauthenticated
from weighbridge.training import Checkpointer

SDK = Path(__file__).resolve().parents[2] / "sdk"


@pytest.fixture
def saver(registry):
    """Makes checkpointers of one run, closed at the end."""
    made = []

    def make(label="run", **options):
        made.append(Checkpointer(registry, "p/m", label, **options))
        return made[-1]

    yield make
    for one in made:
        one.close()


def steps(state, number=1):
    """The steps of a version's checkpoints, in order."""
    return [made.step for made, _ in state.checkpoints.get(("p", "m", number), [])]


def spooled(home):
    """What stands in the spool of the cache."""
    return [p for p in (home / "cache" / "snapshots").glob("*/*") if p.name != "lock"]


def test_a_snapshot_is_what_was_there_when_it_was_taken(saver, state, tmp_path, home):
    """Files may be written over at once; contents and writers do as well."""
    run = saver(waiting=10)
    file = tmp_path / "w"
    file.write_bytes(b"one")
    assert run.snapshot(1, file, metrics={"loss": 2.0, "bad": math.nan})
    file.write_bytes(b"two, longer")
    assert run.snapshot(2, {"sub/w": b"bytes"}, tags={"a": "b"})
    assert run.snapshot(3, lambda folder: (folder / "w").write_bytes(b"written"))
    assert run.defer(4, lambda folder: (folder / "w").write_bytes(b"later"), 5, name="n")
    assert run.flush()
    assert steps(state) == [1, 2, 3, 4]
    first, second, third, fourth = (pair for pair in state.checkpoints["p", "m", 1])
    assert (first[1].files[0].path, first[1].files[0].size) == ("w", 3)
    assert first[0].metrics == {"loss": 2.0}
    assert (second[1].files[0].path, second[0].tags) == ("sub/w", {"a": "b"})
    assert third[1].files[0].size == 7
    assert fourth[0].name == "n"
    assert state.versions["p", "m", 1].state == "open"
    assert (run.pushed, run.failed, run.dropped) == (4, 0, 0)
    assert spooled(home) == []


def test_links_are_enough_for_what_nobody_changes(saver, state, tmp_path):
    """A linked file may be removed at once."""
    run = saver()
    (tmp_path / "f").mkdir()
    (tmp_path / "f" / "w").write_bytes(b"x" * 100)
    run.snapshot(1, tmp_path / "f", keep="link")
    (tmp_path / "f" / "w").unlink()
    run.flush()
    assert state.checkpoints["p", "m", 1][0][1].files[0].size == 100


def test_the_next_run_goes_on_where_the_last_one_stood(saver, state, home):
    """The last checkpoint of the label and component, and the same open version."""
    run = saver()
    assert run.resume() is None
    run.snapshot(1, {"w": b"1"})
    run.flush()
    run.snapshot(5, {"w": b"5"}, metrics={"loss": 0.5})
    run.close()
    other = saver(component="critic")
    other.snapshot(9, {"w": b"9"})
    other.close()
    again = saver()
    found = again.resume()
    assert (found.step, found.metrics, found.published) == (5, {"loss": 0.5}, False)
    assert (found.path / "w").read_bytes() == b"5"
    again.snapshot(6, {"w": b"6"})
    again.close()
    assert not found.path.exists()
    assert steps(state) == [1, 5, 9, 6]
    assert saver(component="critic").resume().step == 9
    assert saver("another").resume() is None
    assert [version.number for version in state.versions.values()] == [1]


def test_a_resumed_folder_may_be_named(saver, tmp_path):
    """Files that were pulled to a place of one's own stay."""
    run = saver()
    run.snapshot(1, {"w": b"1"})
    run.close()
    again = saver()
    assert again.resume(to=tmp_path / "here").path == tmp_path / "here"
    again.close()
    assert (tmp_path / "here" / "w").read_bytes() == b"1"


def test_finish_publishes_the_last_checkpoint(saver, state):
    """Without files of its own, the version has those of the checkpoint that match; nothing is sent
    again. A run of a finished label changes nothing."""
    run = saver(alias="best", description="d")
    run.log_params(lr=0.1)
    run.log_metrics(loss=math.inf, acc=0.5)
    run.tag(team="a")
    run.snapshot(1, {"model.bin": b"old", "optimizer.pt": b"o"})
    run.snapshot(2, {"model.bin": b"new!", "optimizer.pt": b"o"})
    assert run.finish(pick="model.*") == "p/m@1"
    [ready] = state.ready()
    assert (ready.metrics, ready.params, ready.tags) == ({"acc": 0.5}, {"lr": 0.1}, {"team": "a"})
    assert {path: entry.size for path, entry in state.files["p", "m", 1].items()} == {
        "model.bin": 4
    }
    assert state.aliases == {("p", "m", "best"): 1}
    again = saver()
    assert again.resume().published
    assert again.finish() == "p/m@1"
    assert state.ready() == [ready]


def test_finish_publishes_files(saver, state):
    """Files that are named are the version's; a snapshot is not needed."""
    assert saver().finish({"model.bin": b"all"}) == "p/m@1"
    assert list(state.files["p", "m", 1]) == ["model.bin"]


def test_a_published_label_takes_no_more(saver, state, caplog):
    """Training on under the label of a published version is refused and named; training goes on."""
    saver().finish({"model.bin": b"all"})
    run = saver()
    assert run.snapshot(1, {"w": b"1"})
    assert run.flush()
    assert (run.failed, steps(state)) == (1, [])
    assert "take another label" in caplog.text


def test_failures_are_told_and_training_goes_on(saver, state, caplog):
    """A refused push is logged, counted and told; the next one works; nothing is raised."""
    told = []
    run = saver(on_error=lambda step, error: told.append((step, error.code)))
    state.token = "another"
    run.snapshot(1, {"w": b"1"})
    assert run.flush()
    state.token = "wb_test_secret"
    run.snapshot(2, {"w": b"2"})
    run.flush()
    assert told == [(1, Unauthenticated.code)]
    assert (run.failed, run.pushed, steps(state)) == (1, 1, [2])
    assert "training goes on" in caplog.text


def test_strict_raises_at_the_next_call(saver, state):
    """Who asked for it is stopped, once, by what failed before."""
    run = saver(strict=True)
    state.token = "another"
    run.snapshot(1, {"w": b"1"})
    with pytest.raises(Unauthenticated):
        run.flush()
    state.token = "wb_test_secret"
    assert run.snapshot(2, {"w": b"2"})
    assert run.flush()


@pytest.mark.parametrize("strict", [False, True])
def test_a_snapshot_that_cannot_be_taken_is_a_failure(saver, home, strict):
    """A missing file, a full disk or a writer's bug: told like a failed push, nothing left behind."""
    run = saver(strict=strict)

    def fails(folder):
        (folder / "half").write_bytes(b"x")
        raise OSError("no space left")

    for step, files in enumerate((Path("missing"), fails, lambda folder: None, {"../x": b""}), 1):
        if strict:
            with pytest.raises((OSError, InvalidRequest)):
                run.snapshot(step, files)
        else:
            assert not run.snapshot(step, files)
    assert (run.failed, run.pushed) == (4, 0)
    assert spooled(home) == []


def test_a_stale_newest_is_not_published_as_if_it_were_the_last(saver, state):
    """If the newest snapshot never arrived, publishing an older one by itself would be wrong."""
    run = saver()
    run.snapshot(1, {"w": b"1"})
    run.flush()
    state.token = "another"
    run.snapshot(2, {"w": b"2"})
    run.flush()
    state.token = "wb_test_secret"
    with pytest.raises(Conflict, match="step 2, the newest"):
        run.finish()
    assert state.ready() == []


def test_conclude_reports_where_finish_raises(saver, state, caplog):
    """The end of a framework's loop does not undo the training; strict says so."""
    run = saver()
    state.token = "another"
    run.conclude({"w": b"1"})
    assert "is not published" in caplog.text
    with pytest.raises(Unauthenticated):
        saver(strict=True).conclude({"w": b"1"})


def test_only_the_enabled_process_pushes(saver, state):
    """Other ranks call the same and do nothing, and can resume."""
    first = saver()
    first.snapshot(1, {"w": b"1"})
    first.flush()
    other = saver(enabled=False)
    assert not other.snapshot(2, {"w": b"2"})
    assert not other.admits()
    assert other.flush()
    assert other.finish() == ""
    assert other.resume().step == 1
    assert steps(state) == [1]


def test_what_can_never_work_is_refused_at_once(saver, registry):
    """Mistakes of the program are raised, whatever else is forgiven."""
    run = saver()
    for step in ("1", 1.5, True):
        with pytest.raises(InvalidRequest):
            run.snapshot(step, {"w": b"1"})
    with pytest.raises(InvalidRequest):
        run.snapshot(1, {"w": b"1"}, metrics={"loss": "low"})
    with pytest.raises(InvalidRequest):
        Checkpointer(registry, "p/m", "")
    with pytest.raises(InvalidName):
        Checkpointer(registry, "p/m@3", "run")
    with pytest.raises(InvalidRequest, match="nothing was pushed"):
        run.finish()
    run.close()
    run.close()
    with pytest.raises(Conflict, match="closed"):
        run.snapshot(1, {"w": b"1"})


def test_snapshots_of_a_killed_process_are_removed(saver, home):
    """The next process finds them unlocked; one that runs keeps its own."""
    parent = home / "cache" / "snapshots"
    code = (
        "import os, sys; from pathlib import Path; from weighbridge.training.spool import Spool;"
        "folder = Spool(Path(sys.argv[1])).new(); (folder / 'w').write_bytes(b'x'); os._exit(9)"
    )
    env = {**os.environ, "PYTHONPATH": str(SDK)}
    assert subprocess.run([sys.executable, "-c", code, parent], env=env).returncode == 9
    assert len(spooled(home)) == 1
    living = saver()
    living.resume()
    held = living.snapshot(1, {"w": b"1"})
    assert held
    living.flush()
    mine = set(parent.iterdir())
    assert len(mine) == 1
    other = saver("other")
    other.snapshot(1, {"w": b"1"})
    other.flush()
    assert mine < set(parent.iterdir())


def test_importing_brings_no_framework():
    """Neither the package nor the core of training loads any of them."""
    code = (
        "import sys, weighbridge, weighbridge.training; weighbridge.Registry; "
        "print(sorted({m.partition('.')[0] for m in sys.modules} & {'torch', 'transformers', "
        "'lightning', 'pytorch_lightning', 'keras', 'sklearn', 'skops', 'joblib', 'xgboost', "
        "'lightgbm', 'numpy', 'safetensors'}))"
    )
    env = {**os.environ, "PYTHONPATH": str(SDK)}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr


def test_a_missing_framework_is_named_with_its_extra():
    """What to install is in the error."""
    code = "import sys; sys.modules['lightgbm'] = None; import weighbridge.training.lightgbm"
    env = {**os.environ, "PYTHONPATH": str(SDK)}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True)
    assert "pip install 'weighbridge[lightgbm]'" in done.stderr
