"""Facts about blobs: kept per project and blob, small ones in the item, large tables in S3."""

import json
from collections.abc import Sequence

from chalicelib.registry import claims, keys
from chalicelib.registry.ports import Absent, ConditionFailed, Equal, Item, Put
from chalicelib.registry.stores import Stores
from chalicelib.registry.versions import VersionRecord
from weighbridge.contract import codec
from weighbridge.contract.errors import Unavailable
from weighbridge.contract.manifests import FileEntry
from weighbridge.contract.types import ClaimsSummary, Facts, FileFacts, Safety, VersionFacts

MAX_INLINE = 24 * 1024
MAX_LISTED = 1000
MAX_FINDINGS = 20
"""Findings that stay in the item when the facts outgrow it; all of them are in the table."""
MAX_FINDING = 300
RACES = 12
JUDGING = 4
"""The first indexer whose verdicts count: what only an older one looked at was not looked at."""


_OUTGROWN: dict[str, object] = {"tensors": [], "metadata": {}, "inputs": [], "outputs": []}


def _first(findings: Sequence[str]) -> list[str]:
    return [finding[:MAX_FINDING] for finding in findings[:MAX_FINDINGS]]


def save(stores: Stores, project_id: str, blob: str, facts: Facts) -> None:
    """Keeps what was found, unless a newer indexer did so meanwhile. The same facts again write the
    same item."""
    document = codec.encode(facts)
    if len(json.dumps(document)) > MAX_INLINE:
        key = keys.facts_object(project_id, blob)
        stores.blobs.put(key, json.dumps(document).encode(), "application/json")
        document = {**document, **_OUTGROWN, "findings": _first(facts.findings), "table": key}
    item = Item(keys.facts(project_id, blob), {"n": facts.indexer}, document)
    for _ in range(RACES):
        known = stores.table.get(item.key)
        if known is not None and int(known.attrs.get("n", 0)) > facts.indexer:
            return
        as_read = (Equal("n", known.attrs["n"]),) if known else (Absent(),)
        try:
            stores.table.write(Put(item, as_read))
            return
        except ConditionFailed:
            continue
    raise Unavailable(f"too many others index {blob} at once; try again")


def verdicts(
    stores: Stores, project_id: str, blobs: Sequence[str]
) -> dict[str, tuple[Safety, str]]:
    """The verdict on each blob that an indexer has looked at, and its format; of a format that cannot
    execute code the verdict is `safe`."""
    wanted = {keys.facts(project_id, blob): blob for blob in blobs}
    found = stores.table.get_many(wanted)
    return {
        wanted[key]: (item.doc.get("verdict") or "safe", str(item.doc.get("format", "")))
        for key, item in found.items()
        if int(item.attrs.get("n", 0)) >= JUDGING
    }


def _decoded(stores: Stores, item: Item) -> Facts:
    document = dict(item.doc)
    table = document.pop("table", None)
    if table:
        document = json.loads(stores.blobs.read(str(table)))
    return codec.decode(Facts, document)


def load(stores: Stores, project_id: str, blobs: Sequence[str]) -> dict[str, Facts]:
    """What is known of each blob; those not indexed yet are missing."""
    wanted = {keys.facts(project_id, blob): blob for blob in blobs}
    found = stores.table.get_many(wanted)
    return {wanted[key]: _decoded(stores, item) for key, item in found.items()}


def summaries(stores: Stores, project_id: str, blobs: Sequence[str]) -> dict[str, Facts]:
    """As `load`, for those whose verdict counts, without the tensors of large tables."""
    wanted = {keys.facts(project_id, blob): blob for blob in blobs}
    found = stores.table.get_many(wanted)
    return {
        wanted[key]: codec.decode(Facts, {k: v for k, v in item.doc.items() if k != "table"})
        for key, item in found.items()
        if int(item.attrs.get("n", 0)) >= JUDGING
    }


def indexed(stores: Stores, project_id: str, blob: str) -> int:
    """The version of the indexer that looked at the blob; 0 if none did."""
    item = stores.table.get(keys.facts(project_id, blob))
    return int(item.attrs.get("n", 0)) if item else 0


def of_files(stores: Stores, project_id: str, files: Sequence[FileEntry]) -> VersionFacts:
    """The first 1,000 files with what is known of each."""
    shown = files[:MAX_LISTED]
    known = load(stores, project_id, [entry.blob for entry in shown])
    return VersionFacts(
        tuple(FileFacts(e.path, e.size, e.sha256, e.blob, known.get(e.blob)) for e in shown),
        complete=len(shown) == len(files),
    )


def told(
    stores: Stores,
    found: VersionRecord,
    files: Sequence[FileEntry],
    claimed: ClaimsSummary | None,
) -> VersionFacts:
    """The same, with what was claimed of the tensors of a version, or of a checkpoint under it."""
    known = of_files(stores, found.model.project_id, files)
    return claims.merge(known, claims.load(stores, found, claimed)) if claimed else known
