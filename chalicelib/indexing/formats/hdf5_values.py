"""What the messages of an HDF5 object say: shape, dtype, place, and attributes that are texts."""

from chalicelib.indexing.formats.dtypes import BITS
from chalicelib.indexing.formats.hdf5 import (
    ATTRIBUTE,
    DATASPACE,
    DATATYPE,
    LAYOUT,
    BadHdf5,
    File,
    Object,
)
from weighbridge.contract.types import Tensor

MAX_TEXT = 8 * 1024 * 1024
"""A model's configuration is one text."""
_HEAP_OBJECTS = 20_000


def dataset(file: File, found: Object) -> Tensor | None:
    """The object as a tensor, if it is a dataset."""
    space, kind = found.first(DATASPACE), found.first(DATATYPE)
    if space is None or kind is None:
        return None
    shape = shape_of(file, space)
    dtype, width = dtype_of(kind)
    count = 1
    for size in shape:
        count *= size
    if count * width >= 2**62:
        raise BadHdf5(f"the dataset {found.path[:100]!r} has an impossible size")
    layout = found.first(LAYOUT) or b""
    offset = 0
    if len(layout) >= 2 + file.offsets and layout[0] in (3, 4) and layout[1] == 1:
        offset = int.from_bytes(layout[2 : 2 + file.offsets], "little")
        offset = 0 if file.undefined(offset) else min(offset, 2**62)
    return Tensor(found.path, dtype, shape, count * width, offset)


def shape_of(file: File, data: bytes) -> tuple[int, ...]:
    """The dimensions of a dataspace message."""
    if len(data) < 4 or data[0] not in (1, 2):
        raise BadHdf5("a dataspace is damaged")
    rank, at = data[1], 8 if data[0] == 1 else 4
    if rank > 32 or at + rank * file.lengths > len(data):
        raise BadHdf5("a dataspace is damaged")
    if data[0] == 2 and data[3] == 2:
        return (0,)  # a null dataspace
    places = range(at, at + rank * file.lengths, file.lengths)
    return tuple(int.from_bytes(data[p : p + file.lengths], "little") for p in places)


def dtype_of(data: bytes) -> tuple[str, int]:
    """Name and width in bytes of a datatype message."""
    if len(data) < 8:
        raise BadHdf5("a datatype is damaged")
    kind, bits, width = data[0] & 15, data[1], int.from_bytes(data[4:8], "little")
    if kind == 0:
        name = f"{'I' if bits & 8 else 'U'}{8 * width}"
    elif kind == 1:
        # Two bytes with eight bits of exponent are not IEEE's half.
        name = "BF16" if width == 2 and len(data) > 13 and data[13] == 8 else f"F{8 * width}"
    elif kind == 8 and width == 1 and b"TRUE\0" in data and b"FALSE\0" in data:
        name = "BOOL"
    else:
        name = {3: "TEXT", 4: "BITS", 5: "VOID", 6: "STRUCT", 7: "REFERENCE", 8: "ENUM"}.get(
            kind, ""
        )
        name = name or {9: "TEXT" if bits & 15 == 1 else "RAGGED", 10: "ARRAY"}.get(kind, "OTHER")
    if kind < 2 and name not in BITS:
        name = "OTHER"
    return name, width


def texts(file: File, found: Object, wanted: int) -> dict[str, str]:
    """The object's attributes that hold one text each, the first `wanted` of them."""
    result: dict[str, str] = {}
    for kind, data in found.messages:
        if kind == ATTRIBUTE and len(result) < wanted:
            name, value = _attribute(file, data)
            if value is not None:
                result[name] = value
    return result


def _attribute(file: File, data: bytes) -> tuple[str, str | None]:
    if len(data) < 8 or data[0] not in (1, 2, 3):
        raise BadHdf5("an attribute is damaged")
    version = data[0]
    sizes = [int.from_bytes(data[n : n + 2], "little") for n in (2, 4, 6)]
    at, parts = 9 if version == 3 else 8, []
    for size in sizes:
        parts.append(data[at : at + size])
        at += -(-size // 8) * 8 if version == 1 else size
    name = parts[0].split(b"\0")[0].decode("utf-8", "replace")
    shared = version > 1 and data[1] & 3
    if shared or len(parts[1]) < 8 or shape_of(file, parts[2]) not in ((), (1,)):
        return name, None
    kind, bits, width = parts[1][0] & 15, parts[1][1], int.from_bytes(parts[1][4:8], "little")
    if kind == 3:
        return name, data[at : at + width].split(b"\0")[0].decode("utf-8", "replace")
    if kind == 9 and bits & 15 == 1:
        length = int.from_bytes(data[at : at + 4], "little")
        heap = int.from_bytes(data[at + 4 : at + 4 + file.offsets], "little")
        index = int.from_bytes(data[at + 4 + file.offsets : at + 8 + file.offsets], "little")
        return name, _from_heap(file, heap, index, length)
    return name, None


def _from_heap(file: File, heap: int, index: int, length: int) -> str:
    """A text of variable length, which stands in a collection of its own."""
    if not length or file.undefined(heap):
        return ""
    if file.read(heap, 4) != b"GCOL":
        raise BadHdf5("a text is not where its attribute says")
    end = heap + file.number(heap + 8, file.lengths)
    at = heap + 8 + file.lengths
    for _ in range(_HEAP_OBJECTS):
        if at + 8 + file.lengths > end:
            break
        found, size = file.number(at, 2), file.number(at + 8, file.lengths)
        at += 8 + file.lengths
        if found == index:
            if size > MAX_TEXT or length > size:
                raise BadHdf5(f"a text claims {max(size, length)} bytes")
            return file.read(at, length).split(b"\0")[0].decode("utf-8", "replace")
        if found == 0:
            break
        at += -(-size // 8) * 8
    raise BadHdf5("a text is not where its attribute says")
