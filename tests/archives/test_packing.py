"""Archives of stored files: right, reproducible, found again, gone after a day."""

import hashlib
import io
import subprocess
import zipfile
from dataclasses import replace

import pytest

from chalicelib.archives import packing, streams
from chalicelib.archives.packing import Member
from chalicelib.registry import keys, sweep
from chalicelib.registry.ports import Listed
from tests.registry_world import upload
from weighbridge.contract.errors import (
    IntegrityError,
    InvalidManifest,
    InvalidRequest,
    NotFound,
    TooLarge,
    Unavailable,
)

LARGE = bytes(range(256)) * 4096 * 11  # 11 MiB: more than one part of an archive
FILES = {"a/one.bin": b"one", "b.bin": LARGE, "empty": b"", "ü/ß.txt": "grüß".encode()}


def members(stores, files=FILES):
    """The files, pushed, as members in the order given."""
    entries = {e.path: e for e in upload(stores, "vision", files)}
    return [packing.of_file(entries[path]) for path in files]


def content(stores, archive):
    """The archive's bytes."""
    return stores.blobs.read(archive.key)


def objects(stores, project_id):
    """The keys of the archives that are there."""
    found: Listed = stores.blobs.list(keys.archives_folder(project_id))
    return [head.key for head in found.heads]


@pytest.mark.parametrize("level", [0, 6])
def test_an_archive_holds_its_members(stores, project_id, level, tmp_path):
    """Python's reader and Info-ZIP's find every file, in the order given, with its bytes."""
    listed = [*members(stores), packing.of_data("import.json", b"{}")]
    archive = packing.assemble(stores, project_id, listed, level=level)
    data = content(stores, archive)
    assert (archive.size, archive.sha256) == (len(data), hashlib.sha256(data).hexdigest())
    with zipfile.ZipFile(io.BytesIO(data)) as opened:
        assert opened.testzip() is None
        assert opened.namelist() == [m.path for m in listed]
        for path, wanted in {**FILES, "import.json": b"{}"}.items():
            assert opened.read(path) == wanted
        assert {i.date_time for i in opened.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        methods = {i.compress_type for i in opened.infolist()}
    assert methods == {zipfile.ZIP_DEFLATED if level else zipfile.ZIP_STORED}
    (tmp_path / "a.zip").write_bytes(data)
    tested = subprocess.run(["unzip", "-tq", tmp_path / "a.zip"], capture_output=True, text=True)
    assert tested.returncode == 0, tested.stdout


def test_the_same_members_give_the_same_archive(registry, project_id):
    """Within its lifetime it is the same object; later another one with the same bytes."""
    stores, clock = registry
    listed = members(stores)
    first = packing.assemble(stores, project_id, listed)
    assert packing.assemble(stores, project_id, listed) == first
    assert packing.existing(stores, project_id, listed) == first
    assert packing.existing(stores, project_id, listed[1:]) is None
    clock.time += packing.LIFETIME - stores.sign_seconds + 60
    again = packing.assemble(stores, project_id, listed)
    assert again.key != first.key
    assert again.sha256 == first.sha256
    other = packing.assemble(stores, project_id, list(reversed(listed)))
    assert other.sha256 != first.sha256


def test_an_archive_is_swept_after_a_day(registry, project_id):
    """Not earlier, and by the sweep alone; then it is made anew."""
    stores, clock = registry
    listed = members(stores)
    archive = packing.assemble(stores, project_id, listed)
    clock.time += packing.LIFETIME - 10
    sweep.run(stores)
    assert objects(stores, project_id) == [archive.key]
    clock.time += 20
    sweep.run(stores)
    assert objects(stores, project_id) == []
    assert packing.existing(stores, project_id, listed) is None


def test_an_archive_that_vanished_is_made_again(stores, project_id):
    """The item alone is not believed."""
    listed = members(stores)
    first = packing.assemble(stores, project_id, listed)
    stores.blobs.delete([first.key])
    assert packing.assemble(stores, project_id, listed).key != first.key


@pytest.mark.parametrize(
    ("plain", "ending"),
    [(True, "filename=guest#9999#a_model_1.zip"), (False, "guest%239999%23a%3Fmodel_1.zip")],
)
def test_a_link_saves_under_a_name(stores, project_id, plain, ending):
    """FATE's client takes everything behind `filename=`; a browser reads the quoted form."""
    from tests.storage.blobs_fixtures import send

    archive = packing.assemble(stores, project_id, members(stores, {"x": b"x"}))
    name = "guest#9999#a_model_1.zip" if plain else "guest#9999#a?model_1.zip"
    signed = packing.link(stores, archive, name, plain=plain)
    execute = getattr(stores.blobs, "execute", send)
    answer = execute(signed)
    assert answer.status == 200
    assert answer.headers["content-disposition"].endswith(ending)
    assert hashlib.sha256(answer.body).hexdigest() == archive.sha256


def test_a_blob_that_is_not_there_or_lies_leaves_nothing(stores, project_id):
    """An unknown blob, and one whose sha256 is another than promised: no archive, no upload."""
    good = members(stores)
    missing = replace(good[0], blob="s-" + "0" * 64 + "-3", sha256="")
    with pytest.raises(NotFound):
        packing.assemble(stores, project_id, [missing])
    lying = replace(good[1], sha256="1" * 64)
    with pytest.raises(IntegrityError, match=r"b\.bin"):
        packing.assemble(stores, project_id, [lying, good[0]])
    assert objects(stores, project_id) == []
    assert list(stores.blobs.stale_multiparts("archives/", 2**40)) == []


def test_an_object_that_was_cut_short_leaves_nothing(stores, project_id):
    """What the store hands out is counted."""
    good = members(stores)
    item = stores.table.get(keys.blob(project_id, good[1].blob))
    stores.blobs.put(str(item.doc["key"]), LARGE[:-1])
    with pytest.raises(IntegrityError, match="cut short"):
        packing.assemble(stores, project_id, good)
    assert objects(stores, project_id) == []


def test_a_store_that_fails_half_way_leaves_nothing(stores, project_id, monkeypatch):
    """The second part does not arrive: the upload is given up."""
    listed = members(stores)
    put_part = stores.blobs.put_part

    def failing(key, upload, number, data):
        if number == 2:
            raise Unavailable("the store is gone")
        return put_part(key, upload, number, data)

    monkeypatch.setattr(stores.blobs, "put_part", failing)
    with pytest.raises(Unavailable):
        packing.assemble(stores, project_id, listed)
    assert objects(stores, project_id) == []
    assert list(stores.blobs.stale_multiparts("archives/", 2**40)) == []


@pytest.mark.parametrize(
    ("listed", "error"),
    [
        ([Member("../x", 1, data=b"x")], InvalidManifest),
        ([Member("/x", 1, data=b"x")], InvalidManifest),
        ([Member("x", 1, data=b"x"), Member("x", 1, data=b"y")], InvalidManifest),
        ([Member("x", 1, data=b"x"), Member("x/y", 1, data=b"y")], InvalidManifest),
        ([Member("x", 2, data=b"x")], InvalidRequest),
        ([Member("x", 2, blob="s-" + "0" * 64 + "-3")], InvalidRequest),
        ([Member("x", packing.MAX_IN_MEMORY + 1, data=bytes(packing.MAX_IN_MEMORY + 1))], TooLarge),
        ([Member("x", 2**40, blob="s-" + "0" * 64 + f"-{2**40}")], TooLarge),
        ([Member(f"{n}", 0) for n in range(packing.MAX_MEMBERS + 1)], TooLarge),
    ],
    ids=["parent", "absolute", "twice", "folder", "size", "blob", "memory", "huge", "many"],
)
def test_what_cannot_be_packed_is_refused(stores, project_id, listed, error):
    """Before anything is written."""
    with pytest.raises(error):
        packing.assemble(stores, project_id, listed)
    assert objects(stores, project_id) == []


def test_a_writer_refuses_more_than_its_limit(stores):
    """And leaves nothing."""
    with pytest.raises(TooLarge), streams.ObjectWriter(stores.blobs, "archives/x/y", 10) as writer:
        writer.write(b"12345678901")
    assert stores.blobs.list("archives/x/").heads == ()
