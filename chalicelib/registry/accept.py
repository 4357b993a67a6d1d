"""What a version may not hold: files that claim a format and break it.

Only headers are read. A file whose header was indexed already is judged by its facts.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from chalicelib.registry import blobs, facts, turns
from chalicelib.registry.stores import Stores
from weighbridge.contract import safetensors
from weighbridge.contract.errors import IntegrityError
from weighbridge.contract.manifests import FileEntry

MAX_READ = 64
"""Files whose headers one commit reads; what is beyond is judged by the indexer alone."""


def check(stores: Stores, project_id: str, files: Sequence[FileEntry]) -> None:
    """Refuses damaged safetensors files, before anything is visible."""
    claimed = {e.blob: e for e in files if e.path.lower().endswith(".safetensors")}
    if not claimed:
        return
    known = facts.load(stores, project_id, list(claimed))
    for blob, found in known.items():
        if found.problem:
            raise IntegrityError(f"{claimed[blob].path}: {found.problem}", path=claimed[blob].path)
    good = {blob for blob, found in known.items() if found.format == "safetensors"}
    unread = [blob for blob in claimed if blob not in good][:MAX_READ]
    objects = blobs.object_keys(stores, project_id, unread)

    def one(blob: str) -> None:
        entry = claimed[blob]
        safetensors.read(
            lambda start, length: stores.blobs.read(objects[blob], start, length),
            entry.size, entry.path,
        )  # fmt: skip

    if unread:
        with turns.waiting(), ThreadPoolExecutor(min(8, len(unread))) as pool:
            list(pool.map(one, unread))
