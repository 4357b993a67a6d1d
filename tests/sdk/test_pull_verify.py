"""Pulling with the parts as proof: hashed once, and never known by a digest that nobody confirmed."""

import hashlib

import pytest

from tests.sdk.fake_server import MIB
from tests.sdk.test_pull import _with_manifest
from weighbridge.contract import errors
from weighbridge.contract.manifests import FileEntry
from weighbridge.transfer import partial


@pytest.fixture
def big(registry, content):
    """A version of one file in three parts."""
    path = content("m/big", 40 * MIB)
    registry.push("p/m", path)
    return path


@pytest.fixture
def hashed(monkeypatch):
    """How many bytes went through SHA-256 behind what arrived."""
    count = []

    class Counting:
        def __init__(self, name):
            self._real = hashlib.new(name)

        def update(self, data):
            count.append(len(data))
            self._real.update(data)

        def hexdigest(self):
            return self._real.hexdigest()

    class Module:
        @staticmethod
        def sha256(data=b""):
            return hashlib.sha256(data) if data else Counting("sha256")

    monkeypatch.setattr(partial, "hashlib", Module)
    return count


def test_parts_that_came_are_not_hashed_again(registry, big, tmp_path, hashed):
    """With the parts as proof each byte is hashed once, as it comes; as a whole, a second time."""
    registry.pull("p/m", tmp_path / "parts", verify="parts")
    assert sum(hashed) == 0
    assert (tmp_path / "parts" / "big").read_bytes() == big.read_bytes()
    registry.pull("p/m", tmp_path / "whole", verify="whole")
    assert sum(hashed) == 40 * MIB


def test_a_small_file_is_proved_as_a_whole(registry, content, state, tmp_path):
    """The blob id of a file in one piece is its SHA-256: there is nothing to choose."""
    registry.push("p/m", content("m/small", 3 * MIB))
    registry.pull("p/m", tmp_path / "a", verify="parts")
    before = len(state.seen)
    registry.pull("p/m@1", tmp_path / "b", verify="parts")
    assert not [path for _, path, _ in state.seen[before:] if path.startswith("/s3/")]


def test_a_claim_that_nobody_confirmed_names_nothing(registry, big, content, state, tmp_path):
    """A file whose SHA-256 is another's comes as the parts say. It is no source of other pulls: who
    wants the file with that digest gets that file."""
    honest = content("h/big", 40 * MIB, seed=9)
    registry.push("p/honest", honest)
    wanted = state.files["p", "honest", 1]["big"]
    at = ("p", "m", 1)
    entry = state.files[at]["big"]
    lie = FileEntry("big", entry.size, wanted.sha256, entry.blob)
    state.files[at] = {"big": lie}
    state.versions[at] = _with_manifest(state.versions[at], [lie])
    registry.pull("p/m", tmp_path / "lie", verify="parts", link="copy")
    assert (tmp_path / "lie" / "big").read_bytes() == big.read_bytes()
    with pytest.raises(errors.IntegrityError):
        registry.pull("p/m", tmp_path / "whole")
    registry.pull("p/honest", tmp_path / "honest", link="copy")
    assert (tmp_path / "honest" / "big").read_bytes() == honest.read_bytes()


def test_what_was_proved_by_parts_is_confirmed_when_it_is_read(registry, big, state, tmp_path):
    """The next pull into the folder reads the file, moves nothing, and then knows it."""
    registry.pull("p/m", tmp_path / "out", verify="parts")
    before = len(state.seen)
    registry.pull("p/m@1", tmp_path / "out", verify="parts")
    registry.pull("p/m@1", tmp_path / "other", verify="parts")
    assert not [path for _, path, _ in state.seen[before:] if path.startswith("/s3/")]
    assert (tmp_path / "other" / "big").read_bytes() == big.read_bytes()


def test_a_wrong_word_is_told(registry, big, tmp_path):
    """Nothing is fetched then."""
    with pytest.raises(errors.InvalidRequest, match="write whole or parts"):
        registry.pull("p/m", tmp_path / "out", verify="none")
    assert not (tmp_path / "out").exists()
