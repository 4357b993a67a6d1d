"""Blobs: registered once S3 has verified them, leased while nothing refers to them, referred to."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress

from chalicelib.registry import keys, usage
from chalicelib.registry.ports import (
    Absent,
    ConditionFailed,
    Delete,
    Equal,
    Head,
    Item,
    Key,
    Put,
    Update,
)
from chalicelib.registry.stores import Stores
from weighbridge.contract import digests
from weighbridge.contract.errors import IntegrityError, InvalidManifest, NotFound, Unavailable
from weighbridge.contract.manifests import FileEntry

LEASE_MARGIN = 900
"""A lease with less than this many seconds left is renewed before anything relies on it."""


def live(stores: Stores, project_id: str, blob_ids: Iterable[str]) -> dict[str, Item]:
    """Those of the blobs that the project holds and that are not being deleted."""
    wanted = {keys.blob(project_id, blob): blob for blob in blob_ids}
    found = stores.table.get_many(wanted)
    return {wanted[key]: item for key, item in found.items() if item.attrs.get("state") == "live"}


def lease(stores: Stores, project_id: str, blobs: dict[str, Item], least: int = 0) -> set[str]:
    """Makes sure that none of the blobs is collected soon (within `least` seconds, if given); answers
    those that vanished meanwhile."""
    now = int(stores.now())
    gone = set()
    least = max(least, min(LEASE_MARGIN, stores.lease_seconds // 2))
    for blob, item in blobs.items():
        if int(item.attrs.get("until", 0)) >= now + least:
            continue
        renewal = Update(
            keys.blob(project_id, blob), set={"until": now + stores.lease_seconds},
            condition=(Equal("state", "live"),),
        )  # fmt: skip
        try:
            stores.table.write(renewal)
        except ConditionFailed:
            gone.add(blob)
    return gone


def named(head: Head, scheme: int = 0) -> str:
    """The blob id of an object: its checksum, its size, and the scheme that its metadata names
    (else the one given)."""
    told = head.metadata.get("scheme", "")
    chosen = int(told) if told.isdigit() else scheme
    return digests.blob_from_checksum(head.sha256, head.size, chosen or digests.CUT_SCHEME)


def verified(stores: Stores, blob: str, key: str) -> Head:
    """The object's head, if the store vouches that it holds exactly `blob`."""
    try:
        head = stores.blobs.head(key)
    except NotFound:
        raise IntegrityError(
            f"the upload of {blob} did not arrive: the store has no such object; send it again",
            blob=blob,
        ) from None
    if not head.sha256 or named(head, digests.parse_blob(blob).scheme) != blob:
        raise IntegrityError(
            f"the store holds other bytes than {blob} (checksum {head.sha256 or 'missing'}, "
            f"{head.size} bytes); send it again",
            blob=blob,
        )
    return head


def note(stores: Stores, project_id: str, blob_ids: Iterable[str]) -> None:
    """Tells the sweep to look at these blobs once a lease from now is over: if their client dies
    before anything refers to them, they are freed. Comes before whatever it is to clean up."""
    due: dict[str, str | int] = {"until": int(stores.now()) + stores.lease_seconds}
    stores.table.write_many([Put(Item(keys.free_blob(project_id, blob), due)) for blob in blob_ids])


def register(stores: Stores, project_id: str, blob: str, head: Head) -> bool:
    """`note` and `claim`."""
    note(stores, project_id, [blob])
    return claim(stores, project_id, blob, head)


def claim(stores: Stores, project_id: str, blob: str, head: Head) -> bool:
    """Names a verified object as the blob's; answers whether it is now. Of two uploads of the same
    bytes one wins; the other's object is left to the sweep. A blob in parts has its part list by now.
    """
    return blob in claim_many(stores, project_id, {blob: head})


def claim_many(stores: Stores, project_id: str, heads: Mapping[str, Head]) -> set[str]:
    """`claim` for many blobs, each by itself; those that are now what was claimed."""
    puts = {blob: _claimed(stores, project_id, blob, head) for blob, head in heads.items()}
    refusals = stores.table.write_each(list(puts.values()))
    fresh = [blob for blob, refused in zip(puts, refusals, strict=True) if refused is None]
    usage.add_bytes(stores, project_id, sum(heads[blob].size for blob in fresh))
    if stores.announce and fresh:
        _announce(stores, [heads[blob].key for blob in fresh])
    return {
        blob
        for (blob, put), refused in zip(puts.items(), refusals, strict=True)
        if refused is None or _taken(stores, project_id, blob, put, refused.existing)
    }


def _announce(stores: Stores, object_keys: Sequence[str]) -> None:
    """Says what the store's own events would say; if it is lost, the sweep looks after the lease."""
    with suppress(Unavailable):
        stores.queue.send_many("index", [{"detail": {"object": {"key": k}}} for k in object_keys])


def _claimed(stores: Stores, project_id: str, blob: str, head: Head) -> Put:
    doc: dict[str, str | int | bool] = {"key": head.key, "size": head.size}
    if digests.parse_blob(blob).parts:
        doc["listed"] = True
    until = int(stores.now()) + stores.lease_seconds
    attrs: dict[str, str | int] = {"state": "live", "until": until, "rev": 1}
    return Put(Item(keys.blob(project_id, blob), attrs, doc), (Absent(),))


def _taken(stores: Stores, project_id: str, blob: str, put: Put, existing: Item | None) -> bool:
    """What becomes of a claim to a name that is there already."""
    if existing is None:
        raise Unavailable("the blob is being written by another; try again")
    key = str(put.item.doc["key"])
    if existing.attrs.get("state") == "live":
        if existing.doc.get("key") == key:
            return True  # a repeat of our own registration
        lease(stores, project_id, {blob: existing})
        stores.table.write(Put(Item(keys.free_object(project_id, key))))
        return False
    # The sweep is removing the old object: take the name over. It deletes the item only at the
    # revision it marked, so it cannot remove ours.
    rev = int(existing.attrs.get("rev", 0))
    item = put.item
    takeover = Put(Item(item.key, {**item.attrs, "rev": rev + 1}, item.doc), (Equal("rev", rev),))
    try:
        stores.table.write(takeover)
    except ConditionFailed:
        raise Unavailable("the blob is being collected; try again") from None
    return True


def require(stores: Stores, project_id: str, files: Sequence[FileEntry]) -> dict[str, str]:
    """Makes sure that every blob is there and stays for now, or `InvalidManifest` naming one."""
    by_blob = {entry.blob: entry.path for entry in files}
    found = live(stores, project_id, by_blob)
    gone = lease(stores, project_id, found)
    for blob, path in by_blob.items():
        if blob not in found or blob in gone:
            raise InvalidManifest(
                f"{path}: its blob {blob} is not stored in this project; push it first",
                path=path, blob=blob,
            )  # fmt: skip
    return by_blob


def refer(stores: Stores, project_id: str, files: Sequence[FileEntry], holder: str) -> None:
    """Writes one reference per blob under `holder`, or `InvalidManifest` naming an absent blob.

    The lease makes this safe: a blob is collected only when its lease is over and then only after
    a second look at its references.
    """
    by_blob = require(stores, project_id, files)
    stores.table.write_many(references_of(project_id, by_blob, holder))


def references_of(project_id: str, blob_ids: Iterable[str], holder: str) -> list[Put]:
    """The writes that make `holder` refer to blobs of which `require` was sure."""
    return [Put(Item(keys.reference(project_id, blob, holder))) for blob in blob_ids]


def present(stores: Stores, project_id: str, blob_ids: Sequence[str]) -> dict[str, Item]:
    """The item of each blob, or `NotFound`."""
    found = live(stores, project_id, blob_ids)
    for blob in blob_ids:
        if blob not in found:
            raise NotFound(f"this project holds no blob {blob}")
    return found


def object_keys(stores: Stores, project_id: str, blob_ids: Sequence[str]) -> dict[str, str]:
    """The object key of each blob, or `NotFound`."""
    found = present(stores, project_id, blob_ids)
    return {blob: str(found[blob].doc["key"]) for blob in blob_ids}


def references(stores: Stores, project_id: str, blob: str) -> list[Key]:
    """Every reference to a blob."""
    found: list[Key] = []
    after: str | None = None
    while True:
        page = stores.table.query(
            keys.of_blob(project_id, blob), *keys.prefix("R#"), after=after, limit=1000
        )
        found += [item.key for item in page.items]
        if page.next is None:
            return found
        after = page.next


def release(
    stores: Stores, project_id: str, blob_ids: Iterable[str], holder: str, grace: int = 0
) -> None:
    """Removes the references of a deleted holder and notes the blobs for the sweep, which looks at
    them after `grace` seconds."""
    unique = list(dict.fromkeys(blob_ids))
    due: dict[str, str | int] = {"until": int(stores.now()) + grace}
    stores.table.write_many([Put(Item(keys.free_blob(project_id, blob), due)) for blob in unique])
    stores.table.write_many([Delete(keys.reference(project_id, blob, holder)) for blob in unique])
