"""Files of several pickles: back to back, or the way torch wrote them before it used zip archives."""

from chalicelib.indexing.formats.pickled import checks
from chalicelib.indexing.formats.pickled.machine import Mode, Notes, Walk, walk
from chalicelib.indexing.formats.pickled.source import Limits, Memory, Source
from chalicelib.indexing.formats.pickled.values import Stored

MAX_PICKLES = 1_000
LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
LEGACY_PROTOCOL = 1001
LEGACY_START = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."

STORAGES: dict[str, tuple[str, int]] = {
    "DoubleStorage": ("F64", 8), "FloatStorage": ("F32", 4), "HalfStorage": ("F16", 2),
    "BFloat16Storage": ("BF16", 2), "LongStorage": ("I64", 8), "IntStorage": ("I32", 4),
    "ShortStorage": ("I16", 2), "CharStorage": ("I8", 1), "ByteStorage": ("U8", 1),
    "BoolStorage": ("BOOL", 1), "ComplexFloatStorage": ("C64", 8), "ComplexDoubleStorage": ("C128", 16),
    "QInt8Storage": ("I8", 1), "QUInt8Storage": ("U8", 1), "QInt32Storage": ("I32", 4),
    "UntypedStorage": ("U8", 1),
}  # fmt: skip
"""torch's storage classes: dtype as safetensors writes it, bytes per item."""


def begins(first: bytes, size: int) -> bool:
    """Whether an object with these first bytes is a pickle, as far as they tell.

    A pickle without a header has no mark: it is one if its opcodes lead to a stop, or if something
    was called or imported before they break.
    """
    if size < 2 or not first:
        return False
    # A member that is cut off behind its first byte could be one.
    if first[0] == 0x80 and first[1:2] <= b"\5":
        return True
    notes = Notes()
    found = walk(Memory(first, size), 0, Limits(opcodes=20_000), notes, Mode())
    return not nothing(found, notes)


def nothing(found: Walk, notes: Notes) -> bool:
    """Whether a loader surely ends before it imports or calls anything: no pickle, or a harmless one."""
    return bool(found.broken) and not (found.unclear or notes.calls or notes.imports)


def in_a_row(source: Source, limits: Limits, notes: Notes, mode: Mode) -> list[Walk]:
    """The pickles of `source`, one behind the other, up to its end."""
    walks: list[Walk] = []
    at = 0
    while True:
        here = Notes()
        found = walk(source, at, limits, here, mode)
        if walks and nothing(found, here):
            notes.add("unknown", f"{source.size - at} bytes behind the last pickle, at byte {at}")
            return walks
        merge(notes, here)
        walks.append(found)
        if found.broken:
            notes.add("unknown", f"cannot be loaded: {found.broken}")
            return walks
        at = found.end
        if at >= source.size:
            return walks
        if len(walks) >= MAX_PICKLES:
            notes.add("unknown", f"more than {MAX_PICKLES} pickles in a row")
            return walks


def merge(notes: Notes, more: Notes, prefix: str = "") -> None:
    """Adds the findings of another walk."""
    for text, level in more.found.items():
        notes.add(level, text if level == "safe" else prefix + text)
    notes.calls += more.calls
    notes.imports += more.imports
    notes.arrays += more.arrays
    notes.stored += more.stored


def legacy(source: Source, limits: Limits, notes: Notes, depth: int = 0) -> list[Walk]:
    """torch's old format: magic number, version, machine, object and storage keys as five pickles, then
    each storage as a count of 8 bytes with the raw numbers. The fourth walk is the object's."""
    walks: list[Walk] = []
    at = 0
    for turn in range(5):
        found = walk(source, at, limits, notes, Mode(persistent=turn == 3, depth=depth))
        walks.append(found)
        if found.broken:
            notes.add("unknown", f"cannot be loaded: {found.broken}")
            return walks
        at = found.end
    if walks[0].root != LEGACY_MAGIC or walks[1].root != LEGACY_PROTOCOL:
        notes.add("unknown", "no file of torch's: another magic number or version")
    sizes: dict[str, int] = {}
    for stored in notes.stored:
        key, numbers, each = storage(stored)
        sizes[key] = max(sizes.get(key, 0), 8 + numbers * each)
    if at + sum(sizes.values()) != source.size:
        notes.add(
            "unknown", f"{source.size - at} bytes of storages; {sum(sizes.values())} are named"
        )
    return walks


def storage(stored: Stored) -> tuple[str, int, int]:
    """Key, count of numbers and bytes per number of a persistent id; zeros where they are unclear."""
    id = stored.id
    if not isinstance(id, tuple) or len(id) < 5 or type(id[4]) is not int or id[4] < 0:
        return "", 0, 0
    name = checks.names(id[1])[1]
    return str(id[2]), id[4], STORAGES.get(name, ("", 0))[1]
