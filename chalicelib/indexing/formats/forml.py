"""ForML packages (`.4ml`): a zip with the manifest `__4ml__.py` beside the project's modules.

ForML reads the manifest by importing it. We read it as syntax: four assignments of literals, and anything
else makes the package unsafe.
"""

import stat

from chalicelib.indexing.formats import listing, texts, zips
from chalicelib.indexing.formats.ranged import Ranged
from chalicelib.indexing.formats.zips import BadZip, Member
from weighbridge.contract.forml_packages import (
    MANIFEST,
    MAX_MANIFEST,
    MAX_NESTING,
    BadManifest,
    Manifest,
    parse,
    rival,
)
from weighbridge.contract.types import Facts

__all__ = [
    "MANIFEST",
    "MAX_MANIFEST",
    "MAX_NESTING",
    "BadManifest",
    "Manifest",
    "holds",
    "parse",
    "read",
]


def holds(members: tuple[Member, ...]) -> bool:
    """A manifest at the top."""
    return any(member.name == MANIFEST for member in members)


def read(ranged: Ranged, members: tuple[Member, ...]) -> Facts:
    """The facts of a package."""
    inside = [
        listing.Entry(
            m.name, m.size, encrypted=m.encrypted,
            special="a link, which a package has no use for" if stat.S_ISLNK(m.mode) else "",
        )
        for m in members
    ]  # fmt: skip
    judged = listing.judge(inside, sum(m.compressed for m in members))
    rivals = [m.name for m in members if rival(m.name)]
    found = [f"{texts.text(name, 120)!r} would be imported as the manifest" for name in rivals]
    member = next(m for m in members if m.name == MANIFEST)
    problem, shown, ran = "", dict[str, object](), False
    try:
        if member.size > MAX_MANIFEST:
            raise BadManifest(f"the manifest has {member.size} bytes; {MAX_MANIFEST} at most")
        manifest = parse(zips.open_member(ranged, member, MAX_MANIFEST))
        shown = {
            "name": manifest.name, "version": manifest.version, "package": manifest.package,
            **{f"module {k}": v for k, v in sorted(manifest.modules.items())},
        }  # fmt: skip
    except BadManifest as error:
        problem, ran = str(error), error.code
    except BadZip as error:
        problem = str(error)
    if rivals:
        problem = problem or "it has more than one manifest"
    unsafe = bool(rivals) or ran or judged.verdict == "unsafe"
    if ran:
        found.insert(0, problem)
    return Facts(
        "forml-package", metadata=texts.metadata({**shown, **judged.metadata}), problem=problem,
        verdict="unsafe" if unsafe else "unknown", findings=texts.findings([*found, *judged.findings]),
    )  # fmt: skip
