"""Reading files of a tree that somebody else may be writing: their size, SHA-256 and SHA-1 in one go."""

import hashlib
import os
import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from weighbridge.contract.errors import InvalidManifest
from weighbridge.contract.manifests import FileEntry
from weighbridge.sources import Source

_BLOCK = 1024 * 1024
_NAMED = 5


@dataclass(frozen=True, slots=True)
class Digest:
    """What was read of a file."""

    size: int
    sha256: str
    sha1: str = ""


Digests = Mapping[str, Digest]
"""By the file's path in the version or checkpoint."""


def read(path: Path) -> Digest:
    """The digests of a regular file; `InvalidManifest` for links and the like."""
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    if path.is_symlink():
        raise InvalidManifest(f"{path} is a link; FATE's trees have none")
    descriptor = os.open(path, flags)
    with os.fdopen(descriptor, "rb", buffering=0) as stream:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise InvalidManifest(f"{path} is no regular file")
        sha1, sha256, size = hashlib.sha1(usedforsecurity=False), hashlib.sha256(), 0
        while block := stream.read(_BLOCK):
            sha1.update(block)
            sha256.update(block)
            size += len(block)
    return Digest(size, sha256.hexdigest(), sha1.hexdigest())


def of(sources: Iterable[Source]) -> dict[str, Digest]:
    """The digests of files by their names."""
    return {source.name: read(source.path) for source in sources}


def differences(local: Digests, entries: Iterable[FileEntry], there: str) -> list[str]:
    """What is not the same on this disk and in the registry, one line per file; `there` names what of
    the registry. Empty if all is equal."""
    stored = {entry.path: entry for entry in entries}
    found = []
    for path in sorted(stored.keys() | local.keys()):
        ours, theirs = local.get(path), stored.get(path)
        if theirs is None:
            found.append(f"{path} is not in {there}")
        elif ours is None:
            found.append(f"{path} is in {there} and not on this disk")
        elif (ours.size, ours.sha256) != (theirs.size, theirs.sha256):
            found.append(
                f"{path} differs from {there} ({ours.size} bytes, sha256 {ours.sha256[:12]} here; "
                f"{theirs.size} bytes, {theirs.sha256[:12]} there)"
            )
    return found


def shortened(found: list[str]) -> list[str]:
    """The first lines, and how many there are besides."""
    if len(found) <= _NAMED:
        return found
    return [*found[:_NAMED], f"and {len(found) - _NAMED:,} files more"]
