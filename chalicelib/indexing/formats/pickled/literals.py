"""The literals of a pickle: text, bytes and numbers, in all notations."""

import codecs
import re
import struct
import warnings
from collections.abc import Callable

from chalicelib.indexing.formats.pickled.machine import Broken, Machine
from chalicelib.indexing.formats.pickled.source import OverLimit
from chalicelib.indexing.formats.pickled.values import Opaque, Value

_DECIMAL = re.compile(rb"-?[0-9]{1,4000}")
_LOOSE = re.compile(rb"\s*[+-]?[0-9a-zA-Z_]*\s*(\x00.*)?", re.DOTALL)
"""What some loader may take for a number; text of words is not among it."""
_INDEX = re.compile(rb"[0-9]{1,10}")


def text(length: int) -> Callable[[Machine], Value]:
    """Text behind a length of that many bytes."""

    def make(machine: Machine) -> Value:
        data = machine.keep(machine.cursor.number(length), text=True)
        return data.decode("utf-8", "surrogatepass") if isinstance(data, bytes) else data

    return make


def bytes_(length: int) -> Callable[[Machine], Value]:
    """Bytes behind a length of that many bytes."""

    def make(machine: Machine) -> Value:
        data = machine.keep(machine.cursor.number(length), text=False)
        if isinstance(data, bytes):
            machine.nested(data)
        return data

    return make


def old_string(length: int) -> Callable[[Machine], Value]:
    """Python 2's text: bytes that most loaders decode."""

    def make(machine: Machine) -> Value:
        size = int.from_bytes(machine.cursor.take(length), "little", signed=length == 4)
        if size < 0:
            raise Broken("a text of negative length")
        data = machine.keep(size, text=True)
        if not isinstance(data, bytes):
            return data
        machine.nested(data)
        return data.decode("latin-1")

    return make


def quoted(machine: Machine) -> Value:
    """Text in quotes, with escapes."""
    line = machine.cursor.line()
    if len(line) < 2 or line[:1] != line[-1:] or line[:1] not in (b"'", b'"'):
        raise Broken("a text without quotes")
    with warnings.catch_warnings(action="ignore"):  # of escapes that mean themselves
        data = codecs.escape_decode(line[1:-1])[0]
    machine.nested(data)
    return data.decode("latin-1")


def int_(machine: Machine) -> Value:
    """A number in decimals, or a truth value."""
    line = machine.cursor.line()
    if line in (b"00", b"01"):
        return line == b"01"
    return number(line.removesuffix(b"L"))


def number(line: bytes) -> Value:
    """A whole number in decimals."""
    if _DECIMAL.fullmatch(line):
        return int(line)
    if not _LOOSE.fullmatch(line) or not re.search(rb"[0-9]", line):
        raise Broken("a number that is none")
    return Opaque("a number in some other notation")


def long(length: int) -> Callable[[Machine], Value]:
    """A whole number of many bytes, behind a length of that many bytes."""

    def make(machine: Machine) -> Value:
        size = int.from_bytes(machine.cursor.take(length), "little", signed=length == 4)
        if size < 0:
            raise Broken("a number of negative length")
        data = machine.keep(size, text=False)
        return int.from_bytes(data, "little", signed=True) if isinstance(data, bytes) else Opaque()

    return make


def double(machine: Machine) -> Value:
    """Eight bytes of a floating-point number."""
    return float(struct.unpack(">d", machine.cursor.take(8))[0])


def index(machine: Machine) -> int:
    """The place in the memo, in decimals."""
    line = machine.cursor.line()
    if not _INDEX.fullmatch(line):
        if _LOOSE.fullmatch(line) and re.search(rb"[0-9]", line):
            raise OverLimit("a memo index in some other notation")
        raise Broken("a memo index that is no number")
    return int(line)
