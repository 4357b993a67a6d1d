"""The parts of an unfinished multipart upload, with the SHA-256 that the store verified."""

import hashlib
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Lock
from typing import TYPE_CHECKING, Any, cast

from chalicelib.registry import turns
from chalicelib.registry.ports import StoredPart
from chalicelib.storage.headers import bare
from weighbridge.contract.digests import Sha256, from_base64, to_base64

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_HEADS_AT_ONCE = 8
_REMEMBERED = 50_000


def completed(part: StoredPart) -> Any:
    """The part as a completion names it: exactly the tag and the checksum the store reported."""
    sent: dict[str, Any] = {"PartNumber": part.number, "ETag": f'"{part.etag}"'}
    if part.sha256:
        sent["ChecksumSHA256"] = to_base64(Sha256(part.sha256))
    return sent


def send(
    s3: "S3Client", at: Any, upload: str, number: int, data: bytes | bytearray, checked: bool
) -> StoredPart:
    """Sends one part; with `checked` the store compares the SHA-256 of its bytes, and answers it."""
    digest = Sha256(hashlib.sha256(data).hexdigest()) if checked else ""
    sent: Any = {"ChecksumSHA256": to_base64(Sha256(digest))} if digest else {}
    answer = s3.upload_part(
        **at, UploadId=upload, PartNumber=number, Body=cast("bytes", data), **sent
    )
    return StoredPart(number, len(data), bare(answer["ETag"]), digest)


class PartDigests:
    """Adds the digests of parts where a store's list of parts leaves them out.

    S3 lists them. SeaweedFS keeps each part as an object `.uploads/<upload>/<number>_<uuid>.part`
    and answers its checksum there. The name is never used twice, so what was read once is kept.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._known: dict[str, str] = {}

    def complete(
        self, s3: "S3Client", bucket: str, upload: str, listed: Iterable[Any]
    ) -> list[StoredPart]:
        """The listed parts by number; a part whose digest the store does not tell has none.

        Of a part that was sent again SeaweedFS lists both; the newer one counts.
        """
        newest: dict[int, Any] = {}
        for part in sorted(listed, key=lambda part: part["LastModified"]):
            newest[part["PartNumber"]] = part
        hidden: dict[tuple[int, str], str] = {}
        if any(not part.get("ChecksumSHA256") for part in newest.values()):
            hidden = self._hidden(s3, bucket, upload)
        found = []
        for number, part in sorted(newest.items()):
            etag = part["ETag"].strip('"')
            digest = part.get("ChecksumSHA256") or hidden.get((number, etag), "")
            sha256 = from_base64(digest) if digest else ""
            found.append(StoredPart(number, part["Size"], etag, sha256))
        return found

    def _hidden(self, s3: "S3Client", bucket: str, upload: str) -> dict[tuple[int, str], str]:
        prefix = f".uploads/{upload}/"
        pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
        entries = [
            (name, int(number), entry["ETag"].strip('"'))
            for page in pages
            for entry in page.get("Contents", [])
            for name in [entry["Key"]]
            for number in [name.removeprefix(prefix).partition("_")[0]]
            if number.isdigit()
        ]
        digests = self._digests(s3, bucket, [name for name, _, _ in entries])
        return {(number, etag): digests[name] for name, number, etag in entries}

    def _digests(self, s3: "S3Client", bucket: str, names: Sequence[str]) -> dict[str, str]:
        def ask(name: str) -> str:
            answer = s3.head_object(Bucket=bucket, Key=name, ChecksumMode="ENABLED")
            return answer.get("ChecksumSHA256", "")

        with self._lock:
            known = {name: self._known[name] for name in names if name in self._known}
        missing = [name for name in names if name not in known]
        if missing:
            with turns.waiting(), ThreadPoolExecutor(min(_HEADS_AT_ONCE, len(missing))) as pool:
                known |= zip(missing, pool.map(ask, missing), strict=True)
            with self._lock:
                if len(self._known) + len(missing) > _REMEMBERED:
                    self._known.clear()
                self._known |= {name: known[name] for name in missing}
        return known
