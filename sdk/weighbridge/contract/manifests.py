"""The manifest: the canonical list of the files of a version or checkpoint. Its digest names the content."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from weighbridge.contract import digests, names
from weighbridge.contract.errors import InvalidManifest, RegistryError

SCHEMA = 1
MAX_FILES = 100_000
MAX_SIZE = 5 * 1024**4
"""S3's largest object: 5 TiB."""


@dataclass(frozen=True, slots=True)
class FileEntry:
    """One file: where it stands, how large it is, what it holds and which blob stores it.

    `sha256` is of the whole file, as the pushing client claims it; any reader of the whole file
    can confirm it. `blob` names bytes that the store verified.
    """

    path: str
    size: int
    sha256: str
    blob: str


def checked(entries: Iterable[FileEntry]) -> tuple[FileEntry, ...]:
    """The entries in canonical order, or `InvalidManifest` naming the first that cannot be stored."""
    files = tuple(sorted(entries, key=lambda entry: entry.path))
    if len(files) > MAX_FILES:
        raise InvalidManifest(f"{len(files)} files; {MAX_FILES} at most", limit=MAX_FILES)
    for entry in files:
        names.file_path(entry.path)
        try:
            digests.sha256(entry.sha256)
            blob = digests.parse_blob(entry.blob)
        except RegistryError as error:
            raise InvalidManifest(f"{entry.path}: {error.message}", path=entry.path) from None
        if blob.size != entry.size:
            raise InvalidManifest(
                f"{entry.path}: the size is {entry.size}, but its blob has {blob.size} bytes",
                path=entry.path,
            )
        if not blob.parts and blob.sha256 != entry.sha256:
            raise InvalidManifest(
                f"{entry.path}: the sha256 differs from that of its blob", path=entry.path
            )
    names.check_paths(entry.path for entry in files)
    return files


def encode(entries: Iterable[FileEntry]) -> bytes:
    """The canonical JSON of a manifest (files by path, keys sorted, no spaces, UTF-8)."""
    document = {
        "files": [
            {"blob": e.blob, "path": e.path, "sha256": e.sha256, "size": e.size}
            for e in checked(entries)
        ],
        "schema": SCHEMA,
    }
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode(
        "utf-8"
    )


def decode(data: bytes) -> tuple[FileEntry, ...]:
    """The entries of a stored manifest."""
    document: Any = json.loads(data)
    if document.get("schema") != SCHEMA:
        raise InvalidManifest(f"manifest schema {document.get('schema')!r} is not known")
    return tuple(FileEntry(f["path"], f["size"], f["sha256"], f["blob"]) for f in document["files"])


def digest(entries: Iterable[FileEntry]) -> digests.Sha256:
    """The digest that names this content."""
    return digests.sha256_of(encode(entries))
