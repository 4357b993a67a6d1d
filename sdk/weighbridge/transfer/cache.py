"""Whole files by their verified SHA-256, kept on this machine: `blobs/<aa>/<sha256>` under the folder.

Entries are read-only and appear by a rename, complete. Beside a large one stands its stamp (size, time of
change, inode); an entry that differs from it is hashed again before it is used, and removed if it is
not what its name says. Entries of less than 1 MiB are hashed at each use. Whoever reads an entry holds a
shared lock on it, and only an entry that nobody holds is removed to make room: the least recently used
first. Nothing here may fail a pull: what cannot be kept is not kept.
"""

import hashlib
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import FileIO
from pathlib import Path

from weighbridge.contract import manifests
from weighbridge.contract.digests import sha256_of
from weighbridge.contract.errors import InvalidRequest, RegistryError
from weighbridge.contract.manifests import FileEntry
from weighbridge.files import write_atomically
from weighbridge.transfer import clone, hashing
from weighbridge.transfer.clone import Link
from weighbridge.transfer.places import SMALLEST, Places, set_back

_STALE = 24 * 3600
MANIFESTS = 256


@dataclass(frozen=True, slots=True)
class Entry:
    """A file of the cache; `used` is when it was used last, in seconds since 1970."""

    sha256: str
    size: int
    used: float
    path: Path


class Cache:
    """The cache in `folder`, at most `limit` bytes of it (0: none); `link` says how a file and its
    entry come to hold the same bytes."""

    def __init__(self, folder: Path, limit: int, link: Link = "auto") -> None:
        self.folder = folder
        self._limit = limit
        self._link = link
        self._clones = False
        self._blobs = folder / "blobs"
        self._places = Places(folder / "places")

    def prepare(self, target: Path) -> None:
        """Finds out what the file systems of cache and target folder can do together. Raises
        `InvalidRequest` if that is not what was asked for."""
        asked: Link = "reflink" if self._link == "auto" else self._link
        able = asked != "copy" and clone.works(asked, self._blobs, target)
        if self._link not in ("auto", "copy") and not able:
            raise InvalidRequest(
                f"{target} cannot share files with the cache in {self.folder} by {self._link}; "
                "use auto or copy"
            )
        self._clones = able and asked == "reflink"

    # Files

    def holds(self, path: Path, entry: FileEntry) -> bool:
        """Whether the file at `path` is known to be `entry`, without reading it."""
        return self._places.holds(path, entry)

    def note(self, path: Path, entry: FileEntry) -> None:
        """Remembers that the file at `path` is `entry`."""
        self._places.note(path, entry)

    def take(self, entry: FileEntry, draft: Path) -> bool:
        """Makes `draft` a file with the content of `entry`, if this machine has it."""
        for way in (self._from_entry, self._from_place):
            try:
                if way(entry, draft):
                    return True
            except OSError:
                draft.unlink(missing_ok=True)
        return False

    @contextmanager
    def reading(self, entry: FileEntry) -> Iterator[FileIO | None]:
        """The entry, open and verified; None if it is not there."""
        path = self._path(entry.sha256)
        try:
            stream = path.open("rb", buffering=0)
        except OSError:
            yield None
            return
        with stream:
            try:
                usable = self._usable(stream, path, entry)
            except OSError:
                usable = False
            yield stream if usable else None

    def keep(self, draft: Path, entry: FileEntry) -> None:
        """Keeps a verified file that nobody else knows yet, if that costs little or was asked for."""
        small = entry.size < SMALLEST
        if not 0 < entry.size <= self._limit:
            return
        if not small and self._link == "auto" and not self._clones:
            return
        path = self._path(entry.sha256)
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            if path.exists():
                return
            with clone.draft_of(path) as made:
                if not small and self._link == "hard":
                    draft.chmod(0o444)
                    os.link(draft, made)
                else:
                    self._fill(draft, made, entry)
                if not small:
                    _stamp(made, path)
                made.replace(path)
            if not small:
                self.trim()
        except OSError:
            return

    def _fill(self, draft: Path, made: Path, entry: FileEntry) -> None:
        with draft.open("rb", buffering=0) as source, made.open("xb", buffering=0) as target:
            if entry.size < SMALLEST or not (self._clones and clone.reflink(source, target)):
                digest = hashlib.sha256()
                at = 0
                while block := source.read(hashing.BLOCK):
                    digest.update(block)
                    clone.write_all(target, memoryview(block), at)
                    at += len(block)
                if digest.hexdigest() != entry.sha256:
                    raise OSError("the file changed while it was kept")
        made.chmod(0o444)
        set_back(made)

    def _from_entry(self, entry: FileEntry, draft: Path) -> bool:
        with self.reading(entry) as source:
            if source is None:
                return False
            if self._link == "hard" and entry.size >= SMALLEST:
                os.link(self._path(entry.sha256), draft)
                return True
            return self._copy(source, draft, entry.size)

    def _from_place(self, entry: FileEntry, draft: Path) -> bool:
        for path, known in self._places.others(entry):
            with path.open("rb", buffering=0) as source:
                if hashing.stamp(source) != known:
                    continue
                done = self._copy(source, draft, entry.size)
                # What was verified is what was copied only if nobody wrote meanwhile.
                if done and hashing.stamp(source) == known:
                    return True
            draft.unlink(missing_ok=True)
        return False

    def _copy(self, source: FileIO, draft: Path, size: int) -> bool:
        source.seek(0)
        with draft.open("xb", buffering=0) as target:
            if not (self._clones and clone.reflink(source, target)):
                clone.copy(source, target, size)
            whole = os.fstat(target.fileno()).st_size == size
        set_back(draft)
        return whole

    def _usable(self, stream: FileIO, path: Path, entry: FileEntry) -> bool:
        if not clone.lock(stream, shared=True):
            return False
        now, there = hashing.stamp(stream), hashing.stamp_at(path)
        if there is None or (there.inode, there.device) != (now.inode, now.device):
            return False
        small = entry.size < SMALLEST
        right = now.size == entry.size
        if right and (small or _noted(path) != _kept(path)):
            right = _digest(stream) == entry.sha256
            if right and not small:
                _stamp(path, path)
        if not right:
            _remove(path)
            return False
        os.utime(path if small else _note(path))
        return True

    # Manifests

    def manifest(self, digest: str) -> tuple[FileEntry, ...] | None:
        """The files of a manifest that was kept, verified against its digest."""
        path = self.folder / "manifests" / f"{digest}.json"
        try:
            data = path.read_bytes()
            if sha256_of(data) == digest:
                return manifests.checked(manifests.decode(data))
            path.unlink(missing_ok=True)
        except (OSError, ValueError, KeyError, TypeError, RegistryError):
            pass
        return None

    def keep_manifest(self, digest: str, entries: tuple[FileEntry, ...]) -> None:
        """Keeps a verified manifest; the oldest go first."""
        folder = self.folder / "manifests"
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            write_atomically(folder / f"{digest}.json", manifests.encode(entries), mode=0o600)
            kept = sorted(folder.glob("*.json"), key=lambda path: path.stat().st_mtime)
            for old in kept[:-MANIFESTS]:
                old.unlink(missing_ok=True)
        except OSError:
            return

    # Care

    def entries(self) -> list[Entry]:
        """What is kept, the least recently used first."""
        found = []
        for path in self._blobs.glob("??/" + "?" * 64):
            try:
                status, note = path.stat(), _note(path)
                used = note.stat().st_mtime if note.exists() else status.st_mtime
            except OSError:
                continue
            found.append(Entry(path.name, status.st_size, used, path))
        return sorted(found, key=lambda entry: (entry.used, entry.sha256))

    def trim(self) -> int:
        """Removes what is over the limit, the least recently used first, and what killed processes
        left behind. Entries in use stay. The number of bytes removed."""
        found = self.entries()
        total, removed = sum(entry.size for entry in found), 0
        for entry in found:
            if total - removed <= self._limit:
                break
            if _remove_unused(entry.path):
                removed += entry.size
        for left in self._blobs.glob("??/*.tmp"):
            try:
                if left.stat().st_ctime < time.time() - _STALE:
                    left.unlink()
            except OSError:
                continue
        return removed

    def remove(self, digests: set[str] | None = None) -> tuple[int, int]:
        """Removes these entries (all, if None) unless they are in use; how many, and their bytes."""
        count = size = 0
        for entry in self.entries():
            if (digests is None or entry.sha256 in digests) and _remove_unused(entry.path):
                count += 1
                size += entry.size
        return count, size

    def verify(self) -> tuple[int, list[Entry]]:
        """Hashes every entry and removes those that are not what their name says; how many were
        read, and which were removed."""
        read, wrong = 0, []
        for entry in self.entries():
            try:
                with entry.path.open("rb", buffering=0) as stream:
                    right = _digest(stream) == entry.sha256
            except OSError:
                continue
            read += 1
            if not right:
                _remove(entry.path)
                wrong.append(entry)
        return read, wrong

    def _path(self, digest: str) -> Path:
        return self._blobs / digest[:2] / digest


def _digest(stream: FileIO) -> str:
    stream.seek(0)
    return hashlib.file_digest(stream, "sha256").hexdigest()


def _note(path: Path) -> Path:
    return path.with_name(f"{path.name}.json")


def _kept(path: Path) -> list[int] | None:
    now = hashing.stamp_at(path)
    return [now.size, now.modified, now.inode] if now else None


def _stamp(source: Path, path: Path) -> None:
    write_atomically(_note(path), json.dumps(_kept(source)).encode("ascii"), mode=0o600)


def _noted(path: Path) -> object:
    try:
        return json.loads(_note(path).read_bytes())
    except (OSError, ValueError, RecursionError):
        return None


def _remove(path: Path) -> None:
    path.unlink(missing_ok=True)
    _note(path).unlink(missing_ok=True)


def _remove_unused(path: Path) -> bool:
    try:
        with path.open("rb", buffering=0) as stream:
            if not clone.lock(stream, shared=False):
                return False
            _remove(path)
    except OSError:
        return False
    return True
