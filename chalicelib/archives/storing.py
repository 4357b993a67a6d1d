"""Files that come out of an archive, stored as blobs as if a client had pushed them.

Small ones are sent together, several at a time; a large one is one multipart upload. Either way the
store verifies the SHA-256 of what arrives, and bytes that the project holds are kept once.
"""

import hashlib
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType

from chalicelib.archives import streams
from chalicelib.registry import blobs, keys, parts, usage
from chalicelib.registry.ports import Head, StoredPart
from chalicelib.registry.stores import Stores
from weighbridge.contract import cuts, digests
from weighbridge.contract.errors import IntegrityError, NotFound, RegistryError, Unsupported
from weighbridge.contract.manifests import FileEntry

BATCH_BYTES = 8 * streams.MIB
BATCH = 100
_AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class Kept:
    """A file that is stored: its path in the archive, its blob, and what it holds."""

    path: str
    blob: str
    size: int
    sha256: str
    sha1: str = ""

    def entry(self, path: str = "") -> FileEntry:
        """As an entry of a manifest, under another path if one is given."""
        return FileEntry(path or self.path, self.size, self.sha256, self.blob)


class Keeper:
    """Stores files, in the order in which they are added; `kept` is complete when its block ends."""

    def __init__(self, stores: Stores, project_id: str, *, sha1: bool = False) -> None:
        if not stores.blobs.verifies_sha256:
            raise Unsupported("this object store does not verify SHA-256, so it cannot hold blobs")
        self._stores = stores
        self._project_id = project_id
        self._sha1 = sha1
        self._kept: list[Kept] = []
        self._waiting: dict[str, bytearray] = {}
        self._pool = ThreadPoolExecutor(_AT_ONCE)

    def __enter__(self) -> "Keeper":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if kind is None:
                self._send()
        finally:
            self._pool.shutdown(wait=True, cancel_futures=True)

    @property
    def kept(self) -> tuple[Kept, ...]:
        """What was added."""
        return tuple(self._kept)

    def add(self, path: str, size: int, source: Iterable[bytes]) -> None:
        """Stores one file of `size` bytes."""
        step = cuts.part_size(size)
        if step:
            self._send()
            self._large(path, size, step, source)
            return
        data = bytearray()
        for block in source:
            data += block
        _same_size(path, size, len(data))
        self._small(path, data)

    def _small(self, path: str, data: bytearray) -> None:
        sha256 = digests.sha256_of(data)
        blob = digests.single_blob(sha256, len(data))
        sha1 = hashlib.sha1(data, usedforsecurity=False).hexdigest() if self._sha1 else ""
        self._kept.append(Kept(path, blob, len(data), sha256, sha1))
        self._waiting[blob] = data
        if len(self._waiting) >= BATCH or sum(map(len, self._waiting.values())) >= BATCH_BYTES:
            self._send()

    def _send(self) -> None:
        """Stores what waits and is not there yet."""
        waiting, self._waiting = self._waiting, {}
        if not waiting:
            return
        stores, project_id = self._stores, self._project_id
        have = blobs.live(stores, project_id, waiting)
        missing = sorted(waiting.keys() - (have.keys() - blobs.lease(stores, project_id, have)))
        sizes = (digests.parse_blob(blob).size for blob in missing)
        usage.require_bytes(stores, project_id, sum(sizes))
        blobs.note(stores, project_id, missing)

        def put(blob: str) -> Head:
            key = keys.blob_object(project_id, stores.random())
            stores.blobs.put(key, waiting[blob])
            return blobs.verified(stores, blob, key)

        heads = dict(zip(missing, self._pool.map(put, missing), strict=True))
        for blob in blobs.claim_many(stores, project_id, heads):
            parts.index(stores, project_id, blob, heads[blob], parts.of_single(blob))

    def _large(self, path: str, size: int, step: int, source: Iterable[bytes]) -> None:
        stores, project_id = self._stores, self._project_id
        usage.require_bytes(stores, project_id, size)
        key = keys.blob_object(project_id, stores.random())
        upload = stores.blobs.create_multipart(key, cuts.FIXED)
        whole = hashlib.sha256()
        sha1 = hashlib.sha1(usedforsecurity=False)
        listed: list[StoredPart] = []
        try:
            for data in streams.pieces(source, step):
                whole.update(data)
                if self._sha1:
                    sha1.update(data)
                listed.append(stores.blobs.put_part(key, upload, len(listed) + 1, data))
            _same_size(path, size, sum(part.size for part in listed))
            digest = digests.composite(digests.Sha256(part.sha256) for part in listed)
            blob = digests.composite_blob(digest, len(listed), size, cuts.FIXED)
            known = blobs.live(stores, project_id, [blob])
            if not known or blobs.lease(stores, project_id, known):
                blobs.note(stores, project_id, [blob])
                parts.save(stores, project_id, blob, listed)
                with suppress(NotFound):  # joined before, and the answer was lost: the head tells
                    stores.blobs.complete_multipart(key, upload, listed)
                head = blobs.verified(stores, blob, key)
                if blobs.claim(stores, project_id, blob, head):
                    saved = parts.saved(stores, project_id, blob)
                    parts.index(stores, project_id, blob, head, saved)
            else:
                stores.blobs.abort_multipart(key, upload)
        except BaseException:
            with suppress(RegistryError):
                stores.blobs.abort_multipart(key, upload)
            raise
        sums = sha1.hexdigest() if self._sha1 else ""
        self._kept.append(Kept(path, blob, size, whole.hexdigest(), sums))


def _same_size(path: str, announced: int, size: int) -> None:
    if announced != size:
        raise IntegrityError(f"{path[:200]!r} has {size} bytes, not the {announced} announced")
