"""Copies inside the store that come with a SHA-256 of the bytes that were really copied."""

import base64
import contextlib
import hashlib
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

GIB = 1024**3
LARGEST_COPY = 5 * GIB
"""What S3 copies in one request."""
PART = GIB // 2
"""10,000 of these are S3's largest object."""
_READ = 8 * 1024**2
_AT_ONCE = 8
_EMPTY = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="
_WHOLE = "whole-sha256"
_TYPE = "application/octet-stream"


class Copies:
    """Copies objects, and remembers whether this store hashes what it copies.

    A digest counts only if the copy itself answered it: SeaweedFS answers none to CopyObject and
    hands on what the source's writer had declared. It does hash what it copies as a part, so there
    the object becomes a multipart upload of one part, whose digest is that of the whole object, and
    is kept in the object's metadata (`told`).
    """

    def __init__(self) -> None:
        self._hashes = True

    def copy(self, s3: "S3Client", bucket: str, source: str, etag: str, target: str) -> str:
        """Copies `source` if it still has `etag`; answers the copy's SHA-256 as S3 writes it."""
        condition = f'"{etag}"'
        size = s3.head_object(Bucket=bucket, Key=source, IfMatch=condition)["ContentLength"]
        if not size:
            s3.put_object(Bucket=bucket, Key=target, ChecksumSHA256=_EMPTY, ContentType=_TYPE)
            return _EMPTY
        if size <= LARGEST_COPY and self._hashes:
            # The metadata of the source is its writer's; nothing of it is taken over.
            result = s3.copy_object(
                Bucket=bucket,
                Key=target,
                CopySource={"Bucket": bucket, "Key": source},
                CopySourceIfMatch=condition,
                ChecksumAlgorithm="SHA256",
                MetadataDirective="REPLACE",
                ContentType=_TYPE,
            )["CopyObjectResult"]
            digest = result.get("ChecksumSHA256", "")
            if digest and "-" not in digest:
                return digest
            self._hashes = False
        return _copy_parts(s3, bucket, source, condition, target, size)


def _copy_parts(
    s3: "S3Client", bucket: str, source: str, condition: str, target: str, size: int
) -> str:
    step = size if size <= LARGEST_COPY else PART
    upload = s3.create_multipart_upload(
        Bucket=bucket, Key=target, ChecksumAlgorithm="SHA256", ContentType=_TYPE
    )["UploadId"]

    def copy_part(start: int) -> Any:
        return s3.upload_part_copy(
            Bucket=bucket,
            Key=target,
            UploadId=upload,
            PartNumber=start // step + 1,
            CopySource={"Bucket": bucket, "Key": source},
            CopySourceIfMatch=condition,
            CopySourceRange=f"bytes={start}-{min(start + step, size) - 1}",
        )["CopyPartResult"]

    try:
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            answers = list(pool.map(copy_part, range(0, size, step)))
        done = s3.complete_multipart_upload(
            Bucket=bucket,
            Key=target,
            UploadId=upload,
            MultipartUpload={"Parts": [_named(n, a) for n, a in enumerate(answers, 1)]},
        )
    except BaseException:
        with contextlib.suppress(Exception):
            s3.abort_multipart_upload(Bucket=bucket, Key=target, UploadId=upload)
        raise
    digest = answers[0].get("ChecksumSHA256") if len(answers) == 1 else done.get("ChecksumSHA256")
    digest = digest or _hashed(s3, bucket, target, size)
    if "-" not in digest:
        s3.copy_object(
            Bucket=bucket,
            Key=target,
            CopySource={"Bucket": bucket, "Key": target},
            MetadataDirective="REPLACE",
            Metadata={_WHOLE: digest},
            ContentType=_TYPE,
        )
    return digest


def told(checksum: str, metadata: dict[str, str]) -> tuple[str, dict[str, str]]:
    """The SHA-256 of an object from what its head says, and the metadata that is not ours.

    The store's checksum of an object of one part is the hash of that part's hash. So a note that
    matches it can only be the true digest, whoever wrote it; any other note is worth nothing.
    """
    others = {name: value for name, value in metadata.items() if name != _WHOLE}
    with contextlib.suppress(KeyError, ValueError):
        raw = base64.b64decode(metadata[_WHOLE], validate=True)
        twice = base64.b64encode(hashlib.sha256(raw).digest()).decode("ascii")
        if len(raw) == hashlib.sha256().digest_size and checksum == f"{twice}-1":
            return metadata[_WHOLE], others
    return checksum, others


def _named(number: int, answer: Any) -> Any:
    part = {"PartNumber": number, "ETag": answer["ETag"]}
    if answer.get("ChecksumSHA256"):
        part["ChecksumSHA256"] = answer["ChecksumSHA256"]
    return part


def _hashed(s3: "S3Client", bucket: str, key: str, size: int) -> str:
    """For a store that hashes nothing: we read the copy, which nobody else can write."""
    digest = hashlib.sha256()
    for start in range(0, size, _READ):
        last = min(start + _READ, size) - 1
        answer = s3.get_object(Bucket=bucket, Key=key, Range=f"bytes={start}-{last}")
        with contextlib.closing(answer["Body"]) as body:
            digest.update(body.read())
    return base64.b64encode(digest.digest()).decode("ascii")
