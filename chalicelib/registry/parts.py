"""Where the bytes of parts lie: the index that makes delta pushes possible, per project.

A part item is a hint: it names an object, a range and the blob it belongs to. Whoever uses it makes sure
that the blob is live and leased; the copy itself checks the object's ETag, and its answer the digest.
"""

from collections.abc import Iterable, Sequence

from chalicelib.registry import blobs, keys
from chalicelib.registry.ports import Delete, Head, Item, Put, StoredPart
from chalicelib.registry.stores import Stores
from weighbridge.contract import cuts, digests
from weighbridge.contract.errors import NotFound
from weighbridge.contract.types import LookAnswer, LookRequest, Part


def record(
    stores: Stores, project_id: str, blob: str, head: Head, parts: Sequence[StoredPart]
) -> None:
    """Writes the part list of a new blob, and where each of its parts lies."""
    listed = [Part(part.number, part.sha256, part.size) for part in parts]
    stores.blobs.put(keys.parts_object(project_id, blob), cuts.encode(listed), "application/json")
    puts, offset = [], 0
    for part in parts:
        doc = {"key": head.key, "etag": head.etag, "offset": offset}
        where = Item(keys.part(project_id, part.sha256, part.size), {"ref": blob}, doc)
        puts.append(Put(where))
        offset += part.size
    stores.table.write_many(puts)


def forget(stores: Stores, project_id: str, blob: str) -> list[str]:
    """Removes the part items that still point to the blob; answers its part list's object key."""
    if not digests.parse_blob(blob).parts:
        return []
    key = keys.parts_object(project_id, blob)
    try:
        listed = cuts.decode(stores.blobs.read(key))
    except NotFound:
        return []
    wanted = [keys.part(project_id, part.sha256, part.size) for part in listed]
    found = stores.table.get_many(wanted)
    stores.table.write_many(
        [Delete(item.key) for item in found.values() if item.attrs.get("ref") == blob]
    )
    return [key]


def find(
    stores: Stores, project_id: str, wanted: Iterable[tuple[str, int]]
) -> dict[tuple[str, int], Item]:
    """Those of the parts that lie in a live blob, whose lease is then long enough to copy them."""
    by_key = {keys.part(project_id, sha256, size): (sha256, size) for sha256, size in wanted}
    found = stores.table.get_many(by_key)
    sources = blobs.live(stores, project_id, {str(i.attrs["ref"]) for i in found.values()})
    gone = blobs.lease(stores, project_id, sources)
    return {
        by_key[key]: item
        for key, item in found.items()
        if str(item.attrs["ref"]) in sources and str(item.attrs["ref"]) not in gone
    }


def look(stores: Stores, project_id: str, request: LookRequest) -> LookAnswer:
    """Which of the parts could be copied inside the store."""
    wanted = [(str(digests.sha256(part.sha256)), part.size) for part in request.parts]
    found = find(stores, project_id, wanted)
    return LookAnswer(tuple(part in found for part in wanted))
