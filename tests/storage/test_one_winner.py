"""Of many that want one label, or one checkpoint number, one gets it: on every table engine."""

import threading

import pytest

from chalicelib.registry import checkpoints, models, versions
from tests.registry_world import publish, setup_model, upload
from tests.storage.test_writers import stores_on
from weighbridge.contract import manifests
from weighbridge.contract.errors import AlreadyExists, RegistryError
from weighbridge.contract.types import CheckpointCommit, ModelChanges, ModelSettings

MANY = 32


@pytest.fixture
def stores(shared_table):
    """A registry whose model orders its labels."""
    found = stores_on(shared_table)
    setup_model(found)
    change = ModelChanges(settings=ModelSettings(label_order="pep440"))
    models.change(found, "ann", "vision", "digits", change)
    return found


def race(act):
    """What became of each of many that began at once: a result, or an error of the registry."""
    barrier, done = threading.Barrier(MANY), []

    def one(index):
        barrier.wait()
        try:
            done.append(act(index))
        except RegistryError as error:
            done.append(error)

    threads = [threading.Thread(target=one, args=(index,)) for index in range(MANY)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(done) == MANY
    return done


def winner(done):
    """The only result; all others were told that it is taken."""
    [won] = [found for found in done if not isinstance(found, RegistryError)]
    assert {type(found) for found in done if found is not won} == {AlreadyExists}
    return won


def test_of_many_equal_labels_one_is_published(stores):
    """`1.0`, `1.0.0` and `v1` are one label."""
    texts = ("1.0", "1.0.0", "v1")
    won = winner(race(lambda n: publish(stores, {"a": b"%d" % n}, label=texts[n % 3])))
    record = models.find(stores, "vision", "digits")
    assert [v.number for v in versions.newest(stores, record, MANY)] == [won.number]


def test_of_many_checkpoints_of_one_number_one_is_committed(stores):
    """Nothing is overwritten, no number is left out."""
    number = publish(stores, {"a": b"1"}, label="1.0").number
    found = versions.numbered(stores, models.find(stores, "vision", "digits"), number)
    files = [upload(stores, "vision", {f"states/{n}": b"%d" % n}) for n in range(MANY)]

    def commit(index):
        own = files[index]
        request = CheckpointCommit(manifests.digest(own), own, step=1, expected=1)
        return checkpoints.commit(stores, "ann", found, request)

    won = winner(race(commit))
    assert (won.number, won.manifest) == (1, checkpoints.listing(stores, found).items[0].manifest)
    assert len(checkpoints.listing(stores, found).items) == 1
