"""What pushers claim of their tensors: fingerprints and statistics, kept with a version or checkpoint.

Claims are checked for form, never for truth: nothing but what people are shown rests on them. They are
stored in pages under the version's own folder, written once under random names; the version's or
checkpoint's item names its pages, and they go when it is deleted.

A page is JSON: `{"files": {path: {tensor: [dtype, shape, fingerprint, figures]}}, "schema": 1}`, where
`figures` is null or `[seen, min, max, mean, std, nan, inf]`.
"""

import json
import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from math import prod
from typing import Any

from chalicelib.registry import keys
from chalicelib.registry.ports import Item, Precondition, Put
from chalicelib.registry.stores import Stores
from chalicelib.registry.versions import VersionRecord
from weighbridge.contract import names
from weighbridge.contract.errors import Conflict, InvalidRequest, NotFound, TooLarge
from weighbridge.contract.manifests import FileEntry
from weighbridge.contract.types import (
    Claims,
    ClaimsPage,
    ClaimsSummary,
    FileClaims,
    Statistics,
    StoredPage,
    Tensor,
    TensorClaim,
    VersionFacts,
)

MAX_TENSORS = 5000
"""Tensors in one request."""
MAX_PAGES = 64
MAX_PAGE = 2 * 1024 * 1024
MAX_TOTAL = 32 * 1024 * 1024
"""Bytes of all pages of one version: readers hold them in memory."""
MAX_NAME = 1000
MAX_DIMENSIONS = 64
FULL = 10_000
"""Tensors of a version that are shown with statistics; of more, only those with NaN or infinite ones."""
_DTYPE = re.compile(r"[A-Z0-9_]{0,16}\Z")
_PRINT = re.compile(r"(?:[0-9a-f]{32})?\Z")
_NAME = re.compile(r"[0-9a-f]{20}\Z")
_COUNTED = ("tensors", "fingerprints", "statistics", "sampled", "nan", "inf")
Row = list[Any]
Known = Mapping[str, Mapping[str, Row]]
"""Claims by path and tensor."""
NOTHING: Known = {}


def _wrong(claim: TensorClaim, why: str) -> InvalidRequest:
    return InvalidRequest(f"the claim about the tensor {claim.name[:100]!r} {why}")


def _figures(claim: TensorClaim, found: Statistics) -> Row:
    numbers = found.min, found.max, found.mean, found.std
    if found.count != prod(claim.shape) or not 0 < found.seen <= found.count:
        raise _wrong(claim, f"is of {found.seen} of {found.count} numbers, which its shape denies")
    if not all(n is None or math.isfinite(n) for n in numbers):
        raise _wrong(claim, "has a figure that is not finite")
    if (found.min is None) != (found.max is None):
        raise _wrong(claim, "has one of min and max")
    if found.min is None and (found.mean, found.std) != (None, None):
        raise _wrong(claim, "has a mean without min and max")
    if found.min is not None and found.max is not None:
        mean = found.min if found.mean is None else found.mean
        if not found.min <= mean <= found.max:
            raise _wrong(claim, "has a mean that is not between its min and max")
    if found.std is not None and found.std < 0:
        raise _wrong(claim, "has a negative std")
    shares = found.nan, found.inf
    # `not <=` refuses NaN too; the sum may be a rounding beyond one.
    if not all(0 <= s <= 1 for s in shares) or not sum(shares) <= 1 + 1e-9:
        raise _wrong(claim, "has shares of NaN and Inf that are none")
    return [found.seen, *numbers, *shares]


def _row(claim: TensorClaim) -> Row:
    if not 0 < len(claim.name) <= MAX_NAME:
        raise _wrong(claim, f"has a name of {len(claim.name)} characters; 1 to {MAX_NAME}")
    if not _DTYPE.match(claim.dtype):
        raise _wrong(claim, f"has the dtype {claim.dtype[:40]!r}")
    if len(claim.shape) > MAX_DIMENSIONS or not all(d >= 0 for d in claim.shape):
        raise _wrong(claim, "has an impossible shape")
    if prod(claim.shape) >= 2**63:
        raise _wrong(claim, "has an impossible shape")
    if not _PRINT.match(claim.fingerprint):
        raise _wrong(claim, "has a fingerprint that is not 32 lower-case hex digits")
    figures = _figures(claim, claim.statistics) if claim.statistics else None
    return [claim.dtype, list(claim.shape), claim.fingerprint, figures]


def _table(files: Sequence[FileClaims]) -> dict[str, dict[str, Row]]:
    """Claims by path and tensor, checked."""
    count = sum(len(file.tensors) for file in files)
    if count > MAX_TENSORS:
        raise TooLarge(
            f"claims about {count} tensors in one request; {MAX_TENSORS} at most: send them in pages",
            limit=MAX_TENSORS,
        )
    table: dict[str, dict[str, Row]] = {}
    for file in files:
        rows = table.setdefault(names.file_path(file.path), {})
        for claim in file.tensors:
            if claim.name in rows:
                raise _wrong(claim, f"of {file.path} stands twice")
            rows[claim.name] = _row(claim)
    return table


def _counts(rows: Iterable[Row]) -> dict[str, int]:
    found: Counter[str] = Counter(dict.fromkeys(_COUNTED, 0))
    for _, shape, print_, figures in rows:
        found["tensors"] += 1
        found["fingerprints"] += bool(print_)
        if figures:
            found["statistics"] += 1
            found["sampled"] += figures[0] < prod(shape)
            found["nan"] += figures[-2] > 0
            found["inf"] += figures[-1] > 0
    return dict(found)


def _store(stores: Stores, found: VersionRecord, table: dict[str, dict[str, Row]]) -> str:
    """Writes a page under a name of its own. Its counts are its metadata, so that a commit need not
    read it."""
    data = json.dumps({"files": table, "schema": 1}, separators=(",", ":")).encode("ascii")
    if len(data) > MAX_PAGE:
        raise TooLarge(f"{len(data)} bytes of claims; {MAX_PAGE} at most", limit=MAX_PAGE)
    name = stores.random()
    counts = _counts(row for rows in table.values() for row in rows.values())
    stores.blobs.put(
        keys.claims_object(found.model.project_id, found.model.id, found.number, name), data,
        "application/json", {key: str(value) for key, value in counts.items()},
    )  # fmt: skip
    return name


def add(stores: Stores, found: VersionRecord, page: ClaimsPage) -> StoredPage:
    """Stores claims ahead of the commit of an open version, or of a checkpoint under it."""
    if found.version.state not in ("open", "ready"):
        raise Conflict(f"{found.reference} is {found.version.state}")
    return StoredPage(_store(stores, found, _table(page.files)))


def accept(
    stores: Stores, found: VersionRecord, files: Sequence[FileEntry], claims: Claims | None
) -> ClaimsSummary | None:
    """Checks and stores what a commit claims; the summary belongs into its item. Comes before the
    transaction: what a lost race leaves is in the version's folder, and goes with that."""
    if claims is None or not (claims.files or claims.pages):
        return None
    table = _table(claims.files)
    if strange := sorted(table.keys() - {entry.path for entry in files})[:1]:
        raise InvalidRequest(f"there are claims about {strange[0]!r}, which is not among the files")
    pages = list(dict.fromkeys(claims.pages))
    if table:
        pages.append(_store(stores, found, table))
    if len(pages) > MAX_PAGES:
        raise TooLarge(f"{len(pages)} pages of claims; {MAX_PAGES} at most", limit=MAX_PAGES)
    total, counts = 0, Counter(dict.fromkeys(_COUNTED, 0))
    for name in pages:
        size, counted = _page(stores, found, name)
        total += size
        counts.update(counted)
    if total > MAX_TOTAL:
        raise TooLarge(f"{total} bytes of claims; {MAX_TOTAL} at most", limit=MAX_TOTAL)
    return ClaimsSummary(tuple(pages), **counts)


def _page(stores: Stores, found: VersionRecord, name: str) -> tuple[int, dict[str, int]]:
    if not _NAME.match(name):
        raise InvalidRequest(f"{name[:60]!r} is no page of claims")
    key = keys.claims_object(found.model.project_id, found.model.id, found.number, name)
    try:
        head = stores.blobs.head(key)
    except NotFound:
        raise InvalidRequest(
            f"{found.reference} has no page of claims {name}; send it again"
        ) from None
    return head.size, {word: int(head.metadata.get(word, 0)) for word in _COUNTED}


def load(stores: Stores, found: VersionRecord, summary: ClaimsSummary | None) -> Known:
    """What was claimed of a version, or of a checkpoint under it."""
    table: dict[str, dict[str, Row]] = {}
    for name in summary.pages if summary else ():
        key = keys.claims_object(found.model.project_id, found.model.id, found.number, name)
        try:
            page = json.loads(stores.blobs.read(key))
        except NotFound:
            continue  # deleted while we read; its version is going
        for path, rows in page["files"].items():
            table.setdefault(path, {}).update(rows)
    return table


def merge(known: VersionFacts, table: Known) -> VersionFacts:
    """Facts with what was claimed of the same tensors: name, dtype and shape must agree."""
    if not table:
        return known
    count = sum(len(file.facts.tensors) for file in known.items if file.facts)
    items = []
    for file in known.items:
        rows = table.get(file.path)
        if file.facts is not None and rows:
            tensors = tuple(_told(t, rows.get(t.name), count) for t in file.facts.tensors)
            file = replace(file, facts=replace(file.facts, tensors=tensors))
        items.append(file)
    return replace(known, items=tuple(items))


def _told(tensor: Tensor, row: Row | None, count: int) -> Tensor:
    # GGUF files list dimensions the other way round.
    if row is None or row[0] != tensor.dtype or tensor.shape not in _either_way(row[1]):
        return tensor
    figures = row[3]
    statistics = None
    if figures and (count <= FULL or figures[-2] or figures[-1]):
        statistics = Statistics(prod(tensor.shape), *figures)
    return replace(tensor, fingerprint=row[2], statistics=statistics)


def _either_way(shape: Row) -> tuple[tuple[int, ...], ...]:
    return tuple(shape), tuple(reversed(shape))


def carry(
    stores: Stores, source: VersionRecord, summary: ClaimsSummary | None, number: int
) -> Claims | None:
    """Gives another version of the model the same pages, under the same names, ahead of its commit.
    Doing it again is harmless."""
    pages = []
    for name in summary.pages if summary else ():
        at = (source.model.project_id, source.model.id)
        key = keys.claims_object(*at, source.number, name)
        try:
            head, data = stores.blobs.head(key), stores.blobs.read(key)
        except NotFound:
            continue  # its checkpoint is going
        with suppress(Precondition):  # there already
            stores.blobs.put(
                keys.claims_object(*at, number, name), data, "application/json",
                {word: head.metadata[word] for word in _COUNTED if word in head.metadata},
                if_absent=True,
            )  # fmt: skip
        pages.append(name)
    return Claims(pages=tuple(pages)) if pages else None


def free(stores: Stores, at: tuple[str, str, int], summary: ClaimsSummary | None) -> None:
    """Leaves the pages of a deleted checkpoint to the sweep; a version's go with its folder. `at` are
    the ids of project and model, and the version's number."""
    objects = [keys.claims_object(*at, name) for name in (summary.pages if summary else ())]
    stores.table.write_many([Put(Item(keys.free_object(at[0], key))) for key in objects])
