"""The header of a safetensors file, parsed and checked by hand. Nothing is ever executed.

Layout (github.com/huggingface/safetensors, format): 8 bytes little-endian length N, N bytes of JSON
`{name: {dtype, shape, data_offsets: [begin, end]}, "__metadata__": {text: text}}`, then the data.
The offsets must cover the data without holes or overlaps.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Any

from weighbridge.contract.errors import IntegrityError
from weighbridge.contract.types import Tensor

MAX_HEADER = 100_000_000
"""The library's own limit."""

BITS = {
    "BOOL": 8, "U8": 8, "I8": 8, "F8_E5M2": 8, "F8_E4M3": 8, "F8_E8M0": 8, "F4": 4,
    "F6_E2M3": 6, "F6_E3M2": 6, "I16": 16, "U16": 16, "F16": 16, "BF16": 16, "I32": 32,
    "U32": 32, "F32": 32, "I64": 64, "U64": 64, "F64": 64, "C64": 64,
}  # fmt: skip

ReadRange = Callable[[int, int], bytes]
"""`read(start, length)`: that many bytes, fewer at the end of the file."""


@dataclass(frozen=True, slots=True)
class Header:
    """A parsed header: `tensors` in the order of their offsets."""

    tensors: tuple[Tensor, ...]
    metadata: dict[str, str]
    data_start: int


def read(read_range: ReadRange, size: int, name: str = "the file") -> Header:
    """The header of a file of `size` bytes, or `IntegrityError` that says what is wrong with it."""
    if size < 8:
        raise IntegrityError(f"{name}: {size} bytes are too few for a safetensors file")
    first = read_range(0, min(size, 64 * 1024))
    length = int.from_bytes(first[:8], "little")
    if length == 0:
        raise IntegrityError(f"{name}: the safetensors header is empty")
    if length > MAX_HEADER:
        raise IntegrityError(
            f"{name}: the safetensors header claims {length} bytes; {MAX_HEADER} at most"
        )
    if 8 + length > size:
        raise IntegrityError(
            f"{name}: truncated: the safetensors header claims {length} bytes, but the file has "
            f"{size}"
        )
    data = first[8 : 8 + length]
    if len(data) < length:
        data += read_range(8 + len(data), length - len(data))
    if len(data) != length:
        raise IntegrityError(f"{name}: the safetensors header could not be read in full")
    return parse(data, size - 8 - length, name)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name stands twice")
    return found


def parse(header: bytes, data_size: int, name: str = "the file") -> Header:
    """The header's JSON, checked against the size of the data behind it."""
    try:
        document = json.loads(header, object_pairs_hook=_object)
    except (ValueError, RecursionError) as error:
        raise IntegrityError(f"{name}: the safetensors header is no JSON: {error}"[:300]) from None
    if not isinstance(document, dict):
        raise IntegrityError(f"{name}: the safetensors header is no JSON object")
    metadata = document.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(v, str) for v in metadata.values()):
        raise IntegrityError(f"{name}: __metadata__ must map text to text")
    tensors = sorted(
        (_tensor(key, entry, name) for key, entry in document.items()),
        key=lambda t: (t.offset, t.bytes),
    )
    position = 0
    for tensor in tensors:
        if tensor.offset != position:
            raise IntegrityError(
                f"{name}: the tensor {tensor.name!r} begins at {tensor.offset}, not at {position}"
            )
        position += tensor.bytes
    if position != data_size:
        raise IntegrityError(
            f"{name}: truncated or damaged: the header describes {position} bytes of data, but "
            f"{data_size} are there"
        )
    return Header(tuple(tensors), metadata, 8 + len(header))


def _whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**62


def _tensor(key: str, entry: Any, name: str) -> Tensor:
    if not isinstance(entry, dict) or not {"dtype", "shape", "data_offsets"} <= set(entry):
        raise IntegrityError(f"{name}: the entry of tensor {key[:100]!r} is incomplete")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in BITS:
        raise IntegrityError(f"{name}: the tensor {key[:100]!r} has the unknown dtype {dtype!r}")
    if not isinstance(shape, list) or len(shape) > 64 or not all(map(_whole, shape)):
        raise IntegrityError(f"{name}: the tensor {key[:100]!r} has an impossible shape")
    if not isinstance(offsets, list) or len(offsets) != 2 or not all(map(_whole, offsets)):
        raise IntegrityError(f"{name}: the tensor {key[:100]!r} has impossible offsets")
    begin, end = offsets
    if (end - begin) * 8 != prod(shape) * BITS[dtype]:
        raise IntegrityError(
            f"{name}: the tensor {key[:100]!r} has {end - begin} bytes, which do not fit its shape "
            f"and dtype"
        )
    return Tensor(key, dtype, tuple(shape), end - begin, begin)
