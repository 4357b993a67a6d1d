"""What an object event leads to: look at the object itself, and write down what is found.

An event says "look here", never "this is true": it may come twice, late or out of order.
"""

import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from chalicelib.indexing import formats, inbox
from chalicelib.indexing.formats.ranged import Ranged
from chalicelib.registry import blobs, facts, keys, models, outbox, safety
from chalicelib.registry.ports import Precondition
from chalicelib.registry.stores import Stores
from weighbridge.contract import codec
from weighbridge.contract.errors import NotFound, RegistryError
from weighbridge.contract.types import Facts

_LOG = logging.getLogger("weighbridge.indexing")


def look(stores: Stores, key: str) -> None:
    """Indexes the object, if it is there and one of ours."""
    if key.startswith("inbox/"):
        inbox.look(stores, key)
        return
    if key.startswith("reindex/"):
        from chalicelib.indexing import reindex  # it looks at objects, too

        reindex.work(stores, key.removeprefix("reindex/"))
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


def index(
    stores: Stores,
    project_id: str,
    blob: str,
    key: str,
    size: int,
    name: str = "",
    *,
    again: bool = False,
) -> bool:
    """Writes the facts of a blob, decides what waits for them, and marks pages stale. Answers whether
    it did; what this indexer looked at before is left alone, unless `again`.

    `name` is the path that the caller knows the blob by, if it does: formats are told by their content,
    so nobody reads anything to find out.
    """
    known = stores.table.get(keys.facts(project_id, blob))
    if known is not None and int(known.attrs.get("n", 0)) >= formats.INDEXER and not again:
        safety.arrived(stores, project_id, blob)  # an earlier run may have ended before this
        return False
    ranged = Ranged(lambda start, length: stores.blobs.read(key, start, length), size, name)
    try:
        found = _described(ranged, key)
    except NotFound:
        return False  # deleted while we read it
    if known is not None and _judged(known.doc) != _judged(codec.encode(found)):
        safety.doubt(stores, project_id, blob)
    write(stores, project_id, blob, found)
    return True


def _judged(document: Mapping[str, Any]) -> tuple[str, str]:
    """What versions and checkpoints keep of a file's facts."""
    return str(document.get("verdict") or "safe"), str(document.get("format", ""))


def write(stores: Stores, project_id: str, blob: str, found: Facts) -> None:
    """Keeps facts, and does what follows from them."""
    facts.save(stores, project_id, blob, found)
    safety.arrived(stores, project_id, blob)
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


def _described(ranged: Ranged, key: str) -> Facts:
    """The facts; a file that an indexer trips over is not known to be safe."""
    try:
        return formats.describe(ranged)
    except (RegistryError, Precondition):
        raise  # the store's failure, not the file's: looked at again
    except Exception as error:
        _LOG.exception("the indexer failed on %s", key)
        return replace(
            Facts("file", problem=f"the indexer failed: {type(error).__name__}", verdict="unknown"),
            indexer=formats.INDEXER, read_bytes=ranged.read_bytes, requests=ranged.requests,
        )  # fmt: skip
