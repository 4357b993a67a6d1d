"""Drops that never complete are reported, old ones are removed, and a thousand files make what is whole."""

import random

import pytest

from chalicelib.indexing import letterbox, objects, repair
from chalicelib.registry import drops, models, outbox, projects
from tests.inbox_drops import fate, in_random_order, thousand
from tests.registry.test_inbox import FOLDER, catalogue, drop, found
from tests.registry_world import setup_model, world
from weighbridge.contract.errors import NotFound
from weighbridge.contract.types import ProjectChanges


@pytest.fixture
def open_inbox(stores):
    """The registry with the inbox of `vision` on."""
    projects.change(stores, "ann", "vision", ProjectChanges(inbox=True))
    return stores


def reported(stores):
    record = projects.find(stores, "vision")
    return drops.listing(stores, record, limit=100, page=None).items


def events(stores, kind):
    record = projects.find(stores, "vision")
    history = outbox.history(stores, record.id, record.project.created, limit=1000).items
    return [e for e in history if e.kind == kind]


def sweep_after(stores, clock, seconds):
    clock.time += seconds
    return repair.run(stores)


def test_a_drop_that_never_completes_is_reported_once(open_inbox, clock):
    """After an hour of quiet the sweep says what is missing; until then it may still come."""
    stores = open_inbox
    files = fate(1, "e", {"Meta": b"meta", "Param": b"param"})
    files.pop("Param.json")
    drop(stores, FOLDER.format(1, "e"), files)
    drop(stores, FOLDER.format(2, "e"), {"w.bin": b"w"})
    drop(stores, "inbox/vision/stray/", {"x": b"x"})
    sweep_after(stores, clock, 60)
    assert reported(stores) == ()
    for _ in range(3):
        sweep_after(stores, clock, letterbox.QUIET_SECONDS)
    first, second, stray = reported(stores)
    assert (first.state, first.missing, first.files) == ("incomplete", ("Param.json",), 4)
    assert second.missing == ("_SUCCESS",)
    assert "outside the layout" in stray.message
    assert len(events(stores, "inbox.incomplete")) == 3
    with pytest.raises(NotFound):
        found(stores)


def test_a_drop_that_completes_after_all_is_no_longer_reported(open_inbox, clock):
    """The note goes when the checkpoint comes."""
    stores = open_inbox
    folder = FOLDER.format(2, "e")
    drop(stores, folder, {"w.bin": b"w"})
    sweep_after(stores, clock, letterbox.QUIET_SECONDS + 1)
    assert len(reported(stores)) == 1
    for key in drop(stores, folder, {"_SUCCESS": b""}):
        objects.look(stores, key)
    assert reported(stores) == ()
    assert len(found(stores)) == 1


def test_old_folders_are_removed_by_the_sweep_alone(open_inbox, clock):
    """After `inbox_seconds`: silently if it became a checkpoint, with a line in the history if not."""
    stores = open_inbox
    whole, broken = FOLDER.format(1, "e"), FOLDER.format(2, "e")
    for key in drop(stores, whole, {"w.bin": b"w", "_SUCCESS": b""}):
        objects.look(stores, key)
    drop(stores, broken, {"w.bin": b"half"})
    sweep_after(stores, clock, stores.inbox_seconds - 10)
    assert len(stores.blobs.list("inbox/vision/").heads) == 3
    assert sweep_after(stores, clock, 20).expired == 3
    assert stores.blobs.list("inbox/vision/").heads == ()
    assert [e.subject for e in events(stores, "inbox.expired")] == [broken]
    assert reported(stores) == ()
    assert len(found(stores)) == 1
    sweep_after(stores, clock, 2 * 86400)
    assert len(found(stores)) == 1


def test_what_lies_beside_a_fate_checkpoint_does_not_matter(tmp_path):
    """A stray file before or after completion, and both markers in either order: one manifest."""
    manifests = set()
    for i, names in enumerate((
        ("stray", "fate", "_SUCCESS"), ("fate", "stray", "_SUCCESS"), ("_SUCCESS", "fate"),
    )):  # fmt: skip
        folder = tmp_path / str(i)
        folder.mkdir()
        stores, _ = world(folder)
        setup_model(stores)
        projects.change(stores, "ann", "vision", ProjectChanges(inbox=True))
        for name in names:
            files = fate(1, "e", {"Meta": b"m"}) if name == "fate" else {name: b"x"}
            keys = drop(stores, FOLDER.format(1, "e"), files)
            if name != "_SUCCESS" or "fate" in names[: names.index(name)]:
                for key in keys:
                    objects.look(stores, key)
        manifests |= {c.manifest for c in found(stores)}
        stores.table.close()
    assert len(manifests) == 1


@pytest.mark.parametrize(
    "seed", [1, *(pytest.param(n, marks=pytest.mark.long) for n in range(2, 12))]
)
def test_a_thousand_files_in_random_order_make_exactly_what_is_whole(tmp_path, seed):
    """Files put in random order, each event twice and late: every complete drop once, no other."""
    stores, clock = world(tmp_path)
    setup_model(stores)
    projects.change(stores, "ann", "vision", ProjectChanges(inbox=True))
    whole, broken = thousand("vision")
    dice = random.Random(seed)
    files = in_random_order({**whole, **broken}, dice)
    assert len(files) == 1000
    waiting = []
    for key, data in files:
        stores.blobs.put(key, data)
        waiting += [key, key]
        while waiting and dice.random() < 0.66:
            objects.look(stores, waiting.pop(dice.randrange(len(waiting))))
    dice.shuffle(waiting)
    for key in waiting:
        objects.look(stores, key)
    rows = catalogue(stores)
    assert len(rows) == len(whole)
    assert {(m, label, c or "-", f"{s}#{n}") for m, label, c, s, n, *_ in rows} == {
        (f[2], f[3], f[5], f[6]) for f in (folder.split("/") for folder in whole)
    }
    clock.time += letterbox.QUIET_SECONDS + 10
    repair.run(stores)
    assert {d.folder for d in reported(stores)} == set(broken)
    assert catalogue(stores) == rows
    published = events(stores, "checkpoint.published")
    assert len(published) == len({e.subject for e in published}) == len(whole)
    assert models.listing(stores, "vision", prefix="model", limit=10, page=None).items
    stores.table.close()
