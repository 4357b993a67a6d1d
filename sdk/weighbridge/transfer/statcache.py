"""Digests of files that were pushed before, so that an unchanged file need not be read again.

A file counts as unchanged while its path, size, inode, device and both of its times are the same,
and if it was at rest when it was read: it changed so long before reading began that a change since
would show in its times. How long that is depends on the clock of its file system. Each file's digests
are one small JSON file under the cache folder; what was seen of its tensors is another beside it, read
only when a push wants it.
"""

import hashlib
import json
import os
import secrets
from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from weighbridge.contract import codec, cuts
from weighbridge.contract.digests import BlobId, parse_blob, sha256
from weighbridge.contract.errors import RegistryError
from weighbridge.contract.types import Part, TensorClaim
from weighbridge.transfer import hashing, plan
from weighbridge.transfer.hashing import Hashed, Stamp

REST = 2_000_000_000
"""Nanoseconds that a file must have rested where times are as coarse as on FAT."""
REST_FINE = 200_000_000
"""The same where times tell parts of a millisecond: Linux then counts in steps of 10 ms at most."""
SMALLEST = 1024 * 1024
"""A smaller file is read sooner than its note."""
MOST = 4096
"""Notes that are kept; the oldest go first."""


class StatCache:
    """Notes in one folder; without a folder, or where it cannot be used, it knows nothing."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._counted = False

    def find(self, path: Path) -> Hashed | None:
        """The digests of the file at `path`, if it was read before and did not change since."""
        now = hashing.stamp_at(path)
        if now is None or now.size < SMALLEST or (note := self._note(path)) is None:
            return None
        try:
            document = json.loads(note.read_bytes())
            found = _hashed(path, document)
        except (OSError, ValueError, TypeError, KeyError, RecursionError, RegistryError):
            return None
        return found if found.stamp == now else None

    def claims(self, file: Hashed) -> tuple[TensorClaim, ...]:
        """What was seen of the tensors of a file that `find` found; nothing if that is not known."""
        if (note := self._note(file.path)) is None:
            return ()
        try:
            document = json.loads(_beside(note).read_bytes())
            if document["stamp"] != asdict(file.stamp):
                return ()
            return tuple(codec.decode(TensorClaim, item) for item in document["tensors"])
        except (OSError, ValueError, TypeError, KeyError, RecursionError, RegistryError):
            return ()

    def note(self, file: Hashed, began: int, claims: Sequence[TensorClaim] = ()) -> None:
        """Remembers a file whose reading began at `began` (nanoseconds), if it was at rest."""
        if file.size < SMALLEST or (note := self._note(file.path)) is None:
            return
        newest = max(file.stamp.modified, file.stamp.changed)
        fine = file.stamp.modified % 1_000_000 and file.stamp.changed % 1_000_000
        if newest > began - (min(REST_FINE, REST) if fine else REST):
            return
        document = {
            "path": str(file.path.absolute()),
            "stamp": asdict(file.stamp),
            "sha256": file.sha256,
            "blob": file.blob,
            "scheme": file.scheme,
            "parts": json.loads(cuts.encode(file.parts))["parts"],
        }
        if claims:
            seen = {"stamp": document["stamp"], "tensors": codec.encode(claims)}
            _write(_beside(note), seen)
        _write(note, document)
        self._forget_old(note.parent)

    def _note(self, path: Path) -> Path | None:
        if self._folder is None:
            return None
        name = os.fsencode(path.absolute())
        return self._folder / f"{hashlib.sha256(name).hexdigest()[:32]}.json"

    def _forget_old(self, folder: Path) -> None:
        if self._counted:
            return
        self._counted = True
        try:
            notes = list(folder.iterdir())
            notes.sort(key=lambda note: note.stat().st_mtime)
        except OSError:
            return
        if len(notes) > MOST:
            for old in notes[: len(notes) - MOST // 2]:
                old.unlink(missing_ok=True)


def _beside(note: Path) -> Path:
    return note.with_suffix(".tensors")


def _write(note: Path, document: dict[str, Any]) -> None:
    draft = note.with_name(f"{note.name}.{secrets.token_hex(4)}")
    try:
        note.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        draft.write_text(json.dumps(document), "ascii")
        draft.replace(note)
    except OSError:
        draft.unlink(missing_ok=True)


def _hashed(path: Path, document: dict[str, Any]) -> Hashed:
    if document["path"] != str(path.absolute()):
        raise ValueError("the note of another file")
    stamp = Stamp(**{field.name: int(document["stamp"][field.name]) for field in fields(Stamp)})
    rows = document["parts"]
    parts = [Part(n, sha256(digest), int(size)) for n, (digest, size) in enumerate(rows, 1)]
    found = hashing.hashed(path, stamp, sha256(document["sha256"]), parts, int(document["scheme"]))
    blob = BlobId(document["blob"])
    if found.blob != blob or parse_blob(blob).size != stamp.size:
        raise ValueError("a damaged note")
    if parts and sum(part.size for part in parts) != stamp.size:
        raise ValueError("a damaged note")
    if not parts and stamp.size > plan.SINGLE_PUT:
        raise ValueError("a damaged note")
    return found
