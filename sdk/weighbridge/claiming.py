"""Claims about tensors on their way to a commit, and what a push says of them."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from weighbridge.client import Client
from weighbridge.contract.references import Reference, VersionSelector
from weighbridge.contract.types import Claims, ClaimsPage, FileClaims, TensorClaim

PAGE = 1024 * 1024
"""Bytes of claims in one request, as the registry stores them."""
PAGE_TENSORS = 5000
MOST = 30 * 1024 * 1024
"""Bytes of claims of one version: some 100,000 tensors. Of more, only fingerprints are claimed."""
LONGEST_NAME = 1000
NAMED = 5
"""Tensors that a warning names."""
Found = Mapping[str, Sequence[TensorClaim]]
"""Claims by the path in the version."""


def _weight(claim: TensorClaim) -> int:
    """What a claim occupies at most."""
    name = len(json.dumps(claim.name))
    return name + 12 * len(claim.shape) + (200 if claim.statistics else 70)


def _weights(found: Found) -> int:
    return sum(_weight(claim) for claims in found.values() for claim in claims)


def bounded(found: Found) -> tuple[Found, str]:
    """What of the claims a registry takes, and what is to be said if that is not all."""
    if _weights(found) <= MOST:
        return found, ""
    count = sum(len(claims) for claims in found.values())
    bare = {path: [replace(c, statistics=None) for c in claims] for path, claims in found.items()}
    if _weights(bare) <= MOST:
        return bare, f"{count:,} tensors are too many for statistics: only fingerprints are kept"
    return {}, f"{count:,} tensors are too many for fingerprints and statistics: none are kept"


def store(
    client: Client, model: Reference, version: VersionSelector, found: Found
) -> Claims | None:
    """The claims for a commit under `version`; those of many tensors are stored in pages first."""
    found, _ = bounded(found)
    pages = list(_pages(found))
    if not pages:
        return None
    if len(pages) == 1:
        return Claims(pages[0])
    stored = (
        client.add_claims(model.project, model.model, version, ClaimsPage(page)).page
        for page in pages
    )
    return Claims(pages=tuple(stored))


def _pages(found: Found) -> Iterator[tuple[FileClaims, ...]]:
    page: dict[str, list[TensorClaim]] = {}
    weight = count = 0
    for path in sorted(found):
        for claim in found[path]:
            if not 0 < len(claim.name) <= LONGEST_NAME:
                continue
            if page and (weight + _weight(claim) > PAGE or count == PAGE_TENSORS):
                yield _page(page)
                page, weight, count = {}, 0, 0
            page.setdefault(path, []).append(claim)
            weight, count = weight + _weight(claim), count + 1
    if page:
        yield _page(page)


def _page(page: Mapping[str, Sequence[TensorClaim]]) -> tuple[FileClaims, ...]:
    return tuple(FileClaims(path, tuple(claims)) for path, claims in page.items())


def warnings(found: Found) -> tuple[str, ...]:
    """What somebody should look at: numbers that are none, and claims that are too many."""
    said = []
    for what in ("nan", "inf"):
        named = [
            (path, claim, getattr(claim.statistics, what))
            for path, claims in found.items()
            for claim in claims
            if claim.statistics and getattr(claim.statistics, what)
        ]
        if named:
            said.append(_said({"nan": "NaN", "inf": "infinite"}[what], named))
    _, too_many = bounded(found)
    return (*said, too_many) if too_many else tuple(said)


def _said(what: str, named: Sequence[tuple[str, TensorClaim, float]]) -> str:
    shown = [f"{path}: {claim.name} ({_share(share)})" for path, claim, share in named[:NAMED]]
    more = f", and {len(named) - NAMED:,} more" if len(named) > NAMED else ""
    tensors = "1 tensor has" if len(named) == 1 else f"{len(named):,} tensors have"
    return f"{tensors} {what} values: {', '.join(shown)}{more}"


def _share(share: float) -> str:
    percent = 100 * share
    return f"{percent:.3g} %" if percent >= 0.001 else "less than 0.001 %"


def sampled(found: Iterable[Sequence[TensorClaim]]) -> int:
    """Of how many tensors the statistics are of a part of the numbers."""
    return sum(bool(c.statistics and c.statistics.sampled) for claims in found for c in claims)
