"""`Blobs` and `Queue` in memory, for unit tests. They pass the suite that S3 passes.

`execute` is the network: it treats a signed request as S3 would.
"""

import hashlib
import hmac
import re
import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from threading import RLock
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

from chalicelib.registry.ports import (
    Head,
    Listed,
    Precondition,
    Signed,
    SignedForm,
    Stale,
    StoredPart,
)
from chalicelib.storage.headers import disposition
from chalicelib.storage.memory_queue import MemoryQueue
from chalicelib.storage.memory_wire import Answer, Request
from chalicelib.storage.presign import MAX_SECONDS
from weighbridge.contract import digests
from weighbridge.contract.errors import IntegrityError, NotFound, Unavailable

__all__ = ["Answer", "MemoryBlobs", "MemoryQueue"]

MIN_PART = 5 * 1024**2
_RANGE = re.compile(r"bytes=(\d+)-(\d*)\Z")


@dataclass(frozen=True, slots=True)
class _Object:
    data: bytes
    etag: str
    sha256: str
    modified: int
    metadata: Mapping[str, str]
    content_type: str


@dataclass(frozen=True, slots=True)
class _Upload:
    key: str
    started: int
    parts: dict[int, bytes]
    scheme: int = 1


class MemoryBlobs:
    """A bucket in memory, safe to use from threads. Set `available` to False for an outage."""

    verifies_sha256 = True

    def __init__(self, clock: Callable[[], float] = time.time, min_part: int = MIN_PART) -> None:
        self.available = True
        self._clock = clock
        self._min_part = min_part
        self._secret = secrets.token_bytes(32)
        self._lock = RLock()
        self._objects: dict[str, _Object] = {}
        self._multiparts: dict[str, _Upload] = {}

    # Signing

    def sign_put(self, key: str, sha256_base64: str, size: int, seconds: int) -> Signed:
        """A PUT of a new object; the store refuses other bytes (400) and an existing key (412)."""
        headers = {
            "x-amz-checksum-sha256": sha256_base64,
            "content-length": str(size),
            "if-none-match": "*",
        }
        return self._sign("PUT", key, {}, headers, seconds)

    def sign_get(
        self, key: str, seconds: int, filename: str = "", content_type: str = "",
        plain: bool = False,
    ) -> Signed:  # fmt: skip
        """A GET (ranges allowed), answered under that name and as of that type."""
        shown = {"response-content-disposition": disposition(filename, plain)} if filename else {}
        if content_type:
            shown["response-content-type"] = content_type
        return self._sign("GET", key, shown, {}, seconds)

    def sign_post(self, key: str, size: int, seconds: int) -> SignedForm:
        """A form with one file of exactly `size` bytes. To `execute`, it is a POST to its `policy`."""
        signed = self._sign("POST", key, {}, {"content-length": str(size)}, seconds)
        return SignedForm("memory://store/", {"key": key, "policy": signed.url}, signed.expires)

    def sign_part(
        self, key: str, upload: str, number: int, sha256_base64: str, seconds: int
    ) -> Signed:
        """A PUT of one part; the store refuses other bytes."""
        headers = {"x-amz-checksum-sha256": sha256_base64}
        query = {"partNumber": str(number), "uploadId": upload}
        return self._sign("PUT", key, query, headers, seconds)

    def sign_copy(
        self,
        key: str,
        upload: str,
        number: int,
        source: Head,
        start: int,
        length: int,
        seconds: int,
    ) -> Signed:
        """A copy of a range of `source` as one part, only while it still has that ETag."""
        headers = {
            "x-amz-copy-source": quote(source.key),
            "x-amz-copy-source-range": f"bytes={start}-{start + length - 1}",
            "x-amz-copy-source-if-match": f'"{source.etag}"',
        }
        query = {"partNumber": str(number), "uploadId": upload}
        return self._sign("PUT", key, query, headers, seconds)

    def _sign(
        self, method: str, key: str, query: dict[str, str], headers: dict[str, str], seconds: int
    ) -> Signed:
        expires = int(self._clock()) + min(seconds, MAX_SECONDS)
        query = {**query, "expires": str(expires), "signed": ";".join(sorted(headers))}
        query["signature"] = self._signature(method, key, query, headers)
        url = f"memory://store/{quote(key)}?{urlencode(query)}"
        return Signed(method, url, headers, expires)

    def _signature(
        self, method: str, key: str, query: Mapping[str, str], headers: Mapping[str, str]
    ) -> str:
        text = repr((method, key, sorted(query.items()), sorted(headers.items())))
        return hmac.new(self._secret, text.encode(), "sha256").hexdigest()

    def execute(
        self, signed: Request, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> Answer:
        """Sends the request as it is, with `headers` in addition, and answers as S3 would."""
        if not self.available:
            return Answer(503)
        address = urlsplit(signed.url)
        key = unquote(address.path.removeprefix("/"))
        query = dict(parse_qsl(address.query, keep_blank_values=True))
        given = query.pop("signature", "")
        sent = {name.lower(): value for name, value in signed.headers.items()}
        sent |= {name.lower(): value for name, value in (headers or {}).items()}
        # Whatever a client claims, the bytes on the wire are as many as they are.
        actual = sent | {"content-length": str(len(body))}
        names = [name for name in query.get("signed", "").split(";") if name]
        carried = {name: actual.get(name, "") for name in names}
        expected = self._signature(signed.method, key, query, carried)
        if not hmac.compare_digest(given, expected) or self._clock() >= int(query["expires"]):
            return Answer(403)
        with self._lock:
            if signed.method == "GET":
                return self._answer_get(key, query, sent.get("range", ""))
            return self._answer_put(key, query, body, sent)

    def _answer_get(self, key: str, query: Mapping[str, str], wanted: str) -> Answer:
        found = self._objects.get(key)
        if found is None:
            return Answer(404)
        data = found.data
        headers = {"etag": f'"{found.etag}"', "content-type": found.content_type}
        if kind := query.get("response-content-type"):
            headers["content-type"] = kind
        if shown := query.get("response-content-disposition"):
            headers["content-disposition"] = shown
        match = _RANGE.match(wanted)
        if not match:
            return Answer(200, headers | {"content-length": str(len(data))}, data)
        start, last = int(match[1]), int(match[2] or len(data))
        if start >= len(data):
            return Answer(416)
        piece = data[start : last + 1]
        headers["content-range"] = f"bytes {start}-{start + len(piece) - 1}/{len(data)}"
        return Answer(206, headers | {"content-length": str(len(piece))}, piece)

    def _answer_put(
        self, key: str, query: Mapping[str, str], body: bytes, sent: Mapping[str, str]
    ) -> Answer:
        upload = query.get("uploadId")
        if upload and upload not in self._multiparts:
            return Answer(404)
        if not upload and key in self._objects and sent.get("if-none-match") == "*":
            return Answer(412)
        copied = "x-amz-copy-source" in sent
        if copied:
            source = self._objects.get(unquote(sent["x-amz-copy-source"]))
            if source is None:
                return Answer(404)
            if sent["x-amz-copy-source-if-match"].strip('"') != source.etag:
                return Answer(412)
            span = _RANGE.match(sent["x-amz-copy-source-range"])
            body = source.data[int(span[1]) : int(span[2]) + 1] if span else b""
        digest = digests.to_base64(digests.sha256_of(body))
        if sent.get("x-amz-checksum-sha256", digest) != digest:
            return Answer(400)
        if upload:
            self._multiparts[upload].parts[int(query["partNumber"])] = bytes(body)
            etag = _md5(body)
        else:
            etag = self._store(key, body)
        if copied:
            answer = (
                f'<CopyPartResult><ETag>"{etag}"</ETag>'
                f"<ChecksumSHA256>{digest}</ChecksumSHA256></CopyPartResult>"
            )
            return Answer(200, {}, answer.encode())
        return Answer(200, {"etag": f'"{etag}"', "x-amz-checksum-sha256": digest})

    # Multipart uploads

    def create_multipart(self, key: str, scheme: int = 1) -> str:
        """Starts a multipart upload with SHA-256 checksums; answers its id."""
        with self._reachable():
            upload = secrets.token_hex(16)
            self._multiparts[upload] = _Upload(key, int(self._clock()), {}, scheme)
            return upload

    def put_part(self, key: str, upload: str, number: int, data: bytes | bytearray) -> StoredPart:
        """Sends one part ourselves."""
        with self._reachable():
            self._unfinished(key, upload).parts[number] = bytes(data)
            return StoredPart(number, len(data), _md5(data), digests.sha256_of(bytes(data)))

    def parts(self, key: str, upload: str) -> list[StoredPart]:
        """The parts the store holds, by number. `NotFound` if the upload is gone."""
        with self._reachable():
            return [
                StoredPart(number, len(data), _md5(data), digests.sha256_of(data))
                for number, data in sorted(self._unfinished(key, upload).parts.items())
            ]

    def complete_multipart(self, key: str, upload: str, parts: Sequence[StoredPart]) -> None:
        """Joins the parts. A repeat after success changes nothing and raises `NotFound`.

        `IntegrityError` if the store holds other parts than these.
        """
        with self._reachable():
            held = {part.number: part for part in self.parts(key, upload)}
            numbers = [part.number for part in parts]
            if not parts or numbers != sorted(set(numbers)):
                raise IntegrityError("the parts are not in order")
            if any(held.get(part.number) != part for part in parts):
                raise IntegrityError("the store holds other parts")
            if any(part.size < self._min_part for part in parts[:-1]):
                raise IntegrityError("only the last part may be small")
            scheme = self._multiparts[upload].scheme
            stored = self._multiparts.pop(upload).parts
            bodies = [stored[number] for number in numbers]
            tags = b"".join(bytes.fromhex(part.etag) for part in parts)
            checksum = digests.composite(digests.Sha256(part.sha256) for part in parts)
            self._objects[key] = _Object(
                b"".join(bodies),
                f"{_md5(tags)}-{len(parts)}",
                f"{digests.to_base64(checksum)}-{len(parts)}",
                int(self._clock()),
                {"scheme": str(scheme)},
                "application/octet-stream",
            )

    def abort_multipart(self, key: str, upload: str) -> None:
        """Frees the parts; an absent upload is no error."""
        with self._reachable():
            self._multiparts.pop(upload, None)

    def stale_multiparts(self, prefix: str, before: int) -> Iterator[Stale]:
        """Unfinished uploads under `prefix` that started before `before` (epoch seconds)."""
        with self._reachable():
            found = [
                Stale(entry.key, upload, entry.started)
                for upload, entry in self._multiparts.items()
                if entry.key.startswith(prefix) and entry.started < before
            ]
        yield from found

    def _unfinished(self, key: str, upload: str) -> _Upload:
        found = self._multiparts.get(upload)
        if found is None or found.key != key:
            raise NotFound(f"the store has no upload of {key!r}")
        return found

    # Objects

    def head(self, key: str) -> Head:
        """What the store says of the object, checksum included."""
        with self._reachable():
            found = self._found(key)
            size = len(found.data)
            return Head(key, size, found.etag, found.sha256, found.modified, dict(found.metadata))

    def read(self, key: str, start: int = 0, length: int | None = None, etag: str = "") -> bytes:
        """A range of the object's bytes, cut at its end, as slicing does.

        With `etag`, `Precondition` if it is another object.
        """
        with self._reachable():
            found = self._found(key)
            if etag and etag != found.etag:
                raise Precondition(f"the store refused the condition on {key!r}")
            return found.data[start : None if length is None else start + length]

    def put(
        self,
        key: str,
        data: bytes | bytearray,
        content_type: str = "application/octet-stream",
        metadata: Mapping[str, str] | None = None,
        if_absent: bool = False,
        if_match: str = "",
        cache: str = "",
    ) -> str:
        """Stores a small object of our own (manifests, pages); answers its ETag."""
        with self._reachable():
            found = self._objects.get(key)
            if (if_absent and found) or (if_match and (not found or found.etag != if_match)):
                raise Precondition(f"the store refused the condition on {key!r}")
            return self._store(key, data, content_type, metadata)

    def adopt(self, source: str, etag: str, target: str) -> Head:
        """Copies inside the store, with a SHA-256 the store computes, only if `source` still has
        `etag` (else `Precondition`), to a key never used before; answers the copy's head."""
        with self._reachable():
            found = self._found(source)
            if found.etag != etag:
                raise Precondition(f"the store refused the condition on {source!r}")
            self._store(target, found.data)
            return self.head(target)

    def list(self, prefix: str, after: str = "", limit: int = 1000) -> Listed:
        """Objects under `prefix` in key order, after the key `after`."""
        with self._reachable():
            last = after.encode()
            under = [k for k in self._objects if k.startswith(prefix) and k.encode() > last]
            found = sorted(under, key=str.encode)
            heads = (self._objects[key] for key in found[:limit])
            page = tuple(
                Head(key, len(entry.data), entry.etag, modified=entry.modified)
                for key, entry in zip(found, heads, strict=False)
            )
            return Listed(page, page[-1].key if len(found) > len(page) > 0 else None)

    def delete(self, keys: Sequence[str]) -> None:
        """Removes objects; absent ones are no error."""
        with self._reachable():
            for key in keys:
                self._objects.pop(key, None)

    def ping(self) -> None:
        """Raises `Unavailable` when the store does not answer."""
        with self._reachable():
            pass

    def _reachable(self) -> RLock:
        """The lock, unless the store is down."""
        if not self.available:
            raise Unavailable("the object store did not answer")
        return self._lock

    def _found(self, key: str) -> _Object:
        found = self._objects.get(key)
        if found is None:
            raise NotFound(f"the store has no object {key!r}")
        return found

    def _store(
        self,
        key: str,
        data: bytes | bytearray,
        content_type: str = "application/octet-stream",
        metadata: Mapping[str, str] | None = None,
    ) -> str:
        etag = _md5(data)
        checksum = digests.to_base64(digests.sha256_of(data))
        self._objects[key] = _Object(
            bytes(data), etag, checksum, int(self._clock()), dict(metadata or {}), content_type
        )
        return etag


def _md5(data: bytes | bytearray) -> str:
    return hashlib.md5(data, usedforsecurity=False).hexdigest()
