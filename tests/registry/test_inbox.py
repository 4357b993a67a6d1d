"""Plain S3 drops become checkpoints: once, when complete, whatever the order of events."""

import random

import pytest

from chalicelib.indexing import formats, inbox, objects
from chalicelib.registry import checkpoints, models, outbox, projects, versions
from tests.inbox_drops import fate
from tests.registry_world import setup_model, world
from weighbridge.contract import references
from weighbridge.contract.errors import NotFound
from weighbridge.contract.types import ProjectChanges


@pytest.fixture
def open_inbox(stores):
    """The registry with the inbox of `vision` on."""
    projects.change(stores, "ann", "vision", ProjectChanges(inbox=True))
    return stores


def drop(stores, folder, files):
    return [stores.blobs.put(f"{folder}{name}", data) and f"{folder}{name}"
            for name, data in files.items()]  # fmt: skip


def found(stores, label="run-1", model="digits"):
    record = models.find(stores, "vision", model)
    version = versions.of_model(stores, record, references.VersionSelector("label", label))
    return checkpoints.listing(stores, version, order="step").items


FOLDER = "inbox/vision/digits/run-1/checkpoint/lr/{}#{}/"


def test_a_fate_drop_becomes_a_checkpoint_only_when_it_is_complete(open_inbox):
    """FATE's marker lists buffers; until all are there with their SHA-1, nothing appears."""
    stores = open_inbox
    folder = FOLDER.format(3, "epoch")
    files = fate(3, "epoch", {"HeteroLRMeta": b"meta", "HeteroLRParam": b"param"})
    late = files.pop("HeteroLRParam.json")
    for key in drop(stores, folder, files):
        objects.look(stores, key)
    with pytest.raises(NotFound):  # not even the version was opened
        found(stores)
    for key in drop(stores, folder, {"HeteroLRParam.json": late}):
        objects.look(stores, key)
    [checkpoint] = found(stores)
    assert (checkpoint.component, checkpoint.step, checkpoint.name) == ("lr", 3, "epoch")
    assert checkpoint.files == 5
    assert checkpoint.created_by == "inbox:vision"


def test_a_wrong_sha1_is_refused_once_in_the_history(open_inbox):
    """A buffer that is not what the marker says makes no checkpoint, and one line in the history."""
    stores = open_inbox
    files = fate(0, "s", {"Meta": b"data"}, sha="0" * 40)
    for _ in range(3):
        for key in drop(stores, FOLDER.format(0, "s"), files):
            objects.look(stores, key)
    with pytest.raises(NotFound):
        found(stores)
    record = projects.find(stores, "vision")
    events = outbox.history(stores, record.id, record.project.created).items
    assert [e.details["code"] for e in events if e.kind == "inbox.refused"] == ["integrity"]


def test_a_success_marker_takes_what_the_folder_holds(open_inbox):
    """With `_SUCCESS`, the folder's files (but the marker and lock files) are the checkpoint."""
    stores = open_inbox
    folder = "inbox/vision/new model/r/checkpoint/-/12#/"
    keys = drop(stores, folder, {"w.bin": b"w", "sub/x": b"x", ".lock": b"", "_SUCCESS": b""})
    for key in keys:
        objects.look(stores, key)
    [checkpoint] = found(stores, "r", "new model")
    assert (checkpoint.component, checkpoint.step, checkpoint.files) == ("", 12, 2)


def test_overwriting_the_inbox_after_adoption_changes_nothing(open_inbox):
    """The bytes were copied under a key of their own; the inbox is only a letterbox."""
    stores = open_inbox
    folder = FOLDER.format(1, "s")
    keys = drop(stores, folder, {"w.bin": b"first", "_SUCCESS": b""})
    for key in keys:
        objects.look(stores, key)
    [before] = found(stores)
    for key in drop(stores, folder, {"w.bin": b"OTHER", "_SUCCESS": b""}):
        objects.look(stores, key)
    assert found(stores) == (before,)
    record = projects.find(stores, "vision")
    [entry] = versions.files(stores, record.id, before.manifest)
    from chalicelib.registry import blobs

    key = blobs.object_keys(stores, record.id, [entry.blob])[entry.blob]
    assert stores.blobs.read(key) == b"first"


def test_encoded_keys_are_understood(open_inbox):
    """Clients that encode `#` as `%23` in their keys drop into the same layout."""
    stores = open_inbox
    folder = "inbox/vision/digits/run-1/checkpoint/lr/7%23epoch/"
    for key in drop(stores, folder, {"w": b"1", "_SUCCESS": b""}):
        objects.look(stores, key)
    assert [(c.step, c.name) for c in found(stores)] == [(7, "epoch")]


PARTY = "guest#9999#arbiter-10000#guest-9999#host-10000#model"


@pytest.mark.parametrize(
    ("folder", "model", "name"),
    [
        (f"inbox/vision/{PARTY}/run-1/checkpoint/lr/7#epoch/", PARTY, "epoch"),
        (
            f"inbox/vision/{PARTY.replace('#', '%23')}/run-1/checkpoint/lr/7%23epoch/",
            PARTY,
            "epoch",
        ),
        # Where the step's folder has a `#`, nothing was encoded: the rest is what it says.
        ("inbox/vision/a%23b/run-1/checkpoint/lr/7#epoch/", "a%23b", "epoch"),
        ("inbox/vision/a%2523b/run-1/checkpoint/lr/7%23x%23y/", "a%23b", "x#y"),
        ("inbox/vision/digits/run-1/checkpoint/lr/7#x%23y#z/", "digits", "x%23y#z"),
    ],
)
def test_keys_with_signs_are_what_they_say(open_inbox, folder, model, name):
    """`#` and `%23` in the names of models and steps, encoded as a whole or not at all."""
    stores = open_inbox
    files = fate(7, f"'{name}'", {"Meta": b"data"})
    keys = drop(stores, folder, files)
    for key in random.Random(1).sample(keys * 3, len(keys) * 3):
        objects.look(stores, key)
    [checkpoint] = found(stores, model=model)
    assert (checkpoint.component, checkpoint.step, checkpoint.name) == ("lr", 7, name)
    assert checkpoint.files == 3


@pytest.mark.parametrize(
    "key",
    ["inbox/x", "inbox/vision/m/l/other/c/1#a/f", "inbox/vision/m/l/checkpoint/c/x#a/f",
     "inbox/vision/m/l/checkpoint/c/1/f", "inbox/vision/m/l/checkpoint/c/1#a"],
)  # fmt: skip
def test_keys_outside_the_layout_are_no_drop(key):
    """Only the documented layout means anything."""
    assert inbox.parse(key) is None


def test_a_closed_inbox_and_an_unknown_project_make_nothing(stores, capsys):
    """The inbox is off by default; unknown projects are reported and never created."""
    for key in drop(stores, FOLDER.format(1, "s"), {"w": b"1", "_SUCCESS": b""}):
        objects.look(stores, key)
    with pytest.raises(NotFound):
        found(stores)
    key = "inbox/nowhere/m/l/checkpoint/c/1#s/_SUCCESS"
    stores.blobs.put(key, b"")
    objects.look(stores, key)
    assert "unknown project" in capsys.readouterr().out
    with pytest.raises(NotFound):
        projects.find(stores, "nowhere")


def drops():
    found = {}
    for i in range(100):
        folder = f"inbox/vision/model-{i % 3}/run-{i % 4}/checkpoint/c{i % 2}/{i}#epoch/"
        if i % 2:
            found[folder] = fate(i, "epoch", {"Meta": f"meta {i}".encode()})
        else:
            found[folder] = {"w.bin": f"weights {i // 4}".encode(), "_SUCCESS": b""}
    return found


def catalogue(stores):
    rows = set()
    for model in models.listing(stores, "vision", prefix="model", limit=10, page=None).items:
        record = models.find(stores, "vision", model.name)
        for version in versions.listing(stores, record, state="open").items:
            whole = versions.numbered(stores, record, version.number)
            for c in checkpoints.listing(stores, whole, limit=1000).items:
                rows.add((model.name, version.label, c.component, c.step, c.name, c.manifest,
                          c.files, c.size))  # fmt: skip
    return rows


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_order_and_number_of_events_do_not_matter(tmp_path, seed):
    """100 drops, each event twice and in random order: the same catalogue, each checkpoint once."""
    results = []
    for name, shuffled in (("plain", False), ("shuffled", True)):
        folder = tmp_path / name
        folder.mkdir()
        stores, _ = world(folder)
        setup_model(stores)
        projects.change(stores, "ann", "vision", ProjectChanges(inbox=True))
        events = []
        for base, files in drops().items():
            events += drop(stores, base, files)
        if shuffled:
            events *= 2
            random.Random(seed).shuffle(events)
        for key in events:
            objects.look(stores, key)
        results.append(catalogue(stores))
        assert len(results[-1]) == 100
        stores.table.close()
    assert results[0] == results[1]


def test_the_sweep_finds_what_no_event_announced(registry):
    """Drops and blobs whose events were lost are found by the sweep."""
    from chalicelib.indexing import repair
    from chalicelib.registry import facts
    from tests.registry_world import publish

    stores, clock = registry
    projects.change(stores, "ann", "vision", ProjectChanges(inbox=True))
    drop(stores, FOLDER.format(1, "s"), {"w.bin": b"first", "_SUCCESS": b""})
    version = publish(stores, {"a": b"content"})
    assert repair.run(stores).indexed == 0
    assert len(found(stores)) == 1
    record = projects.find(stores, "vision")
    [entry] = versions.files(stores, record.id, version.manifest)
    assert facts.indexed(stores, record.id, entry.blob) == 0
    clock.time += 2 * stores.lease_seconds
    assert repair.run(stores).indexed == 2
    assert facts.indexed(stores, record.id, entry.blob) == formats.INDEXER
    assert repair.run(stores).indexed == 0
