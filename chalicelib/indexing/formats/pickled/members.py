"""Pickles among the members of an archive, whatever their names."""

from collections.abc import Callable, Collection, Sequence
from functools import partial

from chalicelib.indexing.formats import zips
from chalicelib.indexing.formats.pickled import arrays, streams
from chalicelib.indexing.formats.pickled.machine import Level, Mode, Notes
from chalicelib.indexing.formats.pickled.source import Limits, Memory, Part, Source
from chalicelib.indexing.formats.ranged import OverBudget, Ranged
from chalicelib.indexing.formats.windows import CutShort, Window
from chalicelib.indexing.formats.zips import BadZip, Member

MAX_LOOKED = 1_000
"""Members that are looked into: each is at least one request."""
FIRST = 1024
LARGEST = 32 * 1024 * 1024
"""Bytes of a packed pickle that are unpacked."""
LIBRARIES = (".so", ".dll", ".dylib", ".pyd")
PICKLES = (".pkl", ".pickle", ".joblib", ".pt", ".pth", ".ckpt", ".npy")
ARCHIVES: dict[bytes, str] = {
    b"PK\x03\x04": "zip", b"PK\x05\x06": "zip", b"7z\xbc\xaf\x27\x1c": "7z", b"\x1f\x8b": "gzip",
    b"BZh": "bzip2", b"\xfd7zXZ\x00": "xz", b"Rar!\x1a\x07": "rar", b"\x28\xb5\x2f\xfd": "zstd",
    b"\x04\x22\x4d\x18": "lz4",
}  # fmt: skip


def members_verdict(
    ranged: Ranged,
    members: Sequence[Member],
    skip: Collection[str] = (),
    mode: Mode | None = None,
    limits: Limits | None = None,
    *,
    nested: Collection[str] = (),
) -> tuple[Level, tuple[str, ...]]:
    """Verdict and findings on the members of a zip: empty where none of them can execute code.

    `skip` names those that the format's loader takes for raw numbers, `nested` those that it takes for
    zips of numbers. Raises nothing of its own: what
    cannot be read is `unknown`, and so is what goes beyond the budget.
    """
    notes = Notes()
    pickled = look(ranged, members, notes, skip, mode or Mode(), limits or Limits(), nested)
    if not pickled and notes.verdict == "safe":
        return "", ()
    return notes.verdict, notes.sorted()


def look(
    ranged: Ranged,
    members: Sequence[Member],
    notes: Notes,
    skip: Collection[str],
    mode: Mode,
    limits: Limits,
    nested: Collection[str] = (),
) -> int:
    """Notes what the members' pickles do; how many there are."""
    pickled = looked = 0
    near = _near(ranged)
    for member in members:
        if member.name in skip or (member.name.endswith("/") and not member.size):
            continue
        looked += 1
        if looked > MAX_LOOKED:
            notes.add("unknown", f"more than {MAX_LOOKED} members: the others were not looked at")
            break
        try:
            first = zips.open_member(near, member, FIRST)
            if member.name in nested and first.startswith(zips.MAGIC):
                continue
            pickled += noted(
                member.name, first, partial(_source, ranged, near, member, first), member.size,
                notes, mode, limits,
            )  # fmt: skip
        except BadZip as error:
            notes.add("unknown", f"{member.name}: {error}")
        except OverBudget as error:
            notes.add("unknown", f"{member.name}: not looked at, {error}")
            break
    return pickled


def noted(
    name: str,
    first: bytes,
    source: Callable[[], Source],
    size: int,
    notes: Notes,
    mode: Mode,
    limits: Limits,
) -> bool:
    """Whether a member that begins with `first` is a pickle, whose findings are then noted."""
    here = Notes()
    if name.lower().endswith(LIBRARIES) or ".so." in name:
        notes.add("unsafe", f"{name}: a shared library")
    if first.startswith(arrays.MAGIC):
        arrays.npy(source(), limits, here)
        streams.merge(notes, here, f"{name}: ")
        return bool(here.found)
    packed = next((kind for magic, kind in ARCHIVES.items() if first.startswith(magic)), "")
    if packed or first[257:262] == b"ustar":
        notes.add("unknown", f"{name}: an archive inside of another ({packed or 'tar'})")
    elif streams.begins(first, size):
        if first.startswith(streams.LEGACY_START):
            walks = streams.legacy(source(), limits, here)
        else:
            walks = streams.in_a_row(source(), limits, here, mode)
        if not streams.nothing(walks[0], here) or name.lower().endswith(PICKLES):
            streams.merge(notes, here, f"{name}: ")
            return True
    elif name.lower().endswith(PICKLES):
        notes.add("unknown", f"{name}: named like a pickle, but none that can be read")
    return False


def _near(ranged: Ranged) -> Ranged:
    """The same object, read a little ahead: small members lie side by side."""
    window = Window(ranged)

    def fetch(start: int, length: int) -> bytes:
        try:
            return window.some(start, length)
        except CutShort:
            return b""

    return Ranged(fetch, ranged.size)


def _source(ranged: Ranged, near: Ranged, member: Member, first: bytes) -> Source:
    """The bytes of a member whose first were read, so that its local header is known to be sound."""
    if len(first) == member.size:
        return Memory(first)
    if member.method == zips.STORED:
        return Part(ranged, zips.data_start(near, member), member.size)
    data = zips.open_member(ranged, member, LARGEST)
    return Memory(data, member.size)
