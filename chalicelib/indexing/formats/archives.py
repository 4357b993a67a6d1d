"""Zip archives: told apart by what their directory holds, listed where nothing more is known of them."""

from collections.abc import Callable

from chalicelib.indexing.formats import forml, listing, skops, zips
from chalicelib.indexing.formats.ranged import Ranged
from chalicelib.indexing.formats.zips import BadZip, Member
from weighbridge.contract.types import Facts

Kind = tuple[
    Callable[[tuple[Member, ...]], bool], Callable[[Ranged, tuple[Member, ...]], Facts | None]
]
KINDS: tuple[Kind, ...] = ((forml.holds, forml.read), (skops.holds, skops.read))
"""Formats that are a zip: whether a directory may be theirs, and the facts, or None if it is not."""


def sniff(first: bytes, size: int) -> bool:
    """How a zip begins, empty ones too."""
    return first.startswith((zips.MAGIC, zips.EMPTY))


def read(ranged: Ranged) -> Facts:
    """The facts of the format that the zip holds, else its listing."""
    try:
        members = zips.directory(ranged)
    except BadZip as error:
        return Facts("zip", problem=str(error), verdict="unknown")
    for holds, known in KINDS:
        if holds(members) and (facts := known(ranged, members)) is not None:
            return facts
    judged = listing.judge(entries(members), sum(m.compressed for m in members))
    return Facts("zip", metadata=judged.metadata, verdict=judged.verdict, findings=judged.findings)


def entries(members: tuple[Member, ...]) -> list[listing.Entry]:
    """A zip's members as a listing judges them."""
    return [listing.Entry(m.name, m.size, encrypted=m.encrypted) for m in members]
