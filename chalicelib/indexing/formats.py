"""Formats: each indexer sniffs the first bytes of an object and reads its facts by ranges.

One format, one module; a new one is added to `INDEXERS`. Nothing is unpickled and no framework is
imported (docs/formats.md).
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from math import prod

from weighbridge.contract import safetensors
from weighbridge.contract.errors import IntegrityError
from weighbridge.contract.types import Facts

INDEXER = 1
"""Bumped when facts improve, so that old objects can be indexed again."""
MAX_METADATA = 100


@dataclass(slots=True)
class Ranged:
    """An object read by ranges, counting what was asked of the store."""

    fetch: Callable[[int, int], bytes]
    size: int
    read_bytes: int = 0
    requests: int = 0
    _first: bytes = field(default=b"")

    def read(self, start: int, length: int) -> bytes:
        """That range; what the first look fetched is not fetched again."""
        end = min(start + length, self.size)
        if end <= len(self._first):
            return self._first[start:end]
        data = self.fetch(start, end - start) if end > start else b""
        self.requests += 1
        self.read_bytes += len(data)
        if start == 0:
            self._first = data
        return data


def sniff_safetensors(first: bytes, size: int) -> bool:
    """8 bytes of a plausible header length, then a JSON object."""
    length = int.from_bytes(first[:8], "little")
    return size >= 10 and first[8:9] == b"{" and (length <= 2**40 or first[8:10] == b'{"')


def read_safetensors(ranged: Ranged) -> Facts:
    """The tensor table, the parameter count and the metadata of a safetensors file."""
    try:
        header = safetensors.read(ranged.read, ranged.size)
    except IntegrityError as error:
        return Facts("safetensors", INDEXER, problem=error.message)
    metadata = {k[:200]: v[:2000] for k, v in list(header.metadata.items())[:MAX_METADATA]}
    return Facts(
        "safetensors", INDEXER, sum(prod(t.shape) for t in header.tensors), header.tensors,
        metadata,
    )  # fmt: skip


Indexer = tuple[Callable[[bytes, int], bool], Callable[[Ranged], Facts]]
INDEXERS: tuple[Indexer, ...] = ((sniff_safetensors, read_safetensors),)


def describe(ranged: Ranged) -> Facts:
    """The facts of an object; format `file` where no indexer knows it."""
    first = ranged.read(0, min(64 * 1024, ranged.size))
    found = Facts("file", INDEXER)
    for sniff, read in INDEXERS:
        if sniff(first, ranged.size):
            found = read(ranged)
            break
    return replace(found, read_bytes=ranged.read_bytes, requests=ranged.requests)
