"""Reading and checking bytes on their way: each block counts, and the end tells whether they are what
they were said to be."""

import hashlib
from collections.abc import Iterable, Iterator, Sequence

from chalicelib.registry.ports import Blobs
from infra.embedded.backups.vault import BLOCK
from weighbridge.contract import cuts, digests
from weighbridge.contract.errors import IntegrityError

COPIED_PART = 512 * 1024**2
"""The parts of what a store copied by itself, of which there is no list (`storage/s3_copies.py`)."""


def cuts_of(blob: str, listed: Sequence[int]) -> tuple[int, ...]:
    """The sizes of the parts of a blob: from its part list, or, where that is missing, those that such a
    blob has if its cuts are fixed or the store's own. A wrong guess shows when its digest is compared."""
    digest = digests.parse_blob(blob)
    whole, rest = divmod(digest.size, COPIED_PART)
    copied = (COPIED_PART,) * whole + ((rest,) if rest else ())
    fixed = tuple(span.size for span in cuts.cuts(digest.size))
    for sizes in (tuple(listed),) if listed else (copied, fixed):
        if len(sizes) == digest.parts and sum(sizes) == digest.size:
            return sizes
    raise IntegrityError(f"the part list of {blob} is missing, or another's")


def of_object(blobs: Blobs, key: str, size: int, etag: str) -> Iterator[bytes]:
    """An object's bytes, in blocks; `Precondition` if it becomes another meanwhile."""
    for start in range(0, size, BLOCK):
        yield blobs.read(key, start, min(BLOCK, size - start), etag)


class Checker:
    """Takes the bytes of a content in blocks and says at the end whether they were it."""

    def __init__(self, content: str, sizes: Sequence[int]) -> None:
        self._content = content
        self._cuts = list(sizes)
        self._parts: list[digests.Sha256] = []
        self._hash = hashlib.sha256()
        self._left = self._cuts[0] if self._cuts else -1

    def update(self, block: bytes) -> None:
        """The next bytes."""
        view = memoryview(block)
        while self._cuts and view:
            taken = view[: self._left]
            self._hash.update(taken)
            self._left -= len(taken)
            view = view[len(taken) :]
            if not self._left:
                self._next()
        if view:
            self._hash.update(view)

    def _next(self) -> None:
        self._parts.append(digests.Sha256(self._hash.hexdigest()))
        self._hash = hashlib.sha256()
        done = len(self._parts)
        self._left = self._cuts[done] if done < len(self._cuts) else -1
        if self._left < 0:
            self._cuts = []

    def right(self) -> bool:
        """Whether all of it came, and nothing else."""
        if "-" not in self._content:
            return self._hash.hexdigest() == self._content
        digest = digests.parse_blob(self._content)
        whole = not self._cuts and self._hash.hexdigest() == digests.sha256_of(b"")
        return whole and digests.composite(self._parts) == digest.sha256


def checked(
    blocks: Iterable[bytes], content: str, sizes: Sequence[int], what: str
) -> Iterator[bytes]:
    """The same blocks; `IntegrityError` that names `what` at their end if they are not `content`."""
    checker = Checker(content, sizes)
    for block in blocks:
        checker.update(block)
        yield block
    if not checker.right():
        raise IntegrityError(f"{what} is damaged: its bytes are not {content}")


def pieces(blocks: Iterable[bytes], sizes: Sequence[int]) -> Iterator[bytes]:
    """The bytes cut into parts of these sizes."""
    buffer = bytearray()
    following = iter(sizes)
    wanted = next(following, 0)
    for block in blocks:
        buffer += block
        while wanted and len(buffer) >= wanted:
            yield bytes(buffer[:wanted])
            del buffer[:wanted]
            wanted = next(following, 0)
    if buffer:
        yield bytes(buffer)
