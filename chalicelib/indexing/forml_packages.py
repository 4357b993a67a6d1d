"""What a ForML package says of itself, read by ranges before a version that holds it is published."""

from chalicelib.indexing.formats import forml, zips
from chalicelib.indexing.formats.ranged import OverBudget, Ranged
from chalicelib.indexing.formats.zips import BadZip
from chalicelib.registry.inspection import Fetch, FormlPackage


def inspect(fetch: Fetch, size: int) -> FormlPackage:
    """Name and version of the package, or why it is none, or not to be trusted."""
    ranged = Ranged(fetch, size)
    try:
        members = zips.directory(ranged)
        if not forml.holds(members):
            return FormlPackage("", "", f"it has no manifest ({forml.MANIFEST}) at its top")
        facts = forml.read(ranged, members)
    except (BadZip, OverBudget) as error:
        return FormlPackage("", "", str(error))
    problem = facts.problem
    if facts.verdict == "unsafe" and not problem:
        problem = facts.findings[0]
    return FormlPackage(facts.metadata.get("name", ""), facts.metadata.get("version", ""), problem)
