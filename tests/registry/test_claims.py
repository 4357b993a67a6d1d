"""Claims about tensors: refused when malformed, shown with the facts, told apart, gone with their version."""

import math
from dataclasses import replace

import numpy as np
import pytest
import safetensors.numpy
from moto import mock_aws

from chalicelib.catalogue import drain
from chalicelib.indexing import objects
from chalicelib.registry import (
    changing,
    checkpoints,
    claims,
    compare,
    facts,
    keys,
    models,
    projects,
    promoting,
    publishing,
    sweep,
    versions,
)
from chalicelib.storage.dynamo import DynamoTable
from tests.registry_world import key_of, publish, setup_model, upload, world
from weighbridge.contract import manifests
from weighbridge.contract.errors import Conflict, InvalidRequest, RegistryError, TooLarge
from weighbridge.contract.references import CheckpointSelector, VersionSelector
from weighbridge.contract.types import (
    CheckpointCommit,
    Claims,
    ClaimsPage,
    FileClaims,
    NewVersion,
    Promotion,
    Statistics,
    Tensor,
    TensorClaim,
    VersionCommit,
)
from weighbridge.transfer.fingerprints import Wanted, open_scan

PATH = "model.safetensors"
BARE = "model.bin"


@pytest.fixture(params=["sqlite", "dynamodb"])
def stores(request, tmp_path, monkeypatch):
    """A registry on each engine."""
    if request.param == "sqlite":
        made, _ = world(tmp_path)
        setup_model(made)
        yield made
        made.table.close()
        return
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    with mock_aws():
        table = DynamoTable("registry", "us-east-1")
        table.create_table()
        made, _ = world(tmp_path, table)
        setup_model(made)
        yield made


def tensors(**changed):
    """Three tensors; `changed` replaces some of them."""
    found = {name: np.arange(6, dtype=np.float32).reshape(2, 3) + i for i, name in enumerate("abc")}
    return {**found, **changed}


def claimed(values, tmp_path):
    """The file of these tensors, and what a push says of it."""
    path = tmp_path / PATH
    path.write_bytes(safetensors.numpy.save(values))
    scan, _ = open_scan(path, Wanted())
    scan.update(memoryview(path.read_bytes()))
    return path.read_bytes(), FileClaims(PATH, scan.finish())


def push(stores, tmp_path, values, *, silent=False):
    """Publishes tensors with their claims; all of it is indexed."""
    data, claim = claimed(values, tmp_path)
    given = {} if silent else {"claims": Claims((claim,))}
    version = publish(stores, {PATH: data, "notes.txt": b"hello"}, **given)
    index(stores)
    return version


def index(stores):
    """What events lead to."""
    for head in stores.blobs.list(f"blobs/{projects.find(stores, 'vision').id}/").heads:
        objects.look(stores, head.key)


def record(stores, number):
    """A version with its model."""
    return versions.numbered(stores, models.find(stores, "vision", "digits"), number)


def shown(stores, number):
    """The tensors of a version with what is claimed."""
    found = record(stores, number)
    files = versions.files(stores, found.model.project_id, found.version.manifest)
    told = facts.told(stores, found, files, found.version.claims)
    return {t.name: t for f in told.items if f.path == PATH for t in f.facts.tensors}


def difference(stores, *numbers):
    """What differs between the tensors of versions: name to change, and how many are the same."""
    found = compare.compare(stores, [compare.Side(record(stores, n)) for n in numbers])
    section = next(s for s in found.sections if s.title == "tensors")
    return {d.name: d.change for d in section.differences}, section.same, section


def test_claims_are_shown_beside_the_facts(stores, tmp_path):
    """Fingerprint and statistics of each tensor come with the facts of the version, and its counts."""
    bad = np.array([[1, math.nan, 3], [math.inf, 5, 6]], np.float32)
    version = push(stores, tmp_path, tensors(b=bad))
    found = shown(stores, version.number)
    assert all(len(t.fingerprint) == 32 for t in found.values())
    assert found["a"].statistics.mean == 2.5
    assert found["b"].statistics.nan == pytest.approx(1 / 6)
    counted = version.claims
    assert (counted.tensors, counted.fingerprints, counted.statistics) == (3, 3, 3)
    assert (counted.nan, counted.inf, counted.sampled) == (1, 1, 0)
    assert record(stores, version.number).version.claims == counted


def test_a_version_without_claims_works_everywhere(stores, tmp_path):
    """No claims: no fingerprint, no statistics; compared with one that has them, nothing is changed."""
    push(stores, tmp_path, tensors(), silent=True)
    push(stores, tmp_path, tensors(c=np.ones((2, 3), np.float32)))
    assert record(stores, 1).version.claims is None
    assert all(not t.fingerprint and t.statistics is None for t in shown(stores, 1).values())
    changes, same, _ = difference(stores, 1, 2)
    assert (changes, same) == ({}, 3)


def test_exactly_the_changed_tensor_is_changed(stores, tmp_path):
    """Same names, types and shapes: fingerprints say which tensor has other bytes."""
    push(stores, tmp_path, tensors())
    push(stores, tmp_path, tensors(b=np.ones((2, 3), np.float32)))
    changes, same, section = difference(stores, 1, 2)
    assert (changes, same) == ({"b": "changed"}, 2)
    before, after = section.differences[0].values
    assert before["fingerprint"] != after["fingerprint"]
    assert (before["statistics"]["max"], after["statistics"]["max"]) == (6, 1)


def test_all_kinds_of_change(stores, tmp_path):
    """Renamed, reshaped, retyped, added and removed are each told as what they are."""
    first = tensors(d=np.zeros(4, np.int32), gone=np.full(9, 7, np.float32))
    second = {
        "layer.a": first["a"], "b": first["b"].reshape(3, 2), "c": first["c"],
        "d": first["d"].view(np.float32), "new": np.ones(5, np.float32),
    }  # fmt: skip
    push(stores, tmp_path, first)
    push(stores, tmp_path, second)
    changes, same, section = difference(stores, 1, 2)
    assert changes == {
        "layer.a": "renamed", "b": "reshaped", "d": "retyped", "gone": "removed", "new": "added",
    }  # fmt: skip
    assert same == 1
    renamed = next(d for d in section.differences if d.change == "renamed")
    assert [v["name"] for v in renamed.values] == ["a", "layer.a"]


def test_tensors_that_are_alike_are_paired_only_when_that_is_plain(stores, tmp_path):
    """Two biases of zeros renamed are two pairs; of two, one renamed and one removed is not."""
    zeros = np.zeros(3, np.float32)
    push(stores, tmp_path, {"x.0": zeros, "x.1": zeros})
    push(stores, tmp_path, {"y.0": zeros, "y.1": zeros})
    push(stores, tmp_path, {"y.0": zeros})
    changes, _, section = difference(stores, 1, 2)
    assert changes == {"y.0": "renamed", "y.1": "renamed"}
    assert [d.values[0]["name"] for d in section.differences] == ["x.0", "x.1"]
    assert difference(stores, 1, 3)[0] == {"x.0": "removed", "x.1": "removed", "y.0": "added"}


def test_a_rename_among_three_sides(stores, tmp_path):
    """A name that two sides share and a third has otherwise is one renamed row."""
    value = np.arange(3, dtype=np.float32)
    for name in ("old", "old", "new"):
        push(stores, tmp_path, {name: value})
    changes, _, section = difference(stores, 1, 2, 3)
    assert changes == {"new": "renamed"}
    assert [v["name"] for v in section.differences[0].values] == ["old", "old", "new"]


def test_claims_about_other_tensors_are_not_shown(stores, tmp_path):
    """Only where name, dtype and shape agree with the file's header is a claim shown."""
    data, claim = claimed(tensors(), tmp_path)
    a, b, c = claim.tensors
    lies = (
        replace(a, dtype="F16"), replace(b, shape=(6,)), replace(c, name="other"),
    )  # fmt: skip
    publish(stores, {PATH: data}, claims=Claims((FileClaims(PATH, lies),)))
    index(stores)
    assert all(not t.fingerprint for t in shown(stores, 1).values())


GOOD = TensorClaim("w", "F32", (4,), "0" * 32, Statistics(4, 4, -1.0, 1.0, 0.0, 0.5, 0.0, 0.0))


def figures(**changed):
    """A claim with other statistics."""
    return replace(GOOD, statistics=replace(GOOD.statistics, **changed))


WRONG = {
    "empty name": replace(GOOD, name=""),
    "long name": replace(GOOD, name="x" * 1001),
    "dtype": replace(GOOD, dtype="float32"),
    "long dtype": replace(GOOD, dtype="F" * 17),
    "dimensions": replace(GOOD, shape=(1,) * 65, statistics=None),
    "negative": replace(GOOD, shape=(-2, -2)),
    "huge": replace(GOOD, shape=(2**40, 2**40), statistics=None),
    "short print": replace(GOOD, fingerprint="0" * 31),
    "print in capitals": replace(GOOD, fingerprint="A" * 32),
    "print and newline": replace(GOOD, fingerprint="0" * 32 + "\n"),
    "count": figures(count=5, seen=4),
    "seen too many": figures(seen=5),
    "seen none": figures(seen=0),
    "nan": figures(mean=math.nan),
    "inf": figures(max=math.inf),
    "half": figures(min=None),
    "mean alone": figures(min=None, max=None),
    "mean outside": figures(mean=2.0),
    "turned": figures(min=1.0, max=-1.0, mean=None),
    "negative std": figures(std=-0.1),
    "share": figures(nan=1.5),
    "negative share": figures(inf=-0.5),
    "shares": figures(nan=0.7, inf=0.7),
    "no share": figures(nan=math.nan),
}


@pytest.mark.parametrize("case", WRONG)
def test_malformed_claims_are_refused(registry, tmp_path, case):
    """A claim that cannot be one is an error that names the tensor, and nothing is published."""
    stores, _ = registry
    publish(stores, {BARE: b"x"}, claims=Claims((FileClaims(BARE, (GOOD,)),)))
    with pytest.raises(InvalidRequest, match="tensor"):
        publish(stores, {BARE: b"y"}, claims=Claims((FileClaims(BARE, (WRONG[case],)),)))
    assert record(stores, 2).version.state == "open"


@pytest.mark.parametrize(
    ("given", "error"),
    [
        (Claims((FileClaims("other", (GOOD,)),)), "not among the files"),
        (Claims((FileClaims("../x", (GOOD,)),)), "path"),
        (Claims((FileClaims(BARE, (GOOD, GOOD)),)), "twice"),
        (Claims((FileClaims(BARE, (GOOD,)), FileClaims(BARE, (GOOD,)))), "twice"),
        (Claims(pages=("../../secret",)), "no page"),
        (Claims(pages=("0" * 20,)), "send it again"),
        (Claims(pages=tuple(f"{n:020x}" for n in range(65))), "65 pages"),
        (Claims((FileClaims(BARE, tuple(replace(GOOD, name=str(n)) for n in range(5001))),)),
         "5001 tensors"),
        (Claims((FileClaims(BARE, tuple(replace(GOOD, name=f"{n:01000}") for n in range(2500))),)),
         "bytes of claims"),
    ],
)  # fmt: skip
def test_impossible_commits_are_refused(registry, given, error):
    """Foreign paths, foreign pages and too much of anything are errors; nothing is published."""
    stores, _ = registry
    with pytest.raises(RegistryError, match=error):
        publish(stores, {BARE: b"x"}, claims=given)
    assert record(stores, 1).version.state == "open"


def opened(stores, name):
    """An open version."""
    version = publishing.begin(stores, "ann", "vision", "digits", NewVersion(key_of(name)))
    return record(stores, version.number)


def objects_of(stores):
    """The pages of claims that the store holds."""
    project = projects.find(stores, "vision").id
    return [head.key for head in stores.blobs.list(f"manifests/{project}/claims/").heads]


def test_pages_make_one_whole(stores, tmp_path):
    """Claims that do not fit into a commit come before it, in pages, also about one file."""
    data, claim = claimed(tensors(), tmp_path)
    found = opened(stores, "paged")
    pages = [
        claims.add(stores, found, ClaimsPage((FileClaims(PATH, (one,)),))).page
        for one in claim.tensors
    ]
    entries = upload(stores, "vision", {PATH: data})
    request = VersionCommit(manifests.digest(entries), entries, claims=Claims(pages=tuple(pages)))
    version = publishing.commit(stores, "ann", "vision", "digits", found.number, request)
    index(stores)
    assert version.claims.tensors == 3
    assert all(t.fingerprint for t in shown(stores, found.number).values())
    again = publishing.commit(stores, "ann", "vision", "digits", found.number, request)
    assert again.claims == version.claims


def test_pages_of_another_version_are_not_taken(stores, tmp_path):
    """A page is stored for one version; no other can name it."""
    one, other = opened(stores, "one"), opened(stores, "other")
    page = claims.add(stores, one, ClaimsPage((FileClaims(BARE, (GOOD,)),))).page
    entries = upload(stores, "vision", {BARE: b"x"})
    request = VersionCommit(manifests.digest(entries), entries, claims=Claims(pages=(page,)))
    with pytest.raises(InvalidRequest, match="has no page"):
        publishing.commit(stores, "ann", "vision", "digits", other.number, request)


def test_too_much_in_all_is_refused(registry, monkeypatch):
    """The pages of one version have a bound together."""
    stores, _ = registry
    monkeypatch.setattr(claims, "MAX_TOTAL", 250)
    found = opened(stores, "large")
    pages = tuple(
        claims.add(stores, found, ClaimsPage((FileClaims(PATH, (replace(GOOD, name=n),)),))).page
        for n in "abc"
    )
    with pytest.raises(TooLarge, match="bytes of claims"):
        claims.accept(stores, found, (), Claims(pages=pages))


def test_an_ended_version_takes_no_claims(stores):
    """After an abort nothing more is stored."""
    found = opened(stores, "ended")
    publishing.abort(stores, "ann", "vision", "digits", found.number)
    ended = versions.numbered(stores, found.model, found.number, ended=True)
    with pytest.raises(Conflict):
        claims.add(stores, ended, ClaimsPage((FileClaims(PATH, (GOOD,)),)))


def clean(stores):
    """What the worker and the sweep do after a deletion."""
    drain.everything(stores)
    sweep.run(stores)


def test_claims_go_with_their_version(stores, tmp_path):
    """Deleted and aborted versions leave no page behind; others keep theirs."""
    push(stores, tmp_path, tensors())
    kept = push(stores, tmp_path, tensors(a=np.ones(2, np.float32)))
    claims.add(stores, opened(stores, "forgotten"), ClaimsPage((FileClaims(PATH, (GOOD,)),)))
    assert len(objects_of(stores)) == 3
    changing.delete(stores, "ann", "vision", "digits", VersionSelector("number", "1"))
    publishing.abort(stores, "ann", "vision", "digits", 3)
    clean(stores)
    (left,) = objects_of(stores)
    assert kept.claims.pages[0] in left
    assert all(t.fingerprint for t in shown(stores, kept.number).values())


def test_checkpoints_have_claims_of_their_own(stores, tmp_path):
    """A checkpoint shows what was claimed of it, and takes its pages along when it is deleted."""
    push(stores, tmp_path, tensors())
    found = record(stores, 1)
    for step in (1, 2):
        data, claim = claimed(tensors(a=np.full((2, 3), step, np.float32)), tmp_path)
        entries = upload(stores, "vision", {PATH: data})
        request = CheckpointCommit(
            manifests.digest(entries), entries, step, claims=Claims((claim,))
        )
        done = checkpoints.commit(stores, "ann", found, request)
        assert done.claims.fingerprints == 3
        assert checkpoints.commit(stores, "ann", found, request) == done
    index(stores)
    assert len(objects_of(stores)) == 3
    first = checkpoints.resolve(stores, found, CheckpointSelector("number", "1"))
    told = facts.told(stores, found, entries, first.checkpoint.claims)
    assert told.items[0].facts.tensors[0].statistics.mean == 1
    checkpoints.delete(stores, "ann", found, CheckpointSelector("number", "1"))
    clean(stores)
    assert len(objects_of(stores)) == 2
    changing.delete(stores, "ann", "vision", "digits", VersionSelector("number", "1"))
    clean(stores)
    assert objects_of(stores) == []


def test_a_promoted_checkpoint_takes_its_claims_along(stores, tmp_path):
    """The version has pages of its own: deleting the checkpoint and its version takes none of them."""
    found = opened(stores, "trained")
    data, claim = claimed(tensors(), tmp_path)
    entries = upload(stores, "vision", {PATH: data})
    request = CheckpointCommit(manifests.digest(entries), entries, 1, claims=Claims((claim,)))
    point = checkpoints.commit(stores, "ann", found, request)
    source = checkpoints.resolve(stores, found, CheckpointSelector("number", "1"))
    wanted = Promotion(key_of("promote"))
    made = promoting.promote(stores, "ann", source, wanted)
    assert promoting.promote(stores, "ann", source, wanted).number == made.number
    assert made.claims == point.claims
    assert len(objects_of(stores)) == 2
    index(stores)
    checkpoints.delete(stores, "ann", found, CheckpointSelector("number", "1"))
    publishing.abort(stores, "ann", "vision", "digits", found.number)
    clean(stores)
    assert len(objects_of(stores)) == 1
    assert all(t.fingerprint for t in shown(stores, made.number).values())


def test_of_very_many_tensors_only_striking_statistics_are_shown(monkeypatch):
    """Beyond a bound, tensors keep fingerprints; statistics stay where there are NaN or infinities."""
    monkeypatch.setattr(claims, "FULL", 1)
    plain, bad = GOOD, replace(figures(nan=0.25), name="v")
    rows = {claim.name: claims._row(claim) for claim in (plain, bad)}
    told = {name: claims._told(Tensor(name, "F32", (4,), 16), row, 2) for name, row in rows.items()}
    assert all(t.fingerprint for t in told.values())
    assert told["w"].statistics is None
    assert told["v"].statistics.nan == 0.25


def test_keys_of_claims_lie_below_their_version():
    """One version's folder is never a prefix of another's."""
    assert keys.claims_object("p", "m", 1, "x").startswith(keys.claims_folder("p", "m", 1))
    assert not keys.claims_object("p", "m", 11, "x").startswith(keys.claims_folder("p", "m", 1))
