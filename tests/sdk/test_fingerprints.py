"""Fingerprints: the XXH3-128 of each tensor's bytes, wherever it stands and however it is read."""

import random
import struct
import threading

import numpy as np
import pytest
import safetensors.numpy
import xxhash
from hypothesis import given, settings
from hypothesis import strategies as st

from weighbridge.transfer import fingerprints, hashing
from weighbridge.transfer.fingerprints import TensorScan, Wanted, open_scan
from weighbridge.transfer.tensor_table import Entry

BOTH = Wanted(True, True)


def save(path, tensors, **metadata):
    """A safetensors file, written by the library."""
    path.write_bytes(safetensors.numpy.save(tensors, metadata or None))
    return path


def scanned(path, block=hashing.BLOCK, wanted=BOTH):
    """What a scan says of a file, by tensor."""
    opened = open_scan(path, wanted)
    assert opened is not None
    scan, _ = opened
    data = memoryview(path.read_bytes())
    for start in range(0, len(data), block):
        scan.update(data[start : start + block])
    return {claim.name: claim for claim in scan.finish()}


def tensors(seed=0):
    """Some tensors of different types and sizes, one of them empty, one a scalar."""
    rng = np.random.default_rng(seed)
    return {
        "embed": rng.standard_normal((200, 33)).astype(np.float32),
        "bias": rng.standard_normal(7).astype(np.float16),
        "ids": rng.integers(-100, 100, (3, 5), np.int64),
        "mask": rng.integers(0, 2, 11).astype(bool),
        "none": np.zeros((0, 4), np.float32),
        "scale": np.array(0.5, np.float64),
    }


@settings(deadline=None, max_examples=60)
@given(block=st.integers(1, 40_000))
def test_blocks_end_anywhere(tmp_path_factory, block):
    """However the file is cut into blocks, each tensor has the fingerprint of its own bytes."""
    values = tensors()
    path = save(tmp_path_factory.mktemp("m") / "m.safetensors", values)
    found = scanned(path, block)
    assert found.keys() == values.keys()
    with safetensors.safe_open(path, "numpy") as reader:
        for name, claim in found.items():
            value = reader.get_tensor(name)
            assert claim.fingerprint == xxhash.xxh3_128_hexdigest(value.tobytes())
            assert claim.shape == value.shape
            if name in ("mask", "none"):
                assert claim.statistics is None
                continue
            assert claim.statistics.seen == value.size
            assert claim.statistics.mean == pytest.approx(float(value.astype(float).mean()))


def test_neither_name_nor_place_nor_file_matters(tmp_path):
    """The same bytes have the same fingerprint under another name, elsewhere, in another file."""
    value = tensors()["embed"]
    first = scanned(save(tmp_path / "a.safetensors", {"x": value, "zz": value + 1}))
    other = scanned(save(tmp_path / "b.safetensors", {"a": value + 1, "y": value}, by="me"))
    assert first["x"].fingerprint == other["y"].fingerprint
    assert first["zz"].fingerprint == other["a"].fingerprint
    assert first["x"].fingerprint != first["zz"].fingerprint


def gguf(path, named):
    """A GGUF file of 32-bit floats, padded to 32 bytes."""

    def text(value):
        return struct.pack("<Q", len(value)) + value.encode()

    head = b"GGUF" + struct.pack("<IQQ", 3, len(named), 0)
    body = b""
    for name, value in named.items():
        dims = value.shape[::-1]
        head += text(name) + struct.pack(f"<I{len(dims)}QIQ", len(dims), *dims, 0, len(body))
        body += value.tobytes().ljust(-(-value.nbytes // 32) * 32, b"\0")
    path.write_bytes(head.ljust(-(-len(head) // 32) * 32, b"\0") + body)
    return path


def test_gguf_without_its_padding(tmp_path):
    """A tensor of a GGUF file has the fingerprint that it has in a safetensors file."""
    value = np.arange(15, dtype=np.float32).reshape(3, 5)
    other = np.ones(3, np.float32)
    found = scanned(gguf(tmp_path / "m.gguf", {"a": value, "b": other}), 17)
    same = scanned(save(tmp_path / "m.safetensors", {"w": value, "v": other}))
    assert found["a"].fingerprint == same["w"].fingerprint
    assert found["b"].fingerprint == same["v"].fingerprint
    assert (found["a"].dtype, found["a"].shape) == ("F32", (3, 5))
    assert found["a"].statistics == same["w"].statistics


def test_not_a_file_of_tensors(tmp_path):
    """Other files, and damaged ones, have none and are no error."""
    good = save(tmp_path / "m.safetensors", tensors()).read_bytes()
    for data in (b"", b"plain text", good[:100], good + b"x", b"GGUF" + b"\xff" * 100):
        (tmp_path / "other").write_bytes(data)
        assert open_scan(tmp_path / "other", BOTH) is None


def test_what_is_not_wanted_is_not_made(tmp_path):
    """Fingerprints and statistics are turned off each by itself."""
    path = save(tmp_path / "m.safetensors", tensors())
    assert open_scan(path, Wanted(False, False)) is None
    alone = scanned(path, wanted=Wanted(True, False))
    assert all(claim.fingerprint and claim.statistics is None for claim in alone.values())
    alone = scanned(path, wanted=Wanted(False, True))
    assert all(claim.statistics and not claim.fingerprint for claim in alone.values())


def test_the_environment_turns_off_what_nobody_asked_for(monkeypatch):
    """`WEIGHBRIDGE_NO_STATS=1` holds unless the caller says otherwise."""
    assert Wanted.of() == Wanted(True, True)
    monkeypatch.setenv("WEIGHBRIDGE_NO_STATS", "1")
    assert Wanted.of() == Wanted(True, False)
    assert Wanted.of(statistics=True) == Wanted(True, True, whole=True)
    monkeypatch.setenv("WEIGHBRIDGE_NO_FINGERPRINTS", "1")
    assert Wanted.of() == Wanted(False, False)
    monkeypatch.setenv("WEIGHBRIDGE_NO_STATS", "0")
    assert Wanted.of() == Wanted(False, True)


def test_without_the_packages_there_is_nothing(tmp_path, monkeypatch):
    """Neither xxhash nor NumPy: a push notes nothing, and nothing breaks."""
    path = save(tmp_path / "m.safetensors", tensors())
    monkeypatch.setattr(fingerprints, "_xxhash", lambda: None)
    assert all(c.statistics and not c.fingerprint for c in scanned(path).values())
    monkeypatch.setattr(fingerprints, "_statistics", lambda: None)
    assert open_scan(path, BOTH) is None


def test_a_file_that_was_not_read_to_its_end_says_nothing(tmp_path):
    """Half a file has no fingerprints."""
    path = save(tmp_path / "m.safetensors", tensors())
    scan, _ = open_scan(path, BOTH)
    scan.update(memoryview(path.read_bytes())[:-1])
    assert scan.finish() == ()


SIZE = 40 * 1024 * 1024


def large(*, whole):
    """A scan of one large tensor, which has a thread."""
    entry = Entry("w", "F32", (SIZE // 4,), 0, SIZE)
    return TensorScan([entry], SIZE, Wanted(True, True, whole))


def threads():
    """The threads of statistics that are running."""
    return [t for t in threading.enumerate() if t.name == "weighbridge-statistics"]


def test_large_files_have_a_thread_that_sees_all_if_that_is_wanted():
    """If so wanted the figures are of all numbers, and buffers may be used again at once."""
    value = np.random.default_rng(1).standard_normal(SIZE // 4, np.float32)
    data = memoryview(value).cast("B")
    buffer = memoryview(bytearray(1024 * 1024))
    scan = large(whole=True)
    assert len(threads()) == 1
    for start in range(0, SIZE, len(buffer)):
        buffer[:] = data[start : start + len(buffer)]
        scan.update(buffer)
    (claim,) = scan.finish()
    assert not threads()
    assert claim.fingerprint == xxhash.xxh3_128_hexdigest(data)
    assert claim.statistics.seen == value.size
    assert claim.statistics.std == pytest.approx(value.astype(float).std())


def test_reading_never_waits_for_statistics(monkeypatch):
    """What the thread cannot keep up with is left out: the figures say so, fingerprints are whole."""
    blocked = threading.Event()
    feed = fingerprints._statistics().Feed.add

    def slow(self, offset, data):
        blocked.wait(60)
        feed(self, offset, data)

    monkeypatch.setattr(fingerprints._statistics().Feed, "add", slow)
    data = random.Random(1).randbytes(1024 * 1024)
    scan = large(whole=False)
    for _ in range(SIZE // len(data)):
        scan.update(memoryview(data))
    blocked.set()
    (claim,) = scan.finish()
    assert claim.fingerprint == xxhash.xxh3_128_hexdigest(data * 40)
    assert claim.statistics.sampled
    assert 0 < claim.statistics.seen <= (fingerprints.WAITING + 1) * fingerprints.WINDOW // 4


def test_giving_up_ends_the_thread():
    """Closing without finishing leaves no thread behind."""
    scan = large(whole=False)
    scan.update(memoryview(bytes(1024 * 1024)))
    scan.close()
    assert not threads()


def test_the_sample_is_of_the_tensor_wherever_blocks_end(monkeypatch):
    """Every tensor is looked at, small ones as a whole; the same numbers however it is read."""
    monkeypatch.setattr(fingerprints, "WAITING", 10**6)
    rng = np.random.default_rng(4)
    first = rng.standard_normal(SIZE // 8, np.float32)
    second = rng.standard_normal(5000, np.float32)
    data = memoryview(first.tobytes() + second.tobytes())
    entries = [
        Entry("large", "F32", first.shape, 0, first.nbytes),
        Entry("small", "F32", second.shape, first.nbytes, second.nbytes),
    ]
    found = []
    for block in (1024 * 1024, 999_999, 3_000_001):
        scan = TensorScan(entries, len(data), BOTH)
        for start in range(0, len(data), block):
            scan.update(data[start : start + block])
        found.append([claim.statistics for claim in scan.finish()])
    windows = first.reshape(-1, fingerprints.EVERY // 4)[:, : fingerprints.WINDOW // 4]
    for large_, small_ in found:
        assert (large_.seen, large_.count) == (windows.size, first.size)
        assert (large_.min, large_.max) == (windows.min(), windows.max())
        assert large_.mean == pytest.approx(windows.astype(float).mean(), abs=1e-9)
        assert (small_.seen, small_.sampled) == (second.size, False)
