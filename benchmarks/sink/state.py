"""What the sink remembers: sizes, digests as they were declared, and the content of small objects.

It verifies nothing: a digest in an answer is the one that the client (or its signed request) declared.
"""

import base64
import hashlib
import itertools
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

KEPT = 8 * 1024 * 1024
"""Objects up to this size that come in one PUT keep their content: the server reads its manifests
back. Parts never do."""


@dataclass(frozen=True, slots=True)
class Part:
    """One part, as it was declared."""

    number: int
    size: int
    etag: str
    sha256: str
    made: float = field(default_factory=time.time)


@dataclass(frozen=True, slots=True)
class Thing:
    """One object. `content` is empty above `KEPT` bytes: then a file of that size, or zeros."""

    size: int
    etag: str
    sha256: str
    content: bytes
    parts: tuple[Part, ...] = ()
    made: float = field(default_factory=time.time)


@dataclass(slots=True)
class Upload:
    """A multipart upload that is not completed."""

    key: str
    parts: dict[int, Part] = field(default_factory=dict)


class State:
    """Objects and uploads of every bucket, by path; safe between threads."""

    def __init__(self, served: tuple[Path, ...] = ()) -> None:
        self.lock = threading.Lock()
        self.objects: dict[str, Thing] = {}
        self.uploads: dict[str, Upload] = {}
        self._files = served
        self.operations: Counter[str] = Counter()
        self.received = 0
        self.declared = 0
        self._numbers = itertools.count(1)

    def tag(self) -> str:
        """An entity tag that nothing else has."""
        return f"{next(self._numbers):032x}"

    def put(self, path: str, size: int, sha256: str, content: bytes) -> Thing:
        """Notes an object."""
        kept = content if size <= KEPT else b""
        thing = Thing(size, self.tag(), sha256, kept)
        with self.lock:
            self.objects[path] = thing
        return thing

    def begin(self, path: str) -> str:
        """Starts a multipart upload."""
        identifier = self.tag()
        with self.lock:
            self.uploads[identifier] = Upload(path)
        return identifier

    def part(self, identifier: str, number: int, size: int, sha256: str) -> Part | None:
        """Notes a part; None if there is no such upload."""
        part = Part(number, size, self.tag(), sha256)
        with self.lock:
            upload = self.uploads.get(identifier)
            if upload is None:
                return None
            upload.parts[number] = part
        return part

    def complete(self, identifier: str) -> Thing | None:
        """Joins the parts that are there, all of them, in order."""
        with self.lock:
            upload = self.uploads.pop(identifier, None)
        if upload is None:
            return None
        parts = tuple(upload.parts[number] for number in sorted(upload.parts))
        digest = ""
        if parts and all(part.sha256 for part in parts):
            joined = hashlib.sha256(b"".join(base64.b64decode(part.sha256) for part in parts))
            digest = f"{base64.b64encode(joined.digest()).decode()}-{len(parts)}"
        size = sum(part.size for part in parts)
        thing = Thing(size, f"{self.tag()}-{len(parts)}", digest, b"", parts)
        with self.lock:
            self.objects[upload.key] = thing
        return thing

    def served(self, size: int) -> Path | None:
        """The first of the given files that has this size now."""
        for file in self._files:
            if file.exists() and file.stat().st_size == size:
                return file
        return None

    def range_digest(self, path: str, start: int, size: int) -> str:
        """The SHA-256 of a range: declared for exactly this range, or of what would be served."""
        thing = self.objects[path]
        at = 0
        for part in thing.parts:
            if (at, part.size) == (start, size):
                return part.sha256
            at += part.size
        if (file := self.served(thing.size)) is not None:
            with file.open("rb") as stream:
                stream.seek(start)
                data = stream.read(size)
        elif thing.content:
            data = thing.content[start : start + size]
        else:
            data = bytes(size)
        return base64.b64encode(hashlib.sha256(data).digest()).decode()

    def count(self, operation: str, size: int, declared: bool) -> None:
        """One more request; `declared`: it names a SHA-256 for the store to check its body against."""
        with self.lock:
            self.operations[operation] += 1
            self.received += size
            self.declared += size if declared else 0

    def told(self, *, reset: bool = False) -> dict[str, object]:
        """Requests by operation, and the bytes that came with them."""
        with self.lock:
            answer = {
                "operations": dict(self.operations),
                "received": self.received,
                "declared": self.declared,
            }
            if reset:
                self.operations.clear()
                self.received = self.declared = 0
        return answer
