"""Arrays whose bytes lie inside or behind a pickle: joblib's wrappers and numpy's `.npy` files."""

import re
from dataclasses import replace
from math import prod

from chalicelib.indexing.formats.pickled import checks
from chalicelib.indexing.formats.pickled.machine import MAX_NESTED, Machine, Mode, Notes, walk
from chalicelib.indexing.formats.pickled.source import Limits, OverLimit, Source
from chalicelib.indexing.formats.pickled.values import Call, Dict, Opaque, Value

MAGIC = b"\x93NUMPY"
_QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"")
_OBJECT = re.compile(r"[<>|=]?O[0-9]*|object_?[0-9]*")
MAX_NPY_HEADER = 64 * 1024


def is_wrapper(value: Value) -> bool:
    """Whether joblib's loader replaces that by the array that follows in the stream."""
    made = checks.made_of(value)
    return str(made) == "joblib.numpy_pickle.NumpyArrayWrapper"


def read(machine: Machine, wrapper: Call) -> Value:
    """Goes over the array that follows. Raises `OverLimit` where its length cannot be told."""
    machine.notes.arrays += 1
    if machine.frame_end not in (None, machine.cursor.at):
        # The loader has the whole frame already, and takes the array from behind it.
        raise OverLimit("an array in the middle of a frame")
    machine.frame_end = None
    state = wrapper.state
    if not isinstance(state, Dict):
        raise OverLimit("an array whose description cannot be known")
    subclass = checks.names(state.get("subclass"))
    if subclass != ("numpy", "ndarray"):
        machine.unknown(f"an array of class {'.'.join(subclass)}")
    shape, dtype = state.get("shape"), state.get("dtype")
    size, objects = itemsize(dtype)
    if objects:
        _objects(machine)
        return Opaque("an array of objects")
    if (
        size is None
        or not isinstance(shape, tuple)
        or not all(type(n) is int and n >= 0 for n in shape)
    ):
        raise OverLimit("an array whose length cannot be known")
    if state.get("numpy_array_alignment_bytes") is not None:
        machine.cursor.skip(machine.cursor.byte())
    machine.cursor.skip(prod(shape) * size)
    return Opaque("an array")


def _objects(machine: Machine) -> None:
    """The pickle that stands for an array of objects: a plain one, in the middle of the stream."""
    cursor = machine.cursor
    mode = replace(machine.mode, joblib=False, depth=machine.mode.depth + 1)
    if mode.depth > MAX_NESTED:
        raise OverLimit("pickles in pickles in pickles")
    inner = walk(cursor.source, cursor.at, cursor.limits, machine.notes, mode)
    if inner.broken:
        raise OverLimit(f"the pickle of an array of objects is broken ({inner.broken})")
    cursor.at = inner.end


def itemsize(dtype: Value) -> tuple[int | None, bool]:
    """Bytes per item of a `numpy.dtype(...)` call, None where that is unclear; whether it holds objects."""
    if not isinstance(dtype, Call) or checks.names(dtype.function) != ("numpy", "dtype"):
        return None, False
    given, state = dtype.arguments, dtype.state
    text = given[0] if isinstance(given, tuple) and given else None
    if not isinstance(text, str):
        return None, False
    code, digits = text[:1], text[1:]
    if code == "O":
        return 8, True
    if not digits.isascii() or not digits.isdigit():
        return (1, False) if text == "?" else (None, False)
    length = int(digits)
    plain = not isinstance(state, tuple) or (len(state) >= 8 and state[2:5] == (None, None, None))
    if code in "biufcMm" and plain and length in (1, 2, 4, 8, 16, 32):
        return length, False
    if code in "SUV" and isinstance(state, tuple) and len(state) >= 8:
        flags, size = state[7], state[5]
        if not isinstance(flags, int) or not isinstance(size, int) or size < 0:
            return None, False
        if flags & 1:  # a field of objects somewhere: pickled, not raw
            return 8, True
        return size, False
    return None, False


def npy(source: Source, limits: Limits, notes: Notes) -> bool:
    """Whether `source` begins like a `.npy` file; its pickle, where it holds objects, is walked."""
    first = source.read(0, 4096)
    if first[:6] != MAGIC or len(first) < 12:
        return False
    wide = 2 if first[6] == 1 else 4
    length = int.from_bytes(first[8 : 8 + wide], "little")
    start = 8 + wide + length
    if length > MAX_NPY_HEADER or start > source.size:
        notes.add("unknown", "a .npy header that is too long")
        return True
    header = first[8 + wide : start] if start <= len(first) else source.read(8 + wide, length)
    if _names_objects(header.decode("latin-1")):
        inner = walk(source, start, limits, notes, Mode())
        if inner.broken:
            notes.add("unknown", f"the pickle of an array of objects is broken ({inner.broken})")
    return True


def _names_objects(header: str) -> bool:
    """Whether a dtype in a `.npy` header may hold objects. Whatever else numpy could read as `O`, by
    escapes or by texts side by side, is taken for it: the walk behind then finds no pickle."""
    if "\\" in header:
        return True
    behind = -1
    for found in _QUOTED.finditer(header):
        if behind >= 0 and not header[behind : found.start()].strip():
            return True
        behind = found.end()
        text = found[0][1:-1]
        if _OBJECT.fullmatch(text) or ("," in text and "O" in text):
            return True
    return False
