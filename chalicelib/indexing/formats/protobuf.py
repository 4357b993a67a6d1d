"""The wire format of protocol buffers, read field by field at places in a file. It knows no schema.

Encoding: protobuf.dev/programming-guides/encoding. What is not wanted is passed over, not fetched.
"""

from collections.abc import Iterator
from typing import NamedTuple

from chalicelib.indexing.formats.windows import Window

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
MAX_FIELDS = 500_000
"""Fields of one file that are looked at: the walk ends, whatever is claimed."""


class BadProtobuf(Exception):
    """These bytes are no message."""


class Field(NamedTuple):
    """A field: the value of a number, or where the `length` bytes of anything else stand."""

    number: int
    wire: int
    value: int
    length: int

    @property
    def end(self) -> int:
        """Behind the bytes of the field."""
        return self.value + self.length


def varint(data: bytes, at: int) -> tuple[int, int]:
    """A number and the place behind it. Raises `BadProtobuf`."""
    value = shift = 0
    while at < len(data) and shift < 70:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & 0xFFFF_FFFF_FFFF_FFFF, at
        shift += 7
    raise BadProtobuf("a number has no end")


def signed(value: int) -> int:
    """An int32 or int64 as protobuf writes it."""
    return value - (1 << 64) if value >= 1 << 63 else value


class Reader:
    """Walks messages in a window; `fields` counts against one limit for the whole file."""

    def __init__(self, window: Window, limit: int = MAX_FIELDS) -> None:
        self.window = window
        self._left = limit

    def fields(self, start: int, end: int) -> Iterator[Field]:
        """The fields of the message that stands there. Raises `BadProtobuf`."""
        at = start
        while at < end:
            self._left -= 1
            if self._left < 0:
                raise BadProtobuf("it has too many fields")
            head = self.window.some(at, 20)
            tag, used = varint(head, 0)
            number, wire = tag >> 3, tag & 7
            if not 1 <= number < 1 << 29:
                raise BadProtobuf(f"a field has the number {number}")
            value = length = 0
            if wire == VARINT:
                value, used = varint(head, used)
                at += used
            elif wire == BYTES:
                length, used = varint(head, used)
                value = at + used
                at = value + length
            elif wire in (FIXED32, FIXED64):
                length = 4 if wire == FIXED32 else 8
                value = at + used
                at = value + length
            else:
                raise BadProtobuf(f"a field has the wire type {wire}")
            if at > end:
                raise BadProtobuf("a field reaches beyond its message")
            yield Field(number, wire, value, length)

    def inside(self, field: Field) -> Iterator[Field]:
        """The fields of a message inside a message."""
        if field.wire != BYTES:
            raise BadProtobuf(f"field {field.number} should be a message")
        return self.fields(field.value, field.end)

    def text(self, field: Field, limit: int = 1000) -> str:
        """The first characters of a text."""
        return self.data(field, limit).decode("utf-8", "replace")

    def data(self, field: Field, limit: int) -> bytes:
        """The first bytes of a field."""
        if field.wire != BYTES:
            raise BadProtobuf(f"field {field.number} should be text or bytes")
        return self.window.read(field.value, min(field.length, limit))

    def numbers(self, field: Field, limit: int = 64) -> list[int]:
        """A number, or several packed ones, of a repeated int64 field."""
        if field.wire == VARINT:
            return [signed(field.value)]
        data, at = self.data(field, limit * 10), 0
        found: list[int] = []
        while at < len(data) and len(found) < limit:
            value, at = varint(data, at)
            found.append(signed(value))
        return found
