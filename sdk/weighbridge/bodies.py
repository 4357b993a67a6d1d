"""What a request can send: bytes in memory, or a range of a file."""

import os
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from io import FileIO
from typing import Protocol

from weighbridge import sending

_BLOCK = 1024 * 1024
_STRIDE = 4 * 1024 * 1024
"""Bytes that go out before anybody is told."""


class Body(Protocol):
    """What a request sends; `blocks` starts from the beginning each time it is called."""

    @property
    def size(self) -> int:
        """Bytes in all."""

    def blocks(self) -> Iterator[memoryview | bytes]:
        """The bytes, block by block."""


@dataclass(frozen=True, slots=True)
class Bytes:
    """A body held in memory."""

    data: bytes

    @property
    def size(self) -> int:
        """Bytes in all."""
        return len(self.data)

    def blocks(self) -> Iterator[memoryview | bytes]:
        """The bytes as one block."""
        if self.data:
            yield self.data


@dataclass(frozen=True, slots=True)
class FileBody:
    """A range of a file: sent inside the system where it can, read in blocks where it cannot (TLS).

    `open` opens the file anew for each try. `sent` is told the size of what went out, and how far
    into the range that was. `short` makes the error of a file that ends early.
    """

    open: Callable[[], FileIO]
    offset: int
    size: int
    sent: Callable[[int, int], None]
    short: Callable[[], Exception]

    def blocks(self) -> Iterator[memoryview | bytes]:
        """The bytes, block by block."""
        with self.open() as stream:
            yield from self._blocks(stream, 0)

    def _blocks(self, stream: FileIO, position: int) -> Iterator[memoryview]:
        if position == self.size:
            return
        stream.seek(self.offset + position)
        view = memoryview(bytearray(min(_BLOCK, max(1, self.size))))
        while position < self.size:
            count = stream.readinto(view[: min(self.size - position, len(view))])
            if not count:
                raise self.short()
            yield view[:count]
            position += count
            self.sent(count, position)

    def send_through(self, connection: socket.socket) -> None:
        """Sends it without bringing it into this process."""
        with self.open() as stream:
            position = told = 0
            while position < self.size:
                wanted = min(self.size - position, _STRIDE)
                count = sending.send_file(connection, stream, self.offset + position, wanted)
                if count is None:
                    self.sent(position - told, position)
                    break
                if not count:
                    raise self.short()
                position += count
                if position - told >= _STRIDE or position == self.size:
                    self.sent(position - told, position)
                    told = position
            for block in self._blocks(stream, position):
                sending.send_block(connection, block)


def direct(url: str) -> bool:
    """Whether a `FileBody` to this address is sent inside the system."""
    return url.startswith("http:") and hasattr(os, "sendfile")
