"""Pulling: verified, resumed, and never outside the folder or over something else."""

import json
import os
import time
from dataclasses import replace

import pytest

from tests.sdk.fake_server import MIB
from weighbridge.contract import digests, errors, manifests
from weighbridge.contract.manifests import FileEntry


@pytest.fixture
def pushed(registry, content):
    """A version with a large and a small file."""
    content("m/big", 40 * MIB)
    folder = content("m/sub/small", 1000).parent.parent
    registry.push("p/m", folder)
    return folder


def _same(a, b):
    names = sorted(p.relative_to(a) for p in a.rglob("*") if p.is_file())
    assert names == sorted(p.relative_to(b) for p in b.rglob("*") if p.is_file())
    return all((a / name).read_bytes() == (b / name).read_bytes() for name in names)


@pytest.mark.usefixtures("verify")
def test_pull_brings_every_byte(registry, pushed, tmp_path):
    """A pull leaves exactly the pushed files, and nothing else."""
    pulled = registry.pull("p/m@1", tmp_path / "out")
    assert _same(pushed, tmp_path / "out")
    assert pulled.received_bytes == 40 * MIB + 1000
    assert pulled.version == 1


@pytest.mark.usefixtures("verify")
def test_second_pull_moves_nothing(registry, pushed, state, tmp_path):
    """Identical files are left alone; a repeated pull makes one API request."""
    registry.pull("p/m@1", tmp_path / "out")
    before = len(state.seen)
    pulled = registry.pull("p/m@1", tmp_path / "out")
    assert (pulled.received_bytes, pulled.reused_bytes) == (0, 40 * MIB + 1000)
    assert len(state.seen) - before == 1


def test_patterns_choose_files(registry, pushed, tmp_path):
    """Only files that match a pattern are pulled; a pattern without a match is an error."""
    pulled = registry.pull("p/m", tmp_path / "out", files=["sub/*"])
    assert [entry.path for entry in pulled.files] == ["sub/small"]
    with pytest.raises(errors.NotFound):
        registry.pull("p/m", tmp_path / "out", files="*.json")


def test_different_file_is_not_overwritten(registry, pushed, tmp_path):
    """A file with other content stops the pull before anything is written; `force` replaces it."""
    place = tmp_path / "out" / "sub" / "small"
    place.parent.mkdir(parents=True)
    place.write_bytes(b"mine")
    with pytest.raises(errors.AlreadyExists):
        registry.pull("p/m", tmp_path / "out")
    assert place.read_bytes() == b"mine"
    assert not (tmp_path / "out" / "big").exists()
    registry.pull("p/m", tmp_path / "out", force=True)
    assert _same(pushed, tmp_path / "out")


@pytest.mark.usefixtures("verify")
@pytest.mark.parametrize("fault", ["503", "reset", "drop", "truncate", "expired"])
def test_passing_faults_of_a_pull_are_repeated(registry, pushed, state, tmp_path, fault):
    """A pull survives errors, cut answers and expired addresses."""
    state.inject("get", fault, "ok", fault)
    registry.pull("p/m", tmp_path / "out")
    assert _same(pushed, tmp_path / "out")


@pytest.mark.usefixtures("verify")
@pytest.mark.parametrize("name", ["big", "sub/small"])
def test_flipped_bit_is_caught(registry, pushed, state, tmp_path, name):
    """One wrong bit is fetched again; bits that are wrong each time are `IntegrityError`, and
    neither the file nor a draft of it stays."""
    state.inject("get", *["flip"] * 12)
    with pytest.raises(errors.IntegrityError):
        registry.pull("p/m", tmp_path / "out", files=name)
    assert [p for p in (tmp_path / "out").rglob("*") if p.is_file()] == []
    state.faults["get"].clear()
    state.inject("get", "flip")
    registry.pull("p/m", tmp_path / "out")
    assert _same(pushed, tmp_path / "out")


def test_lying_sha256_is_caught(registry, pushed, state, tmp_path):
    """A manifest whose sha256 is not that of the bytes is `IntegrityError` for a large file too."""
    at = ("p", "m", 1)
    entry = state.files[at]["big"]
    lie = FileEntry("big", entry.size, "0" * 64, entry.blob)
    state.files[at] = {"big": lie}
    state.versions[at] = _with_manifest(state.versions[at], [lie])
    with pytest.raises(errors.IntegrityError):
        registry.pull("p/m", tmp_path / "out")
    assert not (tmp_path / "out" / "big").exists()


@pytest.mark.usefixtures("verify")
def test_composite_digest_is_checked_too(registry, pushed, state, tmp_path):
    """Bytes whose sha256 fits but whose blob id is another's are refused: the id is proved."""
    at = ("p", "m", 1)
    entry = state.files[at]["big"]
    other = digests.composite_blob(digests.Sha256("1" * 64), 3, entry.size)
    state.blobs["p", other] = state.blobs["p", entry.blob]
    lie = FileEntry("big", entry.size, entry.sha256, other)
    state.files[at] = {"big": lie}
    state.versions[at] = _with_manifest(state.versions[at], [lie])
    with pytest.raises(errors.IntegrityError):
        registry.pull("p/m", tmp_path / "out")


def test_list_of_files_must_fit_its_manifest(registry, pushed, state, tmp_path):
    """A list from which a file was left out is refused."""
    del state.files["p", "m", 1]["sub/small"]
    with pytest.raises(errors.IntegrityError):
        registry.pull("p/m", tmp_path / "out")


@pytest.mark.parametrize(
    "path",
    ["../evil", "/tmp/evil", "a/../../evil", "C:\\evil", "a\\..\\evil", "a//b", "./a", "a/\0b", ""],
)
def test_hostile_paths_write_nothing(registry, pushed, state, tmp_path, path):
    """Whatever path a server names, nothing is written outside the folder, or at all."""
    entry = state.files["p", "m", 1]["sub/small"]
    state.files["p", "m", 1] = {path: FileEntry(path, entry.size, entry.sha256, entry.blob)}
    out = tmp_path / "deep" / "out"
    with pytest.raises(errors.RegistryError):
        registry.pull("p/m", out)
    assert not list(tmp_path.rglob("evil"))
    assert not out.exists() or not list(out.iterdir())


def test_link_in_the_way_is_not_followed(registry, pushed, tmp_path):
    """A link inside the target folder does not lead a pull out of it."""
    out, outside = tmp_path / "out", tmp_path / "outside"
    out.mkdir()
    outside.mkdir()
    (out / "sub").symlink_to(outside)
    for force in (False, True):
        with pytest.raises(errors.InvalidManifest):
            registry.pull("p/m", out, force=force)
    assert list(outside.iterdir()) == []


def test_link_at_the_target_is_replaced_not_followed(registry, pushed, tmp_path):
    """With `force` a link that stands where a file should be is replaced; its target stays."""
    out, outside = tmp_path / "out", tmp_path / "precious"
    (out / "sub").mkdir(parents=True)
    outside.write_bytes(b"precious")
    (out / "sub" / "small").symlink_to(outside)
    with pytest.raises(errors.AlreadyExists):
        registry.pull("p/m", out)
    registry.pull("p/m", out, force=True)
    assert outside.read_bytes() == b"precious"
    assert not (out / "sub" / "small").is_symlink()


@pytest.fixture
def interrupted(registry, pushed, state, tmp_path):
    """A pull of `big` of which two of three ranges arrived; the folder it was to go to."""
    out = tmp_path / "out"

    def wait_for_the_others(kind, path):
        if kind == "get":
            with state.lock:
                count.append(1)
                third = len(count) == 3
            deadline = time.monotonic() + 20
            while third and len(_noted(out)) < 2 and time.monotonic() < deadline:
                time.sleep(0.01)

    count: list[int] = []
    state.before = wait_for_the_others
    # Faults are dealt out as requests arrive: the one that waits is the third to arrive.
    state.inject("get", "ok", "ok", "gone")
    with pytest.raises(errors.TransferError, match="404"):
        registry.pull("p/m", out, files="big")
    state.before = None
    return out


def _noted(out):
    return [
        json.loads(line)[0] // (16 * MIB) + 1
        for notes in out.glob(".*.part.jsonl")
        for line in notes.read_bytes().splitlines()
    ]


@pytest.mark.usefixtures("verify")
def test_interrupted_pull_fetches_only_what_is_missing(registry, pushed, interrupted):
    """Ranges that arrived before a failure are not fetched again."""
    missing = {1: 16, 2: 16, 3: 8}
    for number in _noted(interrupted):
        del missing[number]
    pulled = registry.pull("p/m", interrupted, files="big")
    assert pulled.received_bytes == sum(missing.values()) * MIB
    assert pulled.received_bytes + pulled.reused_bytes == 40 * MIB
    assert (interrupted / "big").read_bytes() == (pushed / "big").read_bytes()
    assert [p.name for p in interrupted.iterdir()] == ["big"]


@pytest.mark.usefixtures("verify")
def test_damaged_draft_is_fetched_again(registry, pushed, interrupted):
    """A draft that was damaged between two runs does not end the pull: it starts from nothing."""
    (notes,) = interrupted.glob(".*.part.jsonl")
    draft = notes.with_name(notes.name.removesuffix(".jsonl"))
    with draft.open("r+b") as stream:
        stream.seek((_noted(interrupted)[0] - 1) * 16 * MIB + 5)
        stream.write(b"\xff\xfe\xfd")
    registry.pull("p/m", interrupted, files="big")
    assert (interrupted / "big").read_bytes() == (pushed / "big").read_bytes()


@pytest.mark.usefixtures("verify")
def test_equal_files_are_fetched_once(registry, content, tmp_path):
    """Two paths of one blob cost one download."""
    content("d/a", 5000)
    folder = content("d/b", 5000).parent
    registry.push("p/d", folder)
    pulled = registry.pull("p/d", tmp_path / "out")
    assert (pulled.received_bytes, pulled.reused_bytes) == (5000, 5000)
    assert _same(folder, tmp_path / "out")


def test_folder_that_cannot_be_written_is_a_clear_error(registry, pushed, tmp_path):
    """A file where the folder should be is named in the error."""
    (tmp_path / "out").write_bytes(b"")
    with pytest.raises(errors.TransferError, match="out"):
        registry.pull("p/m", tmp_path / "out")


def test_default_folder_is_named_after_the_version(registry, pushed, tmp_path, monkeypatch):
    """Without `to` the files stand under MODEL-VERSION in the current folder."""
    monkeypatch.chdir(tmp_path)
    assert os.fspath(registry.pull("p/m").folder) == "m-1"
    assert _same(pushed, tmp_path / "m-1")


def _with_manifest(version, entries):
    return replace(version, manifest=manifests.digest(entries))
