"""The buffers that parts wait in between being read and being sent. Their number bounds the memory."""

import mmap
import threading
from collections.abc import Callable

from weighbridge.contract.cuts import MIN_PART, PART

BUFFER = PART + MIN_PART
"""The largest part of a file that is not huge; larger ones are read again when they are sent."""
BUFFERS = 8
_LOOK = 0.2


class Memory:
    """Buffers of `BUFFER` bytes, made when first needed, and used again."""

    def __init__(self, buffers: int = BUFFERS) -> None:
        self._left = buffers
        self._free: list[memoryview] = []
        self._change = threading.Condition()

    def take(self) -> memoryview | None:
        """A buffer, if one is free."""
        with self._change:
            if self._free:
                return self._free.pop()
            if not self._left:
                return None
            self._left -= 1
        # Memory straight from the system: untouched pages cost nothing, and it goes back at once.
        return memoryview(mmap.mmap(-1, BUFFER))

    def wait(self, check: Callable[[], None]) -> memoryview:
        """A buffer, as soon as one is free. `check` raises when it is not worth waiting any more."""
        while True:
            check()
            if (buffer := self.take()) is not None:
                return buffer
            with self._change:
                self._change.wait_for(lambda: bool(self._free), _LOOK)

    def give(self, buffer: memoryview | None) -> None:
        """Takes a buffer back."""
        if buffer is not None:
            with self._change:
                self._free.append(buffer)
                self._change.notify()

    def clear(self) -> None:
        """Lets go of the buffers that nobody uses."""
        with self._change:
            self._left += len(self._free)
            self._free.clear()
