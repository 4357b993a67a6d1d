"""Where backups are kept: a folder, or a prefix of a bucket. Every object is written once, under a name
that says what is in it, and is there as a whole or not at all."""

import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

from chalicelib.registry.ports import Blobs
from weighbridge.contract.errors import InvalidRequest, NotFound, Unavailable

BLOCK = 8 * 1024**2
_PART = 64 * 1024**2
_WHOLE = 16 * 1024**2


class Vault(Protocol):
    """What backup and restore need of the place."""

    def size(self, name: str) -> int | None:
        """The size of an object; None if it is not there."""

    def write(self, name: str, blocks: Iterable[bytes]) -> None:
        """Stores an object, replacing one of that name."""

    def read(self, name: str) -> Iterator[bytes]:
        """An object's bytes, in blocks. `NotFound` if it is not there."""

    def names(self, prefix: str) -> list[str]:
        """The names below a prefix, in order."""


def opened(text: str, *, create: bool) -> Vault:
    """The vault that `text` names: a folder, or `s3://BUCKET/PREFIX` with the usual AWS credentials
    (`AWS_ENDPOINT_URL_S3` for another store)."""
    if "://" not in text:
        return Folder(Path(text).expanduser().absolute(), create=create)
    target = urlsplit(text)
    if target.scheme != "s3" or not target.netloc or target.query or target.fragment:
        raise InvalidRequest(
            f"{text!r} is no place for backups: name a folder, or s3://BUCKET/PREFIX"
        )
    from chalicelib.storage.s3 import S3Blobs

    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL", "")
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or "us-east-1"
    prefix = target.path.strip("/")
    return Bucket(
        S3Blobs(
            target.netloc, region, endpoint,
            access_key=os.environ.get("AWS_ACCESS_KEY_ID", "") if endpoint else "",
            secret_key=os.environ.get("AWS_SECRET_ACCESS_KEY", "") if endpoint else "",
            prefix=f"{prefix}/" if prefix else "",
        )
    )  # fmt: skip


class Folder:
    """A folder of a file system."""

    def __init__(self, root: Path, *, create: bool) -> None:
        self.root = root
        if not create and not root.is_dir():
            raise InvalidRequest(f"{root} is no folder")
        try:
            root.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise Unavailable(f"{root} cannot be used: {error.strerror}") from None

    def size(self, name: str) -> int | None:
        """The size of a file."""
        try:
            return (self.root / name).stat().st_size
        except (FileNotFoundError, NotADirectoryError):
            return None

    def write(self, name: str, blocks: Iterable[bytes]) -> None:
        """Writes a file beside its place, and moves it there once it is on the disk."""
        path = self.root / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            descriptor, draft = tempfile.mkstemp(prefix=".draft-", dir=path.parent)
            try:
                with os.fdopen(descriptor, "wb") as stream:
                    for block in blocks:
                        stream.write(block)
                    stream.flush()
                    os.fsync(stream.fileno())
                Path(draft).replace(path)
            except BaseException:
                with suppress(FileNotFoundError):
                    Path(draft).unlink()
                raise
        except OSError as error:
            raise Unavailable(f"{path} cannot be written: {error.strerror or error}") from None

    def read(self, name: str) -> Iterator[bytes]:
        """A file in blocks."""
        try:
            with (self.root / name).open("rb") as stream:
                while block := stream.read(BLOCK):
                    yield block
        except FileNotFoundError:
            raise NotFound(f"{self.root} holds no {name}") from None
        except OSError as error:
            raise Unavailable(f"{self.root / name} cannot be read: {error.strerror}") from None

    def names(self, prefix: str) -> list[str]:
        """Files below a folder."""
        found = (self.root / prefix).rglob("*")
        return sorted(
            path.relative_to(self.root).as_posix()
            for path in found
            if path.is_file() and not path.name.startswith(".draft-")
        )


class Bucket:
    """A prefix of a bucket."""

    def __init__(self, blobs: Blobs) -> None:
        self._blobs = blobs

    def size(self, name: str) -> int | None:
        """The size of an object."""
        try:
            return self._blobs.head(name).size
        except NotFound:
            return None

    def write(self, name: str, blocks: Iterable[bytes]) -> None:
        """One PUT, or a multipart upload for what is larger; a broken one leaves nothing."""
        pieces = _pieces(blocks, _WHOLE, _PART)
        first = next(pieces, b"")
        second = next(pieces, None)
        if second is None:
            self._blobs.put(name, first)
            return
        upload = self._blobs.create_multipart(name)
        try:
            sent = [self._blobs.put_part(name, upload, 1, first)]
            number = 2
            while second is not None:
                sent.append(self._blobs.put_part(name, upload, number, second))
                second = next(pieces, None)
                number += 1
            self._blobs.complete_multipart(name, upload, sent)
        except BaseException:
            with suppress(Unavailable, NotFound):
                self._blobs.abort_multipart(name, upload)
            raise

    def read(self, name: str) -> Iterator[bytes]:
        """An object in ranges."""
        head = self._blobs.head(name)
        for start in range(0, head.size, BLOCK):
            yield self._blobs.read(name, start, min(BLOCK, head.size - start), head.etag)

    def names(self, prefix: str) -> list[str]:
        """Every key below a prefix."""
        found: list[str] = []
        after: str | None = ""
        while after is not None:
            page = self._blobs.list(prefix, after)
            found += [head.key for head in page.heads]
            after = page.next
        return sorted(found)


def _pieces(blocks: Iterable[bytes], first: int, rest: int) -> Iterator[bytes]:
    """The same bytes in pieces of these sizes; the last is what is left, and never empty."""
    buffer, wanted = bytearray(), first
    for block in blocks:
        buffer += block
        while len(buffer) > wanted:
            yield bytes(buffer[:wanted])
            del buffer[:wanted]
            wanted = rest
    if buffer:
        yield bytes(buffer)
