"""GGUF headers: sound ones are read, everything else is one error, and nothing takes long."""

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from weighbridge.contract import gguf
from weighbridge.contract.errors import IntegrityError


def text(value):
    """A GGUF string."""
    data = value.encode()
    return struct.pack("<Q", len(data)) + data


def build(lengths, *, version=3, alignment=32, keys=(), data=None):
    """A GGUF file of tensors with these lengths, and where they stand."""
    entries = [text("general.alignment") + struct.pack("<II", 4, alignment), *keys]
    head = b"GGUF" + struct.pack("<IQQ", version, len(lengths), len(entries)) + b"".join(entries)
    offset, offsets = 0, []
    for number, length in enumerate(lengths):
        offsets.append(offset)
        head += text(f"blk.{number}.weight") + struct.pack("<IQQIQ", 2, length, 1, 24, offset)
        offset += -(-length // alignment) * alignment
    start = -(-len(head) // alignment) * alignment
    body = bytes(offset) if data is None else data
    return head.ljust(start, b"\0") + body, [start + o for o in offsets]


def read(data):
    """The tensors of a file in memory."""
    return gguf.tensors(lambda start, length: data[start : start + length], len(data))


KEYS = [
    text("a.u8") + struct.pack("<IB", 0, 1),
    text("a.bool") + struct.pack("<IB", 7, 1),
    text("a.f64") + struct.pack("<Id", 12, 0.5),
    text("a.text") + struct.pack("<I", 8) + text("x" * 100),
    text("a.numbers") + struct.pack("<IIQ", 9, 5, 3) + struct.pack("<3i", 1, 2, 3),
    text("a.words") + struct.pack("<IIQ", 9, 8, 2) + text("one") + text("two"),
]


@settings(deadline=None)
@given(st.lists(st.integers(1, 5000), max_size=30), st.sampled_from([1, 32, 64, 4096]),
       st.sampled_from([2, 3]))  # fmt: skip
def test_tensors_are_found_where_they_stand(lengths, alignment, version):
    """Each tensor begins where the file has it, and reaches up to the next."""
    data, offsets = build(lengths, version=version, alignment=alignment, keys=KEYS)
    found = read(data)
    assert [offset for offset, _ in found] == offsets
    assert sum(length for _, length in found) == (len(data) - offsets[0] if offsets else 0)


def _wrong():
    good, _ = build([100, 200], keys=KEYS)
    yield "empty", b""
    yield "magic", b"GGML" + good[4:]
    yield "version 1", b"GGUF" + struct.pack("<I", 1) + good[8:]
    yield "big endian", b"GGUF" + struct.pack(">I", 3) + good[8:]
    yield "many tensors", good[:8] + struct.pack("<Q", 2**63) + good[16:]
    yield "many keys", good[:16] + struct.pack("<Q", 2**40) + good[24:]
    yield "long name", good[:24] + struct.pack("<Q", 2**62) + good[32:]
    yield "alignment 0", build([1], keys=[text("general.alignment") + struct.pack("<II", 4, 0)])[0]
    yield "unknown type", build([1], keys=[text("k") + struct.pack("<I", 13)])[0]
    nested = text("k") + struct.pack("<IIQ", 9, 9, 1)
    yield "nested array", build([1], keys=[nested])[0]
    yield "many strings", build([1], keys=[text("k") + struct.pack("<IIQ", 9, 8, 2**40)])[0]
    yield "long array", build([1], keys=[text("k") + struct.pack("<IIQ", 9, 12, 2**61)])[0]
    yield "no data", build([100, 200], data=b"")[0]
    twice = b"".join(text(n) + struct.pack("<IQIQ", 1, 1, 0, 0) for n in "ab")
    yield "same place", b"GGUF" + struct.pack("<IQQ", 3, 2, 0) + twice + bytes(100)
    yield "dimensions", b"GGUF" + struct.pack("<IQQ", 3, 1, 0) + text("a") + struct.pack("<I", 9)


@pytest.mark.parametrize(("what", "data"), list(_wrong()))
def test_unsound_file_is_an_integrity_error(what, data):
    """What is no sound GGUF file of a known version is refused, without reading far."""
    with pytest.raises(IntegrityError):
        read(data)


@settings(deadline=None, max_examples=300)
@given(st.data())
def test_damaged_header_never_does_anything_else(data):
    """Whatever stands in a header: tensors inside the file, in order, or `IntegrityError`."""
    good, _ = build([100, 200, 300], keys=KEYS)
    damaged = bytearray(good)
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, 400))] = data.draw(st.integers(0, 255))
    damaged = damaged[: data.draw(st.integers(0, len(damaged)))]
    try:
        found = read(bytes(damaged))
    except IntegrityError:
        return
    position = 0
    for offset, length in found:
        assert offset >= position
        position = offset + length
    assert position <= len(damaged)
