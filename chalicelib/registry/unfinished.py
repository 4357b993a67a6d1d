"""Multipart uploads that are under way: opening one, and finding one that an interrupted push left, so
that whoever pushes the same file, from whatever machine, need not send again what the store holds.

An upload's name begins with what it is of: cut scheme, size, and its first part (or its blob, where that
is known). So uploads that may be continued are one short query. Which of their parts are the right ones
is the store's word, never the client's.
"""

import hashlib
from collections.abc import Sequence

from chalicelib.registry import keys, usage
from chalicelib.registry.ports import Absent, Item, Put, StoredPart
from chalicelib.registry.stores import Stores, event_id, iso
from weighbridge.contract.errors import NotFound
from weighbridge.contract.types import Part

CANDIDATES = 8
"""So many uploads of the same beginning are looked at, the newest first."""


def name_start(scheme: int, size: int, of: str) -> str:
    """How the names of all uploads begin that may be continued for each other."""
    return f"{scheme}-{size:x}-{hashlib.sha256(of.encode()).hexdigest()[:16]}-" if of else ""


def opened(stores: Stores, by: str, project_id: str, scheme: int, blob: str, start: str) -> str:
    """Starts a multipart upload at the store; answers our name for it."""
    usage.require_upload(stores, project_id)
    key = keys.blob_object(project_id, stores.random())
    identifier = start + event_id(stores.now(), stores.random())
    doc = {
        "key": key,
        "store_id": stores.blobs.create_multipart(key, scheme),
        "blob": blob,
        "scheme": scheme,
        "by": by,
        "created": iso(stores.now()),
    }
    expiry: dict[str, str | int] = {"ttl": int(stores.now()) + 2 * stores.stale_seconds}
    stores.table.write(Put(Item(keys.upload(project_id, identifier), expiry, doc), (Absent(),)))
    return identifier


def left(
    stores: Stores, by: str, project_id: str, start: str, blob: str, wanted: Sequence[Part]
) -> str:
    """The upload that somebody with the same credentials left of this file, with the most parts; empty
    if there is none. One that holds other bytes than a `wanted` part is of another file."""
    if not start:
        return ""
    low, high = keys.prefix(keys.upload(project_id, start).sk)
    pk = keys.upload(project_id, "").pk
    found = stores.table.query(pk, low, high, limit=CANDIDATES, reverse=True).items
    best, most = "", 0
    for item in found:
        if item.doc["by"] != by or item.doc["blob"] != blob:
            continue
        try:
            held = stores.blobs.parts(str(item.doc["key"]), str(item.doc["store_id"]))
        except NotFound:
            continue  # joined or aborted meanwhile
        size = sum(part.size for part in held)
        if size > most and not differing(held, wanted) and (blob or _some(held, wanted)):
            best, most = item.key.sk.removeprefix(keys.upload(project_id, "").sk), size
    return best


def differing(held: Sequence[StoredPart], wanted: Sequence[Part]) -> list[int]:
    """The numbers of parts that are held with other bytes than wanted."""
    there = {part.number: (part.sha256, part.size) for part in held}
    return [
        p.number for p in wanted if there.get(p.number, (p.sha256, p.size)) != (p.sha256, p.size)
    ]


def _some(held: Sequence[StoredPart], wanted: Sequence[Part]) -> bool:
    return not {part.number for part in held}.isdisjoint(part.number for part in wanted)
