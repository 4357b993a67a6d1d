"""Every second store holds archives alike: store, wipe, restore, compare."""

import threading
from dataclasses import replace

import pytest

from chalicelib.archives import unpacking
from chalicelib.engines import moving
from chalicelib.engines.addresses import parse
from chalicelib.engines.ports import Place
from tests.engines.conftest import FILES, PLACE
from weighbridge.contract.errors import (
    AlreadyExists,
    Conflict,
    IntegrityError,
    NotFound,
    RegistryError,
    Unavailable,
)

pytestmark = pytest.mark.real
OTHER = Place(PLACE.party_model_id, "202006122009345696315")
COMPONENT = Place(PLACE.party_model_id, PLACE.model_version, "hetero_lr_0")


def test_what_was_stored_comes_back(stores, project_id, archive, engine):
    """Stored, wiped here, restored: the same bytes, and the same files as before."""
    assert not engine.exists(PLACE)
    moving.store(stores, engine, PLACE, archive)
    assert engine.exists(PLACE)
    assert not engine.exists(OTHER)
    assert not engine.exists(COMPONENT)
    stores.blobs.delete([archive.key])
    back = moving.restore(stores, project_id, engine, PLACE, sha256=archive.sha256)
    assert (back.size, back.sha256) == (archive.size, archive.sha256)
    kept = unpacking.unpack(stores, project_id, back.key)
    assert {k.path: k.size for k in kept} == {path: len(data) for path, data in FILES.items()}
    assert engine.delete(PLACE)
    assert not engine.exists(PLACE)
    assert not engine.delete(PLACE)


def test_a_component_has_a_place_of_its_own(stores, project_id, archive, engine):
    """Beside the model, whichever is removed."""
    moving.store(stores, engine, COMPONENT, archive)
    assert not engine.exists(PLACE)
    moving.store(stores, engine, PLACE, archive)
    assert engine.delete(PLACE)
    assert moving.restore(stores, project_id, engine, COMPONENT).sha256 == archive.sha256


def test_nothing_is_replaced_unless_forced(stores, project_id, archive, engine):
    """A second store of the same place is refused; forced, the new one counts as a whole."""
    moving.store(stores, engine, PLACE, archive)
    small = stores.blobs.read(archive.key)[:1000]
    key, until = "archives/x/small.zip", archive.until
    stores.blobs.put(key, small)
    digest = unpacking.sha256_of(stores, key)
    other = replace(archive, key=key, size=len(small), sha256=digest, until=until)
    with pytest.raises(AlreadyExists, match="force_update"):
        moving.store(stores, engine, PLACE, other)
    assert moving.restore(stores, project_id, engine, PLACE).sha256 == archive.sha256
    moving.store(stores, engine, PLACE, other, force=True)
    assert moving.restore(stores, project_id, engine, PLACE).sha256 == digest


def test_what_is_not_there_or_is_another_changes_nothing(stores, project_id, archive, engine):
    """An absent archive is not found; one with another hash is refused; no object is left."""
    with pytest.raises(NotFound):
        moving.restore(stores, project_id, engine, OTHER)
    moving.store(stores, engine, PLACE, archive)
    with pytest.raises(IntegrityError, match=archive.sha256):
        moving.restore(stores, project_id, engine, PLACE, sha256="0" * 64)
    assert [h.key for h in stores.blobs.list("archives/").heads] == [archive.key]


def test_an_archive_that_breaks_off_is_not_stored(stores, archive, engine):
    """Our store fails in the middle, or the archive is not what it was: nothing appears."""
    moving.store(stores, engine, OTHER, archive)
    lying = replace(archive, sha256="0" * 64)
    missing = replace(archive, key="archives/x/gone.zip")
    for bad in (missing, replace(archive, size=archive.size + 1)):
        with pytest.raises(RegistryError):
            moving.store(stores, engine, PLACE, bad)
        assert not engine.exists(PLACE)
    with pytest.raises(IntegrityError):
        moving.store(stores, engine, PLACE, lying)
    with pytest.raises(IntegrityError):
        moving.store(stores, engine, OTHER, lying, force=True)
    assert not engine.exists(PLACE)
    assert engine.exists(OTHER)


def test_refresh_brings_both_sides_up_to_date(stores, project_id, archive, engine):
    """What the store lacks is stored, what we lack is fetched; all else stays."""
    assert moving.refresh(stores, project_id, engine, PLACE, None) == ("absent", None)
    assert moving.refresh(stores, project_id, engine, PLACE, lambda: archive)[0] == "stored"
    assert moving.refresh(stores, project_id, engine, PLACE, lambda: archive)[0] == "same"
    what, fetched = moving.refresh(stores, project_id, engine, PLACE, None)
    assert what == "restored"
    assert fetched.sha256 == archive.sha256


@pytest.mark.parametrize("form", ["mysql", "redis", "directory"], indirect=True)
def test_of_many_that_store_at_once_one_wins(stores, archive, form):
    """Without force: one stores, the others are told that it is there (or to try again). A bucket
    promises this only to those who do not come at the very same moment."""
    results = []

    def one():
        with moving.opened(parse(form)) as engine:
            try:
                moving.store(stores, engine, PLACE, archive)
                results.append("stored")
            except (Conflict, Unavailable) as error:
                results.append(error.code)

    threads = [threading.Thread(target=one) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results.count("stored") == 1, results
