"""Digests and blob ids. A blob id is a digest that the object store itself verified.

| kind | form | verified by the store as |
|---|---|---|
| single | `s-<sha256 hex>-<size>` | the SHA-256 of one PUT |
| composite | `c1-<sha256 hex>-<parts>-<size>` | the SHA-256 over the parts' SHA-256, of a multipart upload |

`1` is the version of the cut scheme: the same bytes cut differently have another blob id
(docs/decisions/0003-blob-identity.md).
"""

import base64
import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import NewType

from weighbridge.contract.errors import InvalidRequest

BlobId = NewType("BlobId", str)
Sha256 = NewType("Sha256", str)
"""A SHA-256 as 64 lower-case hexadecimal digits."""

CUT_SCHEME = 1
_HEX = re.compile(r"[0-9a-f]{64}\Z")
_SINGLE = re.compile(r"s-([0-9a-f]{64})-(0|[1-9][0-9]{0,12})\Z")
_COMPOSITE = re.compile(
    r"c([1-9][0-9]{0,2})-([0-9a-f]{64})-([1-9][0-9]{0,4})-(0|[1-9][0-9]{0,12})\Z"
)
_LONGEST = 100
"""No blob id has as many characters; what a stranger sends may have, and is not remembered."""


@dataclass(frozen=True, slots=True)
class BlobDigest:
    """A blob id, taken apart. `parts` is 0 for a single PUT."""

    sha256: Sha256
    size: int
    parts: int = 0
    scheme: int = 0

    @property
    def checksum(self) -> str:
        """The value of S3's `x-amz-checksum-sha256` header of the whole object."""
        text = to_base64(self.sha256)
        return f"{text}-{self.parts}" if self.parts else text


def sha256(text: object) -> Sha256:
    """`text` as a SHA-256, or `InvalidRequest`."""
    if not isinstance(text, str) or not _HEX.match(text):
        raise InvalidRequest(f"{str(text)[:80]!r} is no SHA-256: 64 lower-case hex digits")
    return Sha256(text)


def sha256_of(data: bytes | bytearray) -> Sha256:
    """The SHA-256 of `data`."""
    return Sha256(hashlib.sha256(data).hexdigest())


def to_base64(digest: Sha256) -> str:
    """The form S3's headers carry."""
    return base64.b64encode(bytes.fromhex(digest)).decode("ascii")


def from_base64(text: str) -> Sha256:
    """The reverse of `to_base64`."""
    return Sha256(base64.b64decode(text, validate=True).hex())


def composite(part_digests: Iterable[Sha256]) -> Sha256:
    """S3's composite checksum: the SHA-256 over the concatenated binary digests of the parts."""
    return sha256_of(b"".join(bytes.fromhex(digest) for digest in part_digests))


def single_blob(digest: Sha256, size: int) -> BlobId:
    """The id of a blob stored by one PUT."""
    return BlobId(f"s-{digest}-{size}")


def composite_blob(digest: Sha256, parts: int, size: int, scheme: int = CUT_SCHEME) -> BlobId:
    """The id of a blob stored by a multipart upload of `parts` parts."""
    return BlobId(f"c{scheme}-{digest}-{parts}-{size}")


def parse_blob(text: object) -> BlobDigest:
    """A blob id taken apart, or `InvalidRequest`."""
    if isinstance(text, str) and len(text) <= _LONGEST and (found := _parsed(text)) is not None:
        return found
    raise InvalidRequest(f"{str(text)[:100]!r} is no blob id")


@lru_cache(4096)  # a push of many files names each of them again and again
def _parsed(text: str) -> BlobDigest | None:
    if match := _SINGLE.match(text):
        return BlobDigest(Sha256(match[1]), int(match[2]))
    if match := _COMPOSITE.match(text):
        return BlobDigest(Sha256(match[2]), int(match[4]), int(match[3]), int(match[1]))
    return None


def blob_from_checksum(checksum: str, size: int, scheme: int = CUT_SCHEME) -> BlobId:
    """The blob id of an object, from the checksum that the store reports for it."""
    text, dash, parts = checksum.partition("-")
    if dash:
        return composite_blob(from_base64(text), int(parts), size, scheme)
    return single_blob(from_base64(text), size)
