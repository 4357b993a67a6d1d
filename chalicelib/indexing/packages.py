"""What a ForML package says of itself, read by ranges before a version that holds it is published."""

from chalicelib.indexing.formats import forml, zips
from chalicelib.indexing.formats.ranged import OverBudget, Ranged
from chalicelib.indexing.formats.zips import BadZip
from chalicelib.registry.ports import Fetch, Package


def inspect(fetch: Fetch, size: int) -> Package:
    """Name and version of the package, or why it is none, or not to be trusted."""
    ranged = Ranged(fetch, size)
    try:
        members = zips.directory(ranged)
        if not forml.holds(members):
            return Package("", "", f"it has no manifest ({forml.MANIFEST}) at its top")
        facts = forml.read(ranged, members)
    except (BadZip, OverBudget) as error:
        return Package("", "", str(error))
    problem = facts.problem
    if facts.verdict == "unsafe" and not problem:
        problem = facts.findings[0]
    return Package(facts.metadata.get("name", ""), facts.metadata.get("version", ""), problem)
