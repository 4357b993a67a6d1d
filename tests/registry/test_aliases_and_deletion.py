"""Aliases point to ready versions only; deletion respects what refers to a version and frees bytes."""

import contextlib
import threading

import pytest

from chalicelib.catalogue import drain
from chalicelib.registry import (
    aliases,
    changing,
    checkpoints,
    models,
    outbox,
    projects,
    publishing,
    sweep,
    versions,
)
from tests.registry_world import index_all, key_of, publish, upload
from weighbridge.contract import manifests, references
from weighbridge.contract.errors import Conflict, Forbidden, Gone, InUse, NotFound, RegistryError
from weighbridge.contract.types import (
    AliasTarget,
    ApprovalChange,
    CheckpointCommit,
    ModelChanges,
    ModelSettings,
    NewVersion,
)

WHERE = ("vision", "digits")


def number(n):
    return references.parse_version(str(n))


def move(stores, alias, target, expected=None, by="ann"):
    return aliases.move(stores, by, *WHERE, alias, AliasTarget(str(target), expected))


def test_an_alias_moves_and_its_history_answers_for_any_time(registry):
    """Every move is kept, and the history says what an alias pointed to at a time."""
    stores, clock = registry
    for text in (b"1", b"2", b"3"):
        publish(stores, {"a": text})
    times = []
    for target in (1, 3, 2):
        clock.time += 60
        times.append(move(stores, "production", target).at)
    clock.time += 60
    aliases.remove(stores, "bob", *WHERE, "production")
    history = aliases.history(stores, *WHERE, "production")
    assert [(m.version, m.previous, m.by) for m in history.items] == [
        (0, 2, "bob"), (2, 3, "ann"), (3, 1, "ann"), (1, 0, "ann"),
    ]  # fmt: skip
    for at, expected in zip(times, (1, 3, 2), strict=True):
        found = aliases.history(stores, *WHERE, "production", at=at)
        assert [m.version for m in found.items] == [expected]
    assert aliases.history(stores, *WHERE, "production", at="2020-01-01").items == ()


def test_moves_within_one_millisecond_keep_their_order(stores):
    """The order of moves does not depend on the clock's resolution."""
    for text in (b"1", b"2"):
        publish(stores, {"a": text})
    for i in range(20):
        move(stores, "stage", 1 + i % 2)
    found = [m.version for m in aliases.history(stores, *WHERE, "stage").items]
    assert found == [2, 1] * 10


def test_an_alias_needs_a_ready_version(stores):
    """Open, absent and deleted versions cannot be aliased."""
    publish(stores, {"a": b"1"})
    publishing.begin(stores, "ann", *WHERE, NewVersion(key_of("open")))
    with pytest.raises(Conflict):
        move(stores, "production", 2)
    with pytest.raises(NotFound):
        move(stores, "production", 3)
    changing.delete(stores, "ann", *WHERE, number(1))
    with pytest.raises(Gone):
        move(stores, "production", 1)


def test_expected_guards_a_move(stores):
    """A move with an expectation fails when the alias points elsewhere."""
    for text in (b"1", b"2"):
        publish(stores, {"a": text})
    move(stores, "production", 1, expected=0)
    with pytest.raises(Conflict):
        move(stores, "production", 2, expected=0)
    assert move(stores, "production", 2, expected=1).version == 2


def test_a_protected_alias_needs_an_approved_and_safe_version(stores):
    """Moving a protected alias needs approval, and a verdict."""
    publish(stores, {"a": b"1"})
    settings = ModelSettings(protected_aliases=("prod*",))
    models.change(stores, "ann", *WHERE, ModelChanges(settings=settings))
    with pytest.raises(Forbidden, match="approve"):
        move(stores, "production", 1)
    changing.approve(stores, "olga", *WHERE, number(1), ApprovalChange("approved", "fine"))
    with pytest.raises(Forbidden, match="pending"):
        move(stores, "production", 1)
    index_all(stores)
    assert move(stores, "production", 1).version == 1


def test_deleting_what_is_referred_to_is_refused_and_says_by_what(stores):
    """Aliases and children keep a version."""
    publish(stores, {"a": b"1"})
    publish(stores, {"a": b"2"}, parents=("vision/digits@1",))
    move(stores, "production", 1)
    with pytest.raises(InUse) as caught:
        changing.delete(stores, "ann", *WHERE, number(1))
    assert caught.value.details["by"] == [
        "alias production", "version vision/digits@2 (its parent)",
    ]  # fmt: skip


def test_a_deleted_number_is_never_seen_again(stores):
    """Numbers are not reused after deletion."""
    publish(stores, {"a": b"1"})
    changing.delete(stores, "ann", *WHERE, number(1))
    assert publish(stores, {"a": b"2"}).number == 2
    with pytest.raises(Gone):
        versions.resolve(stores, *WHERE, number(1))


def test_an_alias_never_points_to_a_deleted_version(stores):
    """Moves race deletions: whoever wins, no alias points to a version that is gone."""
    for i in range(12):
        publish(stores, {"a": str(i).encode()})
        barrier = threading.Barrier(2)

        def attempt(action, barrier=barrier):
            barrier.wait()
            with contextlib.suppress(RegistryError):
                action()

        n = i + 1
        threads = [
            threading.Thread(target=attempt, args=(lambda n=n: move(stores, "production", n),)),
            threading.Thread(
                target=attempt,
                args=(lambda n=n: changing.delete(stores, "ann", *WHERE, number(n)),),
            ),
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        pointers = models.find(stores, *WHERE).model.aliases
        if "production" in pointers:
            found = versions.resolve(stores, *WHERE, number(pointers["production"]))
            assert found.version.state == "ready"
            aliases.remove(stores, "ann", *WHERE, "production")


def project_id(stores):
    return projects.find(stores, "vision").id


def stored(stores):
    return stores.blobs.list(f"blobs/{project_id(stores)}/").heads


def test_deleting_frees_bytes_once_nothing_else_holds_them(registry):
    """Shared blobs stay until their last holder is gone; then the sweep deletes the object."""
    stores, clock = registry
    publish(stores, {"a": b"shared", "b": b"first only"})
    publish(stores, {"a": b"shared"})
    assert len(stored(stores)) == 2
    changing.delete(stores, "ann", *WHERE, number(1))
    drain.project(stores, project_id(stores))
    clock.time += 2 * stores.lease_seconds
    report = sweep.run(stores)
    assert (report.freed_blobs, report.freed_bytes) == (1, 10)
    assert len(stored(stores)) == 1
    changing.delete(stores, "ann", *WHERE, number(2))
    drain.project(stores, project_id(stores))
    clock.time += 1
    assert sweep.run(stores).freed_bytes == 6
    assert stored(stores) == ()


def test_what_a_killed_client_left_behind_is_freed(registry):
    """Uploads without a version are freed once their lease is over, and open versions time out."""
    stores, clock = registry
    opened = publishing.begin(stores, "ann", *WHERE, NewVersion(key_of("killed"), "rc"))
    upload(stores, "vision", {"a": b"half of a push"})
    assert sweep.run(stores).freed_blobs == 0
    clock.time += stores.lease_seconds + 1
    assert sweep.run(stores).freed_blobs == 1
    assert stored(stores) == ()
    clock.time += stores.stale_seconds
    assert sweep.run(stores).aborted_versions == 1
    with pytest.raises(Gone):
        versions.resolve(stores, *WHERE, number(opened.number))


def test_a_blob_pushed_again_while_it_is_collected_survives(registry):
    """A new push of the same bytes takes the name over from a blob that is being deleted."""
    from chalicelib.registry import keys
    from chalicelib.registry.ports import Update

    stores, clock = registry
    [entry] = upload(stores, "vision", {"a": b"bytes"})
    key = keys.blob(project_id(stores), entry.blob)
    stores.table.write(Update(key, set={"state": "deleting"}, add={"rev": 1}))
    version = publish(stores, {"a": b"bytes"})
    clock.time += 2 * stores.lease_seconds
    sweep.run(stores)
    entries = versions.files(stores, project_id(stores), version.manifest)
    item = stores.table.get(keys.blob(project_id(stores), entries[0].blob))
    assert stores.blobs.read(str(item.doc["key"])) == b"bytes"


def test_a_model_with_versions_and_a_project_with_models_stay(stores):
    """Containers are deleted only when they are empty, and work on after a refusal."""
    publish(stores, {"a": b"1"})
    with pytest.raises(InUse):
        models.delete(stores, "ann", *WHERE)
    with pytest.raises(InUse):
        projects.delete(stores, "ann", "vision")
    assert publish(stores, {"a": b"2"}).number == 2
    for n in (1, 2):
        changing.delete(stores, "ann", *WHERE, number(n))
    models.delete(stores, "ann", *WHERE)
    projects.delete(stores, "ann", "vision")
    with pytest.raises(NotFound):
        projects.find(stores, "vision")


def test_the_history_shows_events_before_and_after_they_are_drained(stores):
    """Readers see their own writes, drained or not, once each."""
    publish(stores, {"a": b"1"})
    move(stores, "production", 1)
    record = projects.find(stores, "vision")

    def kinds():
        page = outbox.history(stores, record.id, record.project.created)
        return sorted(e.kind for e in page.items)

    expected = [
        "alias.moved", "model.created", "project.created", "version.published",
    ]  # fmt: skip
    assert kinds() == expected
    drain.project(stores, record.id)
    assert kinds() == expected
    move(stores, "stage", 1)
    assert kinds() == sorted([*expected, "alias.moved"])


def commit_checkpoint(stores, version, step, data, component="", name="", metrics=None):
    files = upload(stores, "vision", {"w": data})
    found = versions.resolve(stores, *WHERE, number(version))
    request = CheckpointCommit(manifests.digest(files), files, step, component, name, metrics or {})
    return checkpoints.commit(stores, "ann", found, request)


def test_checkpoints_are_numbered_without_gaps_and_found_in_every_way(stores):
    """Checkpoints have dense numbers and are found by number, last, best, component and step."""
    settings = ModelSettings(main_metric="loss", directions={"loss": "min"})
    models.change(stores, "ann", *WHERE, ModelChanges(settings=settings))
    opened = publishing.begin(stores, "ann", *WHERE, NewVersion(key_of("t")))
    for step, loss in ((0, 0.9), (10, 0.2), (5, 0.5)):
        commit_checkpoint(stores, opened.number, step, f"{step}".encode(), metrics={"loss": loss})
    found = versions.resolve(stores, *WHERE, number(opened.number))
    by_number = checkpoints.listing(stores, found, order="oldest")
    assert [(c.number, c.step) for c in by_number.items] == [(1, 0), (2, 10), (3, 5)]
    by_step = checkpoints.listing(stores, found, order="step")
    assert [c.step for c in by_step.items] == [0, 5, 10]
    for text, expected in (("last", 3), ("best", 2), ("best=loss", 2), ("1", 1)):
        selector = references.parse_checkpoint(text)
        assert checkpoints.resolve(stores, found, selector).checkpoint.number == expected


def test_committing_a_checkpoint_twice_is_one_checkpoint(stores):
    """Equal content under one identity is one checkpoint; other content is a conflict."""
    opened = publishing.begin(stores, "ann", *WHERE, NewVersion(key_of("t")))
    first = commit_checkpoint(stores, opened.number, 1, b"x", "net", "epoch")
    assert commit_checkpoint(stores, opened.number, 1, b"x", "net", "epoch") == first
    with pytest.raises(Conflict):
        commit_checkpoint(stores, opened.number, 1, b"y", "net", "epoch")


def test_concurrent_checkpoints_are_all_there_once(stores):
    """Sixteen writers under one version get the numbers 1 to 16."""
    opened = publishing.begin(stores, "ann", *WHERE, NewVersion(key_of("t")))
    failures = []

    def work(i):
        try:
            commit_checkpoint(stores, opened.number, i, f"data {i}".encode())
        except RegistryError as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    found = versions.resolve(stores, *WHERE, number(opened.number))
    listed = checkpoints.listing(stores, found, order="oldest").items
    assert [c.number for c in listed] == list(range(1, 17))
    assert {c.step for c in listed} == set(range(16))


def test_a_deleted_checkpoint_frees_its_bytes(registry):
    """Deleting a checkpoint frees what only it held; its number is not used again."""
    stores, clock = registry
    opened = publishing.begin(stores, "ann", *WHERE, NewVersion(key_of("t")))
    commit_checkpoint(stores, opened.number, 1, b"one")
    commit_checkpoint(stores, opened.number, 2, b"second")
    found = versions.resolve(stores, *WHERE, number(opened.number))
    checkpoints.delete(stores, "ann", found, references.parse_checkpoint("2"))
    clock.time += 2 * stores.lease_seconds
    assert sweep.run(stores).freed_bytes == 6
    assert commit_checkpoint(stores, opened.number, 3, b"third").number == 3


def test_the_sweep_leaves_references_of_a_commit_under_way_alone(registry):
    """References are written before their checkpoint is visible; while the lease runs they stay."""
    from chalicelib.registry import blobs, keys

    stores, clock = registry
    opened = publishing.begin(stores, "ann", *WHERE, NewVersion(key_of("t")))
    found = versions.resolve(stores, *WHERE, number(opened.number))
    [entry] = upload(stores, "vision", {"w": b"under way"})
    holder = keys.holder(found.model.id, found.number, 1)
    blobs.refer(stores, project_id(stores), [entry], holder)
    blobs.release(stores, project_id(stores), [entry.blob], "another#0000000001")
    sweep.run(stores)
    assert len(blobs.references(stores, project_id(stores), entry.blob)) == 1
    request = CheckpointCommit(manifests.digest([entry]), (entry,), 1)
    checkpoints.commit(stores, "ann", found, request)
    clock.time += 2 * stores.lease_seconds
    sweep.run(stores)
    assert len(stored(stores)) == 1


def test_a_reference_that_a_lost_race_left_behind_does_not_keep_bytes(registry):
    """A reference counts only if its holder's manifest lists the blob."""
    from chalicelib.registry import blobs, keys

    stores, clock = registry
    version = publish(stores, {"a": b"kept"})
    [entry] = upload(stores, "vision", {"w": b"lost the race"})
    record = models.find(stores, *WHERE)
    blobs.refer(stores, project_id(stores), [entry], keys.holder(record.id, version.number))
    clock.time += 2 * stores.lease_seconds
    assert sweep.run(stores).freed_bytes == len(b"lost the race")
    assert len(stored(stores)) == 1


def test_an_upload_that_nobody_reported_is_found_and_freed(registry):
    """Objects that no blob names are deleted, but only after the grace period."""
    from chalicelib.registry import uploads
    from weighbridge.contract import digests
    from weighbridge.contract.types import PlanRequest, WantedBlob

    stores, clock = registry
    publish(stores, {"a": b"kept"})
    blob = digests.single_blob(digests.sha256_of(b"lost"), 4)
    plan = uploads.plan(stores, "ann", "vision", PlanRequest((WantedBlob(blob),)))
    stores.blobs.execute(plan.blobs[0].request, b"lost")
    assert sweep.run(stores).orphans == 0
    clock.time += stores.stale_seconds + 86401
    report = sweep.run(stores)
    assert (report.orphans, report.freed_bytes) == (1, 4)
    assert len(stored(stores)) == 1


def test_expired_items_are_dropped(registry):
    """Idempotency keys do not pile up where the store has no time to live of its own."""
    from chalicelib.registry import keys

    stores, clock = registry
    key = key_of("expires")
    publishing.begin(stores, "ann", *WHERE, NewVersion(key))
    record = models.find(stores, *WHERE)
    assert stores.table.get(keys.idempotency(record.id, key)) is not None
    clock.time += 3 * stores.stale_seconds
    sweep.run(stores)
    assert stores.table.get(keys.idempotency(record.id, key)) is None


def test_a_large_tensor_table_goes_with_its_blob(registry):
    """Facts that outgrew an item are objects of their own, and are freed with their blob."""
    import json
    import struct

    from chalicelib.indexing import objects

    stores, clock = registry
    names = {f"layer.{i}.weight": {"dtype": "U8", "shape": [1], "data_offsets": [i, i + 1]}
             for i in range(1000)}  # fmt: skip
    header = json.dumps(names).encode()
    publish(stores, {"m.safetensors": struct.pack("<Q", len(header)) + header + bytes(1000)})
    for head in stored(stores):
        objects.look(stores, head.key)
    assert stores.blobs.list("facts/").heads
    changing.delete(stores, "ann", *WHERE, number(1))
    drain.project(stores, project_id(stores))
    clock.time += 2 * stores.lease_seconds
    sweep.run(stores)
    assert stores.blobs.list("facts/").heads == ()


def test_the_pages_of_a_deleted_project_go_also_when_the_message_was_lost(stores):
    """The sweep drains deleted projects too."""
    publish(stores, {"a": b"1"})
    identifier = project_id(stores)
    drain.project(stores, identifier)
    assert stores.site.list("p/vision/").heads
    changing.delete(stores, "ann", *WHERE, number(1))
    models.delete(stores, "ann", *WHERE)
    projects.delete(stores, "ann", "vision")
    drain.everything(stores)
    assert stores.site.list("p/vision/").heads == ()
    assert stores.table.query("DELETED").items == ()
