"""Archives and packed files of no format that is known: what they hold may be pickles.

A zip of another format has its own module, which asks `members_verdict`; this one is the last.
"""

import bz2
import lzma
import zlib
from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

from chalicelib.indexing.formats import pickles, torch, zips
from chalicelib.indexing.formats.pickled import members, streams
from chalicelib.indexing.formats.pickled.machine import Notes
from chalicelib.indexing.formats.pickled.source import UNKNOWN, Limits, Memory, Part
from chalicelib.indexing.formats.ranged import OverBudget, Ranged
from weighbridge.contract.types import Facts

MAX_UNPACKED = {"zlib": 48, "gzip": 48, "xz": 24, "lzma": 24, "bzip2": 12}
"""MiB that are unpacked at most: about half a second of work each."""
MEMORY = 64 * 1024 * 1024
MAX_TAR = 1_000
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
    if first[257:262] == b"ustar" or _tar_size(first[:512]) is not None:
        return "tar"
    for name, magic in (("zlib", b"\x78"), ("lzma", b"\x5d\x00\x00")):
        if first.startswith(magic) and _unpacks(name, first):
            return name
    return ""


def sniff(first: bytes, size: int) -> bool:
    """Any archive or packed stream."""
    return bool(kind(first))


def read(ranged: Ranged) -> Facts:
    """The facts of an archive, as far as its content can be looked at."""
    found = kind(ranged.read(0, 1024))
    if found == "zip":
        return _zip(ranged)
    if found == "tar":
        return _tar(ranged)
    if found in UNPACKERS:
        return _packed(ranged, found)
    return Facts(found or "file", verdict="unknown", findings=(f"{found}: not opened",))


def _zip(ranged: Ranged) -> Facts:
    try:
        found = zips.directory(ranged)
        if torch.holds(found):
            return torch.archive(ranged, found)
        verdict, findings = members.members_verdict(ranged, found)
    except (zips.BadZip, OverBudget) as error:
        return Facts("zip", problem=str(error), verdict="unknown", findings=(str(error),))
    return Facts("zip", verdict=verdict, findings=findings)


def _unpacks(name: str, first: bytes) -> bool:
    """Whether the first bytes really are of that kind."""
    if name == "zlib" and int.from_bytes(first[:2], "big") % 31:
        return False
    try:
        return bool(UNPACKERS[name]().decompress(first, 64))
    except (zlib.error, lzma.LZMAError, OSError, EOFError):
        return False


def _packed(ranged: Ranged, found: str) -> Facts:
    """What a packed stream holds: joblib packs its pickles this way."""
    limit = MAX_UNPACKED[found] * 1024 * 1024
    data, at, problem, whole = bytearray(), 0, "", False
    stream = UNPACKERS[found]()
    try:
        chunk = b""
        while len(data) <= limit:
            if not chunk:
                chunk = ranged.read(at, STEP)
                at += len(chunk)
            more = stream.decompress(chunk, limit + 1 - len(data))
            data += more
            chunk = getattr(stream, "unconsumed_tail", b"")
            if getattr(stream, "eof", False):
                whole = at >= ranged.size and not getattr(stream, "unused_data", b"")
                break
            if not more and not chunk and at >= ranged.size:
                problem = "cut short"
                break
    except (zlib.error, lzma.LZMAError, OSError, EOFError, MemoryError, OverBudget) as error:
        problem = str(error) or type(error).__name__
    first = bytes(data[:1024])
    if kind(first):
        findings = (f"{found}: an archive inside ({kind(first)}), not opened",)
        return Facts(found, problem=problem, verdict="unknown", findings=findings)
    if not pickles.sniff(first if len(data) > len(first) else bytes(data), len(data)):
        return Facts(found, problem=problem, verdict="unknown" if not whole else "")
    facts = pickles.look(
        Memory(bytes(data), len(data) if whole or len(data) <= limit else UNKNOWN), first
    )
    extra = () if whole else ("bytes behind what was unpacked were not looked at",)
    verdict = facts.verdict if whole or facts.verdict == "unsafe" else "unknown"
    return replace(
        facts, problem=problem, verdict=verdict, findings=facts.findings + extra,
        metadata={**facts.metadata, "compression": found},
    )  # fmt: skip


def _tar_size(head: bytes) -> int | None:
    """The size in a tar header, None if it is none."""
    try:
        claimed = int(head[148:156].strip(b"\0 ") or b"x", 8)
        size = int(head[124:136].strip(b"\0 ") or b"0", 8)
    except ValueError:
        return None
    real = sum(head[:148]) + 8 * 32 + sum(head[156:512])
    return size if len(head) == 512 and claimed == real and size >= 0 else None


def _tar(ranged: Ranged) -> Facts:
    """A tar: torch's oldest format, and others. Its pickles are walked where they lie."""
    notes, limits, at, count, pickled, names = Notes(), Limits(), 0, 0, 0, set[str]()
    try:
        while at + 512 <= ranged.size:
            head = ranged.read(at, 1024)
            size = _tar_size(head[:512])
            if size is None:
                if any(head[:512]):
                    notes.add("unknown", f"no tar header at byte {at}")
                break
            name = head[:100].split(b"\0")[0].decode("utf-8", "replace")
            names.add(name)
            count += 1
            if count > MAX_TAR or at + 512 + size > ranged.size:
                notes.add("unknown", f"cut short, or more than {MAX_TAR} members")
                break
            inner = Part(ranged, at + 512, size)
            first = inner.read(0, 1024)
            if kind(first):
                notes.add("unknown", f"{name}: an archive inside of another ({kind(first)})")
            elif streams.begins(first, size):
                here = Notes()
                pickles.look_into(inner, first, limits, here)
                streams.merge(notes, here, f"{name}: ")
                pickled += 1
            at += 512 + (size + 511) // 512 * 512
    except OverBudget as error:
        notes.add("unknown", f"not looked at as a whole: {error}")
    old = {"pickle", "storages", "tensors"} <= names
    if old:
        notes.add("unknown", "torch's oldest format: its storages are read with pickles in between")
    verdict = notes.verdict if pickled or notes.verdict != "safe" else ""
    return Facts("pytorch" if old else "tar", verdict=verdict, findings=notes.sorted())
