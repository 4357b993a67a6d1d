"""One name for a dtype, whatever format it was met in: those of safetensors, and a few more."""

from collections import Counter
from collections.abc import Iterable
from math import prod

from weighbridge.contract.types import Tensor

BITS = {
    "BOOL": 8, "U8": 8, "I8": 8, "F8_E5M2": 8, "F8_E4M3": 8, "F8_E8M0": 8,
    "F8_E4M3FNUZ": 8, "F8_E5M2FNUZ": 8, "F4": 4, "U4": 4, "I4": 4, "U2": 2, "I2": 2,
    "F6_E2M3": 6, "F6_E3M2": 6, "I16": 16, "U16": 16, "F16": 16, "BF16": 16, "I32": 32, "U32": 32,
    "F32": 32, "I64": 64, "U64": 64, "F64": 64, "C64": 64, "C128": 128, "F128": 128, "C256": 256,
}  # fmt: skip
"""Bits of one element; dtypes of no fixed width, such as text, are missing."""


def size_of(dtype: str, shape: Iterable[int]) -> int:
    """Bytes of a packed array; 0 where the dtype has no fixed width."""
    return (prod(shape) * BITS.get(dtype, 0) + 7) // 8


def counted(tensors: Iterable[Tensor]) -> dict[str, int]:
    """Parameters by dtype."""
    found: Counter[str] = Counter()
    for tensor in tensors:
        found[tensor.dtype] += prod(tensor.shape)
    return dict(sorted(found.items()))
