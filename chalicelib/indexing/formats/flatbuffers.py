"""Tables of a flatbuffer, read at places in a file. It knows no schema (flatbuffers.dev, internals).

Offsets may point anywhere, also back: whoever walks them goes by a schema of limited depth, and every
step counts against one limit.
"""

from chalicelib.indexing.formats.windows import Window

MAX_STEPS = 400_000


class BadFlatbuffer(Exception):
    """These bytes are no such table."""


class Buffer:
    """A flatbuffer in a window."""

    def __init__(self, window: Window, limit: int = MAX_STEPS) -> None:
        self.window = window
        self._left = limit

    def root(self) -> "Table":
        """The table that the file begins with."""
        return Table(self, self.number(0, 4))

    def number(self, at: int, width: int, signed: bool = False) -> int:
        """An integer."""
        self._left -= 1
        if self._left < 0:
            raise BadFlatbuffer("it has too many parts")
        return int.from_bytes(self.window.read(at, width), "little", signed=signed)


class Table:
    """A table: fields by their place in the schema. Those left out have a default."""

    def __init__(self, buffer: Buffer, at: int) -> None:
        self._buffer = buffer
        self._at = at
        self._vtable = at - buffer.number(at, 4, signed=True)
        self._size = buffer.number(self._vtable, 2) if self._vtable >= 0 else 0
        if self._size < 4 or self._size % 2:
            raise BadFlatbuffer(f"the table at {at} is damaged")

    def has(self, slot: int) -> bool:
        """Whether the field is there."""
        return self._place(slot) > 0

    def number(self, slot: int, width: int, default: int = 0, signed: bool = False) -> int:
        """An integer field."""
        place = self._place(slot)
        return self._buffer.number(place, width, signed) if place else default

    def table(self, slot: int) -> "Table | None":
        """A table field."""
        place = self._place(slot)
        return Table(self._buffer, self._follow(place)) if place else None

    def text(self, slot: int, limit: int = 1000) -> str:
        """A text field, its beginning; empty if it is left out."""
        start, count = self._vector(slot, 1)
        return self._buffer.window.read(start, min(count, limit)).decode("utf-8", "replace")

    def length(self, slot: int, width: int) -> int:
        """How many elements of `width` bytes a vector field has."""
        return self._vector(slot, width)[1]

    def numbers(self, slot: int, width: int, limit: int, signed: bool = True) -> list[int]:
        """A vector of integers, its beginning."""
        start, count = self._vector(slot, width)
        data = self._buffer.window.read(start, min(count, limit) * width)
        return [
            int.from_bytes(data[at : at + width], "little", signed=signed)
            for at in range(0, len(data), width)
        ]

    def tables(self, slot: int, limit: int) -> list["Table"]:
        """A vector of tables, its beginning."""
        start, count = self._vector(slot, 4)
        return [
            Table(self._buffer, self._follow(start + 4 * index))
            for index in range(min(count, limit))
        ]

    def _place(self, slot: int) -> int:
        entry = 4 + 2 * slot
        if entry + 2 > self._size:
            return 0
        offset = self._buffer.number(self._vtable + entry, 2)
        return self._at + offset if offset else 0

    def _follow(self, place: int) -> int:
        return place + self._buffer.number(place, 4)

    def _vector(self, slot: int, width: int) -> tuple[int, int]:
        place = self._place(slot)
        if not place:
            return 0, 0
        start = self._follow(place)
        count = self._buffer.number(start, 4)
        if start + 4 + count * width > self._buffer.window.size:
            raise BadFlatbuffer(f"the vector at {start} reaches beyond the file")
        return start + 4, count
