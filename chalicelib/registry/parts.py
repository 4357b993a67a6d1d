"""Where the bytes of parts lie: the index that makes delta pushes possible, per project.

A part item is a hint: it names an object, a range and the blob it belongs to. Whoever uses it makes sure
that the blob is live, leased, and still that object; the copy itself checks the object's ETag, and its
answer the digest.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from chalicelib.registry import blobs, keys
from chalicelib.registry.ports import Delete, Head, Item, Put, StoredPart
from chalicelib.registry.stores import Stores
from weighbridge.contract import cuts, digests
from weighbridge.contract.errors import NotFound
from weighbridge.contract.types import LookAnswer, LookRequest, Part


def save(stores: Stores, project_id: str, blob: str, stored: Sequence[StoredPart]) -> None:
    """Writes the part list of a blob that is about to be joined. It never changes."""
    listed = [Part(part.number, part.sha256, part.size) for part in stored]
    stores.blobs.put(keys.parts_object(project_id, blob), cuts.encode(listed), "application/json")


def saved(stores: Stores, project_id: str, blob: str) -> tuple[Part, ...]:
    """The part list of a blob; empty if it has none."""
    if not digests.parse_blob(blob).parts:
        return ()
    try:
        return cuts.decode(stores.blobs.read(keys.parts_object(project_id, blob)))
    except NotFound:
        return ()


def drop_list(stores: Stores, project_id: str, blob: str) -> None:
    """Removes the part list of a blob that is gone."""
    if digests.parse_blob(blob).parts:
        stores.blobs.delete([keys.parts_object(project_id, blob)])


def of_single(blob: str) -> tuple[Part, ...]:
    """A blob of one PUT as a part, where it is large enough to be one of another file."""
    digest = digests.parse_blob(blob)
    if digest.parts or digest.size < cuts.MIN_PART:
        return ()
    return (Part(1, digest.sha256, digest.size),)


def index(stores: Stores, project_id: str, blob: str, head: Head, listed: Sequence[Part]) -> None:
    """Writes where each part of a blob lies. Newer blobs take parts over: they live longer."""
    puts, offset = [], 0
    for part in listed:
        doc = {"key": head.key, "etag": head.etag, "offset": offset}
        where = Item(keys.part(project_id, part.sha256, part.size), {"ref": blob}, doc)
        puts.append(Put(where))
        offset += part.size
    stores.table.write_many(puts)


def forget(stores: Stores, project_id: str, blob: str, key: str) -> None:
    """Removes the part items that still point to this object of the blob."""
    listed = saved(stores, project_id, blob) or of_single(blob)
    wanted = [keys.part(project_id, part.sha256, part.size) for part in listed]
    found = stores.table.get_many(wanted).values()
    # Not conditional: should another blob take a part over right now, it is sent once more, no harm.
    stores.table.write_many(
        [Delete(i.key) for i in found if (i.attrs.get("ref"), i.doc["key"]) == (blob, key)]
    )


def find(
    stores: Stores, project_id: str, wanted: Iterable[tuple[str, int]]
) -> dict[tuple[str, int], Item]:
    """Those of the parts that lie in a live blob, whose lease is then long enough to copy them."""
    by_key = {keys.part(project_id, sha256, size): (sha256, size) for sha256, size in wanted}
    found = stores.table.get_many(by_key)
    sources = blobs.live(stores, project_id, {str(i.attrs["ref"]) for i in found.values()})
    there = {
        key: item
        for key, item in found.items()
        if (source := sources.get(str(item.attrs["ref"]))) and source.doc["key"] == item.doc["key"]
    }
    used = {str(item.attrs["ref"]) for item in there.values()}
    gone = blobs.lease(stores, project_id, {blob: sources[blob] for blob in used})
    return {by_key[key]: i for key, i in there.items() if str(i.attrs["ref"]) not in gone}


def before(
    scheme: int, wanted: Sequence[Part], found: Mapping[tuple[str, int], Item]
) -> dict[int, Item]:
    """Where the first pieces of moved tensors probably lie, by part number: right before the second
    piece, which was found. They were no parts by themselves if small tensors stood before them.

    Only guesses, of the same object that is copied from anyway: the store's answer to the copy has
    the digest, and where that is another the part is sent.
    """
    if scheme != cuts.TENSORS:
        return {}
    behind = {part.number - 1: part for part in wanted}
    guessed = {}
    for part in wanted:
        if (part.sha256, part.size) in found or not cuts.is_head(part.size):
            continue
        second = behind.get(part.number)
        item = found.get((second.sha256, second.size)) if second else None
        offset = int(item.doc["offset"]) - part.size if item else -1
        if item is not None and offset >= 0:
            guessed[part.number] = replace(item, doc={**item.doc, "offset": offset})
    return guessed


def look(stores: Stores, project_id: str, request: LookRequest) -> LookAnswer:
    """Which of the parts could be copied inside the store."""
    wanted = [(str(digests.sha256(part.sha256)), part.size) for part in request.parts]
    found = find(stores, project_id, wanted)
    return LookAnswer(tuple(part in found for part in wanted))
