"""What an object event leads to: look at the object itself, and write down what is found.

An event says "look here", never "this is true": it may come twice, late or out of order.
"""

from chalicelib.indexing import formats, inbox
from chalicelib.indexing.formats.ranged import Ranged
from chalicelib.registry import blobs, facts, keys, models, outbox
from chalicelib.registry.stores import Stores
from weighbridge.contract.errors import NotFound


def look(stores: Stores, key: str) -> None:
    """Indexes the object, if it is there and one of ours."""
    if key.startswith("inbox/"):
        inbox.look(stores, key)
        return
    project_id = keys.project_of_object(key)
    if project_id is None:
        return
    try:
        head = stores.blobs.head(key)
    except NotFound:
        return  # deleted since
    if not head.sha256:
        return
    blob = blobs.named(head)
    index(stores, project_id, blob, key, head.size)


def index(stores: Stores, project_id: str, blob: str, key: str, size: int, name: str = "") -> None:
    """Writes the facts of a blob, unless this indexer did so before, and marks pages stale.

    `name` is the path that the caller knows the blob by, if it does: formats are told by their content, so
    nobody reads anything to find out.
    """
    if facts.indexed(stores, project_id, blob) >= formats.INDEXER:
        return
    ranged = Ranged(lambda start, length: stores.blobs.read(key, start, length), size, name)
    try:
        facts.save(stores, project_id, blob, formats.describe(ranged))
    except NotFound:
        return  # deleted while we read it
    touched: dict[str, set[int]] = {}
    for reference in blobs.references(stores, project_id, blob):
        model_id, number, _ = keys.parse_holder(reference.sk)
        touched.setdefault(model_id, set()).add(number)
    for model_id, numbers in touched.items():
        model = models.name_of(stores, project_id, model_id)
        if model is not None:
            entry = outbox.entry(
                stores, project_id, "~indexed", "indexer", model=model, versions=sorted(numbers)
            )
            stores.table.write(entry)
    if touched:
        outbox.wake(stores, project_id)
