"""Claims about tensors go with a push: read, remembered, paged, warned of, or turned off."""

import json
import math
import os
import random

import numpy as np
import pytest
import safetensors.numpy
import xxhash

from tests.sdk.fake_server import MIB
from weighbridge import claiming
from weighbridge.config import cache_folder
from weighbridge.contract.types import Statistics, TensorClaim
from weighbridge.transfer import fingerprints, hashing, statcache


@pytest.fixture
def saved(tmp_path):
    """Saves tensors as a file that has been at rest for an hour."""

    def save(name="model.safetensors", **tensors):
        path = tmp_path / "in" / name
        path.parent.mkdir(exist_ok=True)
        safetensors.numpy.save_file(tensors, path)
        os.utime(path, (0, 0))
        return path

    return save


@pytest.fixture
def at_rest(monkeypatch):
    """Files count as at rest at once, so that tests need not wait."""
    monkeypatch.setattr(statcache, "REST", -(10**12))


def small(seed=0):
    """A tensor of a few kilobytes."""
    return np.random.default_rng(seed).standard_normal((20, 30)).astype(np.float32)


def large(seed=0):
    """A tensor of 24 MiB, which is sent in parts and read by a stream."""
    return np.random.default_rng(seed).standard_normal((3 * MIB, 2)).astype(np.float32)


def told(state, number=1):
    """The claims of a version by tensor."""
    claims = state.claims["p", "m", number]
    return {c.name: c for file in claims.files for c in file.tensors} if claims else None


def print_of(array):
    """The fingerprint of a tensor."""
    return xxhash.xxh3_128_hexdigest(array.tobytes())


@pytest.mark.parametrize("make", [small, large])
def test_claims_go_with_the_commit(registry, state, saved, make):
    """Small and large files: each tensor's fingerprint and statistics are in the commit."""
    pushed = registry.push("p/m", saved(w=make(), b=small(1)))
    found = told(state)
    assert found["w"].fingerprint == print_of(make())
    assert found["b"].fingerprint == print_of(small(1))
    assert found["b"].statistics.mean == pytest.approx(small(1).astype(float).mean())
    assert found["w"].statistics.count == make().size
    assert pushed.warnings == ()


def test_a_file_that_is_not_read_again_keeps_its_claims(registry, state, saved, at_rest):
    """The second push reads no byte, and claims the same; in few requests as ever."""
    path = saved(w=large())
    registry.push("p/m", path)
    before = len(state.seen)
    registry.push("p/m", path)
    assert len(state.seen) - before == 3
    assert told(state, 2) == told(state, 1)
    registry.push("p/m", path, stats=False)
    assert all(c.fingerprint and not c.statistics for c in told(state, 3).values())
    registry.push("p/m", path, stats=False, fingerprints=False)
    assert told(state, 4) is None


def test_remembered_claims_are_of_the_same_file_only(registry, state, saved, at_rest):
    """Claims of another content are not taken for those of a file that was pushed without any."""
    registry.push("p/m", saved(w=large()))
    path = saved(w=large(1))
    registry.push("p/m", path, stats=False, fingerprints=False)
    registry.push("p/m", path)
    assert told(state, 3) is None


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b'{"stamp": {}, "tensors": []}'])
def test_damaged_memory_is_no_harm(registry, state, saved, at_rest, damage):
    """Whatever stands where claims were remembered: the push goes on without them."""
    path = saved(w=large())
    registry.push("p/m", path)
    (note,) = (cache_folder() / "stats").glob("*.tensors")
    assert json.loads(note.read_bytes())["tensors"]
    note.write_bytes(damage)
    registry.push("p/m", path)
    assert told(state, 2) is None


def test_turned_off(registry, state, saved, monkeypatch):
    """By argument or by the environment; fingerprints stay on unless they are turned off too."""
    path = saved(w=small())
    monkeypatch.setenv("WEIGHBRIDGE_NO_STATS", "1")
    registry.push("p/m", path)
    assert told(state)["w"].statistics is None
    assert told(state)["w"].fingerprint
    registry.push("p/m", path, stats=True)
    assert told(state, 2)["w"].statistics
    monkeypatch.setenv("WEIGHBRIDGE_NO_FINGERPRINTS", "1")
    registry.push("p/m", path)
    assert told(state, 3) is None


def test_nan_and_infinities_are_warned_of(registry, saved):
    """The warning names file, tensor and share, at most five tensors."""
    bad = {f"w{n}": np.array([1, math.nan, 2, 3], np.float32) for n in range(7)}
    inf = np.array([math.inf, 1], np.float16)
    pushed = registry.push("p/m", saved(fine=small(), inf=inf, **bad))
    nan, infinite = pushed.warnings
    assert nan.startswith("7 tensors have NaN values: model.safetensors: w0 (25 %), ")
    assert nan.endswith("w4 (25 %), and 2 more")
    assert infinite == "1 tensor has infinite values: model.safetensors: inf (50 %)"


def test_a_share_too_small_to_show_is_still_told():
    """One NaN among many is not 0 %."""
    statistics = Statistics(10**9, 10**9, 0.0, 1.0, 0.5, 0.1, 1e-9)
    claim = TensorClaim("w", "F32", (10**9,), "", statistics)
    (warning,) = claiming.warnings({"f": [claim]})
    assert "w (less than 0.001 %)" in warning


def test_checkpoints_claim_too(registry, state, saved):
    """A checkpoint pushed by itself carries claims, and warns."""
    registry.push("p/m", saved(w=small()))
    done = registry.push_checkpoint("p/m@1", saved(w=np.full(3, math.nan, np.float32)), 5)
    ((_, commit),) = state.checkpoints["p", "m", 1]
    assert commit.claims.files[0].tensors[0].statistics.nan == 1
    assert done.warnings == ("1 tensor has NaN values: model.safetensors: w (100 %)",)


def test_sessions_claim_for_version_and_checkpoints(registry, state, saved):
    """Files added one after the other are claimed together; a replaced one by its last content."""
    bad = np.full(2, math.nan, np.float32)
    with registry.version("p/m") as session:
        session.add(saved("a.safetensors", w=small(1)))
        session.add(saved("b.safetensors", v=small(2)))
        session.add(saved("a.safetensors", w=small(3)))
        session.checkpoint(step=1, files=saved("c.safetensors", w=bad))
    found = told(state)
    assert found.keys() == {"w", "v"}
    assert found["w"].fingerprint == print_of(small(3))
    (warning,) = session.result.warnings
    assert warning.startswith("checkpoint 1: 1 tensor has NaN")


def test_a_session_without_statistics(registry, state, saved):
    """Turned off for all that a session sends."""
    with registry.version("p/m", stats=False) as session:
        session.add(saved(w=small()))
        session.checkpoint(step=1, files=saved(w=small()))
    assert told(state)["w"].statistics is None
    ((_, commit),) = state.checkpoints["p", "m", 1]
    assert commit.claims.files[0].tensors[0].statistics is None


def test_many_tensors_go_in_pages(registry, state, saved):
    """More tensors than one request takes: pages first, and the commit names them."""
    names = [f"model.layers.{n}.weight" for n in range(7000)]
    value = np.ones(2, np.float32)
    registry.push("p/m", saved(**dict.fromkeys(names, value)))
    claims = state.claims["p", "m", 1]
    assert not claims.files
    assert len(claims.pages) == len(state.pages) > 1
    found = [c.name for page in state.pages for file in page.files for c in file.tensors]
    assert sorted(found) == sorted(names)


def claims(count, name="w"):
    """That many claims."""
    statistics = Statistics(1, 1, 0.0, 0.0, 0.0, 0.0)
    return [TensorClaim(f"{name}{n}", "F32", (1,), "0" * 32, statistics) for n in range(count)]


def test_too_many_tensors_lose_statistics_first():
    """What a registry would refuse is left out, and that is said."""
    assert claiming.bounded({"f": claims(100_000)})[1] == ""
    bare, said = claiming.bounded({"f": claims(200_000)})
    assert "only fingerprints" in said
    assert all(c.fingerprint and not c.statistics for c in bare["f"])
    assert claiming.warnings({"f": claims(200_000)}) == (said,)
    assert claiming.bounded({"f": claims(100_000, "long" * 200)})[0] == {}


def test_a_name_that_no_registry_takes_is_left_out():
    """One strange tensor does not keep the others from being claimed."""
    odd = TensorClaim("x" * 1001, "F32", (1,), "0" * 32)
    (page,) = claiming._pages({"f": [odd, *claims(2)]})
    assert [c.name for c in page[0].tensors] == ["w0", "w1"]


def test_a_change_between_header_and_reading_drops_the_claims(registry, state, saved, monkeypatch):
    """Claims are of the bytes that were pushed: what was seen of an older file is not claimed."""
    path = saved(w=small())
    real = hashing.hash_file

    def replaced(path, *args):
        saved(w=small(5), more=small(6))
        return real(path, *args)

    monkeypatch.setattr(hashing, "hash_file", replaced)
    registry.push("p/m", path)
    assert told(state) is None


def test_bytes_that_are_no_tensors_are_not_looked_at(registry, state, content, monkeypatch):
    """Files without tensors cost one look at their first bytes."""
    monkeypatch.setattr(fingerprints, "TensorScan", None)
    registry.push("p/m", content("w.bin", 20 * MIB))
    (content("x", 10)).write_bytes(random.Random(0).randbytes(1000))
    registry.push("p/m", content("x", 10))
    assert told(state) is None
