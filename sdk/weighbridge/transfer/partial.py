"""A file while it is being pulled: the draft beside its target, and which ranges are in it.

The draft's companion file is of JSON lines that are only appended: `[offset, size]` says of a range only
that its bytes were written. Whether they are right is decided by the digests: of each part where they are
known beforehand, and of the whole, at the end (docs/decisions/0022-digest-of-the-whole.md).
"""

import hashlib
import json
import os
import secrets
import threading
import time
from collections.abc import Callable, Sequence
from io import FileIO
from pathlib import Path

from weighbridge.config import Verify
from weighbridge.contract import cuts
from weighbridge.contract.digests import BlobDigest, Sha256, composite
from weighbridge.contract.manifests import FileEntry
from weighbridge.contract.types import Part
from weighbridge.transfer import clone, hashing, plan
from weighbridge.transfer.plan import Reading, Span

SHORT = 0.9
"""Who hashes the whole is short of processor time below this share of the time it takes."""
_LOOK = 0.2


class Partial:
    """The draft of one file. Threads write ranges in any order; the digest of the whole follows
    behind. `parts` are the blob's, if they are known and proved. With `verify` `parts`, a file whose
    parts prove it is not hashed as a whole."""

    def __init__(
        self,
        entry: FileEntry,
        blob: BlobDigest,
        target: Path,
        parts: Sequence[Part] = (),
        verify: Verify = "whole",
    ) -> None:
        self.entry = entry
        self.target = target
        self.reading = _reading(blob, parts)
        self._expected = {part.number: part.sha256 for part in parts}
        if not blob.parts and len(self.reading.ranges) == 1:
            self._expected = {1: blob.sha256}
        self._blob = blob
        self.confirms = verify == "whole" or not self.reading.composite
        """Whether the SHA-256 of the whole, which is a claim of who pushed, is confirmed."""
        name = hashlib.sha256(f"{target.name}\0{entry.blob}".encode()).hexdigest()[:24]
        self.draft = target.with_name(f".{name}.part")
        self._notes = target.with_name(f".{name}.part.jsonl")
        self._lock = threading.Lock()
        self._done: set[int] = set()
        self._moved = threading.Condition(self._lock)
        """The digest of the whole is a range further, or its thread let go of it."""
        self._hashed = 0
        self._hashing = False
        self._took = self._computed = 0.0
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
        there = stream.seek(0, os.SEEK_END)
        if there == size and size:
            self._done = self._noted()
        else:
            self._notes.unlink(missing_ok=True)
            if there:
                # Only then: ext4 writes out what was cut to nothing when it is closed.
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

    def wait(self, span: Span, ahead: int, stopping: Callable[[], bool]) -> None:
        """Waits while the digest of the whole is more than `ahead` ranges behind `span`, and short of
        processor time: those that fetch take it, and in the end one thread would hash alone."""
        with self._moved:
            while self._late(span, ahead) and not stopping():
                self._moved.wait(_LOOK)

    def _late(self, span: Span, ahead: int) -> bool:
        short = self._computed < SHORT * self._took
        return self._hashing and short and span.number - 1 - self._hashed > ahead

    def follow(self, stopping: Callable[[], bool]) -> bool:
        """Hashes what is complete from the start on, unless another thread does; True when that
        was the last of it."""
        with self._lock:
            span = None if self._hashing or stopping() else self._next()
            self._hashing |= span is not None
        while span is not None:
            took, computed = time.monotonic(), time.thread_time()
            try:
                self._hash(span)
            except BaseException:
                with self._moved:
                    self._hashing = False
                    self._moved.notify_all()
                raise
            # In one step: in between, another thread would hash the same range once more.
            with self._moved:
                self._hashed += 1
                self._took += time.monotonic() - took
                self._computed += time.thread_time() - computed
                if self._hashed == len(self.reading.ranges):
                    return True
                span = None if stopping() else self._next()
                self._hashing = span is not None
                self._moved.notify_all()
        return False

    def _next(self) -> Span | None:
        """The range that the digest of the whole needs next, if it is there."""
        ranges = self.reading.ranges
        if self._hashed == len(ranges) or ranges[self._hashed].number not in self._done:
            return None
        return ranges[self._hashed]

    def right(self) -> bool:
        """Whether the draft holds what the manifest and the blob id promise."""
        if self.confirms and (self._only or self._whole.hexdigest()) != self.entry.sha256:
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
        # A range of an earlier run was not hashed when it came.
        late = self.reading.composite and span.number not in self._parts
        if self._only or not (self.confirms or late):
            return
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
                if self.confirms:
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
