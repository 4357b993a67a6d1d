"""Versions and checkpoints side by side: what is told apart, on each table engine."""

from dataclasses import replace

import numpy as np
import pytest

from chalicelib.registry import checkpoints, compare, models, promoting
from chalicelib.registry.compare import Side
from tests.registry.test_claims import PATH, claimed, index, push, record, tensors
from tests.registry.test_claims import stores as stores
from tests.registry_world import key_of, upload
from weighbridge.contract import manifests, references
from weighbridge.contract.errors import InvalidRequest, NotFound
from weighbridge.contract.types import (
    CheckpointCommit,
    Claims,
    ModelChanges,
    ModelSettings,
    Promotion,
)


def commit(stores, tmp_path, step, values, silent=False, **given):
    """A checkpoint of version 1 with these tensors and what its pusher claims of them."""
    data, claim = claimed(values, tmp_path)
    entries = upload(stores, "vision", {PATH: data})
    request = CheckpointCommit(manifests.digest(entries), entries, step, **given)
    if not silent:
        request = replace(request, claims=Claims((claim,)))
    return checkpoints.commit(stores, "ann", record(stores, 1), request)


def told(stores, *texts):
    """The comparison of these references."""
    return compare.compare(stores, [compare.resolve(stores, references.parse(t)) for t in texts])


def sections(found):
    return {s.title: {d.name: d.change for d in s.differences} for s in found.sections}


def test_checkpoints_and_versions_are_compared_alike(stores, tmp_path):
    """Metrics, tags, files and tensors are the checkpoint's own; params its version's."""
    push(stores, tmp_path, tensors())
    changed = tensors(b=np.full((2, 3), 9, np.float32))
    commit(stores, tmp_path, 100, changed, metrics={"acc": 0.4}, tags={"kind": "auto"})
    commit(stores, tmp_path, 200, tensors(), metrics={"acc": 0.6}, tags={"kind": "auto"})
    index(stores)
    found = told(stores, "vision/digits@1", "vision/digits@1:1", "vision/digits:last")
    assert found.references == ("vision/digits@1", "vision/digits@1:1", "vision/digits@1:2")
    assert [point and point.step for point in found.checkpoints] == [None, 100, 200]
    assert [version.number for version in found.versions] == [1, 1, 1]
    known = sections(found)
    assert known["tensors"] == {"b": "changed"}  # told by what the pushers claim
    assert known["metrics"] == {"acc": "added"}
    assert known["tags"] == {"kind": "added"}
    assert known["files"] == {PATH: "changed", "notes.txt": "removed"}
    assert known["params"] == known["provenance"] == {}


def test_checkpoints_without_claims_are_told_apart_by_shape(stores, tmp_path):
    """Facts of a checkpoint's files alone show names, types and shapes."""
    push(stores, tmp_path, tensors())
    commit(stores, tmp_path, 1, tensors(), silent=True)
    commit(stores, tmp_path, 2, tensors(b=np.zeros((4, 4), np.float32)), silent=True)
    index(stores)
    known = sections(told(stores, "vision/digits@1:1", "vision/digits@1:2"))
    assert known["tensors"] == {"b": "reshaped"}


def test_the_best_is_found_and_a_missing_one_is_not(stores, tmp_path):
    """Selectors of checkpoints mean here what they mean elsewhere."""
    push(stores, tmp_path, tensors())
    settings = ModelSettings(directions={"acc": "max"})
    models.change(stores, "ann", "vision", "digits", ModelChanges(settings=settings))
    for step, value in ((1, 0.5), (2, 0.9), (3, 0.7)):
        commit(stores, tmp_path, step, tensors(), metrics={"acc": value}, tags={"s": str(step)})
    best = compare.resolve(stores, references.parse("vision/digits@1:best=acc"))
    assert (best.reference, best.checkpoint.step) == ("vision/digits@1:2", 2)
    with pytest.raises(NotFound):
        compare.resolve(stores, references.parse("vision/digits@1:9"))


def test_only_versions_have_no_list_of_checkpoints(stores, tmp_path):
    """Comparisons of versions are what they were."""
    push(stores, tmp_path, tensors())
    assert told(stores, "vision/digits@1", "vision/digits").checkpoints == ()


def test_a_promoted_checkpoint_says_so(stores, tmp_path):
    """The version it became names it, and holds the same files."""
    push(stores, tmp_path, tensors())
    commit(stores, tmp_path, 1, tensors(), metrics={"acc": 0.4})
    side = compare.resolve(stores, references.parse("vision/digits@1:1"))
    source = checkpoints.CheckpointRecord(side.version, side.checkpoint)
    made = promoting.promote(stores, "ann", source, Promotion(key_of("promote")))
    found = told(stores, "vision/digits@1:1", f"vision/digits@{made.number}")
    assert found.versions[1].source == found.references[0]
    assert sections(found)["files"] == {}


@pytest.mark.parametrize("number", [0, 1, 7])
def test_too_few_or_too_many_sides_are_refused(stores, tmp_path, number):
    """Two to six, and the error says how many were given."""
    push(stores, tmp_path, tensors())
    with pytest.raises(InvalidRequest, match=f"not {number}"):
        compare.compare(stores, [Side(record(stores, 1))] * number)
