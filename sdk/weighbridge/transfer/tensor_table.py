"""The tensors of a file that is about to be pushed: where each stands, and what it is."""

from dataclasses import dataclass
from io import FileIO

from weighbridge.contract import gguf, safetensors
from weighbridge.contract.errors import InvalidRequest, RegistryError

LARGEST_HEADER = 16 * 1024 * 1024
"""A larger safetensors header is not worth the memory that parsing it takes."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One tensor: `size` bytes from `start` in its file. `dtype` is empty where it is not known, and
    `size` may then reach beyond it."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    start: int
    size: int


def entries(stream: FileIO, size: int) -> tuple[Entry, ...]:
    """The tensors of an open file in the order in which they stand. Looks at its first bytes, not at
    its name. `RegistryError` where it has none, or is doubtful."""

    def read(start: int, length: int) -> bytes:
        stream.seek(start)
        return stream.read(length) or b""

    first = read(0, 9)
    found: tuple[Entry, ...] = ()
    if first.startswith(gguf.MAGIC):
        listed = gguf.entries(read, size)
        found = tuple(Entry(t.name, t.dtype, t.shape, t.start, t.size) for t in listed)
    elif first[8:] == b"{" and int.from_bytes(first[:8], "little") <= LARGEST_HEADER:
        header = safetensors.read(read, size)
        start = header.data_start
        found = tuple(
            Entry(t.name, t.dtype, t.shape, start + t.offset, t.bytes) for t in header.tensors
        )
    if not found:
        raise InvalidRequest("no file of tensors")
    return found


def marked(first: bytes) -> bool:
    """Whether a file that begins with these 9 bytes may be a file of tensors."""
    return first.startswith(gguf.MAGIC) or first[8:9] == b"{"


def look(stream: FileIO, size: int) -> tuple[Entry, ...]:
    """Like `entries`; none where it has none, or is doubtful. Leaves `stream` at its start."""
    try:
        return entries(stream, size)
    except (RegistryError, OSError):
        return ()
    finally:
        stream.seek(0)
