"""Pickles under any name, joblib's and torch's old ones among them: the verdict, never the object.

A pickle is a program. What this one would import and call is followed without doing it; the verdict
is `safe` only if all of that is on the list of harmless things (docs/safety.md).
"""

from dataclasses import replace

from chalicelib.indexing.formats import torch_tensors
from chalicelib.indexing.formats.pickled import arrays, streams
from chalicelib.indexing.formats.pickled.machine import Mode, Notes, Walk, walk
from chalicelib.indexing.formats.pickled.source import Limits, Memory, Source
from chalicelib.indexing.formats.ranged import OverBudget, Ranged
from weighbridge.contract.types import Facts

NAMES = (".pkl", ".pickle", ".joblib", ".pt", ".pth", ".bin", ".ckpt", ".p", ".pck", ".pcl")

NO_FORMAT = frozenset({"file", "zip", "tar", "gzip", "zlib", "bzip2", "xz", "lzma"})
"""What a file is called that no indexer knows more of."""

END_OF_ZIP = b"PK\x05\x06"
TAIL = 64 * 1024 + 22


def sniff(first: bytes, size: int) -> bool:
    """A protocol header, or opcodes that lead somewhere."""
    return streams.begins(first, size)


def read(ranged: Ranged) -> Facts:
    """The verdict on the pickles of a file; the tensors of torch's old format."""
    return look(ranged, ranged.read(0, len(streams.LEGACY_START)))


def look(source: Source, first: bytes, limits: Limits | None = None) -> Facts:
    """The facts of a stream that begins with `first`."""
    limits = limits or Limits()
    notes = Notes()
    kind, walks = look_into(source, first, limits, notes)
    if kind == "pytorch":
        root = walks[3].root if len(walks) > 3 else None
        return torch_tensors.facts(kind, root, notes, {"container": "legacy"})
    return Facts(kind, verdict=notes.verdict, findings=notes.sorted())


def look_into(source: Source, first: bytes, limits: Limits, notes: Notes) -> tuple[str, list[Walk]]:
    """Notes what a stream does that begins with `first`; says which format it is."""
    try:
        if first.startswith(streams.LEGACY_START):
            return "pytorch", streams.legacy(source, limits, notes)
        return stream(source, limits, notes), []
    except OverBudget as error:
        notes.add("unknown", f"not looked at as a whole: {error}")
        return "pickle", []


def checked(ranged: Ranged, first: bytes, found: Facts) -> Facts:
    """The same facts, unless the file is or holds a pickle besides, or is named like one."""
    if first.startswith(arrays.MAGIC):
        notes = Notes()
        arrays.npy(ranged, Limits(), notes)
        if notes.found:
            findings = (*found.findings, *notes.sorted())
            return replace(found, verdict=notes.verdict, findings=findings)
        return found
    if found.format not in ("pickle", "joblib") and not first.startswith(streams.LEGACY_START):
        other = _besides(ranged, first)
        if other is not None:
            return replace(
                found, verdict="unsafe" if other.verdict == "unsafe" else "unknown",
                findings=("a pickle, too: its first bytes are opcodes", *other.findings, *found.findings),
            )  # fmt: skip
    if found.format == "file" and not found.verdict and _ends_as_zip(ranged):
        return replace(found, verdict="unknown", findings=("a zip behind other bytes",))
    if found.format in NO_FORMAT and not found.verdict and named(ranged.name):
        return replace(
            found, verdict="unknown", findings=("named like a pickle, but none that can be read",)
        )
    return found


def _ends_as_zip(ranged: Ranged) -> bool:
    """Whether a file of no known format ends with a zip's directory, which many readers start from."""
    try:
        return END_OF_ZIP in ranged.read(max(0, ranged.size - TAIL), TAIL)
    except OverBudget:
        return True


def _besides(ranged: Ranged, first: bytes) -> Facts | None:
    """What a file of another format is as a pickle, if a loader would get to an import or a call."""
    notes = Notes()
    if streams.nothing(
        walk(Memory(first, ranged.size), 0, Limits(opcodes=20_000), notes, Mode()), notes
    ):
        return None
    facts = read(ranged)
    return facts if any(f.startswith(("imports", "calls")) for f in facts.findings) else None


def stream(source: Source, limits: Limits, notes: Notes) -> str:
    """Walks what may be a joblib file, as both of its loaders would; says which format it is."""
    streams.in_a_row(source, limits, notes, Mode(joblib=True))
    if not notes.arrays:
        return "pickle"
    plain = Notes()
    streams.in_a_row(source, limits, plain, Mode())
    for text, level in plain.found.items():
        if level == "unsafe":  # a plain loader takes the arrays' bytes for opcodes
            notes.add(level, f"loaded as a plain pickle: {text}")
    return "joblib"


def named(name: str) -> bool:
    """Whether a file of that name is usually loaded as a pickle."""
    return name.lower().endswith(NAMES)
