"""Zips by ranges, against Python's zipfile, and what two readers could see differently."""

import io
import random
import struct
import zipfile

import pytest

from chalicelib.indexing.formats import zips
from tests.indexing.table import ranged

MEMBERS = {
    "a.txt": b"hello " * 5000,
    "folder/ü.bin": random.Random(1).randbytes(200_000),
    "stored": b"x" * 1000,
    "empty": b"",
    "zeros": bytes(3_000_000),
}


def built(members=MEMBERS, method=zipfile.ZIP_DEFLATED, **options):
    """A zip that zipfile writes."""
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", method, **options) as archive:
        for name, content in members.items():
            archive.writestr(name, content, zipfile.ZIP_STORED if name == "stored" else None)
    return data.getvalue()


def streamed():
    """A zip whose local headers know no sizes, and whose entries have zip64 fields."""

    class Pipe(io.RawIOBase):
        def __init__(self):
            self.data = b""

        def writable(self):
            return True

        def write(self, data):
            self.data += bytes(data)
            return len(data)

    pipe = Pipe()
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in MEMBERS.items():
            with archive.open(name, "w", force_zip64=True) as file:
                file.write(content)
    return pipe.data


@pytest.mark.parametrize("data", [built(), built(method=zipfile.ZIP_STORED), streamed()],
                         ids=["deflated", "stored", "streamed, zip64"])  # fmt: skip
@pytest.mark.parametrize("limit", [0, 1, 1000, 70_000, 10**9])
def test_members_and_their_first_bytes_are_those_of_zipfile(data, limit):
    """Names, sizes, checksums, places; and as many bytes as were asked for."""
    source = ranged(data)
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        found = zips.directory(source)
        assert [(m.name, m.method, m.compressed, m.size, m.offset, m.crc) for m in found] == [
            (i.filename, i.compress_type, i.compress_size, i.file_size, i.header_offset, i.CRC)
            for i in archive.infolist()
        ]
        for member in found:
            assert zips.open_member(source, member, limit) == archive.read(member.name)[:limit]
            if member.method == zips.STORED:
                start = zips.data_start(source, member)
                assert data[start : start + member.size] == archive.read(member.name)


def test_many_members_need_a_zip64_end_and_are_read():
    """70,000 members are more than the old end record can count."""
    data = built({f"{n}": b"" for n in range(70_000)})
    assert b"PK\x06\x06" in data
    assert len(zips.directory(ranged(data))) == 70_000
    with pytest.raises(zips.BadZip, match="70000 members; 10 at most"):
        zips.directory(ranged(data), 10)


def test_a_large_zip_costs_one_request_for_the_directory_and_one_a_member():
    """The tail holds the end record and the directory."""
    source = ranged(built({"big": random.Random(2).randbytes(2_000_000), "b": b"x"}))
    source.read(0, 65536)
    members = zips.directory(source)
    assert source.requests == 2
    zips.open_member(source, members[0], 100)
    assert source.requests == 2, "the member's beginning was read with the file's"
    assert source.read_bytes < 140_000


def _at(data, signature, offset, new, nth=0):
    at = -1
    for _ in range(nth + 1):
        at = data.index(signature, at + 1)
    return data[: at + offset] + new + data[at + offset + len(new) :]


GOOD = built({"first": b"a" * 500, "other": b"b" * 500})
ENTRY, LOCAL, END = b"PK\x01\x02", b"PK\x03\x04", b"PK\x05\x06"


@pytest.mark.parametrize(("data", "why"), [
    (b"", "too few"),
    (b"x" * 100, "no directory"),
    (GOOD[:-1], "no directory"),
    (GOOD + b"x", "behind its end"),
    (b"MZ" + GOOD, "bytes before the archive"),
    (_at(GOOD, ENTRY, 46, b"other"), "twice"),
    (_at(GOOD, END, 8, struct.pack("<HH", 3, 3)), "damaged"),
    (_at(GOOD, END, 8, struct.pack("<HH", 1, 1)), "more than it claims"),
    (_at(GOOD, END, 4, b"\x01"), "several files"),
    (_at(GOOD, END, 12, struct.pack("<I", 2**31)), "not where it claims"),
    (_at(GOOD, ENTRY, 24, struct.pack("<I", 2**31)), "a bomb"),
    (_at(GOOD, ENTRY, 42, struct.pack("<I", 1), 1), "overlaps"),
    (_at(GOOD, ENTRY, 20, struct.pack("<I", 400)), "overlaps"),
    (_at(GOOD, ENTRY, 20, struct.pack("<I", 400), 1), "into its directory"),
    (_at(GOOD, ENTRY, 46, b"fi\0st"), "zero byte"),
    (_at(GOOD, ENTRY, 28, b"\0\0"), "bytes; 1 to"),
], ids=lambda value: value if isinstance(value, str) else "")  # fmt: skip
def test_a_directory_that_readers_may_see_differently_is_refused(data, why):
    """Damage, overlaps, bombs, doubled names, bytes before and behind."""
    with pytest.raises(zips.BadZip, match=why):
        zips.directory(ranged(data))


@pytest.mark.parametrize(("data", "why"), [
    (_at(GOOD, LOCAL, 30, b"FIRST"), "does not agree"),
    (_at(GOOD, LOCAL, 8, b"\0"), "does not agree"),
    (_at(GOOD, LOCAL, 14, b"\1\2\3\4"), "does not agree"),
    (_at(GOOD, LOCAL, 0, b"PK\3\5"), "not where the directory says"),
    (_at(_at(GOOD, ENTRY, 10, b"\x0c"), LOCAL, 8, b"\x0c"), "unknown method"),
    (_at(_at(GOOD, ENTRY, 8, b"\x01"), LOCAL, 6, b"\x01"), "encrypted"),
    (_at(_at(GOOD, ENTRY, 24, b"\xf5"), LOCAL, 22, b"\xf5"), "less than it claims"),
    (_at(_at(GOOD, ENTRY, 24, b"\xf3"), LOCAL, 22, b"\xf3"), "more than it claims"),
    (_at(_at(GOOD, ENTRY, 16, b"\xf3"), LOCAL, 14, b"\xf3"), "checksum"),
], ids=lambda value: value if isinstance(value, str) else "")  # fmt: skip
def test_a_member_whose_headers_or_bytes_disagree_is_refused(data, why):
    """The local header must say what the directory says, and the bytes must be what both say."""
    source = ranged(data)
    with pytest.raises(zips.BadZip, match=why):
        zips.open_member(source, zips.directory(source)[0], 10**6)


def test_a_member_made_of_nothing_is_given_up():
    """Deflate may hold any number of blocks without a byte: they are not read to their end."""
    blocks = b"\x00\x00\x00\xff\xff" * 400_000 + b"\x01\x01\x00\xfe\xffx"
    name = b"slow"
    local = struct.pack("<4s5H3I2H", LOCAL, 20, 0, 8, 0, 0, 0, len(blocks), 1, 4, 0) + name
    entry = (
        struct.pack(
            "<4s6H3I5H2I", ENTRY, 20, 20, 0, 8, 0, 0, 0, len(blocks), 1, 4, 0, 0, 0, 0, 0, 0
        )
        + name
    )
    end = struct.pack("<4s4H2IH", END, 0, 0, 1, 1, len(entry), len(local) + len(blocks), 0)
    source = ranged(local + blocks + entry + end)
    with pytest.raises(zips.BadZip, match="less than it claims"):
        zips.open_member(source, zips.directory(source)[0], 10)
    assert source.read_bytes < 300_000
