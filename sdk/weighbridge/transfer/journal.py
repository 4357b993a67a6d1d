"""What an interrupted push leaves on disk, so that the next one continues it.

One file per running push, of JSON lines that are only ever appended: a line that a kill cut short
is ignored. The file is locked while its push runs, so that two pushes of the same files at the same
time are two pushes. Where the system has no such locks, nothing is remembered.
"""

import hashlib
import json
import os
import secrets
import threading
import time
from collections.abc import Mapping
from io import FileIO
from pathlib import Path
from typing import Any

try:
    import fcntl
except ImportError:  # pragma: no cover - not on POSIX
    fcntl = None  # type: ignore[assignment]

_OLDEST = 8 * 86400
"""The server sweeps what was left open for a week: older journals are of no use."""


class Journal:
    """What is known of one push. Use `open_journal`; always `close` or `finish` it."""

    def __init__(
        self, stream: FileIO | None, path: Path | None, lines: list[dict[str, Any]]
    ) -> None:
        self._stream = stream
        self._path = path
        self._lock = threading.Lock()
        self.key = ""
        self.uploads: dict[str, str] = {}
        self.puts: dict[str, str] = {}
        for line in lines:
            self._apply(line)
        self.resumed = bool(self.uploads or self.puts)
        if not self.key:
            self.new_key()

    def new_key(self) -> None:
        """Takes a new idempotency key: the version opened under the old one is done with."""
        self._record({"key": secrets.token_hex(16)})

    def upload_began(self, blob: str, upload: str) -> None:
        """A multipart upload is under way."""
        if self.uploads.get(blob) != upload:
            self._record({"upload": upload, "blob": blob})

    def puts_began(self, keys: Mapping[str, str]) -> None:
        """Single PUTs, by blob, are about to begin: each may arrive although its answer never does."""
        if keys:
            self._record({"puts": dict(keys)})

    def settled(self, *blobs: str) -> None:
        """These blobs are stored and known to the server, or their uploads are gone."""
        with self._lock:
            known = [blob for blob in blobs if blob in self.uploads or blob in self.puts]
        if known:
            self._record({"settled": known})

    def finish(self) -> None:
        """The push is complete: forgets it."""
        if self._path is not None:
            self._path.unlink(missing_ok=True)
        self.close()

    def close(self) -> None:
        """Lets go of the file; what it says is kept."""
        if self._stream is not None:
            self._stream.close()
            self._stream = None

    def _record(self, line: dict[str, Any]) -> None:
        with self._lock:
            self._apply(line)
            if self._stream is not None:
                self._stream.write(json.dumps(line).encode("ascii") + b"\n")

    def _apply(self, line: dict[str, Any]) -> None:
        if key := line.get("key"):
            self.key = str(key)
            return
        settled, puts = line.get("settled"), line.get("puts")
        if isinstance(settled, list):
            for blob in settled:
                self.uploads.pop(str(blob), None)
                self.puts.pop(str(blob), None)
        elif isinstance(puts, dict):
            self.puts |= {str(blob): str(key) for blob, key in puts.items()}
        elif "upload" in line:
            self.uploads[str(line.get("blob"))] = str(line["upload"])


def open_journal(folder: Path | None, *identity: str) -> Journal:
    """The journal of an interrupted push of the same `identity` that nobody continues yet, or a new
    one. Without a folder, or where it cannot be written, one that remembers nothing."""
    if folder is None or fcntl is None:
        return Journal(None, None, [])
    name = hashlib.sha256("\0".join(identity).encode("utf-8", "surrogatepass")).hexdigest()[:32]
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        _forget_old(folder)
        for path in sorted(folder.glob(f"{name}-*.jsonl")):
            if stream := _locked(path):
                return Journal(stream, path, _lines(stream))
        while True:
            path = folder / f"{name}-{secrets.token_hex(8)}.jsonl"
            path.touch(mode=0o600, exist_ok=False)
            if stream := _locked(path):
                return Journal(stream, path, [])
    except OSError:
        return Journal(None, None, [])


def _locked(path: Path) -> FileIO | None:
    """The file, open for appending and locked; None if another holds it or it is gone."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_APPEND)
    except FileNotFoundError:
        return None
    stream = FileIO(descriptor, "r+b")
    try:
        fcntl.flock(stream.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Its owner may have finished, and removed it, between our opening and our locking.
        if os.fstat(stream.fileno()).st_nlink:
            return stream
    except OSError:
        pass
    stream.close()
    return None


def _lines(stream: FileIO) -> list[dict[str, Any]]:
    data = stream.readall()
    if data and not data.endswith(b"\n"):
        # What a kill cut short must not spoil the line that is appended next.
        stream.write(b"\n")
    lines = []
    for text in data.splitlines():
        try:
            line = json.loads(text)
        except ValueError:
            continue
        if isinstance(line, dict):
            lines.append(line)
    return lines


def _forget_old(folder: Path) -> None:
    before = time.time() - _OLDEST
    for path in folder.glob("*.jsonl"):
        try:
            if path.stat().st_mtime < before and (stream := _locked(path)):
                path.unlink(missing_ok=True)
                stream.close()
        except OSError:
            continue
