"""Where an open file is cut: at its tensors where it has any, else at fixed steps."""

from dataclasses import dataclass
from io import FileIO

from weighbridge.contract import cuts, gguf, safetensors
from weighbridge.contract.cuts import Span
from weighbridge.contract.errors import InvalidRequest, RegistryError

_LARGEST_HEADER = 16 * 1024 * 1024
"""A larger safetensors header is not worth the memory that parsing it takes."""


@dataclass(frozen=True, slots=True)
class Layout:
    """The parts of a file, and the scheme that they follow. No parts: it is one PUT."""

    scheme: int
    spans: tuple[Span, ...]


def layout(stream: FileIO, size: int) -> Layout:
    """How the file behind `stream` is cut. Looks at its first bytes, not at its name; anything
    doubtful is cut by scheme 1. Leaves `stream` at its start."""
    if cuts.part_size(size):
        try:
            return Layout(cuts.TENSORS, cuts.tensor_cuts(size, _tensors(stream, size)))
        except (RegistryError, OSError):
            pass
        finally:
            stream.seek(0)
    return Layout(cuts.FIXED, cuts.cuts(size))


def _tensors(stream: FileIO, size: int) -> tuple[tuple[int, int], ...]:
    def read(start: int, length: int) -> bytes:
        stream.seek(start)
        return stream.read(length) or b""

    first = read(0, 9)
    if first.startswith(gguf.MAGIC):
        found = gguf.tensors(read, size)
    elif first[8:] == b"{" and int.from_bytes(first[:8], "little") <= _LARGEST_HEADER:
        header = safetensors.read(read, size)
        found = tuple((header.data_start + t.offset, t.bytes) for t in header.tensors)
    else:
        raise InvalidRequest("no file of tensors")
    if not found:
        raise InvalidRequest("no tensors")
    return found
