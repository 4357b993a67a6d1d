"""Checkpoint retention on a whole registry: what is kept, what vanishes, and what bytes that frees."""

import dataclasses

import pytest

from chalicelib.catalogue import drain
from chalicelib.registry import (
    blobs,
    checkpoints,
    keys,
    models,
    outbox,
    pinning,
    projects,
    promoting,
    pruning,
    publishing,
    retention,
    series,
    sweep,
    versions,
)
from chalicelib.registry.ports import Item, Put
from tests.registry_world import key_of, publish, upload
from weighbridge.contract import manifests, references
from weighbridge.contract.errors import (
    AlreadyExists,
    Gone,
    InUse,
    InvalidRequest,
    NotFound,
)
from weighbridge.contract.types import (
    Checkpoint,
    CheckpointCommit,
    KeepBest,
    ModelChanges,
    ModelSettings,
    NewVersion,
    Promotion,
    PruneRequest,
    Retention,
)

WHERE = ("vision", "digits")
DAY = 86400


def at(text):
    """A checkpoint selector."""
    return references.parse_checkpoint(text)


def opened(stores, policy=None, label=""):
    """A fresh open version, with a retention of its own if one is given."""
    new = NewVersion(key_of(f"retention {label} {stores.random()}"), label, policy)
    number = publishing.begin(stores, "ann", *WHERE, new).number
    return again(stores, number)


def again(stores, number):
    """The version as it is now."""
    return versions.numbered(stores, models.find(stores, *WHERE), number)


def commit(stores, found, step, *, component="", loss=None, name="", data=None, tags=None):
    """One checkpoint of one file."""
    content = {"w": data or f"{found.number}/{component}/{step}/{name}".encode() * 10}
    entries = upload(stores, "vision", content)
    metrics = {} if loss is None else {"loss": loss}
    request = CheckpointCommit(
        manifests.digest(entries), entries, step, component, name, metrics, tags or {}
    )
    return checkpoints.commit(stores, "ann", found, request)


def settle(stores):
    """Drains the outbox, as the render function does."""
    drain.project(stores, projects.find(stores, "vision").id)


def live(stores, found):
    """The numbers that are there."""
    return [c.number for c in checkpoints.listing(stores, found, order="oldest", limit=1000).items]


def numbers(page):
    """The numbers of a page."""
    return [c.number for c in page.items]


def judge(stores, policy, **settings):
    """Sets a model's retention and other settings."""
    wanted = ModelSettings(retention=policy, **settings)
    models.change(stores, "ann", *WHERE, ModelChanges(settings=wanted))


def test_retention_is_applied_after_the_new_checkpoint_is_complete(registry):
    """keep_last 3 and keep_best 2: after each commit exactly those are there, the others vanish."""
    stores, _ = registry
    judge(stores, Retention(keep_last=3, keep_best=(KeepBest("loss", "min", 2),)))
    found = opened(stores)
    losses = [9.0, 1.0, 8.0, 2.0, 7.0, 6.0, 5.0, 1.5, 4.0, 3.0]
    for i, loss in enumerate(losses, 1):
        before = set(live(stores, found))
        commit(stores, found, i * 10, loss=loss)
        assert before < set(live(stores, found))  # nothing went before the new one was there
        settle(stores)
        best = sorted(range(1, i + 1), key=lambda n: losses[n - 1])[:2]
        assert set(live(stores, found)) == {*best, *range(max(1, i - 2), i + 1)}
    events = [e.kind for e in _events(stores)]
    assert events.count("checkpoint.evicted") == 5
    assert commit(stores, found, 500).number == 11  # numbers are never used again
    assert commit(stores, found, 10, loss=5.0).number == 12  # the identity is free again


def _events(stores):
    from chalicelib.registry import outbox

    record = projects.find(stores, "vision")
    return outbox.history(stores, record.id, record.project.created, limit=1000).items


def test_one_message_does_all_that_it_leads_to(registry):
    """What a drain evicts it tells and releases itself: no other message comes."""
    stores, _ = registry
    judge(stores, Retention(keep_last=1))
    found = opened(stores)
    for step in (10, 20, 30):
        commit(stores, found, step)
    project_id = projects.find(stores, "vision").id
    assert drain.woken(stores, project_id)
    assert live(stores, found) == [3]
    assert not outbox.pending(stores, project_id)
    given_up = f"C#{found.model.id}#{found.number}", *keys.prefix("X#")
    assert not stores.table.query(*given_up).items


def test_evicted_bytes_are_freed_by_the_sweep_and_shared_ones_stay(registry):
    """Only what nobody else holds goes, and only once the lease and signed URLs are over."""
    stores, clock = registry
    found = opened(stores, Retention(keep_last=1))
    shared = b"the backbone" * 100
    publish(stores, {"backbone": shared})
    for step in (1, 2, 3):
        entries = upload(stores, "vision", {"w": b"%d" % step * 50, "backbone": shared})
        request = CheckpointCommit(manifests.digest(entries), entries, step)
        checkpoints.commit(stores, "ann", found, request)
    dry = pruning.prune(stores, found, PruneRequest(dry_run=True))
    assert (dry.evicted, dry.freed_blobs, dry.freed_bytes) == (2, 2, 100)
    assert dry.shared_bytes == len(shared)
    assert len(live(stores, found)) == 3
    done = pruning.prune(stores, found, PruneRequest())
    assert dataclasses.replace(done, dry_run=True) == dry
    assert live(stores, found) == [3]
    settle(stores)
    clock.time += stores.lease_seconds + stores.sign_seconds + 1
    report = sweep.run(stores)
    assert (report.freed_blobs, report.freed_bytes) == (2, 100)
    again_ = pruning.prune(stores, found, PruneRequest())
    assert (again_.evicted, again_.freed_bytes) == (0, 0)


def test_signed_urls_of_an_evicted_checkpoint_stay_good_until_they_are_over(registry):
    """A download that began before the eviction ends well."""
    stores, clock = registry
    found = opened(stores, Retention(keep_last=1))
    commit(stores, found, 1)
    clock.time += stores.lease_seconds + 1  # the lease of the push is over
    commit(stores, found, 2)
    settle(stores)
    assert live(stores, found) == [2]
    clock.time += stores.sign_seconds - 5
    assert sweep.run(stores).freed_blobs == 0
    clock.time += 10
    assert sweep.run(stores).freed_blobs == 1


def test_components_are_kept_each_for_itself(registry):
    """keep_last counts per component; so does the last that is always kept."""
    stores, _ = registry
    found = opened(stores, Retention(keep_last=2))
    for step in range(1, 5):
        for component in ("", "encoder", "decoder"):
            if not (component == "decoder" and step > 1):
                commit(stores, found, step, component=component)
    settle(stores)
    left = checkpoints.listing(stores, found, order="step", limit=100).items
    assert [(c.component, c.step) for c in left] == [
        ("", 3), ("", 4), ("decoder", 1), ("encoder", 3), ("encoder", 4),
    ]  # fmt: skip


def test_the_best_by_the_main_metric_and_the_last_are_always_kept(registry):
    """Whatever the rules say: `:best` and `:last` go on to mean the same."""
    stores, _ = registry
    judge(stores, Retention(keep_every=1000), main_metric="loss", directions={"loss": "min"})
    found = opened(stores)
    for step, loss in ((1, 5.0), (2, 1.0), (3, 1.0), (4, 2.0), (5, float("nan"))):
        commit(stores, found, step, loss=loss)
        settle(stores)
    assert live(stores, found) == [3, 5]
    assert checkpoints.resolve(stores, found, at("best")).checkpoint.number == 3
    commit(stores, found, 6, loss=0.5)
    settle(stores)
    assert live(stores, found) == [6]


def test_a_pinned_checkpoint_stays_until_it_is_unpinned(registry):
    """Retention and `rm` leave it alone; given back, the next sweep takes it."""
    stores, _ = registry
    found = opened(stores, Retention(keep_last=1))
    commit(stores, found, 1)
    assert pinning.pin(stores, "ann", found, at("1"), True).pinned
    assert pinning.pin(stores, "ann", found, at("1"), True).pinned
    for step in (2, 3):
        commit(stores, found, step)
        settle(stores)
    assert live(stores, found) == [1, 3]
    with pytest.raises(InUse, match="unpin"):
        checkpoints.delete(stores, "ann", found, at("1"))
    assert not pinning.pin(stores, "ann", found, at("1"), False).pinned
    assert not pinning.pin(stores, "ann", found, at("1"), False).pinned
    assert sweep.run(stores).evicted == 1
    assert live(stores, found) == [3]
    kinds = [e.kind for e in _events(stores)]
    assert (kinds.count("checkpoint.pinned"), kinds.count("checkpoint.unpinned")) == (1, 1)
    with pytest.raises(NotFound):
        pinning.pin(stores, "ann", found, at("1"), True)


def test_a_pin_between_decision_and_eviction_is_respected(registry):
    """The eviction is conditional: what is pinned, committed or changed meanwhile is seen."""
    stores, _ = registry
    found = opened(stores, Retention(keep_last=1))
    for step in (1, 2, 3):
        commit(stores, found, step)
    table, meant = stores.table, stores.table.transact
    done = []

    def meddle(writes):
        if not done:
            done.append(True)
            pinning.pin(stores, "ann", found, at("1"), True)
            commit(stores, found, 4)
        return meant(writes)

    table.transact = meddle
    try:
        pruned = pruning.prune(stores, found, PruneRequest())
    finally:
        del table.transact
    assert live(stores, found) == [1, 4]
    assert {v.number: v.reason for v in pruned.items if v.keep} == {1: "pinned", 4: "last"}


def test_a_changed_retention_is_applied_by_the_sweep(registry):
    """A model's new rules reach its open and ready versions; a version's own rules win."""
    stores, _ = registry
    plain, own = opened(stores), opened(stores, Retention())
    for found in (plain, own):
        for step in range(1, 6):
            commit(stores, found, step)
    settle(stores)
    assert len(live(stores, plain)) == 5
    judge(stores, Retention(keep_every=2))
    plain, own = again(stores, plain.number), again(stores, own.number)
    for _ in range(2):  # the first notes the versions, the second looks at them
        sweep.run(stores)
    assert live(stores, plain) == [2, 4, 5]
    assert live(stores, own) == [1, 2, 3, 4, 5]
    assert pruning.state(stores, plain).source == "model"
    assert pruning.override(stores, "ann", own, Retention(keep_last=2)).source == "version"
    sweep.run(stores)
    assert live(stores, own) == [4, 5]
    assert pruning.override(stores, "ann", own, None).source == "model"
    project_id = projects.find(stores, "vision").id
    for _ in range(2):
        sweep.run(stores)
    assert not stores.table.query(keys.of_candidates(project_id), *keys.prefix("R#")).items


def test_what_grows_too_old_goes_by_the_sweep(registry):
    """max_age keeps what is younger; the last stays for ever."""
    stores, clock = registry
    found = opened(stores, Retention(max_age=10 * DAY))
    for step in range(1, 6):
        commit(stores, found, step)
        settle(stores)
        clock.time += 2 * DAY
    assert live(stores, found) == [1, 2, 3, 4, 5]
    gone = []
    for _ in range(40):
        sweep.run(stores)
        gone.append(5 - len(live(stores, found)))
        clock.time += DAY / 2
    assert gone == sorted(gone)
    assert set(gone) == {1, 2, 3, 4}  # each when its time had come, none at once
    assert live(stores, found) == [5]


def test_an_eviction_that_was_cut_short_is_finished(registry):
    """A drain that dies after the eviction leaves a note; the next one releases the bytes."""
    stores, clock = registry
    found = opened(stores, Retention(keep_last=1))
    commit(stores, found, 1)
    commit(stores, found, 2)
    pruning.prune(stores, found, PruneRequest())
    pk = checkpoints.partition(found)
    assert len(stores.table.query(pk, *keys.prefix("X#")).items) == 1
    settle(stores)
    settle(stores)
    assert not stores.table.query(pk, *keys.prefix("X#")).items
    left = [i.key.sk for i in stores.table.query(pk, limit=1000).items]
    assert sorted(sk[0] for sk in left) == ["A", "C", "N", "S"]
    clock.time += stores.lease_seconds + stores.sign_seconds + 1
    assert sweep.run(stores).freed_blobs == 1


def test_deleting_the_version_frees_what_was_evicted_but_not_released(registry):
    """No reference is left behind, however the two cross."""
    stores, clock = registry
    found = opened(stores, Retention(keep_last=1))
    commit(stores, found, 1)
    commit(stores, found, 2)
    pruning.prune(stores, found, PruneRequest())
    publishing.abort(stores, "ann", *WHERE, found.number)
    settle(stores)
    clock.time += stores.lease_seconds + stores.sign_seconds + 1
    assert sweep.run(stores).freed_blobs == 2
    assert not stores.table.query(checkpoints.partition(found)).items


def test_a_row_that_a_lost_race_left_is_passed_over(registry):
    """A killed commit may leave index rows under a number that another checkpoint has now."""
    stores, _ = registry
    judge(stores, Retention(), main_metric="loss", directions={"loss": "min"})
    found = opened(stores)
    pk = checkpoints.partition(found)
    strays = [
        keys.metric(pk, "loss", 0.0, 1), keys.ranked(pk, "", "loss", 0.0, 2),
        keys.recent(pk, "other", 1), keys.recent(pk, "", 9), keys.metric(pk, "loss", -1.0, 9),
    ]  # fmt: skip
    stores.table.write_many([Put(Item(key)) for key in strays])
    commit(stores, found, 1, loss=3.0)
    commit(stores, found, 2, loss=2.0)
    assert checkpoints.resolve(stores, found, at("best")).checkpoint.number == 2
    assert numbers(checkpoints.listing(stores, found, by="loss")) == [2, 1]
    assert numbers(checkpoints.listing(stores, found, by="loss", component="-")) == [2, 1]
    assert numbers(checkpoints.listing(stores, found, component="other")) == []
    assert numbers(checkpoints.listing(stores, found, component="-")) == [2, 1]


def test_checkpoints_are_listed_by_every_question(registry):
    """By component, step range, name and tags; by number, step or metric; page by page."""
    stores, _ = registry
    judge(stores, Retention(), directions={"loss": "min"})
    found = opened(stores)
    for i in range(1, 25):
        commit(
            stores, found, i * 10, component="ab"[i % 2], name="even" if i % 4 == 0 else "",
            loss=abs(i - 12.25), tags={"kind": "full" if i % 3 == 0 else "part"},
        )  # fmt: skip

    def ask(**question):
        """All numbers, over pages of two."""
        got, page = [], None
        while True:
            part = checkpoints.listing(stores, found, limit=2, page=page, **question)
            got += numbers(part)
            page = part.next
            if page is None:
                return got

    steps = series.steps_of
    assert ask() == list(range(24, 0, -1))
    assert ask(component="a") == list(range(24, 0, -2))
    assert ask(component="a", order="oldest") == list(range(2, 25, 2))
    assert ask(component="b", steps=steps("100..150")) == [11, 13, 15]
    assert ask(steps=steps("100..120")) == [10, 12, 11]
    assert ask(steps=steps("230.."), order="newest") == [24, 23]
    assert ask(steps=steps("..20"), order="oldest") == [1, 2]
    assert ask(steps=steps("70")) == [7]
    assert ask(name="even", order="oldest") == [4, 8, 12, 16, 20, 24]
    assert ask(name="", component="a", order="oldest") == [2, 6, 10, 14, 18, 22]
    assert ask(tags={"kind": "full"}, component="b") == [21, 15, 9, 3]
    assert ask(by="loss")[:3] == [12, 13, 11]
    assert ask(by="loss", order="max")[:2] == [24, 1]
    assert ask(by="loss", component="a")[:2] == [12, 14]
    assert ask(by="loss", order="min", tags={"kind": "full"}, steps=steps("10..110"))[0] == 9
    assert ask(component="nobody") == ask(by="nothing", order="max") == []
    for bad in ({"order": "up"}, {"by": "loss", "order": "newest"}, {"by": "f1"}, {"order": "max"}):
        with pytest.raises(InvalidRequest):
            checkpoints.listing(stores, found, **bad)
    for text in ("x", "5..1", "1..2..3", "-4", "1" * 20):
        with pytest.raises(InvalidRequest):
            steps(text)
    with pytest.raises(InvalidRequest, match="reserved"):
        commit(stores, found, 1, component="-")


@pytest.mark.parametrize(
    "policy",
    [
        Retention(keep_last=-1), Retention(keep_last=1001), Retention(keep_every=-5),
        Retention(max_age=-1), Retention(max_age=10**12), Retention(keep_best=(KeepBest("", "max"),)),
        Retention(keep_best=(KeepBest("a", "max", 0),)),
        Retention(keep_best=(KeepBest("a", "max"), KeepBest("a", "min"))),
        Retention(keep_best=tuple(KeepBest(str(i), "max") for i in range(9))),
    ],
)  # fmt: skip
def test_a_retention_that_means_nothing_is_refused(stores, policy):
    """At a model, at a version's begin, and later; nothing is written."""
    found = opened(stores)
    with pytest.raises(InvalidRequest):
        judge(stores, policy)
    with pytest.raises(InvalidRequest):
        opened(stores, policy)
    with pytest.raises(InvalidRequest):
        pruning.override(stores, "ann", found, policy)
    assert pruning.state(stores, found).source == "none"
    assert publishing.begin(stores, "ann", *WHERE, NewVersion(key_of("next"))).number == 2


def test_a_checkpoint_becomes_a_version_without_a_byte_copied(registry):
    """Files, metrics and tags go along; the source may be evicted and swept without harm."""
    stores, clock = registry
    found = opened(stores, Retention(keep_last=1))
    commit(stores, found, 10, loss=0.5, tags={"kind": "full"}, data=b"weights" * 20)
    objects = len(stores.blobs.list("blobs/").heads)
    record = checkpoints.resolve(stores, found, at("1"))
    wanted = Promotion(key_of("promote"), "1.0", "the good one", {"stage": "final"})
    version = promoting.promote(stores, "ann", record, wanted)
    assert promoting.promote(stores, "ann", record, wanted).number == version.number
    assert (version.state, version.label, version.metrics) == ("ready", "1.0", {"loss": 0.5})
    assert version.source == f"vision/digits@{found.number}:1"
    assert version.tags == {"kind": "full", "stage": "final"}
    assert len(stores.blobs.list("blobs/").heads) == objects
    commit(stores, found, 20)
    settle(stores)
    publishing.abort(stores, "ann", *WHERE, found.number)
    settle(stores)
    clock.time += stores.lease_seconds + stores.sign_seconds + 1
    assert sweep.run(stores).freed_blobs == 1
    project_id = projects.find(stores, "vision").id
    (entry,) = versions.files(stores, project_id, version.manifest)
    object_key = blobs.object_keys(stores, project_id, [entry.blob])[entry.blob]
    assert stores.blobs.read(object_key) == b"weights" * 20
    with pytest.raises(Gone):
        again(stores, found.number)


def test_a_promotion_that_fails_leaves_no_open_version(registry):
    """A label that is taken, or files that are gone: nothing half made stays."""
    stores, clock = registry
    publish(stores, {"w": b"x"}, label="1.0")
    found = opened(stores, Retention(keep_last=1))
    commit(stores, found, 1)
    record = checkpoints.resolve(stores, found, at("1"))
    with pytest.raises(AlreadyExists):
        promoting.promote(stores, "ann", record, Promotion(key_of("a"), "1.0"))
    commit(stores, found, 2)
    settle(stores)
    clock.time += stores.lease_seconds + stores.sign_seconds + 1
    sweep.run(stores)
    with pytest.raises(NotFound, match="evicted"):
        promoting.promote(stores, "ann", record, Promotion(key_of("b"), "2.0"))
    listed = versions.listing(stores, models.find(stores, *WHERE), state="open").items
    assert [v.number for v in listed] == [found.number]


def test_pruning_goes_on_page_by_page(registry):
    """A call does a bounded part; the pages together do what one decision over all would."""
    stores, _ = registry
    policy = Retention(keep_every=7)
    found = opened(stores, policy)
    entries = upload(stores, "vision", {"w": b"all the same"})
    for step in range(1, 151):
        request = CheckpointCommit(manifests.digest(entries), entries, step)
        checkpoints.commit(stores, "ann", found, request)
    everything = list(checkpoints.newest(stores, found, 1000))
    expected = retention.choose(everything, policy, stores.now())
    for dry in (True, False):
        page, seen, freed, calls = None, [], 0, 0
        while True:
            done = pruning.prune(stores, found, PruneRequest(dry, page))
            assert done.evicted <= pruning.MAX_EVICTED
            seen += done.items
            freed, calls, page = freed + done.freed_bytes, calls + 1, done.next
            if page is None:
                break
        assert sorted(seen, key=lambda v: -v.number) == list(expected)
        assert (freed, calls) == (0, 5)  # the kept ones hold the same bytes
    assert live(stores, found) == sorted({*range(7, 151, 7), 150})


def test_a_page_of_another_list_is_refused(stores):
    """The page token of one version's prune says nothing to another's."""
    from chalicelib.registry import paging

    found = opened(stores, Retention(keep_last=1))
    with pytest.raises(InvalidRequest):
        pruning.prune(stores, found, PruneRequest(page=paging.token("prune/other", "C#1")))


def test_a_checkpoint_of_the_wire_needs_no_pin(stores):
    """What was stored before pins existed is read as it was."""
    found = opened(stores)
    assert not commit(stores, found, 1).pinned
    assert Checkpoint("p", "m", 1, 1).pinned is False
