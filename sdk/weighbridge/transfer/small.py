"""Small files of a push: read once, in one piece, and kept until they are sent where there is room."""

import threading
from pathlib import Path

from weighbridge.transfer import hashing
from weighbridge.transfer.hashing import Hashed
from weighbridge.turns import SMALL

ROOM = 16 * 1024 * 1024
"""Bytes that are kept at most; a file beyond is read again when it is sent."""


class Small:
    """Usable from several threads."""

    def __init__(self, room: int = ROOM) -> None:
        self._lock = threading.Lock()
        self._room = room
        self._kept: dict[Path, bytes] = {}

    def read(self, path: Path) -> Hashed | None:
        """Reads a file; None if it is not small, or has tensors to be looked at."""
        if (found := hashing.hash_small(path, SMALL)) is None:
            return None
        file, data = found
        with self._lock:
            if len(data) <= self._room and path not in self._kept:
                self._room -= len(data)
                self._kept[path] = data
        return file

    def data(self, file: Hashed) -> memoryview | None:
        """The bytes of a file, if they were kept."""
        data = self._kept.get(file.path)
        return None if data is None else memoryview(data)

    def forget(self, file: Hashed) -> None:
        """Nobody needs its bytes any more."""
        with self._lock:
            self._room += len(self._kept.pop(file.path, b""))
