"""`Blobs` on S3 and on stores that speak it. Entity tags are given and taken without quotes.

Stores differ from S3 in two places, each with its own module: the digests of unfinished parts
(`s3_parts.py`) and the SHA-256 of a copy (`s3_copies.py`).
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from threading import Lock
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import quote

from chalicelib.registry.ports import Head, Listed, Precondition, Signed, Stale, StoredPart
from chalicelib.storage import s3_copies, s3_parts
from chalicelib.storage.headers import bare, disposition, quoted
from chalicelib.storage.presign import Presigner
from chalicelib.storage.s3_client import (
    COPY_SECONDS,
    Access,
    connect,
    error_code,
    key_source,
    translated,
)
from weighbridge.contract.digests import Sha256, to_base64
from weighbridge.contract.errors import Unavailable

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_DELETE_AT_ONCE = 1000


class S3Blobs:
    """One bucket of S3, or of a store that speaks S3 at `endpoint`.

    URLs are signed for `public_endpoint` where clients reach the store by another address. Keys
    get `prefix` in front, and lose it again in every answer.
    """

    def __init__(
        self,
        bucket: str,
        region: str,
        endpoint: str = "",
        public_endpoint: str = "",
        access_key: str = "",
        secret_key: str = "",
        ca_file: str = "",
        prefix: str = "",
        verifies_sha256: bool = True,
        session_token: str = "",
        addressing: str = "",
    ) -> None:
        self.verifies_sha256 = verifies_sha256
        self._bucket = bucket
        self._prefix = prefix
        self._access = Access(
            region, endpoint, access_key, secret_key, ca_file,
            session_token=session_token, addressing=addressing,
        )  # fmt: skip
        self._public = replace(self._access, endpoint=public_endpoint or endpoint)
        self._patient = replace(self._access, read_seconds=COPY_SECONDS)
        self._lock = Lock()
        self._connected: dict[Access, S3Client] = {}
        self._signing: Presigner | None = None
        self._part_digests = s3_parts.PartDigests()
        self._copies = s3_copies.Copies()

    # Signing

    def sign_put(self, key: str, sha256_base64: str, size: int, seconds: int) -> Signed:
        """A PUT of a new object; the store refuses other bytes (400) and an existing key (412)."""
        carried = {
            "x-amz-checksum-sha256": sha256_base64,
            "content-length": str(size),
            "if-none-match": "*",
        }
        return self._sign("PUT", key, {}, carried, seconds)

    def sign_get(
        self,
        key: str,
        seconds: int,
        filename: str = "",
        plain: bool = False,
        content_type: str = "",
    ) -> Signed:
        """A GET (ranges allowed), answered under that filename and type."""
        query = {"response-content-disposition": disposition(filename, plain)} if filename else {}
        if content_type:
            query["response-content-type"] = content_type
        return self._sign("GET", key, query, {}, seconds)

    def sign_part(
        self, key: str, upload: str, number: int, sha256_base64: str, seconds: int
    ) -> Signed:
        """A PUT of one part; the store refuses other bytes."""
        query = {"uploadId": upload, "partNumber": str(number)}
        carried = {"x-amz-checksum-sha256": sha256_base64}
        return self._sign("PUT", key, query, carried, seconds)

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
        query = {"uploadId": upload, "partNumber": str(number)}
        carried = {
            "x-amz-copy-source": f"{self._bucket}/{quote(self._prefix + source.key, safe='/~')}",
            "x-amz-copy-source-range": f"bytes={start}-{start + length - 1}",
            "x-amz-copy-source-if-match": quoted(source.etag),
        }
        return self._sign("PUT", key, query, carried, seconds)

    def _sign(
        self,
        method: str,
        key: str,
        query: dict[str, str],
        carried: dict[str, str],
        seconds: int,
    ) -> Signed:
        return self._presigner().sign(method, self._prefix + key, query, carried, seconds)

    def _presigner(self) -> Presigner:
        if self._signing is None:
            # botocore knows where buckets are, in every partition of AWS: it is asked once.
            url = self._client(self._public).generate_presigned_url(
                "get_object", Params={"Bucket": self._bucket, "Key": "k"}
            )
            base = url.partition("?")[0].removesuffix("/k")
            self._signing = Presigner(base, self._access.region, key_source(self._access))
        return self._signing

    # Multipart uploads

    def create_multipart(self, key: str, scheme: int = 1) -> str:
        """Starts a multipart upload, with SHA-256 checksums where the store has them; its id."""
        checked: Any = {"ChecksumAlgorithm": "SHA256"} if self.verifies_sha256 else {}
        with translated(f"upload of {key!r}"):
            return self._s3.create_multipart_upload(
                **self._at(key),
                **checked,
                ContentType="application/octet-stream",
                Metadata={"scheme": str(scheme)},
            )["UploadId"]

    def put_part(self, key: str, upload: str, number: int, data: bytes | bytearray) -> StoredPart:
        """Sends one part ourselves, verified by the store where it can."""
        digest = Sha256(hashlib.sha256(data).hexdigest()) if self.verifies_sha256 else ""
        sent: Any = {"ChecksumSHA256": to_base64(Sha256(digest))} if digest else {}
        with translated(f"upload of {key!r}"):
            answer = self._s3.upload_part(
                **self._at(key),
                UploadId=upload,
                PartNumber=number,
                Body=cast("bytes", data),
                **sent,
            )
        return StoredPart(number, len(data), bare(answer["ETag"]), digest)

    def parts(self, key: str, upload: str) -> list[StoredPart]:
        """The parts the store holds, by number. `NotFound` if the upload is gone."""
        with translated(f"upload of {key!r}"):
            pages = self._s3.get_paginator("list_parts").paginate(**self._at(key), UploadId=upload)
            listed = [part for page in pages for part in page.get("Parts", [])]
            return self._part_digests.complete(self._s3, self._bucket, upload, listed)

    def complete_multipart(self, key: str, upload: str, parts: Sequence[StoredPart]) -> None:
        """Joins the parts. A repeat after success changes nothing; it may raise `NotFound`.

        `IntegrityError` if the store holds other parts than these.
        """
        sent = [s3_parts.completed(part) for part in parts]
        with translated(f"upload of {key!r}"):
            self._s3.complete_multipart_upload(
                **self._at(key), UploadId=upload, MultipartUpload={"Parts": sent}
            )

    def abort_multipart(self, key: str, upload: str) -> None:
        """Frees the parts; an absent upload is no error."""
        with translated(f"upload of {key!r}"):
            try:
                self._s3.abort_multipart_upload(**self._at(key), UploadId=upload)
            except self._s3.exceptions.ClientError as error:
                if error_code(error) != "NoSuchUpload":
                    raise

    def stale_multiparts(self, prefix: str, before: int) -> Iterator[Stale]:
        """Unfinished uploads under `prefix` that started before `before` (epoch seconds)."""
        for upload in self._uploads(prefix):
            started = int(upload["Initiated"].timestamp())
            if started < before:
                yield Stale(self._bare(upload["Key"]), upload["UploadId"], started)

    def _uploads(self, prefix: str) -> Iterator[Any]:
        where: dict[str, Any] = {"Bucket": self._bucket, "Prefix": self._prefix + prefix}
        while True:
            with translated(f"uploads under {prefix!r}"):
                page = self._s3.list_multipart_uploads(**where)
            yield from page.get("Uploads", [])
            # Exactly the marks that the store gave: SeaweedFS orders by id alone, gives no key
            # mark, and skips uploads when it is sent one.
            marks = {
                name: page[f"Next{name}"]  # type: ignore[literal-required]
                for name in ("KeyMarker", "UploadIdMarker")
                if page.get(f"Next{name}")
            }
            if not page.get("IsTruncated") or not marks:
                return
            where |= marks

    # Objects

    def head(self, key: str) -> Head:
        """What the store says of the object, checksum included."""
        with translated(f"object {key!r}"):
            answer = self._s3.head_object(**self._at(key), ChecksumMode="ENABLED")
        checksum = answer.get("ChecksumSHA256", "")
        sha256, metadata = s3_copies.told(checksum, answer.get("Metadata", {}))
        modified = int(answer["LastModified"].timestamp())
        return Head(key, answer["ContentLength"], bare(answer["ETag"]), sha256, modified, metadata)

    def read(self, key: str, start: int = 0, length: int | None = None, etag: str = "") -> bytes:
        """A range of the object's bytes, cut at its end, as slicing does.

        With `etag`, `Precondition` if it is another object.
        """
        extra: dict[str, Any] = {"IfMatch": quoted(etag)} if etag else {}
        last = "" if length is None else str(max(start + length - 1, start))
        if start or length is not None:
            extra["Range"] = f"bytes={start}-{last}"
        with translated(f"object {key!r}"):
            try:
                # As a context manager it would give urllib3's stream, with urllib3's errors.
                with closing(self._s3.get_object(**self._at(key), **extra)["Body"]) as body:
                    data = body.read()
            except self._s3.exceptions.ClientError as error:
                if error_code(error) == "InvalidRange":
                    return b""
                raise
        return data if length is None else data[:length]

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
        """Stores a small object of our own (manifests, pages); answers its ETag.

        `Precondition` can also mean that the first answer was lost and the repeat met its own
        object: look with `head` where that matters.
        """
        digest = Sha256(hashlib.sha256(data).hexdigest())
        extra: dict[str, Any] = (
            {"ChecksumSHA256": to_base64(digest)} if self.verifies_sha256 else {}
        )
        if metadata:
            extra["Metadata"] = dict(metadata)
        if if_absent:
            extra["IfNoneMatch"] = "*"
        if if_match:
            extra["IfMatch"] = quoted(if_match)
        if cache:
            extra["CacheControl"] = cache
        with translated(f"object {key!r}"):
            try:
                answer = self._s3.put_object(
                    **self._at(key), Body=cast("bytes", data), ContentType=content_type, **extra
                )
            except self._s3.exceptions.ClientError as error:
                if if_match and error_code(error) == "NoSuchKey":
                    raise Precondition(f"the store has no object {key!r} to replace") from error
                raise
        return bare(answer["ETag"])

    def adopt(self, source: str, etag: str, target: str) -> Head:
        """Copies inside the store, with a SHA-256 the store computes, only if `source` still has
        `etag` (else `Precondition`), to a key never used before; answers the copy's head.

        Its `sha256` is that of the whole object up to 5 GiB, a composite above.
        """
        with translated(f"object {source!r}"):
            digest = self._copies.copy(
                self._client(self._patient),
                self._bucket,
                self._prefix + source,
                etag,
                self._prefix + target,
            )
        head = self.head(target)
        return Head(target, head.size, head.etag, digest, head.modified, head.metadata)

    def list(self, prefix: str, after: str = "", limit: int = 1000) -> Listed:
        """Objects under `prefix` after the key `after`, in the store's order.

        S3 orders by the bytes of the keys. SeaweedFS goes folder by folder, and sorts a folder by
        its name without the slash: `a/x` stands before `a-b` there.
        """
        extra: dict[str, Any] = {"StartAfter": self._prefix + after} if after else {}
        with translated(f"list of {prefix!r}"):
            page = self._s3.list_objects_v2(
                Bucket=self._bucket, Prefix=self._prefix + prefix, MaxKeys=limit, **extra
            )
        heads = tuple(
            Head(
                self._bare(found["Key"]),
                found["Size"],
                bare(found["ETag"]),
                modified=int(found["LastModified"].timestamp()),
            )
            for found in page.get("Contents", [])
        )
        return Listed(heads, heads[-1].key if page["IsTruncated"] and heads else None)

    def delete(self, keys: Sequence[str]) -> None:
        """Removes objects; absent ones are no error."""
        for start in range(0, len(keys), _DELETE_AT_ONCE):
            names: list[Any] = [
                {"Key": self._prefix + key} for key in keys[start : start + _DELETE_AT_ONCE]
            ]
            with translated("objects to delete"):
                answer = self._s3.delete_objects(
                    Bucket=self._bucket, Delete={"Objects": names, "Quiet": True}
                )
            for failed in answer.get("Errors", []):
                if failed.get("Code") != "NoSuchKey":
                    raise Unavailable(
                        f"the object store kept {failed.get('Key')!r}: {failed.get('Code')}"
                    )

    # The bucket

    def ping(self) -> None:
        """Raises `Unavailable` when the store does not answer."""
        with translated(f"bucket {self._bucket!r}"):
            self._s3.head_bucket(Bucket=self._bucket)

    def ensure_bucket(self, origins: Sequence[str] = ()) -> None:
        """Makes the bucket if it is not there; lets pages of `origins` read what was signed."""
        region: Any = self._access.region
        place: dict[str, Any] = (
            {}
            if region == "us-east-1"
            else {"CreateBucketConfiguration": {"LocationConstraint": region}}
        )
        with translated(f"bucket {self._bucket!r}"):
            try:
                self._s3.create_bucket(Bucket=self._bucket, **place)
            except self._s3.exceptions.ClientError as error:
                if error_code(error) != "BucketAlreadyOwnedByYou":
                    raise
            if origins:
                rule: Any = {
                    "AllowedOrigins": list(origins),
                    "AllowedMethods": ["GET", "HEAD"],
                    "AllowedHeaders": ["Range", "If-Match", "If-Range"],
                    "ExposeHeaders": ["ETag", "Content-Range", "x-amz-checksum-sha256"],
                    "MaxAgeSeconds": 3600,
                }
                self._s3.put_bucket_cors(
                    Bucket=self._bucket, CORSConfiguration={"CORSRules": [rule]}
                )

    def close(self) -> None:
        """Closes the connections; the object can be used again and opens new ones."""
        with self._lock:
            clients, self._connected = list(self._connected.values()), {}
        for client in clients:
            client.close()

    @property
    def _s3(self) -> "S3Client":
        return self._client(self._access)

    def _client(self, access: Access) -> "S3Client":
        with self._lock:
            if access not in self._connected:
                self._connected[access] = connect(access)
            return self._connected[access]

    def _at(self, key: str) -> Any:
        return {"Bucket": self._bucket, "Key": self._prefix + key}

    def _bare(self, key: str) -> str:
        return key.removeprefix(self._prefix)
