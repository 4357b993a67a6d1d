"""Archives taken apart: strictly, into blobs that are what a push would have made."""

import hashlib
import io
import random
import stat
import zipfile
import zlib

import pytest

from chalicelib.archives import packing, unpacking
from chalicelib.archives.unpacking import Limits
from chalicelib.registry import blobs, keys, publishing, sweep
from tests.registry_world import key_of, upload
from weighbridge.contract import manifests
from weighbridge.contract.errors import (
    IntegrityError,
    InvalidRequest,
    NotFound,
    RegistryError,
    TooLarge,
)
from weighbridge.contract.types import NewVersion, VersionCommit

LARGE = random.Random(1).randbytes(17 * 1024 * 1024)
FILES = {"define/meta.yaml": b"x: 1", "variables/data/lr/model/W": LARGE, "empty": b"", "a/b": b"4"}


def zipped(files=FILES, method=zipfile.ZIP_DEFLATED, folders=True):
    """A zip as other programs make it."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        if folders:
            archive.mkdir("define")
        for path, data in files.items():
            archive.writestr(path, data)
    return out.getvalue()


def stored_bytes(stores, project_id, kept):
    """The bytes of a blob, as a reader gets them."""
    (key,) = blobs.object_keys(stores, project_id, [kept.blob]).values()
    return stores.blobs.read(key)


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize("place", ["memory", "file", "bucket"])
def test_every_file_becomes_a_blob(stores, project_id, method, place, tmp_path):
    """With its size and digests, small or in parts; a version can be committed from the list."""
    data = zipped(method=method)
    source = data
    if place == "file":
        (tmp_path / "x.zip").write_bytes(data)
        source = (tmp_path / "x.zip").open("rb")
    if place == "bucket":
        source, _ = packing.new_object(stores, project_id)
        stores.blobs.put(source, data)
        assert unpacking.sha256_of(stores, source) == hashlib.sha256(data).hexdigest()
    kept = unpacking.unpack(stores, project_id, source, sha1=True)
    if place == "file":
        source.close()
    assert {k.path: k.size for k in kept} == {path: len(d) for path, d in FILES.items()}
    for found in kept:
        wanted = FILES[found.path]
        assert found.sha256 == hashlib.sha256(wanted).hexdigest()
        assert found.sha1 == hashlib.sha1(wanted).hexdigest()
        assert stored_bytes(stores, project_id, found) == wanted
    opened = publishing.begin(stores, "ann", "vision", "digits", NewVersion(key_of(place)))
    entries = tuple(k.entry() for k in kept)
    commit = VersionCommit(manifests.digest(entries), entries)
    assert publishing.commit(stores, "ann", "vision", "digits", opened.number, commit).files == 4


def test_a_file_is_the_blob_that_a_push_makes(stores, project_id):
    """Bytes that the project holds are kept once, and unpacking twice adds nothing."""
    pushed = {e.path: e.blob for e in upload(stores, "vision", {"a/b": b"4"})}
    before = len(stores.blobs.list(f"blobs/{project_id}/").heads)
    first = unpacking.unpack(stores, project_id, zipped())
    assert {k.path: k.blob for k in first}["a/b"] == pushed["a/b"]
    held = len(stores.blobs.list(f"blobs/{project_id}/").heads)
    assert held == before + 3
    assert unpacking.unpack(stores, project_id, zipped()) == first
    assert len(stores.blobs.list(f"blobs/{project_id}/").heads) == held


def test_what_was_unpacked_and_not_used_is_freed(registry, project_id):
    """Nothing refers to the blobs: once their lease is over the sweep removes objects and items."""
    stores, clock = registry
    kept = unpacking.unpack(stores, project_id, zipped())
    clock.time += stores.lease_seconds + 60
    sweep.run(stores)
    assert blobs.live(stores, project_id, [k.blob for k in kept]) == {}
    assert stores.blobs.list(f"blobs/{project_id}/").heads == ()


def test_a_small_file_can_be_read_alone(stores, project_id):
    """To look at an archive before it is unpacked; and files can be left out."""
    with unpacking.opened(stores, zipped()) as archive:
        assert archive.read("define/meta.yaml") == b"x: 1"
        with pytest.raises(NotFound):
            archive.read("nothing")
        with pytest.raises(TooLarge):
            archive.read("variables/data/lr/model/W")
    kept = unpacking.unpack(stores, project_id, zipped(), skip=["empty", "a/b"])
    assert len(kept) == 2
    assert (
        unpacking.unpack(stores, project_id, zipped(), skip=lambda p: "/" in p)[0].path == "empty"
    )


def test_what_was_packed_comes_out_again(stores, project_id):
    """Through the bucket, stored and deflated: the same blobs."""
    entries = upload(stores, "vision", {"x/y": b"1" * 1000, "z": LARGE[: 9 * 1024 * 1024]})
    for level in (0, 9):
        members = [packing.of_file(entry) for entry in entries]
        archive = packing.assemble(stores, project_id, members, level=level)
        kept = unpacking.unpack(stores, project_id, archive.key)
        assert tuple(k.entry() for k in kept) == entries


def with_member(change, data=b"x"):
    """A zip of one member, whose ZipInfo was changed."""
    out = io.BytesIO()
    info = zipfile.ZipInfo("x")
    info.create_system = 3
    change(info)
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr(info, data)
    return out.getvalue()


def named(name):
    """A zip of one member with that very name."""
    good = with_member(lambda info: setattr(info, "filename", "?" * len(name.encode())))
    return good.replace(b"?" * len(name.encode()), name.encode())


def link(info):
    """Makes it a symbolic link."""
    info.external_attr = (stat.S_IFLNK | 0o777) << 16


def encrypted(data):
    """The flag that says so, in both headers."""
    at = data.index(b"PK\x01\x02")
    changed = bytearray(data)
    changed[6] |= 1
    changed[at + 8] |= 1
    return bytes(changed)


def twice():
    """Two members of one name."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("x", b"1")
        archive.writestr("y", b"2")
    return out.getvalue().replace(b"y", b"x")


def bomb(size=80 << 20):
    """A hundred kilobytes that become 80 MiB."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("x", "w") as f:
        for _ in range(size >> 20):
            f.write(bytes(1 << 20))
    return out.getvalue()


HOSTILE = {
    "nothing": lambda: b"",
    "noise": lambda: b"hello" * 100,
    "cut": lambda: zipped({"x": b"x" * 1000})[:-30],
    "before": lambda: b"MZ" + zipped({"x": b"1"}),
    "behind": lambda: zipped({"x": b"1"}) + b"??",
    "absolute": lambda: named("/etc/x"),
    "parent": lambda: named("../x"),
    "inner": lambda: named("a/../../x"),
    "backslash": lambda: named("..\\x"),
    "drive": lambda: named("C:/x"),
    "control": lambda: named("a\tb"),
    "link": lambda: with_member(link),
    "device": lambda: with_member(
        lambda i: setattr(i, "external_attr", (stat.S_IFCHR | 0o6) << 16)
    ),
    "encrypted": lambda: encrypted(with_member(lambda i: None)),
    "bzip2": lambda: with_member(lambda i: setattr(i, "compress_type", zipfile.ZIP_BZIP2)),
    "twice": twice,
    "folder": lambda: zipped({"a": b"1", "a/b": b"2"}),
    "many": lambda: zipped({str(n): b"" for n in range(60)}),
    "large": lambda: zipped({"x": bytes(3 << 20)}),
    "bomb": bomb,
}
LIMITS = Limits(members=50, size=2 << 20)


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_archives_are_refused(stores, project_id, kind):
    """With an error that says why, before a byte is stored."""
    limits = Limits() if kind == "bomb" else LIMITS
    with pytest.raises((InvalidRequest, TooLarge)) as caught:
        unpacking.unpack(stores, project_id, HOSTILE[kind](), limits=limits)
    assert len(caught.value.message) > 15
    assert stores.blobs.list(f"blobs/{project_id}/").heads == ()


def damaged(data, at, value=b"\xff\x00\xff"):
    """The bytes with some replaced."""
    return data[:at] + value + data[at + len(value) :]


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_damaged_content_is_told(stores, project_id, method):
    """The checksum of the archive, or the stream itself, gives it away; no large upload is left."""
    good = zipped({"a": b"1", "x": LARGE}, method, folders=False)
    with pytest.raises(IntegrityError, match="damaged"):
        unpacking.unpack(stores, project_id, damaged(good, len(good) // 2))
    assert list(stores.blobs.stale_multiparts("blobs/", 2**40)) == []


def test_no_damage_makes_anything_but_our_errors(stores, project_id):
    """Every byte of a small archive changed in turn: right content or a clear error."""
    good = zipped({"a": b"hello", "b/c": b"world" * 5})
    for at in range(len(good)):
        broken = damaged(good, at, bytes([good[at] ^ 0x55]))
        try:
            with unpacking.opened(stores, broken) as archive:
                for entry in archive.entries:
                    archive.read(entry.path)
        except RegistryError:
            pass


def test_a_claim_of_less_than_there_is_does_not_help(stores, project_id):
    """A member that inflates to more than its headers say ends there."""
    data = bytes(1 << 20)
    squeezed = zlib.compressobj(9, zlib.DEFLATED, -15)
    raw = squeezed.compress(data) + squeezed.flush()
    good = zipped({"x": data}, folders=False)
    size = len(data).to_bytes(4, "little")
    assert good.count(size) == 2
    lying = good.replace(size, (1000).to_bytes(4, "little"))
    assert len(raw) < 2000
    with pytest.raises(IntegrityError, match="not what was packed"):
        unpacking.unpack(stores, project_id, lying)


def test_an_archive_that_changes_while_it_is_read_is_noticed(stores, project_id, monkeypatch):
    """Its directory is of one object, its bytes would be of another."""
    key = keys.archive_object(project_id, "x")
    stores.blobs.put(key, zipped({"x": LARGE}, zipfile.ZIP_STORED))
    with unpacking.opened(stores, key) as archive:
        stores.blobs.put(key, zipped({"x": LARGE[::-1]}, zipfile.ZIP_STORED))
        with pytest.raises(Exception, match=r"condition|damaged|cut short"):
            list(archive.stream("x"))
