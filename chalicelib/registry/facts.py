"""Facts about blobs: kept per project and blob, small ones in the item, large tables in S3."""

import json
from collections.abc import Sequence

from chalicelib.registry import keys
from chalicelib.registry.ports import Item, Put
from chalicelib.registry.stores import Stores
from weighbridge.contract import codec
from weighbridge.contract.manifests import FileEntry
from weighbridge.contract.types import Facts, FileFacts, VersionFacts

MAX_INLINE = 24 * 1024
MAX_LISTED = 1000


def save(stores: Stores, project_id: str, blob: str, facts: Facts) -> None:
    """Keeps what was found. The same facts again write the same item."""
    document = codec.encode(facts)
    if len(json.dumps(document)) > MAX_INLINE:
        key = keys.facts_object(project_id, blob)
        stores.blobs.put(key, json.dumps(document).encode(), "application/json")
        outgrown: dict[str, object] = {
            "tensors": [],
            "metadata": {},
            "inputs": [],
            "outputs": [],
            "findings": [],
        }
        document = {**document, **outgrown, "table": key}
    stores.table.write(Put(Item(keys.facts(project_id, blob), {"n": facts.indexer}, document)))


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
