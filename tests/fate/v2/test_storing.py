"""2.x models in a second store: what the reference only pretends to do."""

import json
import zipfile

import pytest

from chalicelib.settings import settings
from tests.fate.v2.conftest import PSI, TREE, archive, output
from tests.fate.v2.test_models import guest_of

IDS = {"model_id": "job", "model_version": "0", "role": "guest", "party_id": "9999"}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A second store in a folder."""
    place = tmp_path / "second"
    place.mkdir()
    address = {"model_store_address": {"storage": "directory", "path": str(place)}}
    monkeypatch.setenv("WEIGHBRIDGE_FATE_STORE", json.dumps(address))
    settings.cache_clear()
    return place


@pytest.fixture
def full(folder, flow):
    """A client whose server holds a model of two parties, and has a second store."""
    flow.import_zip(archive(TREE))
    return flow


def stored(folder):
    """The one archive in the store."""
    [found] = folder.rglob("*.zip")
    return found


def test_a_model_is_stored_wiped_and_restored(full, folder):
    """Byte by byte; the archive says what was stored."""
    found = full.post("/model/store", IDS)
    assert found["code"] == 0
    assert found["data"]["outputs"] == 2
    assert found["data"]["size"] == stored(folder).stat().st_size
    with zipfile.ZipFile(stored(folder)) as inside:
        assert {name: inside.read(name) for name in inside.namelist()} == guest_of(TREE)
    full.post("/model/delete", model_id="job", model_version="0")
    assert full.export()["code"] == 2005
    back = full.post("/model/restore", IDS)
    assert back["data"] == found["data"]
    assert full.exported() == guest_of(TREE)


def test_what_is_there_is_replaced_only_if_forced(full, folder):
    """As in 1.x."""
    full.post("/model/store", IDS)
    before = stored(folder).read_bytes()
    full.import_zip(archive({"a/b/guest/9999/lr_0/output_model": output("new")}))
    found = full.post("/model/store", IDS)
    assert found["code"] == 6000
    assert stored(folder).read_bytes() == before
    assert full.post("/model/store", {**IDS, "force_update": True})["code"] == 0
    assert stored(folder).read_bytes() != before


def test_a_restore_is_checked_by_its_hash(full):
    """Another one changes nothing."""
    sha256 = full.post("/model/store", IDS)["data"]["sha256"]
    full.import_zip(archive({"a/b/guest/9999/lr_0/output_model": output("new")}))
    assert full.post("/model/restore", {**IDS, "sha256": "0" * 64})["code"] == 6000
    now = full.exported()
    assert now != guest_of(TREE)
    assert full.post("/model/restore", {**IDS, "sha256": sha256})["code"] == 0
    assert full.exported() == guest_of(TREE)


@pytest.mark.parametrize(
    "tree",
    [
        {}, {"x": b"y"}, {"job/0/host/10000/lr_0/k": PSI}, {"job/0/guest/9999/lr_0/k": b"no tar"},
        {"job/0/guest/9999/lr_0/k": PSI, "job/0/guest/9999/lr_0/bad": b"no tar"},
    ],
)  # fmt: skip
def test_an_archive_that_is_not_right_changes_nothing(full, folder, tree):
    """Whoever wrote it."""
    full.post("/model/store", IDS)
    stored(folder).write_bytes(archive(tree))
    found = full.post("/model/restore", IDS)
    assert found["code"] in (5001, 6000)
    assert full.exported() == guest_of(TREE)


def test_what_is_in_no_store_is_not_restored(full):
    """And what is not here is not stored."""
    assert full.post("/model/restore", IDS)["code"] == 2005
    assert full.post("/model/store", {**IDS, "model_id": "x"})["code"] == 2005
    assert set(full.post("/model/store")["data"]["json"]) == set(IDS)
    assert set(full.post("/model/restore")["data"]["json"]) == set(IDS)


def test_without_a_store_it_is_not_supported(flow):
    """Never a false success."""
    flow.import_zip(archive(TREE))
    for path in ("/model/store", "/model/restore"):
        found = flow.post(path, IDS)
        assert (found["code"], "WEIGHBRIDGE_FATE_STORE" in found["message"]) == (6001, True)
