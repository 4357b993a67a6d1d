"""Many small PUTs: verified by one list, and none of them can be reported as another blob."""

import dataclasses

import pytest

from chalicelib.registry import blobs, keys, projects, uploads
from chalicelib.storage.memory import MemoryBlobs
from tests.registry_world import setup_model
from weighbridge.contract import digests
from weighbridge.contract.errors import IntegrityError, InvalidRequest
from weighbridge.contract.types import PlanRequest, PutDone, WantedBlob

MANY = {
    digests.single_blob(digests.sha256_of(data), len(data)): data
    for data in (b"file %03d" % n for n in range(40))
}


class Counting(MemoryBlobs):
    """Counts what is asked of the store."""

    def __init__(self, clock):
        super().__init__(clock=clock)
        self.heads = self.lists = 0

    def head(self, key):
        """Counted."""
        self.heads += 1
        return super().head(key)

    def list(self, prefix, after="", limit=1000):
        """Counted."""
        self.lists += 1
        return super().list(prefix, after, limit)


@pytest.fixture
def counted(registry):
    """The stores, with bytes that count requests."""
    stores, clock = registry
    return dataclasses.replace(stores, blobs=Counting(clock))


def planned(stores, contents=MANY):
    """A plan for small files."""
    want = PlanRequest(tuple(WantedBlob(blob) for blob in contents))
    return uploads.plan(stores, "ann", "vision", want).blobs


def sent(stores, plans, contents=MANY):
    """Sends all that was planned; answers what to report."""
    for plan in plans:
        assert stores.blobs.execute(plan.request, contents[plan.blob]).status == 200
    return [PutDone(plan.blob, plan.key) for plan in plans]


def report(stores, done, project="vision"):
    """Reports PUTs as done."""
    uploads.plan(stores, "ann", project, PlanRequest((), tuple(done)))


def held(stores):
    """Which of the blobs are there."""
    return blobs.live(stores, projects.find(stores, "vision").id, MANY).keys()


def test_many_puts_are_verified_by_one_list(counted):
    """One request to the store vouches for all of a batch, and all of it is there."""
    report(counted, sent(counted, planned(counted)))
    assert (counted.blobs.lists, counted.blobs.heads) == (1, 0)
    assert held(counted) == MANY.keys()
    assert {plan.action for plan in planned(counted)} == {"have"}


def test_a_few_are_looked_at_one_by_one(counted):
    """A short report asks for each object."""
    done = sent(counted, planned(counted))
    report(counted, done[: uploads.FEW])
    assert (counted.blobs.lists, counted.blobs.heads) == (0, uploads.FEW)


def test_a_put_that_never_arrived_is_told_from_those_that_did(counted):
    """One missing object fails the report and names its blob."""
    plans = planned(counted)
    done = sent(counted, plans[1:])
    with pytest.raises(IntegrityError) as caught:
        report(counted, [PutDone(plans[0].blob, plans[0].key), *done])
    assert caught.value.details["blob"] == plans[0].blob
    assert plans[0].blob not in held(counted)


def test_a_key_cannot_be_reported_as_another_blob(counted):
    """Claiming what somebody else has, with a key of one's own bytes of the same size, is refused."""
    done = sent(counted, planned(counted))
    foreign = digests.single_blob(digests.sha256_of(b"a secret"), len(b"a secret"))
    with pytest.raises(IntegrityError):
        report(counted, [PutDone(foreign, done[0].key), *done[1:]])
    swapped = [PutDone(done[0].blob, done[1].key), PutDone(done[1].blob, done[0].key), *done[2:]]
    with pytest.raises(IntegrityError):
        report(counted, swapped)
    assert foreign not in blobs.live(counted, projects.find(counted, "vision").id, [foreign])
    assert done[0].blob not in held(counted)
    project_id = projects.find(counted, "vision").id
    assert blobs.object_keys(counted, project_id, [done[1].blob]) == {done[1].blob: done[1].key}


def test_another_projects_keys_are_refused(counted):
    """A batch belongs to the project that planned it."""
    done = sent(counted, planned(counted))
    setup_model(counted, "other", "m")
    with pytest.raises(InvalidRequest):
        report(counted, done, "other")


def test_a_key_is_of_its_batch_only_for_its_project_and_blob():
    """The name binds project, batch and blob; anything else is no key of a batch."""
    random, (one, two) = "0123456789abcdef0123", list(MANY)[:2]
    key = keys.batch_object("p1", random, one)
    assert keys.batch_of("p1", key, one) == f"blobs/p1/{random}-"
    assert keys.project_of_object(key) == "p1"
    for project, name, blob in (
        ("p1", key, two),
        ("p2", key, one),
        ("p2", key.replace("/p1/", "/p2/"), one),
        ("p1", key[:-1], one),
        ("p1", key.replace("0123", "1123", 1), one),
        ("p1", keys.batch_object("p1", "", one), one),
        ("p1", keys.batch_object("p1", "x" * 20, one), one),
        ("p1", keys.blob_object("p1", random), one),
    ):
        assert keys.batch_of(project, name, blob) is None


def test_repeating_a_report_changes_nothing(counted):
    """After a lost answer the same report is made again."""
    done = sent(counted, planned(counted))
    report(counted, done)
    project_id = projects.find(counted, "vision").id
    before = blobs.object_keys(counted, project_id, list(MANY))
    report(counted, done)
    assert blobs.object_keys(counted, project_id, list(MANY)) == before


def test_of_two_pushes_of_the_same_files_one_wins(counted):
    """Both reports succeed; the objects of the second are left to the sweep."""
    first, second = planned(counted), planned(counted)
    report(counted, sent(counted, first))
    report(counted, sent(counted, second))
    project_id = projects.find(counted, "vision").id
    chosen = blobs.object_keys(counted, project_id, list(MANY))
    assert chosen == {plan.blob: plan.key for plan in first}
    for plan in second:
        assert counted.table.get(keys.free_object(project_id, plan.key)) is not None


def test_an_object_of_another_size_is_not_believed(counted):
    """A list vouches for a name and a size; where they differ, the object itself is asked."""
    plans = planned(counted)
    done = sent(counted, plans)
    counted.blobs.put(plans[0].key, b"longer than planned")
    with pytest.raises(IntegrityError):
        report(counted, done)
    assert plans[0].blob not in held(counted)
