"""A training worker's directory and a running registry in step: watched, killed, continued, restored."""

import json
import shutil
import signal
import subprocess
import sys
import uuid
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.e2e.served import until
from tests.fate import trees
from weighbridge import Registry
from weighbridge.contract.errors import NotFound
from weighbridge.fate import ModelCheckpoint

pytestmark = pytest.mark.real

MODEL = f"guest#9999#{trees.MODEL_ID}"
LABEL = trees.VERSIONS[0]
HERE = Path(__file__).parents[2]


@pytest.fixture
def project():
    """A project of its own."""
    return f"sync{uuid.uuid4().hex[:6]}"


@pytest.fixture
def registry(person):
    """The registry, as the person has it."""
    with Registry(person.url, person.token) as found:
        yield found


@pytest.fixture
def root(person):
    """The folder of the version that is trained."""
    return person.home / "model_local_cache" / MODEL / LABEL


@contextmanager
def worker(root):
    """A process that writes; the function tells it what and waits until it did."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.fate.writer", str(root)], cwd=HERE, stdin=subprocess.PIPE,
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip

    def tell(*words):
        process.stdin.write(" ".join(map(str, words)) + "\n")
        process.stdin.flush()
        assert process.stdout.readline() == "ok\n"

    try:
        yield tell
    finally:
        process.stdin.close()
        process.wait(20)
        process.stdout.close()


@contextmanager
def watching(person, root, project, *options):
    """`fate sync --watch` in the background; killed if it is still there at the end."""
    process = person.start(
        "fate", "sync", root, "--project", project, "--watch", "--interval", "0.1", *options
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
        process.communicate()


def steps(registry, project):
    """The steps that the registry has, by number."""
    try:
        found = registry.checkpoints(f"{project}/{MODEL}@={LABEL}", order="oldest")
        return [point.step for point in found]
    except NotFound:
        return []


def test_a_slow_writer_is_followed_through_kills_of_both(person, registry, root, project):
    """Nothing half is seen; each checkpoint is sent once and in order; the model ends the watch."""
    ref = f"{project}/{MODEL}@={LABEL}"
    root.mkdir(parents=True)
    with worker(root) as tell:
        with watching(person, root, project):
            tell("half", 0)
            tell("mark", 0)
            until(lambda: steps(registry, project) == [0], 30)
            assert registry.show(ref).state == "open"
            tell("half", 1)
            tell("half", 2)
            tell("mark", 2)
            until(lambda: steps(registry, project) == [0, 2], 30)
        tell("mark", 1)  # nobody watches; and then the worker is killed amid the next
        tell("half", 3)
    outcome = person.run("fate", "sync", root, "--project", project, "--once", "--json")
    assert outcome.code == 0, outcome
    [tree] = outcome.json["models"]
    assert [(s["step"], s["outcome"]) for s in tree["steps"]] == [
        (0, "same"), (1, "pushed"), (2, "same"),
    ]  # fmt: skip
    assert (tree["outcome"], tree["state"]) == ("open", "open")
    shutil.rmtree(root / "checkpoint/hetero_lr_0/3#epoch")  # FATE begins that epoch anew
    with worker(root) as tell, watching(person, root, project) as sync:
        tell("half", 3)
        tell("mark", 3)
        until(lambda: steps(registry, project) == [0, 2, 1, 3], 30)
        tell("model")
        out, err = sync.communicate(timeout=60)
    assert sync.returncode == 0, err
    assert f"imported as {project}/{MODEL}@1" in out
    assert (registry.show(ref).state, steps(registry, project)) == ("ready", [0, 2, 1, 3])
    again = person.run("fate", "sync", root, "--project", project, "--json").json
    assert (again["ok"], again["models"][0]["outcome"], again["models"][0]["sent_bytes"]) == (
        True,
        "same",
        0,
    )


def test_the_oldest_are_evicted_after_the_new_one_is_complete(person, registry, root, project):
    """`--max-to-keep 2`: what was evicted is not sent again, neither by this process nor the next."""
    for index in range(5):
        trees.step(root, "hetero_lr_0", index, seed="w")
    trees.step(root, "other", 0)
    options = ("--project", project, "--max-to-keep", "2", "--json")
    found = person.run("fate", "sync", root, *options).json["models"][0]
    assert [(s["step"], s["outcome"]) for s in found["steps"] if s["component"] != "other"] == [
        (0, "evicted"), (1, "evicted"), (2, "evicted"), (3, "pushed"), (4, "pushed"),
    ]  # fmt: skip
    trees.step(root, "hetero_lr_0", 5, seed="w")
    found = person.run("fate", "sync", root, *options).json["models"][0]
    assert [s["step"] for s in found["steps"] if s["outcome"] == "pushed"] == [5]

    def kept():
        points = registry.checkpoints(f"{project}/{MODEL}@={LABEL}")
        return sorted((point.component, point.step) for point in points)

    until(lambda: kept() == [("hetero_lr_0", 4), ("hetero_lr_0", 5), ("other", 0)], 30)
    found = person.run("fate", "sync", root, *options).json["models"][0]
    assert {s["outcome"] for s in found["steps"]} == {"same", "evicted"}


def test_a_worker_goes_on_from_its_breakpoint_on_another_machine(person, registry, root, project):
    """The folders come back byte for byte, each with its marker; and differing ones are left alone."""
    for index in range(4):
        trees.step(root, "hetero_lr_0", index, seed="w")
    person.ok("fate", "sync", root, "--project", project)
    ref = f"{project}/{MODEL}@={LABEL}"
    elsewhere = person.home / "elsewhere"
    person.ok("fate", "restore-checkpoints", ref, elsewhere)
    there = elsewhere / MODEL / LABEL
    assert trees.contents(there) == trees.contents(root)
    half = there / "checkpoint/hetero_lr_0/3#epoch"
    (half / "database.yaml").unlink()  # killed amid its marker
    (half / "HeteroLRMeta.pb").write_bytes(b"half")
    with worker(there) as tell, watching(person, there, project, "--pull"):
        until(lambda: trees.contents(there) == trees.contents(root), 30)
        tell("half", 4)
        tell("mark", 4)
        until(lambda: steps(registry, project) == [0, 1, 2, 3, 4], 30)
    (there / "checkpoint/hetero_lr_0/2#epoch/HeteroLRMeta.json").write_text("{}")
    outcome = person.run("fate", "restore-checkpoints", ref, there, "--json")
    assert outcome.code == 6
    [failed] = [s for s in outcome.json["checkpoints"] if s["outcome"] == "failed"]
    assert failed["step"] == 2
    assert "left alone" in failed["problem"]
    last = person.home / "last" / "checkpoint"
    outcome = person.json("fate", "restore-checkpoints", ref, last, "--last")
    assert [s["step"] for s in outcome["checkpoints"]] == [4]
    assert [path.name for path in last.glob("hetero_lr_0/*")] == ["4#epoch"]


def test_a_plain_folder_is_synced_under_a_name_that_is_given(person, registry, project):
    """`--ref` names the version; the events of a watch are lines of JSON."""
    folder = person.home / "run 7"
    trees.step(folder, "trees", 10, "a name # and %23")
    ref = f"{project}/{MODEL}@={LABEL}"
    outcome = person.run("fate", "sync", folder / "checkpoint", "--ref", ref, "--json")
    assert outcome.code == 0, outcome
    [point] = registry.checkpoints(ref)
    assert (point.component, point.step, point.name) == ("trees", 10, "a name # and %23")
    process = person.start(
        "fate", "sync", folder, "--ref", ref, "--watch", "--interval", "0.1", "--json"
    )
    line = json.loads(process.stdout.readline())
    assert (line["outcome"], line["steps"][0]["outcome"]) == ("open", "same")
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=30)
    assert (process.returncode, out) == (143, "")
    assert "run again" in err


def test_buffers_of_a_training_without_fate_become_its_checkpoints(
    person, registry, project, tmp_path
):
    """`ModelCheckpoint` saves as FATE does, evicts after, and FATE's folders can be made of it."""
    party = {"role": "host", "party_id": 10000, "model_id": trees.MODEL_ID, "model_version": LABEL,
             "component": "hetero_nn_0", "step_name": "epoch"}  # fmt: skip
    ref = f"{project}/host#10000#{trees.MODEL_ID}@={LABEL}"
    with ModelCheckpoint(
        registry, project, **party, save_freq=2, max_to_keep=2, strict=True
    ) as saving:
        assert saving.latest() is None
        taken = [saving.on_epoch_end(epoch, buffers(epoch)) for epoch in range(7)]
        assert taken == [True, False, True, False, True, False, True]
        assert saving.flush(60)
    until(lambda: sorted(p.step for p in registry.checkpoints(ref)) == [4, 6], 30)
    outcome = person.json("fate", "restore-checkpoints", ref, tmp_path / "cache")
    assert sorted(s["step"] for s in outcome["checkpoints"]) == [4, 6]
    with ModelCheckpoint(registry, project, **party, max_to_keep=3) as going_on:
        found = going_on.latest()
        assert (found.step_index, found.step_name, found.published) == (6, "epoch", False)
        assert found.models == buffers(6)
        for epoch in (7, 8):
            assert going_on.on_epoch_end(epoch, buffers(epoch))
        model = trees.model(tmp_path, f"host#10000#{trees.MODEL_ID}", LABEL)
        assert going_on.finish(model) == f"{ref.partition('@')[0]}@1"
    assert registry.show(ref).state == "ready"
    assert {file.path for file in registry.files(ref)} == set(
        trees.files_of_model(f"host#10000#{trees.MODEL_ID}", LABEL)
    )
    until(lambda: sorted(p.step for p in registry.checkpoints(ref)) == [6, 7, 8], 30)


def buffers(epoch):
    """What FATE gives to a checkpoint."""
    return {
        "HeteroNNMeta": ("HeteroNNModelMeta", b"meta", {"batch": 32}),
        "HeteroNNParam": ("HeteroNNModelParam", bytes([epoch]) * 1000, {"epoch": epoch}),
    }
