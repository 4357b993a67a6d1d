"""What a request can send: bytes in memory, or a range of a file."""

import os
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from io import FileIO
from typing import Protocol

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
            stream.seek(self.offset)
            view = memoryview(bytearray(min(_BLOCK, max(1, self.size))))
            position = 0
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
            position = 0
            while position < self.size:
                wanted = min(self.size - position, _STRIDE)
                count = connection.sendfile(stream, self.offset + position, wanted)
                if not count:
                    raise self.short()
                position += count
                self.sent(count, position)


def direct(url: str) -> bool:
    """Whether a `FileBody` to this address is sent inside the system."""
    return url.startswith("http:") and hasattr(os, "sendfile")
