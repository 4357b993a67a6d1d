"""Zip archives: told apart by what their directory holds, listed where nothing more is known of them.

Every kind that a zip may be is asked, so that none hides behind another, and members that no kind reads
are looked into for pickles, whatever their names.
"""

from collections.abc import Callable, Iterable
from dataclasses import replace

from chalicelib.indexing.formats import forml, listing, skops, texts, torch, zips
from chalicelib.indexing.formats.pickled import members
from chalicelib.indexing.formats.ranged import OverBudget, Ranged
from chalicelib.indexing.formats.zips import BadZip, Member
from weighbridge.contract.types import Facts

Holds = Callable[[tuple[Member, ...]], bool]
Kind = tuple[Holds, Callable[[Ranged, tuple[Member, ...]], Facts | None]]
KINDS: tuple[Kind, ...] = (
    (forml.holds, forml.read),
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
        level, more = members.members_verdict(ranged, found, nested=_numbers(facts, found))
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
    return "pytorch" if torch.sniff(ranged.read(0, 64 * 1024), ranged.size) else "zip"


def _numbers(facts: Facts, found: tuple[Member, ...]) -> set[str]:
    """Members that are zips of numbers only to the format's loader: sparse matrices of skops."""
    if facts.format != "skops":
        return set()
    return {m.name for m in found if m.name.endswith(".npz")}


def entries(found: tuple[Member, ...]) -> list[listing.Entry]:
    """A zip's members as a listing judges them."""
    return [listing.Entry(m.name, m.size, encrypted=m.encrypted) for m in found]
