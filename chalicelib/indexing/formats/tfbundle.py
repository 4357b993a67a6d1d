"""TensorFlow's `variables.index` or `*.ckpt.index`: which variable is where in the data shards.

It is a table of LevelDB (github.com/google/leveldb, doc/table_format.md) whose keys are names and whose
values are BundleEntryProto messages (tensor_bundle.proto). TensorFlow writes it uncompressed.
"""

from collections.abc import Iterator

from chalicelib.indexing.formats.dtypes import counted
from chalicelib.indexing.formats.protobuf import VARINT, BadProtobuf, Reader, varint
from chalicelib.indexing.formats.ranged import OverBudget, Ranged
from chalicelib.indexing.formats.savedmodel import DTYPES, shape_of
from chalicelib.indexing.formats.windows import CutShort, Window
from weighbridge.contract.types import Facts, Tensor

MAGIC = bytes.fromhex("57fb808b247547db")
MAX_FILE = 32 * 1024 * 1024
MAX_TENSORS = 100_000
_FOOTER = 48


def sniff(first: bytes, size: int) -> bool:
    """A table whose first key is empty and whose first value is a bundle's header."""
    return (
        size >= _FOOTER
        and first[:2] == b"\0\0"
        and first[3:4] == b"\x08"
        and b"\x1a\x02\x08" in first[4:16]
    )


def read(ranged: Ranged) -> Facts:
    """The facts of a bundle's index."""
    reader, tensors, metadata = Reader(Window(ranged)), list[Tensor](), dict[str, str]()
    problem = ""
    try:
        if ranged.size > MAX_FILE:
            raise BadProtobuf(f"it has {ranged.size} bytes; {MAX_FILE} at most")
        for key, start, end in _entries(reader.window):
            if not key:
                for one in reader.fields(start, end):
                    if one.number == 1 and one.wire == VARINT:
                        metadata["shards"] = str(one.value)
            elif len(tensors) >= MAX_TENSORS:
                raise BadProtobuf(f"it has more than {MAX_TENSORS} variables")
            else:
                tensors.append(_tensor(reader, key, start, end))
    except (BadProtobuf, CutShort, OverBudget) as error:
        problem = str(error)
    # The graph of objects is a text among the variables, not one of them.
    weights = [t for t in tensors if t.dtype != "TEXT"]
    dtypes = counted(weights)
    return Facts(
        "tensorflow bundle", parameters=sum(dtypes.values()), tensors=tuple(weights), dtypes=dtypes,
        metadata=metadata, problem=problem,
    )  # fmt: skip


def _tensor(reader: Reader, key: bytes, start: int, end: int) -> Tensor:
    dtype, offset, length, shape = "", 0, 0, list[int]()
    for one in reader.fields(start, end):
        if one.number == 1 and one.wire == VARINT:
            dtype = DTYPES.get(one.value, f"type {one.value}"[:40])
        elif one.number == 2:
            shape = shape_of(reader, one)
        elif one.number == 4:
            offset = one.value
        elif one.number == 5:
            length = one.value
    if min(shape, default=0) < 0 or max(offset, length) >= 2**62:
        raise BadProtobuf("a variable has an impossible size")
    return Tensor(key.decode("utf-8", "replace"), dtype, tuple(shape), length, offset)


def _entries(window: Window) -> Iterator[tuple[bytes, int, int]]:
    """Keys of the table, and where their values stand."""
    footer = window.read(window.size - _FOOTER, _FOOTER)
    if footer[-8:] != MAGIC:
        raise BadProtobuf("it is cut short: its end is not that of a table")
    _, at = varint(footer, 0)
    _, at = varint(footer, at)
    start, at = varint(footer, at)
    length, _ = varint(footer, at)
    last = -1
    for _, place, end in _block(window, start, length):
        handle = window.read(place, end - place)
        start, at = varint(handle, 0)
        length, _ = varint(handle, at)
        if start <= last:
            # In order, so that no block is read twice.
            raise BadProtobuf("its blocks overlap")
        last = start
        yield from _block(window, start, length)


def _block(window: Window, start: int, length: int) -> Iterator[tuple[bytes, int, int]]:
    data = window.read(start, length + 1)
    if data[-1]:
        raise BadProtobuf("it is compressed")
    restarts = int.from_bytes(data[length - 4 : length], "little") if length >= 4 else 0
    end = length - 4 - 4 * restarts
    if end < 0:
        raise BadProtobuf("a block is damaged")
    at, key = 0, b""
    while at < end:
        shared, at = varint(data, at)
        more, at = varint(data, at)
        size, at = varint(data, at)
        if shared > len(key) or shared + more > 4096 or at + more + size > end:
            raise BadProtobuf("a block is damaged")
        key = key[:shared] + data[at : at + more]
        at += more + size
        yield key, start + at - size, start + at
