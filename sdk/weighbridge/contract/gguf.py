"""The header of a GGUF file: its keys, and where its tensors stand. Nothing but it is read.

Layout (github.com/ggml-org/ggml, docs/gguf.md): magic, version, number of tensors, number of keys;
the keys with typed values; per tensor a name, dimensions, type and offset; padding; the data. Versions
2 and 3 are known; version 3 may be big-endian. Vocabularies are passed over and counted.
"""

import struct
from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import NamedTuple

from weighbridge.contract.errors import IntegrityError

MAGIC = b"GGUF"
MAX_HEADER = 32 * 1024 * 1024
MAX_TENSORS = 1_000_000
MAX_KEYS = 100_000
MAX_STRINGS = 4_000_000
"""Strings in arrays, all together: vocabularies have some hundred thousand."""
MAX_ALIGNMENT = 1024 * 1024
MAX_TEXT = 2000
"""Characters of a text value that are kept."""
_BLOCK = 1024 * 1024
_STRING, _ARRAY, _BOOL = 8, 9, 7
_FORMATS = {
    0: "B",
    1: "b",
    2: "H",
    3: "h",
    4: "I",
    5: "i",
    6: "f",
    7: "B",
    10: "Q",
    11: "q",
    12: "d",
}
_NAMES = {
    0: "u8", 1: "i8", 2: "u16", 3: "i16", 4: "u32", 5: "i32", 6: "f32", 7: "bool", 8: "text",
    10: "u64", 11: "i64", 12: "f64",
}  # fmt: skip

ReadRange = Callable[[int, int], bytes]
"""`read(start, length)`: that many bytes, fewer at the end of the file."""


# ggml's types: name, elements in a block, bytes of a block (github.com/ggml-org/ggml, ggml.h).
TYPES = {
    0: ("F32", 1, 4), 1: ("F16", 1, 2), 2: ("Q4_0", 32, 18), 3: ("Q4_1", 32, 20),
    6: ("Q5_0", 32, 22), 7: ("Q5_1", 32, 24), 8: ("Q8_0", 32, 34), 9: ("Q8_1", 32, 40),
    10: ("Q2_K", 256, 84), 11: ("Q3_K", 256, 110), 12: ("Q4_K", 256, 144), 13: ("Q5_K", 256, 176),
    14: ("Q6_K", 256, 210), 15: ("Q8_K", 256, 292), 16: ("IQ2_XXS", 256, 66),
    17: ("IQ2_XS", 256, 74), 18: ("IQ3_XXS", 256, 98), 19: ("IQ1_S", 256, 50),
    20: ("IQ4_NL", 32, 18), 21: ("IQ3_S", 256, 110), 22: ("IQ2_S", 256, 82),
    23: ("IQ4_XS", 256, 136), 24: ("I8", 1, 1), 25: ("I16", 1, 2), 26: ("I32", 1, 4),
    27: ("I64", 1, 8), 28: ("F64", 1, 8), 29: ("IQ1_M", 256, 56), 30: ("BF16", 1, 2),
    34: ("TQ1_0", 256, 54), 35: ("TQ2_0", 256, 66), 39: ("MXFP4", 32, 17), 40: ("NVFP4", 64, 36),
    41: ("Q1_0", 128, 18),
}  # fmt: skip


class Array(NamedTuple):
    """An array among the values: what it holds, and how much of it."""

    kind: str
    length: int


Value = int | float | bool | str | Array


class Entry(NamedTuple):
    """A tensor as the header names it: `kind` is ggml's number of its type, `shape` has the fastest
    dimension first, `offset` counts from the begin of the data."""

    name: bytes
    kind: int
    shape: tuple[int, ...]
    offset: int


@dataclass(frozen=True, slots=True)
class Located:
    """One tensor: `shape` row by row (the file lists dimensions the other way round), `start` in the
    file. `dtype` is empty and `size` reaches up to the next tensor where the type is not known."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    start: int
    size: int


@dataclass(frozen=True, slots=True)
class Header:
    """A parsed header: tensors in the order of the file."""

    version: int
    big_endian: bool
    alignment: int
    keys: dict[str, Value]
    tensors: tuple[Entry, ...]
    data_start: int


def header(
    read_range: ReadRange, size: int, name: str = "the file", most: int = MAX_TENSORS
) -> Header:
    """The header of a file of `size` bytes with `most` tensors. Raises `IntegrityError` for what is no
    sound GGUF file, or one beyond the limits of this module."""
    return _Reader(read_range, size, name).header(most)


def tensors(
    read_range: ReadRange, size: int, name: str = "the file"
) -> tuple[tuple[int, int], ...]:
    """Offset in the file and length of every tensor, in the order of their offsets; for little-endian
    files. A tensor is taken to reach up to the next one, padding included, so no table of types is
    needed. Raises `IntegrityError` as `header` does."""
    return tuple((start, length) for start, length, _ in _Reader(read_range, size, name).ranges())


def entries(read_range: ReadRange, size: int, name: str = "the file") -> tuple[Located, ...]:
    """Every tensor with its name, type and shape, in the order of their offsets; see `tensors`."""
    return tuple(
        _located(start, extent, found)
        for start, extent, found in _Reader(read_range, size, name).ranges()
    )


def _located(start: int, extent: int, found: Entry) -> Located:
    dtype, numbers, width = TYPES.get(found.kind, ("", 1, 0))
    size = prod(found.shape) // numbers * width
    if not dtype or size > extent or prod(found.shape) % numbers:
        dtype, size = "", extent
    return Located(found.name.decode("utf-8", "replace"), dtype, found.shape[::-1], start, size)


class _Reader:
    def __init__(self, read_range: ReadRange, size: int, name: str) -> None:
        self._read_range = read_range
        self._size = min(size, MAX_HEADER)
        self._file_size = size
        self._name = name
        self._data = bytearray()
        self._at = 0
        self._strings = 0
        self._order = "<"

    def header(self, most: int = MAX_TENSORS) -> Header:
        if self._take(4) != MAGIC:
            raise self._wrong("it does not begin as a GGUF file")
        version = self._number(4)
        if version >> 16 and version & 0xFFFF == 0:
            self._order = ">"
            version = int.from_bytes(version.to_bytes(4, "little"), "big")
        if version not in (2, 3) or (version == 2 and self._order == ">"):
            raise self._wrong(f"version {version} is not known")
        count, keys = self._number(8), self._number(8)
        if count > most or keys > MAX_KEYS:
            raise self._wrong(f"it claims {count} tensors and {keys} keys")
        alignment, found = 32, dict[str, Value]()
        for _ in range(keys):
            key = self._string().decode("utf-8", "replace")
            kind = self._number(4)
            found[key] = value = self._value(kind)
            if key == "general.alignment" and kind == 4 and isinstance(value, int):
                alignment = value
        if not 1 <= alignment <= MAX_ALIGNMENT:
            raise self._wrong(f"its alignment is {alignment}")
        entries = tuple(self._tensor() for _ in range(count))
        start = -(-self._at // alignment) * alignment
        return Header(version, self._order == ">", alignment, found, entries, start)

    def ranges(self) -> tuple[tuple[int, int, Entry], ...]:
        found = self.header()
        if found.big_endian:
            raise self._wrong("it is big-endian")
        start, entries = found.data_start, sorted(found.tensors, key=lambda entry: entry.offset)
        if not entries:
            return ()
        ends = [*(entry.offset for entry in entries[1:]), self._file_size - start]
        if start + entries[-1].offset > self._file_size:
            raise self._wrong("a tensor begins behind its end")
        if any(end == e.offset for e, end in zip(entries, ends[:-1], strict=False)):
            raise self._wrong("two tensors begin at the same place")
        return tuple(
            (start + e.offset, end - e.offset, e) for e, end in zip(entries, ends, strict=True)
        )

    def _tensor(self) -> Entry:
        name = self._string()
        dimensions = self._number(4)
        if dimensions > 8:
            raise self._wrong(f"a tensor has {dimensions} dimensions")
        at = self._advance(8 * dimensions + 12)
        *shape, kind, offset = struct.unpack_from(f"{self._order}{dimensions}QIQ", self._data, at)
        return Entry(name, kind, tuple(shape), offset)

    def _value(self, kind: int) -> Value:
        if kind == _STRING:
            length = self._number(8)
            at = self._advance(length)
            kept = self._data[at : at + min(length, 4 * MAX_TEXT)]
            return kept.decode("utf-8", "replace")[:MAX_TEXT]
        if kind == _ARRAY:
            return self._array()
        form = self._format(kind)
        at = self._advance(struct.calcsize(form))
        value: int | float = struct.unpack_from(self._order + form, self._data, at)[0]
        return bool(value) if kind == _BOOL else value

    def _array(self) -> Array:
        kind, count = self._number(4), self._number(8)
        if kind != _STRING:
            # An array of arrays has no known writer.
            self._advance(struct.calcsize(self._format(kind)) * count)
            return Array(_NAMES[kind], count)
        self._strings += count
        if self._strings > MAX_STRINGS:
            raise self._wrong(f"it claims {self._strings} strings")
        unpack, left = struct.Struct(self._order + "Q").unpack_from, count
        while left:
            # This loop passes a vocabulary of some hundred thousand: it stays free of calls.
            at, data, ready = self._at, self._data, len(self._data) - 8
            while left and at <= ready:
                at += 8 + unpack(data, at)[0]
                left -= 1
            self._at = min(at, self._size + 1)
            self._advance(0 if not left else 8)
            self._at -= 8 if left else 0
        return Array(_NAMES[kind], count)

    def _format(self, kind: int) -> str:
        form = _FORMATS.get(kind)
        if form is None:
            raise self._wrong(f"a value has the unknown type {kind}")
        return form

    def _string(self) -> bytes:
        return self._take(self._number(8))

    def _number(self, width: int) -> int:
        at = self._advance(width)
        form = self._order + ("Q" if width == 8 else "I")
        return int(struct.unpack_from(form, self._data, at)[0])

    def _take(self, count: int) -> bytes:
        at = self._advance(count)
        return bytes(self._data[at : at + count])

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
