"""Where the tensors of a GGUF file stand. Versions 2 and 3, little-endian; only the header is read.

Layout (github.com/ggml-org/ggml, docs/gguf.md): magic, version, number of tensors, number of keys;
the keys with typed values; per tensor a name, dimensions, type and offset; padding; the data. A
tensor's bytes are taken to reach up to the next one, padding included, so no table of types is needed.
"""

import struct
from collections.abc import Callable
from dataclasses import dataclass
from math import prod

from weighbridge.contract.errors import IntegrityError

MAGIC = b"GGUF"
MAX_HEADER = 32 * 1024 * 1024
MAX_TENSORS = 1_000_000
MAX_KEYS = 100_000
MAX_STRINGS = 4_000_000
"""Strings in arrays, all together: vocabularies have some hundred thousand."""
MAX_ALIGNMENT = 1024 * 1024
_BLOCK = 1024 * 1024
_STRING, _ARRAY = 8, 9
_WIDTHS = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
_ALIGNMENT = b"general.alignment"

ReadRange = Callable[[int, int], bytes]
"""`read(start, length)`: that many bytes, fewer at the end of the file."""

TYPES = {
    0: ("F32", 1, 4), 1: ("F16", 1, 2), 2: ("Q4_0", 32, 18), 3: ("Q4_1", 32, 20),
    6: ("Q5_0", 32, 22), 7: ("Q5_1", 32, 24), 8: ("Q8_0", 32, 34), 9: ("Q8_1", 32, 36),
    10: ("Q2_K", 256, 84), 11: ("Q3_K", 256, 110), 12: ("Q4_K", 256, 144), 13: ("Q5_K", 256, 176),
    14: ("Q6_K", 256, 210), 15: ("Q8_K", 256, 292), 20: ("IQ4_NL", 32, 18), 24: ("I8", 1, 1),
    25: ("I16", 1, 2), 26: ("I32", 1, 4), 27: ("I64", 1, 8), 28: ("F64", 1, 8), 30: ("BF16", 1, 2),
}  # fmt: skip
"""Tensor types: name, numbers in a block, bytes of a block."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One tensor: `shape` row by row (the file lists dimensions the other way round), `start` in the
    file. `dtype` is empty and `size` reaches up to the next tensor where the type is not known."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    start: int
    size: int


def tensors(
    read_range: ReadRange, size: int, name: str = "the file"
) -> tuple[tuple[int, int], ...]:
    """Offset in the file and length of every tensor, in the order of their offsets. Raises
    `IntegrityError` for what is no sound GGUF file, or one beyond the limits of this module."""
    return tuple((start, size) for start, size, _ in _Reader(read_range, size, name).tensors())


def entries(read_range: ReadRange, size: int, name: str = "the file") -> tuple[Entry, ...]:
    """Every tensor with its name, type and shape, in the order of their offsets; see `tensors`."""
    return tuple(
        _entry(start, extent, found)
        for start, extent, found in _Reader(read_range, size, name).tensors()
    )


def _entry(start: int, extent: int, found: "_Found") -> Entry:
    dtype, numbers, width = TYPES.get(found.kind, ("", 1, 0))
    size = prod(found.shape) // numbers * width
    if not dtype or size > extent or prod(found.shape) % numbers:
        dtype, size = "", extent
    return Entry(found.name, dtype, found.shape, start, size)


@dataclass(frozen=True, slots=True)
class _Found:
    """A tensor as the header lists it, its offset within the data."""

    name: str
    shape: tuple[int, ...]
    kind: int
    offset: int


class _Reader:
    def __init__(self, read_range: ReadRange, size: int, name: str) -> None:
        self._read_range = read_range
        self._size = min(size, MAX_HEADER)
        self._file_size = size
        self._name = name
        self._data = bytearray()
        self._at = 0
        self._strings = 0

    def tensors(self) -> tuple[tuple[int, int, _Found], ...]:
        if self._take(4) != MAGIC:
            raise self._wrong("it does not begin as a GGUF file")
        version = self._number(4)
        if version not in (2, 3):
            raise self._wrong(f"version {version} is not known")
        count, keys = self._number(8), self._number(8)
        if count > MAX_TENSORS or keys > MAX_KEYS:
            raise self._wrong(f"it claims {count} tensors and {keys} keys")
        alignment = 32
        for _ in range(keys):
            key = self._string()
            kind = self._number(4)
            if key == _ALIGNMENT and kind == 4:
                alignment = self._number(4)
            else:
                self._skip_value(kind)
        if not 1 <= alignment <= MAX_ALIGNMENT:
            raise self._wrong(f"its alignment is {alignment}")
        found = sorted((self._tensor() for _ in range(count)), key=lambda tensor: tensor.offset)
        start = -(-self._at // alignment) * alignment
        ranges = self._ranges(start, [tensor.offset for tensor in found])
        return tuple((*place, tensor) for place, tensor in zip(ranges, found, strict=True))

    def _ranges(self, start: int, offsets: list[int]) -> tuple[tuple[int, int], ...]:
        if not offsets:
            return ()
        ends = [*offsets[1:], self._file_size - start]
        if start + offsets[-1] > self._file_size:
            raise self._wrong("a tensor begins behind its end")
        if any(end == offset for offset, end in zip(offsets, ends[:-1], strict=False)):
            raise self._wrong("two tensors begin at the same place")
        return tuple(
            (start + offset, end - offset) for offset, end in zip(offsets, ends, strict=True)
        )

    def _tensor(self) -> _Found:
        name = self._string().decode("utf-8", "replace")
        dimensions = self._number(4)
        if dimensions > 8:
            raise self._wrong(f"a tensor has {dimensions} dimensions")
        shape = tuple(self._number(8) for _ in range(dimensions))[::-1]
        return _Found(name, shape, self._number(4), self._number(8))

    def _skip_value(self, kind: int) -> None:
        if kind == _STRING:
            self._string()
        elif kind == _ARRAY:
            self._skip_array()
        else:
            self._skip(self._width(kind))

    def _skip_array(self) -> None:
        kind, count = self._number(4), self._number(8)
        if kind != _STRING:
            # An array of arrays has no known writer.
            self._skip(self._width(kind) * count)
            return
        self._strings += count
        if self._strings > MAX_STRINGS:
            raise self._wrong(f"it claims {self._strings} strings")
        for _ in range(count):
            self._skip(self._number(8))

    def _width(self, kind: int) -> int:
        width = _WIDTHS.get(kind)
        if width is None:
            raise self._wrong(f"a value has the unknown type {kind}")
        return width

    def _string(self) -> bytes:
        return self._take(self._number(8))

    def _number(self, width: int) -> int:
        at = self._advance(width)
        if width == 8:
            return int(struct.unpack_from("<Q", self._data, at)[0])
        return int(struct.unpack_from("<I", self._data, at)[0])

    def _take(self, count: int) -> bytes:
        at = self._advance(count)
        return bytes(self._data[at : at + count])

    def _skip(self, count: int) -> None:
        self._advance(count)

    def _advance(self, count: int) -> int:
        """Makes sure of the next `count` bytes, and passes them; where they begin."""
        at, end = self._at, self._at + count
        if end > self._size:
            raise self._wrong(f"its header is cut short, or longer than {MAX_HEADER} bytes")
        while len(self._data) < end:
            wanted = min(max(_BLOCK, end - len(self._data)), self._size - len(self._data))
            block = self._read_range(len(self._data), wanted)
            if not block:
                raise self._wrong("its header is cut short")
            self._data += block
        self._at = end
        return at

    def _wrong(self, why: str) -> IntegrityError:
        return IntegrityError(f"{self._name}: no readable GGUF file: {why}")
