"""Archives that were uploaded as blobs and wait to be taken in, under the name of a model and a label.

A request holds a few MB at most. What is larger is pushed like any file, named here, and taken apart by a
job. Nothing refers to the blob: when its lease ends, the sweep frees it.
"""

from dataclasses import dataclass

from chalicelib.registry import blobs, keys, projects
from chalicelib.registry.ports import ConditionFailed, Delete, Equal, Item, Put, Update
from chalicelib.registry.stores import Stores
from weighbridge.contract import digests, names
from weighbridge.contract.errors import InvalidRequest, NotFound

MAX_SIZE = 64 * 1024**3


@dataclass(frozen=True, slots=True)
class Parked:
    """An archive that waits, until `until` (epoch seconds)."""

    blob: str
    size: int
    until: int


def park(stores: Stores, project: str, model: str, label: str, blob: str) -> Parked:
    """Names an uploaded blob as the archive that `model` under `label` is to be made of. A later one
    takes the place of an earlier. `NotFound` unless the project holds the blob."""
    names.model_name(model)
    names.label(label)
    size = digests.parse_blob(blob).size
    if size > MAX_SIZE:
        raise InvalidRequest(f"an archive of {size} bytes; {MAX_SIZE} at most", limit=MAX_SIZE)
    record = projects.find(stores, project)
    until = int(stores.now()) + stores.lease_seconds
    lease = Update(
        keys.blob(record.id, blob), set={"until": until}, condition=(Equal("state", "live"),)
    )
    doc = {"blob": blob, "size": size}
    item = Item(keys.parked(record.id, model, label), {"until": until, "ttl": until}, doc)
    try:
        stores.table.transact([lease, Put(item)])
    except ConditionFailed:
        raise NotFound(f"this project holds no blob {blob}: upload the archive first") from None
    return Parked(blob, size, until)


def find(stores: Stores, project_id: str, model: str, label: str) -> Parked | None:
    """What waits under that name, if it has not expired."""
    item = stores.table.get(keys.parked(project_id, model, label))
    if item is None or int(item.attrs["until"]) <= stores.now():
        return None
    return Parked(str(item.doc["blob"]), int(item.doc["size"]), int(item.attrs["until"]))


def object_key(stores: Stores, project_id: str, found: Parked) -> str:
    """Where the archive lies in the artifact bucket."""
    return blobs.object_keys(stores, project_id, [found.blob])[found.blob]


def forget(stores: Stores, project_id: str, model: str, label: str) -> None:
    """It was taken in; its bytes go when the lease ends."""
    stores.table.write(Delete(keys.parked(project_id, model, label)))
