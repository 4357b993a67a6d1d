"""Statistics of tensors: NumPy over the whole array is the oracle, whatever the blocks were."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from weighbridge.transfer.statistics import _CODES, CHUNK, KNOWN, Feed

NUMPY = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "I16": "<i2", "U16": "<u2", "I32": "<i4",
         "U32": "<u4", "I64": "<i8", "U64": "<u8", "I8": "i1", "U8": "u1"}  # fmt: skip


@np.errstate(invalid="ignore")
def doubles(dtype, data):
    """What the bytes mean, by other means than the module's own (signalling NaNs are no matter)."""
    if dtype == "BF16":
        halves = np.frombuffer(data, "<u2")
        pairs = np.stack([np.zeros_like(halves), halves], axis=1)
        return np.frombuffer(pairs.tobytes(), "<f4").astype(np.float64)
    if dtype == "F8_E5M2":  # the upper byte of a 16-bit float
        codes = np.frombuffer(data, "u1")
        pairs = np.stack([np.zeros_like(codes), codes], axis=1)
        return np.frombuffer(pairs.tobytes(), "<f2").astype(np.float64)
    if dtype == "F8_E4M3":
        return np.array([e4m3(code) for code in data], np.float64)
    return np.frombuffer(data, NUMPY[dtype]).astype(np.float64)


def e4m3(code):
    """One number of the OCP 8-bit format with 4 bits of exponent, which has no infinity."""
    sign = -1.0 if code & 0x80 else 1.0
    exponent, fraction = (code & 0x7F) >> 3, code & 7
    if (exponent, fraction) == (15, 7):
        return math.nan
    if not exponent:
        return sign * fraction / 8 * 2.0**-6
    return sign * (1 + fraction / 8) * 2.0 ** (exponent - 7)


def width(dtype):
    """Bytes of one number."""
    return {"BF16": 2}.get(dtype) or (
        1 if dtype.startswith("F8") else np.dtype(NUMPY[dtype]).itemsize
    )


def fed(dtype, data, cuts=()):
    """The statistics of `data`, given in pieces."""
    feed = Feed(dtype)
    borders = [0, *sorted(c for c in set(cuts) if 0 < c < len(data)), len(data)]
    for start, end in itertools.pairwise(borders):
        feed.add(start, memoryview(data)[start:end])
    return feed.result(len(data) // width(dtype))


def agrees(found, values):
    """Whether the figures are those that NumPy finds."""
    finite = values[np.isfinite(values)]
    assert (found.count, found.seen) == (values.size, values.size)
    assert found.nan == pytest.approx(np.isnan(values).mean())
    assert found.inf == pytest.approx(np.isinf(values).mean())
    if not finite.size:
        assert (found.min, found.max, found.mean, found.std) == (None,) * 4
        return
    assert (found.min, found.max) == (finite.min(), finite.max())
    spread = float(finite.max() - finite.min()) or abs(float(finite[0])) or 1.0
    assert found.mean == pytest.approx(finite.mean(), rel=1e-9, abs=1e-9 * spread)
    assert found.std == pytest.approx(finite.std(), rel=1e-7, abs=1e-9 * spread)


@pytest.mark.parametrize("dtype", sorted(KNOWN))
@settings(deadline=None, max_examples=40)
@given(data=st.data())
def test_any_bytes_in_any_blocks(dtype, data):
    """Any bits at all, cut anywhere, give what NumPy says of the whole."""
    count = data.draw(st.integers(1, 300))
    raw = data.draw(st.binary(min_size=count * width(dtype), max_size=count * width(dtype)))
    if dtype == "F64":  # sums of the largest doubles overflow, which has a test of its own
        values = np.frombuffer(raw, "<f8")
        raw = np.where(np.abs(values) > 1e100, 1.0, values).tobytes()
    cuts = data.draw(st.lists(st.integers(0, len(raw)), max_size=8))
    agrees(fed(dtype, raw, cuts), doubles(dtype, raw))


@pytest.mark.parametrize("dtype", sorted(KNOWN))
def test_many_numbers(dtype):
    """More numbers than fit into one chunk, in blocks that end in the middle of numbers."""
    rng = np.random.default_rng(7)
    raw = rng.integers(0, 256, (3 * CHUNK + 5) * width(dtype), np.uint8).tobytes()
    if dtype == "F64":
        values = np.frombuffer(raw, "<f8")
        raw = np.where(np.abs(values) > 1e100, 1.0, values).tobytes()
    agrees(fed(dtype, raw, range(0, len(raw), 65_537)), doubles(dtype, raw))


def test_a_large_mean_does_not_swallow_a_small_spread():
    """Sums of squares would lose all digits here; merged deviations lose none that matter."""
    values = 1e9 + np.random.default_rng(3).standard_normal(500_000)
    found = fed("F64", values.tobytes(), range(0, values.nbytes, 100_003))
    assert found.std == pytest.approx(values.std(), rel=1e-9)
    assert found.mean == pytest.approx(values.mean(), rel=1e-14)


def test_figures_beyond_a_double_are_absent():
    """The extremes of doubles overflow mean and spread: those are left out, the rest stays."""
    top = np.finfo(np.float64).max
    found = fed("F64", np.array([top, top, -top]).tobytes())
    assert (found.min, found.max, found.mean, found.std) == (-top, top, None, None)


def test_missing_blocks_are_told():
    """What was not seen does not count, and numbers that a gap cut through are left out."""
    values = np.arange(1000, dtype="<f4")
    data = memoryview(values.tobytes())
    feed = Feed("F32")
    feed.add(0, data[:402])
    feed.add(1002, data[1002:2000])  # 1004 is the first whole number
    found = feed.result(1000)
    seen = np.concatenate([values[:100], values[251:500]])
    assert (found.count, found.seen, found.sampled) == (1000, seen.size, True)
    assert (found.min, found.max) == (0, 499)
    assert found.mean == pytest.approx(seen.astype(np.float64).mean())
    assert found.std == pytest.approx(seen.astype(np.float64).std())


def test_nothing_seen_is_nothing_said():
    """A tensor without numbers, or none of which was seen, has no statistics."""
    assert Feed("F32").result(0) is None
    assert Feed("F32").result(10) is None


def test_the_8_bit_floats_are_those_of_their_standard():
    """Largest, smallest and special values as the OCP specification lists them."""
    small, wide = _CODES["F8_E4M3"](), _CODES["F8_E5M2"]()
    assert (small[0x7E], small[0x01], small[0x08]) == (448, 2**-9, 2**-6)
    assert np.isnan(small[[0x7F, 0xFF]]).all()
    assert np.isfinite(np.delete(small, [0x7F, 0xFF])).all()
    assert (wide[0x7B], wide[0x01], wide[0x04]) == (57344, 2**-16, 2**-14)
    assert (wide[0x7C], wide[0xFC]) == (np.inf, -np.inf)
    assert np.isnan(wide[0x7D:0x80]).all()
