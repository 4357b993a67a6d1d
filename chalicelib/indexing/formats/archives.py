"""Zip archives: told apart by what their directory holds, listed where nothing more is known of them.

Every kind that a zip may be is asked, so that none hides behind another, and members that no kind reads
are looked into for pickles, whatever their names.
"""

from collections.abc import Callable, Iterable
from dataclasses import replace

from chalicelib.indexing.formats import forml, keras, listing, npy, skops, texts, torch, zips
from chalicelib.indexing.formats.pickled import members
from chalicelib.indexing.formats.ranged import FIRST, OverBudget, Ranged
from chalicelib.indexing.formats.zips import BadZip, Member
from weighbridge.contract.types import Facts

Holds = Callable[[tuple[Member, ...]], bool]
Kind = tuple[Holds, Callable[[Ranged, tuple[Member, ...]], Facts | None]]
KINDS: tuple[Kind, ...] = (
    (forml.holds, forml.read),
    (keras.holds, keras.read_zip),
    (skops.holds, skops.read),
    (torch.holds, torch.archive),
)
"""Formats that are a zip: whether a directory may be theirs, and the facts, or None if it is not."""


def sniff(first: bytes, size: int) -> bool:
    """How a zip begins, empty ones too."""
    return first.startswith((zips.MAGIC, zips.EMPTY))


def read(ranged: Ranged) -> Facts:
    """The facts of the format that the zip holds, else its listing; the verdict on all of it."""
    try:
        found = zips.directory(ranged)
    except (BadZip, OverBudget) as error:
        kind = _guess(ranged)
        return Facts(kind, problem=str(error), verdict="unknown", findings=(str(error),))
    kinds = [facts for facts in _kinds(ranged, found) if facts is not None]
    if not kinds and npy.holds(found):
        kinds = [npy.read_zip(ranged, found)]
    if not kinds:
        judged = listing.judge(entries(found), sum(m.compressed for m in found))
        kinds = [
            Facts("zip", metadata=judged.metadata, verdict=judged.verdict, findings=judged.findings)
        ]
    facts = kinds[0]
    verdict, findings = facts.verdict, [text for one in kinds for text in one.findings]
    names = [f"{texts.text(m.name, 120)!r}: {why}" for m in found if (why := listing.wrong(m.name))]
    for one in kinds:
        verdict = listing.graver(verdict, one.verdict, "unsafe" if names else "")
    if all(one.format not in torch.FORMATS for one in kinds):  # torch looks into the others itself
        level, more = members.members_verdict(
            ranged, found, _arrays(facts), nested=_matrices(facts, found)
        )
        verdict, findings = listing.graver(verdict, level), [*findings, *more]
    return replace(facts, verdict=verdict, findings=texts.findings([*names, *findings]))


def _kinds(ranged: Ranged, found: tuple[Member, ...]) -> Iterable[Facts | None]:
    """What each kind says that the directory may be of."""
    for holds, known in KINDS:
        if holds(found):
            try:
                yield known(ranged, found)
            except (BadZip, OverBudget) as error:
                yield Facts("zip", problem=str(error), verdict="unknown")


def _guess(ranged: Ranged) -> str:
    """The format that the beginning of a broken archive hints at."""
    first = ranged.read(0, FIRST)
    if torch.sniff(first, ranged.size):
        return "pytorch"
    name = first[30 : 30 + int.from_bytes(first[26:28], "little")]
    return "npz" if name.endswith(b".npy") else "keras" if name in keras.MEMBERS else "zip"


def _arrays(facts: Facts) -> set[str]:
    """Members of a `.npz` that were read and hold numbers only."""
    if facts.format != "npz":
        return set()
    return {f"{tensor.name}.npy" for tensor in facts.tensors if tensor.dtype != "OBJECT"}


def _matrices(facts: Facts, found: tuple[Member, ...]) -> set[str]:
    """Members that are zips of numbers only to the format's loader: sparse matrices of skops."""
    if facts.format != "skops":
        return set()
    return {m.name for m in found if m.name.endswith(".npz")}


def entries(found: tuple[Member, ...]) -> list[listing.Entry]:
    """A zip's members as a listing judges them."""
    return [listing.Entry(m.name, m.size, encrypted=m.encrypted) for m in found]
