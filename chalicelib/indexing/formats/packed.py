"""Packed files of no format that is known: what they hold may be pickles, or a tar of them.

A zip is told apart by its members (archives.py), a plain tar by its headers (tars.py).
"""

import bz2
import lzma
import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

from chalicelib.indexing.formats import pickles, tars
from chalicelib.indexing.formats.pickled import members
from chalicelib.indexing.formats.pickled.source import UNKNOWN, Memory
from chalicelib.indexing.formats.ranged import OverBudget, Ranged
from weighbridge.contract.types import Facts

MAX_UNPACKED = {"zlib": 48, "gzip": 48, "xz": 24, "lzma": 24, "bzip2": 12}
"""MiB that are unpacked at most: about half a second of work each."""
MEMORY = 64 * 1024 * 1024
MAX_STREAMS = 1_000
TARS = {"gzip": "tar.gz", "bzip2": "tar.bz2", "xz": "tar.xz", "lzma": "tar.lzma", "zlib": "tar.z"}
STEP = 512 * 1024


class Unpacker(Protocol):
    """A decompressor of the standard library."""

    def decompress(self, data: bytes, max_length: int = -1, /) -> bytes:
        """More of the content."""
        ...


UNPACKERS: dict[str, Callable[[], Unpacker]] = {
    "zlib": lambda: zlib.decompressobj(),
    "gzip": lambda: zlib.decompressobj(31),
    "bzip2": lambda: bz2.BZ2Decompressor(),
    "xz": lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ, MEMORY),
    "lzma": lambda: lzma.LZMADecompressor(lzma.FORMAT_ALONE, MEMORY),
}


def kind(first: bytes) -> str:
    """What packs an object with these first bytes; empty if nothing does."""
    for magic, name in members.ARCHIVES.items():
        if first.startswith(magic):
            return name
    if tars.is_header(first[: tars.BLOCK]):
        return "tar"
    for name, magic in (("zlib", b"\x78"), ("lzma", b"\x5d\x00\x00")):
        if first.startswith(magic) and _unpacks(name, first):
            return name
    return ""


def sniff(first: bytes, size: int) -> bool:
    """Any archive or packed stream."""
    return bool(kind(first))


def read(ranged: Ranged) -> Facts:
    """The facts of a packed file, as far as its content can be looked at."""
    found = kind(ranged.read(0, 1024))
    if found in UNPACKERS:
        return _packed(ranged, found)
    return Facts(found or "file", verdict="unknown", findings=(f"{found}: not opened",))


def _unpacks(name: str, first: bytes) -> bool:
    """Whether the first bytes really are of that kind."""
    if name == "zlib" and int.from_bytes(first[:2], "big") % 31:
        return False
    try:
        return bool(UNPACKERS[name]().decompress(first, 64))
    except (zlib.error, lzma.LZMAError, OSError, EOFError):
        return False


@dataclass(frozen=True, slots=True)
class _Unpacked:
    """The beginning of a content: `whole` if it is all of it, from so many streams in a row."""

    data: bytes
    whole: bool
    streams: int
    problem: str


def _unpacked(ranged: Ranged, found: str) -> _Unpacked:
    """The content, as far as the method's limit allows."""
    limit = MAX_UNPACKED[found] * 1024 * 1024
    data, at, streams, chunk = bytearray(), 0, 1, b""
    stream = UNPACKERS[found]()
    try:
        while len(data) <= limit:
            if not chunk:
                chunk = ranged.read(at, STEP)
                at += len(chunk)
            more = stream.decompress(chunk, limit + 1 - len(data))
            data += more
            if getattr(stream, "eof", False):
                chunk = getattr(stream, "unused_data", b"")
                if at >= ranged.size and not chunk.strip(b"\0"):
                    return _Unpacked(bytes(data), True, streams, "")
                if found in ("zlib", "lzma") or streams >= MAX_STREAMS:
                    break
                stream = UNPACKERS[found]()
                streams += 1
                continue
            chunk = getattr(stream, "unconsumed_tail", b"")
            if not more and not chunk and at >= ranged.size:
                return _Unpacked(bytes(data), False, streams, "it is cut short")
    except OverBudget as error:
        return _Unpacked(bytes(data), False, streams, str(error))
    except (zlib.error, lzma.LZMAError, OSError, EOFError, MemoryError) as error:
        reason = f"it cannot be unpacked: {error or type(error).__name__}"[:300]
        # Behind a first stream loaders take other bytes for none of theirs.
        return _Unpacked(bytes(data), False, streams, reason if streams == 1 else "")
    return _Unpacked(bytes(data), False, streams, "")


def _packed(ranged: Ranged, found: str) -> Facts:
    """What a packed stream holds: joblib packs its pickles this way."""
    inside = _unpacked(ranged, found)
    data, problem = inside.data, inside.problem
    first = data[:1024]
    if tars.is_header(first[: tars.BLOCK]):
        listed = tars.listed(TARS[found], Memory(data), ranged.size, whole=inside.whole)
        verdict = listed.verdict or ("unknown" if problem else "")
        return replace(listed, problem=problem or listed.problem, verdict=verdict)
    if kind(first):
        findings = (f"{found}: an archive inside ({kind(first)}), not opened",)
        return Facts(found, problem=problem, verdict="unknown", findings=findings)
    whole = inside.whole and inside.streams == 1  # some loaders read the first stream only
    if not pickles.sniff(first if len(data) > len(first) else data, len(data)):
        return Facts(found, problem=problem, verdict="" if inside.whole else "unknown")
    limit = MAX_UNPACKED[found] * 1024 * 1024
    size = len(data) if whole or len(data) <= limit else UNKNOWN
    facts = pickles.look(Memory(data, size), first)
    extra = () if whole else ("bytes behind what was unpacked were not looked at",)
    verdict = facts.verdict if whole or facts.verdict == "unsafe" else "unknown"
    return replace(
        facts, problem=problem, verdict=verdict, findings=facts.findings + extra,
        metadata={**facts.metadata, "compression": found},
    )  # fmt: skip
