"""Where verified files were put, so that one that did not change since need not be read again, and can
be the source of another pull.

A pulled file's time of change is set a few seconds back, so that any later write shows in it however
coarse the clock of the file system is. A file counts as unchanged while size, inode, device and both
of its times are the same.
"""

import hashlib
import json
import os
import time
from collections.abc import Iterator
from dataclasses import asdict, fields
from pathlib import Path

from weighbridge.contract.manifests import FileEntry
from weighbridge.files import write_atomically
from weighbridge.transfer import hashing
from weighbridge.transfer.hashing import Stamp

BACK = 4_000_000_000
SMALLEST = 1024 * 1024
"""A smaller file is read sooner than its note."""
MOST = 20_000
"""Notes that are kept; the oldest go first."""


def set_back(path: Path) -> None:
    """Sets the time of change of a file that was just written to a few seconds ago."""
    now = time.time_ns()
    os.utime(path, ns=(now, now - BACK))


class Places:
    """One small note per file, by digest and then by path."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._counted = False

    def note(self, path: Path, entry: FileEntry) -> None:
        """Remembers that the file at `path` was verified to be `entry`, unless it may change
        without a trace: then it is read the next time."""
        now = hashing.stamp_at(path)
        if entry.size < SMALLEST or now is None or now.size != entry.size:
            return
        if now.modified > time.time_ns() - BACK // 2:
            return
        document = {"path": str(path.absolute()), "stamp": asdict(now)}
        note = self._note(path, entry)
        try:
            note.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            write_atomically(note, json.dumps(document).encode("utf-8"), mode=0o600)
            self._forget_old()
        except (OSError, ValueError):
            return

    def holds(self, path: Path, entry: FileEntry) -> bool:
        """Whether the file at `path` is still the one that was verified to be `entry`."""
        if entry.size < SMALLEST or path.is_symlink():
            return False
        found = _read(self._note(path, entry))
        return found is not None and found == (path.absolute(), hashing.stamp_at(path))

    def others(self, entry: FileEntry) -> Iterator[tuple[Path, Stamp]]:
        """Files that were verified to be `entry` and did not change; notes of others go."""
        if entry.size < SMALLEST:
            return
        try:
            notes = list(self._notes(entry).glob("*.json"))
        except OSError:
            return
        for note in notes:
            found = _read(note)
            if found and not found[0].is_symlink() and found[1] == hashing.stamp_at(found[0]):
                yield found
            else:
                note.unlink(missing_ok=True)

    def _notes(self, entry: FileEntry) -> Path:
        return self._folder / entry.sha256[:2] / entry.sha256

    def _note(self, path: Path, entry: FileEntry) -> Path:
        name = hashlib.sha256(os.fsencode(path.absolute())).hexdigest()[:32]
        return self._notes(entry) / f"n{name}.json"

    def _forget_old(self) -> None:
        if self._counted:
            return
        self._counted = True
        notes = list(self._folder.glob("*/*/*.json"))
        if len(notes) > MOST:
            notes.sort(key=lambda note: note.stat().st_mtime)
            for old in notes[: len(notes) - MOST // 2]:
                old.unlink(missing_ok=True)


def _read(note: Path) -> tuple[Path, Stamp] | None:
    try:
        document = json.loads(note.read_bytes())
        told = document["stamp"]
        stamp = Stamp(**{field.name: int(told[field.name]) for field in fields(Stamp)})
        return Path(document["path"]), stamp
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return None
