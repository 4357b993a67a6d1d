"""Statistics of tensors from their bytes, block by block, with NumPy; imported only where it is there.

Blocks are merged by the formula of Chan, Golub and LeVeque in double precision, so the figures do not
depend on where blocks end but for rounding. 8-bit numbers are counted instead of converted: exact.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from weighbridge.contract.types import Statistics

CHUNK = 32 * 1024
"""Numbers that are worked on at once: as doubles they fit into a core's own cache."""
Floats = NDArray[np.float64]
_PAIRS = 64 * 1024


def _table(exponent: int, mantissa: int, bias: int, *, infinite: bool) -> Floats:
    """The values of all codes of an 8-bit float. Without infinities only all ones is NaN (E4M3)."""
    codes = np.arange(256)
    power = codes >> mantissa & (1 << exponent) - 1
    rest = codes & (1 << mantissa) - 1
    scale = np.ldexp(1.0, np.maximum(power, 1) - bias - mantissa)
    values: Floats = scale * (rest + np.where(power > 0, 1 << mantissa, 0))
    full = power == (1 << exponent) - 1
    if infinite:
        values[full & (rest == 0)] = np.inf
        values[full & (rest > 0)] = np.nan
    else:
        values[full & (rest == (1 << mantissa) - 1)] = np.nan
    return np.where(codes >> 7, -values, values)


_CODES: dict[str, Callable[[], Floats]] = {
    "F8_E4M3": lambda: _table(4, 3, 7, infinite=False),
    "F8_E5M2": lambda: _table(5, 2, 15, infinite=True),
    "U8": lambda: np.arange(256, dtype=np.float64),
    "I8": lambda: np.arange(256).astype(np.uint8).view(np.int8).astype(np.float64),
}
"""8-bit types: what each code stands for."""
_NUMBERS = {
    "F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2", "I16": "<i2", "U16": "<u2",
    "I32": "<i4", "U32": "<u4", "I64": "<i8", "U64": "<u8",
}  # fmt: skip
KNOWN = frozenset(_CODES) | frozenset(_NUMBERS)
"""The types that there are statistics of."""


class Running:
    """The figures of the numbers seen so far."""

    def __init__(self) -> None:
        self.seen = self._finite = self._nan = self._inf = 0
        self._mean = self._squares = 0.0
        self._low, self._high = math.inf, -math.inf

    def add(self, numbers: Floats) -> None:
        """Adds some numbers. `numbers` is used as scratch."""
        size = numbers.size
        low, high = float(numbers.min()), float(numbers.max())
        if not (math.isfinite(low) and math.isfinite(high)):
            nan = int(np.isnan(numbers).sum())
            numbers = numbers[np.isfinite(numbers)]
            self._nan += nan
            self._inf += size - numbers.size - nan
            self.seen += size - numbers.size
            if not numbers.size:
                return
            size, low, high = numbers.size, float(numbers.min()), float(numbers.max())
        mean = float(np.add.reduce(numbers)) / size
        np.subtract(numbers, mean, out=numbers)
        np.multiply(numbers, numbers, out=numbers)
        self._merge(size, mean, float(np.add.reduce(numbers)), low, high)

    def count(self, counts: NDArray[np.int64], values: Floats) -> None:
        """Adds numbers of which each value of `values` was seen so many times."""
        there = counts > 0
        counts, values = counts[there], values[there]
        finite = np.isfinite(values)
        nan = int(counts[np.isnan(values)].sum())
        strange = int(counts[~finite].sum())
        self._nan += nan
        self._inf += strange - nan
        self.seen += strange
        counts, values = counts[finite], values[finite]
        if counts.size:
            size = int(counts.sum())
            mean = float((counts * values).sum()) / size
            squares = float((counts * (values - mean) ** 2).sum())
            self._merge(size, mean, squares, float(values.min()), float(values.max()))

    def _merge(self, size: int, mean: float, squares: float, low: float, high: float) -> None:
        total = self._finite + size
        apart = mean - self._mean
        self._squares += squares + apart * apart * (self._finite / total) * size
        self._mean += apart * (size / total)
        self._finite = total
        self.seen += size
        self._low, self._high = min(self._low, low), max(self._high, high)

    def result(self, count: int) -> Statistics | None:
        """The figures of a tensor of `count` numbers; None if none of them was seen."""
        if not self.seen:
            return None
        shares = self._nan / self.seen, self._inf / self.seen
        if not self._finite:
            return Statistics(count, self.seen, nan=shares[0], inf=shares[1])
        mean: float | None = None
        if math.isfinite(self._mean):
            # Rounding may lead a little beyond what was seen.
            mean = min(max(self._mean, self._low), self._high)
        std = math.sqrt(self._squares / self._finite) if math.isfinite(self._squares) else None
        return Statistics(count, self.seen, self._low, self._high, mean, std, *shares)


class Feed:
    """One tensor's bytes, in pieces that need not hold whole numbers, in the order of the file.
    Pieces may be missing: what is there is counted."""

    def __init__(self, dtype: str) -> None:
        self._running = Running()
        self._next = 0
        self._carry = b""
        self._codes = _CODES[dtype]() if dtype in _CODES else None
        self._bfloat = dtype == "BF16"
        self._kind = np.dtype(_NUMBERS.get(dtype, "u1"))

    def add(self, offset: int, data: memoryview) -> None:
        """Adds the bytes that stand at `offset` of the tensor."""
        width = self._kind.itemsize
        end = offset + len(data)
        if offset != self._next:
            self._carry = b""
            data = data[-offset % width :]
        self._next = end
        if self._carry:
            more = width - len(self._carry)
            number = self._carry + bytes(data[:more])
            data = data[more:]
            if len(number) < width:
                self._carry = number
                return
            self._take(np.frombuffer(number, self._kind))
        whole = len(data) // width * width
        self._carry = bytes(data[whole:])
        if whole:
            self._take(np.frombuffer(data[:whole], self._kind))

    def result(self, count: int) -> Statistics | None:
        """The figures of what was added."""
        return self._running.result(count)

    def _take(self, numbers: NDArray[Any]) -> None:
        with np.errstate(all="ignore"):
            if self._codes is not None:
                self._running.count(_counted(numbers), self._codes)
                return
            scratch = np.empty(min(CHUNK, numbers.size))
            wide = np.empty(scratch.size if self._bfloat else 0, np.uint32)
            for start in range(0, numbers.size, CHUNK):
                chunk = numbers[start : start + CHUNK]
                if self._bfloat:
                    chunk = _widened(chunk, wide[: chunk.size])
                doubles = scratch[: chunk.size]
                np.copyto(doubles, chunk, casting="unsafe")
                self._running.add(doubles)


def _widened(numbers: NDArray[np.uint16], wide: NDArray[np.uint32]) -> NDArray[np.float32]:
    """BF16, which NumPy lacks, as F32: it is the upper half of one. `wide` is where it is put."""
    np.copyto(wide, numbers)
    np.left_shift(wide, 16, out=wide)
    return wide.view(np.float32)


def _counted(codes: NDArray[np.uint8]) -> NDArray[np.int64]:
    """How often each byte is there. Many are counted as pairs, which is twice as fast."""
    if codes.size < _PAIRS:
        return np.bincount(codes, minlength=256)
    pairs = np.frombuffer(codes[: codes.size // 2 * 2].data, "<u2")
    found = np.bincount(pairs, minlength=_PAIRS).reshape(256, 256)
    counts: NDArray[np.int64] = found.sum(0) + found.sum(1)
    if codes.size % 2:
        counts[codes[-1]] += 1
    return counts
