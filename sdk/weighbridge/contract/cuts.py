"""How files are cut into parts. The scheme is part of a blob's identity and never changes.

Scheme 1, for any file: 16 MiB or less is one PUT; a larger file is cut every 16 MiB, or every smallest
whole number of MiB with which 10,000 parts suffice.

Scheme 2, for files of tensors (safetensors, GGUF) above 16 MiB: see `tensor_cuts`.

The part list of a blob is JSON: `{"parts": [[sha256, size], ...], "schema": 1}`.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from weighbridge.contract.digests import sha256
from weighbridge.contract.errors import IntegrityError, InvalidRequest, TooLarge
from weighbridge.contract.manifests import MAX_SIZE
from weighbridge.contract.types import Part

MIB = 1024 * 1024
SINGLE_PUT = 16 * MIB
PART = 16 * MIB
MIN_PART = 5 * MIB
LARGE = 2 * MIN_PART
"""A tensor of this size or more is cut by itself, but for its first `MIN_PART` bytes."""
MAX_PARTS = 10_000
FIXED, TENSORS = 1, 2
SCHEMES = frozenset({FIXED, TENSORS})
"""The cut schemes that this version knows."""
MAX_PART = 5 * 1024 * MIB
"""What S3 takes as one part."""
MAX_LIST = 2 * MIB
"""A part list of 10,000 parts has less."""


@dataclass(frozen=True, slots=True)
class Span:
    """A part: its number from 1, where it starts, how long it is."""

    number: int
    offset: int
    size: int


def part_size(size: int) -> int:
    """Scheme 1: the size of the parts (but the last) of a file of `size` bytes; 0: one PUT."""
    if size > MAX_SIZE:
        raise TooLarge(f"a file of {size} bytes; {MAX_SIZE} at most", limit=MAX_SIZE)
    if size <= SINGLE_PUT:
        return 0
    whole_mib = -(-size // (MAX_PARTS * MIB))
    return max(PART, whole_mib * MIB)


def cuts(size: int) -> tuple[Span, ...]:
    """Scheme 1: the parts of a file of `size` bytes, in order; none if it is one PUT."""
    step = part_size(size)
    if not step:
        return ()
    return spans([min(step, size - offset) for offset in range(0, size, step)])


def tensor_cuts(size: int, tensors: Iterable[tuple[int, int]]) -> tuple[Span, ...]:
    """Scheme 2: the parts of a file with these tensors (offset in the file, length), in the order of
    their offsets. Depends on nothing else. None if the file is one PUT.

    A stretch is a tensor, or the bytes before, between and behind tensors. One of 10 MiB or more is
    cut 5 MiB behind its start, then every 16 MiB; a last piece below 5 MiB belongs to the piece
    before it. Smaller stretches are grouped, in order, until a group has 5 MiB; a group that does not
    reach that before a large stretch begins is joined with the large one's first 5 MiB; at the end of
    the file it is the last part. All of these sizes are doubled until 10,000 parts suffice.

    So every piece of a large tensor but the first is the same bytes wherever the tensor stands.
    Raises `InvalidRequest` if tensors overlap, are out of order, or leave the file.
    """
    if part_size(size) == 0:
        return ()
    stretches = _stretches(size, tensors)
    factor = 1
    while len(sizes := _sizes(stretches, factor)) > MAX_PARTS:
        factor *= 2
    return spans(sizes)


def is_head(size: int) -> bool:
    """Whether a part has the size of a large tensor's first piece that nothing small stands before:
    5 MiB, doubled as often as the file needed. Other parts may have it too, by chance."""
    times, rest = divmod(size, MIN_PART)
    return not rest and times.bit_count() == 1


def spans(sizes: Iterable[int]) -> tuple[Span, ...]:
    """Parts of these sizes, one behind the other."""
    found, offset = [], 0
    for number, size in enumerate(sizes, 1):
        found.append(Span(number, offset, size))
        offset += size
    return tuple(found)


def _stretches(size: int, tensors: Iterable[tuple[int, int]]) -> list[int]:
    lengths, position = [], 0
    for offset, length in tensors:
        if length < 0 or offset < position or offset + length > size:
            raise InvalidRequest(f"a tensor of {length} bytes cannot stand at {offset}")
        lengths += [offset - position, length]
        position = offset + length
    lengths.append(size - position)
    return [length for length in lengths if length]


def _sizes(stretches: Sequence[int], factor: int) -> list[int]:
    least = MIN_PART * factor
    found: list[int] = []
    group = 0
    for length in stretches:
        if length < LARGE * factor:
            group += length
            if group >= least:
                found.append(group)
                group = 0
            continue
        found.append(group + least)
        group = 0
        found += _pieces(length - least, PART * factor, least)
    return [*found, group] if group else found


def _pieces(length: int, step: int, least: int) -> Iterator[int]:
    while length >= step + least:
        yield step
        length -= step
    yield length


def encode(parts: Iterable[Part]) -> bytes:
    """The part list of a blob, as it is stored: always the same bytes for the same parts."""
    document = {"parts": [[part.sha256, part.size] for part in parts], "schema": 1}
    return json.dumps(document, separators=(",", ":"), sort_keys=True).encode("ascii")


def decode(data: bytes) -> tuple[Part, ...]:
    """The reverse of `encode`, or `IntegrityError`."""
    try:
        if len(data) > MAX_LIST:
            raise ValueError(f"{len(data)} bytes")
        document = json.loads(data)
        if not isinstance(document, dict) or document.get("schema") != 1:
            raise ValueError("another schema")
        rows = document.get("parts")
        if not isinstance(rows, list) or not 1 <= len(rows) <= MAX_PARTS:
            raise ValueError("no list of parts")
        return tuple(_row(number, row) for number, row in enumerate(rows, 1))
    except (ValueError, RecursionError, InvalidRequest) as error:
        raise IntegrityError(f"a part list is damaged: {error}"[:300]) from None


def _row(number: int, row: object) -> Part:
    if not isinstance(row, list) or len(row) != 2:
        raise ValueError(f"part {number} is no pair")
    digest, size = row
    if not isinstance(size, int) or isinstance(size, bool) or not 0 < size <= MAX_PART:
        raise ValueError(f"part {number} has an impossible size")
    return Part(number, sha256(digest), size)
