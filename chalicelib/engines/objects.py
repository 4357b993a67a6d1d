"""A second store that speaks S3: Tencent's COS, or any other bucket."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from botocore.exceptions import BotoCoreError, ClientError

from chalicelib.archives import streams
from chalicelib.engines import addresses
from chalicelib.engines.addresses import Address
from chalicelib.engines.ports import Place, Source
from chalicelib.storage.s3 import S3Blobs
from weighbridge.contract.errors import (
    AlreadyExists,
    Forbidden,
    InvalidRequest,
    NotFound,
    Unavailable,
)

_REFUSED = frozenset({
    "AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "AuthFailure", "403", "401",
    "ExpiredToken", "InvalidToken", "Forbidden",
})  # fmt: skip


class ObjectEngine:
    """Archives as objects. One becomes visible when its upload is completed, and not before."""

    def __init__(self, address: Address, secrets: Mapping[str, str]) -> None:
        told = address.options
        self._where = address.where
        tencent = address.storage == "tencent_cos"
        try:
            self._blobs = S3Blobs(
                str(told["Bucket" if tencent else "bucket"]),
                str(told["Region" if tencent else "region"]),
                addresses.endpoint(address),
                access_key=secrets.get("SecretId" if tencent else "access_key", ""),
                secret_key=secrets.get("SecretKey" if tencent else "secret_key", ""),
                session_token=secrets.get("Token" if tencent else "session_token", ""),
                prefix=str(told.get("prefix", "")),
                addressing=str(told["Addressing" if tencent else "addressing"]),
                # Not every store that speaks S3 knows its checksums; the archive's own are checked.
                verifies_sha256=False,
            )
        except ValueError as error:
            raise InvalidRequest(f"{self._where}: {error}") from None

    def exists(self, place: Place) -> bool:
        """Whether the object is there."""
        with self._translated():
            try:
                self._blobs.head(place.object_key)
            except NotFound:
                self._blobs.ping()
                return False
        return True

    def put(self, place: Place, source: Source, *, force: bool = False) -> None:
        """Uploads in parts; an upload that breaks off is given up."""
        if not force and self.exists(place):
            raise AlreadyExists(
                f"the store has an archive of {place} already; force_update replaces it"
            )
        with self._translated(), streams.ObjectWriter(self._blobs, place.object_key) as writer:
            for block in source.blocks():
                writer.write(block)

    def get(self, place: Place) -> Iterator[bytes]:
        """Reads by ranges."""
        with self._translated():
            try:
                size = self._blobs.head(place.object_key).size
            except NotFound:
                self._blobs.ping()
                raise NotFound(f"the store has no archive of {place}") from None
        return self._blocks(place.object_key, size)

    def _blocks(self, key: str, size: int) -> Iterator[bytes]:
        with self._translated():
            yield from streams.read(self._blobs, streams.spans(key, size))

    def delete(self, place: Place) -> bool:
        """Removes the object."""
        if not self.exists(place):
            return False
        with self._translated():
            self._blobs.delete([place.object_key])
        return True

    def close(self) -> None:
        """Ends the connections."""
        self._blobs.close()

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except Unavailable as error:
            raise Unavailable(f"{self._where}: {error.message}", retry=False) from None
        except ClientError as error:
            code = str(error.response.get("Error", {}).get("Code", ""))
            if code in _REFUSED:
                raise Forbidden(
                    f"{self._where} refused the keys, or what they ask for: {code}"
                ) from None
            raise Unavailable(f"{self._where} failed: {code}", retry=False) from None
        except BotoCoreError as error:
            raise Unavailable(f"{self._where}: {type(error).__name__}", retry=False) from None
