"""Quotas: what a project holds is counted, and what would exceed its quota is refused before it begins."""

from dataclasses import replace

import pytest

from chalicelib.registry import (
    blobs,
    changing,
    keys,
    models,
    projects,
    publishing,
    sweep,
    uploads,
    usage,
)
from tests.backup.registry_to_keep import big_file
from tests.registry_world import key_of, publish, setup_model, upload
from weighbridge.contract import cuts, digests, references
from weighbridge.contract.errors import InvalidRequest, NotFound, TooLarge
from weighbridge.contract.types import (
    NewModel,
    NewUpload,
    NewVersion,
    PlanRequest,
    ProjectChanges,
    Quota,
    WantedBlob,
)


def used(stores, project="vision"):
    """What is counted."""
    found = usage.of_project(stores, project)
    return found.bytes, found.versions, found.models


def limit(stores, **quota):
    """Sets a quota."""
    projects.change(stores, "ann", "vision", ProjectChanges(quota=Quota(**quota)))


def begin(stores, name):
    """Opens a version."""
    return publishing.begin(stores, "ann", "vision", "digits", NewVersion(key_of(name)))


def test_what_a_project_holds_is_counted_and_uncounted(stores, clock):
    """Bytes once per blob until they are freed; versions until they end; models until they go."""
    assert used(stores) == (0, 0, 1)
    publish(stores, {"a": b"12345", "b": b"123"})
    publish(stores, {"a": b"12345", "c": b"1"})
    assert used(stores) == (9, 2, 1)
    size = big_file(stores).size
    assert used(stores) == (9 + size, 2, 1)
    opened = begin(stores, "x")
    assert used(stores)[1] == 3
    begin(stores, "x")
    assert used(stores)[1] == 3
    publishing.abort(stores, "ann", "vision", "digits", opened.number)
    publishing.abort(stores, "ann", "vision", "digits", opened.number)
    assert used(stores)[1] == 2
    changing.delete(stores, "ann", "vision", "digits", references.parse_version("2"))
    assert used(stores) == (9 + size, 1, 1)
    from chalicelib.catalogue import drain

    drain.everything(stores)
    clock.time += 2 * stores.lease_seconds
    report = sweep.run(stores)
    assert report.freed_bytes == 1 + size
    assert used(stores) == (8, 1, 1)
    models.create(stores, "ann", "vision", NewModel("other"))
    assert used(stores)[2] == 2
    models.delete(stores, "ann", "vision", "other")
    assert used(stores)[2] == 1


def test_a_label_that_is_taken_costs_no_version(stores):
    """What was counted for a version that did not come to be is given back."""
    publish(stores, {"a": b"1"}, label="1.0")
    record = models.find(stores, "vision", "digits")
    new = NewVersion(key_of("y"), "1.0")
    lock = keys.label(record.id, "1.0")
    found = stores.table.get(lock)
    get = stores.table.get

    class Late:
        """A table on which the lock of the label is seen only by the transaction."""

        def __getattr__(self, name):
            return getattr(stores.table, name)

        def get(self, key):
            return None if key == lock else get(key)

    with pytest.raises(Exception, match=r"1\.0"):
        publishing.begin(replace(stores, table=Late()), "ann", "vision", "digits", new)
    assert found is not None
    assert used(stores)[1] == 1


def test_more_bytes_than_the_quota_are_refused_before_they_are_sent(stores):
    """In one piece and in parts; what is there already takes no room; used, limit and need are named."""
    publish(stores, {"a": b"x" * 60})
    limit(stores, bytes=100)
    entries = [digests.single_blob(digests.sha256_of(b"y" * n), n) for n in (30, 11)]
    with pytest.raises(TooLarge) as refused:
        uploads.plan(stores, "ann", "vision", PlanRequest(tuple(map(WantedBlob, entries))))
    assert refused.value.details == {"limit": 100, "used": 60, "needed": 41, "quota": "bytes"}
    assert "--quota-bytes" in refused.value.message
    held = digests.single_blob(digests.sha256_of(b"x" * 60), 60)
    plan = uploads.plan(
        stores, "ann", "vision", PlanRequest((WantedBlob(held), WantedBlob(entries[0])))
    )
    assert [blob.action for blob in plan.blobs] == ["have", "put"]
    with pytest.raises(TooLarge, match="quota of 100 bytes"):
        uploads.start(stores, "ann", "vision", NewUpload(10**9, cuts.FIXED))
    publish(stores, {"b": b"z" * 40})
    assert used(stores)[0] == 100
    limit(stores)
    publish(stores, {"c": b"z" * 400})


def test_more_versions_and_models_than_the_quota_are_refused(stores):
    """Neither number is used up by the refusal; deleting makes room."""
    limit(stores, versions=2, models=2)
    publish(stores, {"a": b"1"})
    publish(stores, {"a": b"2"})
    with pytest.raises(TooLarge, match="2 are used, and this takes 1 more"):
        begin(stores, "third")
    changing.delete(stores, "ann", "vision", "digits", references.parse_version("1"))
    assert begin(stores, "third").number == 3
    models.create(stores, "ann", "vision", NewModel("second"))
    with pytest.raises(TooLarge, match="--quota-models"):
        models.create(stores, "ann", "vision", NewModel("third"))
    models.delete(stores, "ann", "vision", "second")
    models.create(stores, "ann", "vision", NewModel("third"))


def test_a_quota_below_what_is_there_deletes_nothing(stores):
    """It only stops what would come."""
    publish(stores, {"a": b"12345"})
    limit(stores, bytes=1, versions=1, models=1)
    assert used(stores) == (5, 1, 1)
    with pytest.raises(TooLarge):
        begin(stores, "more")
    upload_again = upload(stores, "vision", {"a": b"12345"})
    assert blobs.live(stores, projects.find(stores, "vision").id, [upload_again[0].blob])
    with pytest.raises(InvalidRequest, match="from 0"):
        limit(stores, bytes=-1)


def test_so_many_uploads_may_be_open(stores, clock):
    """Aborting makes room, and so does time."""
    few = replace(stores, open_uploads=2)
    new = NewUpload(10**7, cuts.FIXED)
    first = uploads.start(few, "ann", "vision", new).upload
    uploads.start(few, "ann", "vision", new)
    assert usage.of_project(few, "vision").open_uploads == 2
    with pytest.raises(TooLarge, match="2 uploads are open"):
        uploads.start(few, "ann", "vision", new)
    uploads.abort(few, "vision", first)
    uploads.start(few, "ann", "vision", new)
    clock.time += few.stale_seconds + 1
    assert usage.of_project(few, "vision").open_uploads == 0
    uploads.start(few, "ann", "vision", new)


def test_a_deleted_project_is_counted_no_more(stores):
    """Nothing of its counts stays, and what is freed later does not bring them back."""
    setup_model(stores, "short", "m")
    publish(stores, {"a": b"1"}, "short", "m")
    record = projects.find(stores, "short")
    changing.delete(stores, "ann", "short", "m", references.parse_version("1"))
    models.delete(stores, "ann", "short", "m")
    projects.delete(stores, "ann", "short")
    usage.freed_bytes(stores, record.id, 1)
    assert not [kind for kind in usage.KINDS if stores.table.get(keys.usage(record.id, kind))]
    with pytest.raises(NotFound):
        used(stores, "short")
