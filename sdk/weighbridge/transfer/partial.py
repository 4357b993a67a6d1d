"""A file while it is being pulled: the draft beside its target, and which ranges are in it.

The draft's companion file is of JSON lines that are only appended; it says of a range only that its
bytes were written. Whether they are right is decided by the digests of the whole, at the end.
"""

import hashlib
import json
import threading
from collections.abc import Callable
from pathlib import Path

from weighbridge.contract.digests import BlobDigest, Sha256, composite
from weighbridge.contract.manifests import FileEntry
from weighbridge.transfer import hashing, plan


class Partial:
    """The draft of one file. Threads write ranges in any order; the digests follow behind."""

    def __init__(self, entry: FileEntry, blob: BlobDigest, target: Path) -> None:
        self.entry = entry
        self.target = target
        self.reading = plan.reading(blob)
        self._blob = blob
        name = hashlib.sha256(f"{target.name}\0{entry.blob}".encode()).hexdigest()[:24]
        self.draft = target.with_name(f".{name}.part")
        self._notes = target.with_name(f".{name}.part.jsonl")
        self._lock = threading.Lock()
        self._done: set[int] = set()
        self._hashed = 0
        self._hashing = False
        self._whole = hashlib.sha256()
        self._parts: list[Sha256] = []
        self.resumed = False

    def begin(self) -> list[plan.Span]:
        """Makes the draft, or finds it; the ranges that are still to be fetched."""
        size = self.entry.size
        if (
            self.draft.is_file()
            and not self.draft.is_symlink()
            and (self.draft.stat().st_size == size)
        ):
            self._done = self._noted()
        else:
            self.discard()
            self.target.parent.mkdir(parents=True, exist_ok=True)
            with self.draft.open("xb") as stream:
                stream.truncate(size)
        self.resumed = bool(self._done)
        return [span for span in self.reading.ranges if span.number not in self._done]

    def write(self, offset: int, data: memoryview) -> None:
        """Puts bytes where they belong."""
        with self.draft.open("r+b", buffering=0) as stream:
            stream.seek(offset)
            while data:
                data = data[stream.write(data) :]

    def wrote(self, number: int) -> None:
        """A range is complete: remembers it."""
        with self._lock:
            self._done.add(number)
            if len(self.reading.ranges) > 1:
                with self._notes.open("ab", buffering=0) as stream:
                    stream.write(json.dumps(number).encode("ascii") + b"\n")

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
        if self._whole.hexdigest() != self.entry.sha256:
            return False
        if self.reading.composite:
            return composite(self._parts) == self._blob.sha256
        return True

    def discard(self) -> None:
        """Removes the draft and what is known of it."""
        self.draft.unlink(missing_ok=True)
        self._notes.unlink(missing_ok=True)

    def forget(self) -> None:
        """Removes what is known of the draft."""
        self._notes.unlink(missing_ok=True)

    def _hash(self, span: plan.Span) -> None:
        part = hashlib.sha256()
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
                if self.reading.composite:
                    part.update(view[:count])
                left -= count
        if self.reading.composite:
            self._parts.append(Sha256(part.hexdigest()))

    def _noted(self) -> set[int]:
        known = {span.number for span in self.reading.ranges}
        found = set()
        try:
            for line in self._notes.read_bytes().splitlines():
                if line.isdigit() and int(line) in known:
                    found.add(int(line))
        except FileNotFoundError:
            return set()
        return found
