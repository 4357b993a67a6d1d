"""FATE's layout on disk: markers, folders, and what of them counts. No server takes part."""

import hashlib
import os
import sys

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from tests.fate import trees
from weighbridge import Registry
from weighbridge.contract.errors import (
    IntegrityError,
    InvalidManifest,
    InvalidRequest,
    Unsupported,
)
from weighbridge.fate import ModelCheckpoint, layout, markers, model_checkpoint
from weighbridge.fate.markers import Buffer, Marker
from weighbridge.fate.syncing import Syncing, checked_max, named

NAMES = st.text(
    st.characters(exclude_categories=("Cs", "Cc", "Zl", "Zp"), exclude_characters="/\\"),
    min_size=1, max_size=40,
).filter(lambda text: text[1:2] != ":")  # fmt: skip
"""Without a drive's letter: that would be no relative path."""
PARTY = f"guest#9999#{trees.MODEL_ID}"


@given(st.integers(0, 10**15 - 1), NAMES, st.dictionaries(NAMES, NAMES, min_size=1, max_size=4))
def test_a_marker_says_what_it_was_told(index, name, buffers):
    """FATE's own reader (a YAML library) and ours read the same from what we write."""
    models = {
        buffer: Buffer(hashlib.sha1(text.encode()).hexdigest(), text)
        for buffer, text in buffers.items()
    }
    data = markers.encode(Marker(index, name, markers.now(), models))
    found = yaml.safe_load(data)
    assert (found["step_index"], found["step_name"]) == (index, name)
    assert {n: (b["sha1"], b["buffer_name"]) for n, b in found["models"].items()} == {
        n: (b.sha1, b.buffer_name) for n, b in models.items()
    }
    assert markers.parse(data).models == models
    folder = markers.folder_name(index, name)
    assert markers.parse_folder(folder) == (index, name)


def test_a_digest_of_digits_stays_a_text():
    """Forty digits are a SHA-1, not a number."""
    for digest in ("1" * 40, "0" * 40, "12345678e9".ljust(40, "0")):
        data = markers.encode(Marker(1, "1", markers.now(), {"A": Buffer(digest, "B")}))
        assert markers.parse(data).models["A"].sha1 == digest
        assert markers.parse(data).step_name == "1"


@pytest.mark.parametrize(
    "data",
    [b"", b"[]", b"{", b"step_index: x", b"step_index: -1\nmodels: {}", b"step_index: 1\nmodels: []",
     b"step_index: 1\nmodels: {}", b"step_index: 1\nmodels: {a: 1}",
     b"step_index: 1\nmodels: {../x: {sha1: a}}", b"step_index: 1\nmodels: {1: {sha1: a}}",
     b"!!python/object/apply:os.system [ls]", b"\xff\xfe", b"a: " + b"[" * 10_000],
)  # fmt: skip
def test_a_bad_marker_is_refused(data):
    """With the file in the message; nothing is executed."""
    with pytest.raises(InvalidManifest, match=r"database\.yaml"):
        markers.parse(data)


@pytest.mark.parametrize(
    ("damage", "error", "text"),
    [
        (lambda f: (f / "HeteroLRMeta.pb").write_bytes(b"x"), IntegrityError, "SHA-1"),
        (lambda f: (f / "HeteroLRMeta.json").unlink(), InvalidManifest, "is missing"),
        (lambda f: (f / "database.yaml").write_bytes(b"x" * (markers.MOST + 1)), InvalidManifest, "more than"),
        (lambda f: f.joinpath("database.yaml").write_text(trees.marker(4, "epoch", {"A": b""})),
         InvalidManifest, "names step '4#epoch'"),
        (lambda f: (f / "HeteroLRMeta.pb").rename(f / "x") and (f / "HeteroLRMeta.pb").symlink_to(f / "x"),
         InvalidManifest, "is a link"),
        (lambda f: (f / "HeteroLRMeta.json").unlink() or os.mkfifo(f / "HeteroLRMeta.json"),
         InvalidManifest, "no regular file"),
    ],
)  # fmt: skip
def test_a_damaged_checkpoint_is_none(tmp_path, damage, error, text):
    """Each kind of damage is named; links and pipes are not followed."""
    folder = trees.step(tmp_path, "lr", 3)
    assert list(markers.check(folder, 3, "epoch"))[-1] == "database.yaml"
    damage(folder)
    with pytest.raises(error, match=text):
        markers.check(folder, 3, "epoch")


def test_the_files_of_a_model_are_those_of_the_layout(tmp_path):
    """Checkpoints, locks and `import_model.json` are not part of it."""
    root = trees.model(tmp_path, PARTY, "1", steps=2)
    (root / "checkpoint" / "notes").mkdir()
    (root / "checkpoint" / "hetero_lr_0" / "no-step").mkdir()
    [tree] = layout.trees(tmp_path)
    sources = tree.sources()
    assert [s.name for s in sources] == sorted(trees.files_of_model(PARTY, "1"))
    assert tree.problems(sources) == []
    marked, unfinished = tree.steps()
    assert ([step.key for step in marked], unfinished) == (
        [("hetero_lr_0", 0, "epoch"), ("hetero_lr_0", 1, "epoch")], [],
    )  # fmt: skip


def test_steps_are_ordered_by_number_and_split_at_the_first_sign(tmp_path):
    """10 comes after 9; a name may hold `#` and `%23`."""
    for index, name in ((10, "epoch"), (9, "a#b"), (9, "a%23b")):
        trees.step(tmp_path, "lr", index, name)
    found = layout.Tree(PARTY, "1", tmp_path).steps()[0]
    assert [step.shown for step in found] == ["lr/9#a#b", "lr/9#a%23b", "lr/10#epoch"]


@pytest.mark.parametrize(
    "start", ["", "model_local_cache", PARTY, f"{PARTY}/1", f"{PARTY}/1/checkpoint"]
)
def test_a_tree_is_found_from_each_folder_above_it(tmp_path, start):
    """From the cache, what holds it, the model's folder, the version's, and its checkpoints'."""
    cache = tmp_path / "model_local_cache"
    trees.model(cache, PARTY, "1", steps=1)
    folder = tmp_path / start if start in ("", "model_local_cache") else cache / start
    assert [tree.shown for tree in layout.trees(folder)] == [f"{PARTY}/1"]


@pytest.mark.parametrize(
    ("define", "text"),
    [(b"{", "cannot be read"), (b"a: 1", "has no model_proto"),
     (b"model_proto: {x: {y: {../../../etc/passwd: Z}}}", "is missing"),
     (b"model_proto: {x: {y: [1]}, z: 1}", "")],
)  # fmt: skip
def test_an_index_that_lists_more_than_is_there_is_not_complete(tmp_path, define, text):
    """Whatever it names, only the tree itself is looked at."""
    root = trees.model(tmp_path, PARTY, "1")
    (root / "define" / "define_meta.yaml").write_bytes(define)
    tree = layout.Tree(PARTY, "1", root)
    found = tree.problems(tree.sources())
    assert (found == []) if not text else (text in found[0])


@pytest.mark.parametrize("value", ["2", 1.5, True, None, [1]])
def test_a_frequency_of_another_type_is_refused(value):
    """As FATE does: a text is a wrong value, the others a wrong type."""
    with pytest.raises(ValueError if isinstance(value, str) else TypeError):
        model_checkpoint.checked_frequency(value)


@pytest.mark.parametrize("value", [0, -1])
def test_numbers_below_one_are_refused(value):
    """Both of epochs and of checkpoints."""
    with pytest.raises(ValueError):
        model_checkpoint.checked_frequency(value)
    with pytest.raises(ValueError):
        checked_max(value)
    with pytest.raises(ValueError):
        checked_max(1001)
    for other in ("3", 2.0, True):
        with pytest.raises(TypeError):
            checked_max(other)
    assert model_checkpoint.checked_frequency("epoch") == 1
    assert checked_max(None) is None


def test_buffers_of_another_form_are_refused():
    """Before anything is saved; the network is not touched."""
    party = {
        "role": "guest",
        "party_id": 1,
        "model_id": "x",
        "model_version": "1",
        "component": "c",
    }
    nowhere = Registry("http://127.0.0.1:1", "wb_x_y")
    with ModelCheckpoint(nowhere, "p", **party, signals=False) as saving:
        for bad in ({"A": b"bytes"}, {"A": ("B", "text", {})}):
            with pytest.raises(TypeError, match="class name, bytes, JSON"):
                saving.save(0, bad)
        for bad in ({}, {"a/b": ("B", b"", {})}):
            with pytest.raises(ValueError):
                saving.save(0, bad)
        with pytest.raises(TypeError):
            saving.on_epoch_end("0", {})
        with pytest.raises(ValueError):
            saving.on_epoch_end(-1, {})


def test_without_the_yaml_library_the_extra_is_named(monkeypatch, tmp_path):
    """Nothing is looked at before."""
    monkeypatch.setitem(sys.modules, "yaml", None)
    with pytest.raises(Unsupported, match=r"weighbridge\[fate\]"):
        Syncing(None, tmp_path, "p")


def test_a_tree_with_a_name_of_its_own_needs_all_of_it(tmp_path):
    """Model without label is no name."""
    with pytest.raises(InvalidRequest):
        Syncing(None, tmp_path, "p", model="guest#1#x")
    assert named("p/guest#1#x@=a%25b") == ("p", "guest#1#x", "a%b")
    for bad in ("p/m", "p/m@3", "p/m@=x:1"):
        with pytest.raises(InvalidRequest):
            named(bad)
