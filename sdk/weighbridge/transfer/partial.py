"""A file while it is being pulled: the draft beside its target, and which ranges are in it.

The draft's companion file is of JSON lines that are only appended: `[offset, size]` says of a range only
that its bytes were written. Whether they are right is decided by the digests: of each part where they are
known beforehand, and of the whole, at the end.
"""

import hashlib
import json
import os
import secrets
import threading
from collections.abc import Callable, Sequence
from io import FileIO
from pathlib import Path

from weighbridge.contract import cuts
from weighbridge.contract.digests import BlobDigest, Sha256, composite
from weighbridge.contract.manifests import FileEntry
from weighbridge.contract.types import Part
from weighbridge.transfer import clone, hashing, plan
from weighbridge.transfer.plan import Reading, Span


class Partial:
    """The draft of one file. Threads write ranges in any order; the digest of the whole follows
    behind. `parts` are the blob's, if they are known and proved."""

    def __init__(
        self, entry: FileEntry, blob: BlobDigest, target: Path, parts: Sequence[Part] = ()
    ) -> None:
        self.entry = entry
        self.target = target
        self.reading = _reading(blob, parts)
        self._expected = {part.number: part.sha256 for part in parts}
        if not blob.parts and len(self.reading.ranges) == 1:
            self._expected = {1: blob.sha256}
        self._blob = blob
        name = hashlib.sha256(f"{target.name}\0{entry.blob}".encode()).hexdigest()[:24]
        self.draft = target.with_name(f".{name}.part")
        self._notes = target.with_name(f".{name}.part.jsonl")
        self._lock = threading.Lock()
        self._done: set[int] = set()
        self._hashed = 0
        self._hashing = False
        self._whole = hashlib.sha256()
        self._only = ""
        self._parts: dict[int, Sha256] = {}
        self._stream: FileIO | None = None

    def expected(self, span: Span) -> str:
        """The SHA-256 of a range, if it is known beforehand; else empty."""
        return self._expected.get(span.number, "")

    def begin(self) -> list[Span]:
        """Makes the draft, or finds it; the ranges that are still to be fetched. A draft that
        another process is at is left to it, and one with a name of its own is made."""
        self.target.parent.mkdir(parents=True, exist_ok=True)
        if not self._find():
            name = f"{self.draft.name.removesuffix('.part')}-{secrets.token_hex(4)}.part"
            self.draft = self.draft.with_name(name)
            self._notes = self.draft.with_name(f"{name}.jsonl")
            self._find()
        return [span for span in self.reading.ranges if span.number not in self._done]

    def _find(self) -> bool:
        size = self.entry.size
        if self.draft.is_symlink():
            self.draft.unlink()
        flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0) | getattr(os, "O_NOFOLLOW", 0)
        stream = FileIO(os.open(self.draft, flags, 0o666), "r+")
        if not clone.lock(stream, shared=False) or not _same(stream, self.draft):
            stream.close()
            return False
        self._stream = stream
        if stream.seek(0, os.SEEK_END) == size and size:
            self._done = self._noted()
        else:
            self._notes.unlink(missing_ok=True)
            stream.truncate(0)
            stream.truncate(size)
        return True

    def write(self, offset: int, data: memoryview) -> None:
        """Puts bytes where they belong."""
        assert self._stream is not None
        clone.write_all(self._stream, data, offset)

    def wrote(self, span: Span, digest: str) -> None:
        """A range is complete: remembers it."""
        with self._lock:
            self._done.add(span.number)
            if len(self.reading.ranges) == 1:
                self._only = digest
            if self.reading.composite:
                self._parts[span.number] = Sha256(digest)
            if len(self.reading.ranges) > 1:
                with self._notes.open("ab", buffering=0) as stream:
                    note = json.dumps([span.offset, span.size], separators=(",", ":"))
                    stream.write(note.encode("ascii") + b"\n")

    def follow(self, stopping: Callable[[], bool]) -> bool:
        """Hashes what is complete from the start on, unless another thread does; True when that
        was the last of it."""
        while True:
            with self._lock:
                ranges = self.reading.ranges
                ready = self._hashed < len(ranges) and ranges[self._hashed].number in self._done
                if self._hashing or not ready or stopping():
                    return False
                self._hashing = True
                span = ranges[self._hashed]
            try:
                self._hash(span)
            finally:
                with self._lock:
                    self._hashing = False
            with self._lock:
                self._hashed += 1
                if self._hashed == len(ranges):
                    return True

    def right(self) -> bool:
        """Whether the draft holds what the manifest and the blob id promise."""
        if (self._only or self._whole.hexdigest()) != self.entry.sha256:
            return False
        if self.reading.composite:
            parts = [self._parts[span.number] for span in self.reading.ranges]
            return composite(parts) == self._blob.sha256
        return True

    def discard(self) -> None:
        """Removes the draft and what is known of it."""
        self.draft.unlink(missing_ok=True)
        self.forget()

    def forget(self) -> None:
        """Removes what is known of the draft, and lets go of it."""
        self._notes.unlink(missing_ok=True)
        self.close()

    @property
    def busy(self) -> bool:
        """Whether the draft is open."""
        return self._stream is not None

    def close(self) -> None:
        """Lets go of the draft, which stays."""
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.close()

    def _hash(self, span: Span) -> None:
        if self._only:
            return
        # A range of an earlier run was not hashed when it came.
        late = self.reading.composite and span.number not in self._parts
        part = hashlib.sha256() if late else None
        with self.draft.open("rb", buffering=0) as stream:
            stream.seek(span.offset)
            view = memoryview(bytearray(min(hashing.BLOCK, max(1, span.size))))
            left = span.size
            while left:
                count = stream.readinto(view[: min(left, len(view))])
                if not count:
                    # Somebody cut the draft short: the digest will tell.
                    break
                self._whole.update(view[:count])
                if part is not None:
                    part.update(view[:count])
                left -= count
        if part is not None:
            self._parts[span.number] = Sha256(part.hexdigest())

    def _noted(self) -> set[int]:
        known = {(span.offset, span.size): span.number for span in self.reading.ranges}
        found = set()
        try:
            lines = self._notes.read_bytes().splitlines()
        except FileNotFoundError:
            return set()
        for line in lines:
            try:
                offset, size = json.loads(line)
                found.add(known[offset, size])
            except (ValueError, TypeError, KeyError):
                continue
        return found


def _reading(blob: BlobDigest, parts: Sequence[Part]) -> Reading:
    if parts:
        return Reading(cuts.spans(part.size for part in parts), composite=True)
    return plan.reading(blob)


def _same(stream: FileIO, path: Path) -> bool:
    """Whether the open file still has its name."""
    try:
        there = path.lstat()
    except OSError:
        return False
    return os.path.samestat(os.fstat(stream.fileno()), there)
