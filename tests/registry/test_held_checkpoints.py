"""Where the safety policy meets what is asked of checkpoints: order, retention, pins, promotion."""

import pytest

from chalicelib.catalogue import drain
from chalicelib.indexing import formats
from chalicelib.registry import (
    checkpoints,
    keys,
    models,
    pinning,
    projects,
    promoting,
    pruning,
    publishing,
    safety,
    series,
    sweep,
    verdicts,
    versions,
)
from chalicelib.registry.ports import LAST, ConditionFailed
from tests.registry_world import index_all, key_of, upload
from weighbridge.contract import manifests, references
from weighbridge.contract.errors import HeldBack, InvalidRequest, NotFound
from weighbridge.contract.types import (
    CheckpointCommit,
    Facts,
    KeepBest,
    ModelChanges,
    ModelSettings,
    NewVersion,
    ProjectChanges,
    Promotion,
    PruneRequest,
    ReleaseRequest,
    Retention,
    VersionCommit,
)

WHERE = ("vision", "digits")
OURS = ReleaseRequest("ours")


def sniff(first, size):
    """A format of the tests: `!unsafe …` says its verdict."""
    return first[:1] == b"!"


def read(ranged):
    """The verdict is the first word."""
    return Facts("scripted", verdict=ranged.read(1, 20).split()[0].decode())


@pytest.fixture(autouse=True)
def scripted(monkeypatch):
    """Files that begin with `!` are judged by their first word."""
    monkeypatch.setattr(formats, "INDEXERS", ((sniff, read), *formats.INDEXERS))


@pytest.fixture
def blocking(stores):
    """The project `vision` holds back what is not known to be safe; smaller losses are better."""
    projects.change(stores, "ann", "vision", ProjectChanges(safety="block"))
    judge(stores, Retention())
    return stores


def judge(stores, policy):
    """Sets the model's retention."""
    settings = ModelSettings("loss", {"loss": "min"}, retention=policy)
    models.change(stores, "ann", *WHERE, ModelChanges(settings=settings))


def at(text):
    """A checkpoint selector."""
    return references.parse_checkpoint(str(text))


def opened(stores):
    """A fresh open version."""
    new = NewVersion(key_of(f"held {stores.random()}"))
    made = publishing.begin(stores, "ann", *WHERE, new)
    return versions.numbered(stores, models.find(stores, *WHERE), made.number)


def commit(stores, found, step, data=None, *, loss=None, component="", tags=None):
    """One checkpoint of one file: unsafe unless other content is given."""
    entries = upload(stores, "vision", {"w": data or b"!unsafe %d" % step})
    request = CheckpointCommit(
        manifests.digest(entries), entries, step, component, "",
        {} if loss is None else {"loss": loss}, tags or {},
    )  # fmt: skip
    return checkpoints.commit(stores, "ann", found, request)


def release(stores, found, number):
    """An administrator lets one through."""
    record = checkpoints.resolve(stores, found, at(number))
    return verdicts.release_checkpoint(stores, "root", record, OURS)


def settle(stores):
    """Drains the outbox, as the render function does."""
    drain.project(stores, projects.find(stores, "vision").id)


def numbers(stores, found, **question):
    """The numbers that a list answers, over pages of two."""
    got, page = [], None
    while True:
        part = checkpoints.listing(stores, found, limit=2, page=page, **question)
        got += [c.number for c in part.items]
        page = part.next
        if page is None:
            return got


def rows(stores, found):
    """The index rows of a version's checkpoints."""
    items = sweep.everything(stores.table, checkpoints.partition(found))
    return [item.key.sk for item in items if item.key.sk[:2] in ("A#", "Q#", "R#")]


EVERY_VIEW = (
    {}, {"order": "oldest"}, {"order": "step"}, {"component": "-"}, {"by": "loss"},
    {"by": "loss", "component": "-"}, {"steps": (0, 9)}, {"component": "-", "steps": (0, 9)},
)  # fmt: skip


def test_what_is_held_back_is_in_no_index_until_it_is_let_through(blocking):
    """No row, no view, no best, no last; after its release in all of them."""
    stores = blocking
    found = opened(stores)
    commit(stores, found, 1, loss=0.5)
    index_all(stores)
    assert rows(stores, found) == []
    assert [numbers(stores, found, **view) for view in EVERY_VIEW] == [[]] * len(EVERY_VIEW)
    for text in ("last", "best", "best=loss"):
        with pytest.raises(NotFound):
            checkpoints.resolve(stores, found, at(text))
    assert release(stores, found, 1).state == "ready"
    assert len(rows(stores, found)) == 3
    assert [numbers(stores, found, **view) for view in EVERY_VIEW] == [[1]] * len(EVERY_VIEW)
    for text in ("last", "best", "best=loss"):
        assert checkpoints.resolve(stores, found, at(text)).checkpoint.number == 1


def test_a_safe_verdict_brings_the_index_rows(blocking):
    """What was being checked is ranked as soon as it is ready, among the others."""
    stores = blocking
    found = opened(stores)
    for step, loss in ((1, 3.0), (2, 1.0), (3, 2.0)):
        assert commit(stores, found, step, b"fine %d" % step, loss=loss).state == "checking"
    assert rows(stores, found) == []
    index_all(stores)
    assert numbers(stores, found, by="loss") == [2, 3, 1]
    assert numbers(stores, found, component="-") == [3, 2, 1]
    known = commit(stores, found, 4, b"fine 1", loss=0.5)  # known to be safe: ready at once
    assert known.state == "ready"
    assert numbers(stores, found, by="loss") == [4, 2, 3, 1]


def test_letting_through_may_die_between_rows_and_move(blocking, monkeypatch):
    """Rows that are there too early show nothing; the next attempt ends the work."""
    stores = blocking
    found = opened(stores)
    commit(stores, found, 1, loss=0.5)
    index_all(stores)
    with monkeypatch.context() as patched:
        patched.setattr(stores.table, "transact", lambda writes: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            release(stores, found, 1)
    assert len(rows(stores, found)) == 3
    assert [numbers(stores, found, **view) for view in EVERY_VIEW] == [[]] * len(EVERY_VIEW)
    assert numbers(stores, found, state="held") == [1]
    with pytest.raises(NotFound):
        checkpoints.resolve(stores, found, at("best"))
    release(stores, found, 1)
    assert numbers(stores, found, by="loss") == [1]
    checkpoints.delete(stores, "ann", found, at(1))
    settle(stores)
    assert rows(stores, found) == []


def test_lists_of_what_is_held_back(blocking):
    """By number, narrowed by any filter; what has no order for them is refused."""
    stores = blocking
    found = opened(stores)
    for step in range(1, 9):
        tags = {"kind": "full"} if step > 5 else None
        commit(stores, found, step * 10, component="ab"[step % 2], tags=tags)
    commit(stores, found, 90, b"!safe", component="a")
    index_all(stores)
    held = {"state": "held"}
    assert numbers(stores, found) == [9]
    assert numbers(stores, found, **held) == list(range(8, 0, -1))
    assert numbers(stores, found, order="oldest", **held) == list(range(1, 9))
    assert numbers(stores, found, component="a", **held) == [8, 6, 4, 2]
    assert numbers(stores, found, component="a", steps=(30, 60), **held) == [6, 4]
    assert numbers(stores, found, steps=(30, 60), **held) == [6, 5, 4, 3]
    assert numbers(stores, found, tags={"kind": "full"}, **held) == [8, 7, 6]
    assert numbers(stores, found, name="x", **held) == []
    for bad in ({"by": "loss"}, {"order": "step"}, {"order": "max"}):
        with pytest.raises(InvalidRequest, match="held back"):
            checkpoints.listing(stores, found, **bad, **held)
    with pytest.raises(InvalidRequest, match="ready or held"):
        checkpoints.listing(stores, found, state="blocked")


def test_retention_neither_counts_nor_evicts_what_is_held_back(blocking):
    """The newest that is ready stays, however many newer ones are held back; those stay as well."""
    stores = blocking
    judge(stores, Retention(keep_last=1, keep_best=(KeepBest("loss", "min", 1),)))
    found = opened(stores)
    commit(stores, found, 1, b"!safe 1", loss=5.0)
    commit(stores, found, 2, b"!safe 2", loss=6.0)
    for step in (3, 4, 5):
        commit(stores, found, step, loss=0.1)
    index_all(stores)
    settle(stores)
    assert numbers(stores, found) == [2, 1]
    done = pruning.prune(stores, found, PruneRequest(dry_run=False))
    assert (done.evicted, [j.number for j in done.items]) == (0, [1, 2])
    assert numbers(stores, found, state="held") == [5, 4, 3]
    release(stores, found, 4)
    settle(stores)
    assert numbers(stores, found) == [4]  # the last and the best
    assert numbers(stores, found, state="held") == [5, 3]


def test_what_is_let_through_late_comes_under_the_retention(blocking):
    """An old one that no rule keeps goes at once, unless it was pinned while it was held back."""
    stores = blocking
    judge(stores, Retention(keep_last=1))
    found = opened(stores)
    commit(stores, found, 1)
    commit(stores, found, 2)
    for step in range(3, 12):
        commit(stores, found, step, b"!safe %d" % step)
    index_all(stores)
    settle(stores)
    assert numbers(stores, found) == [11]
    assert pinning.pin(stores, "ann", found, at(2), True).pinned
    release(stores, found, 1)
    assert release(stores, found, 2).pinned
    settle(stores)
    assert numbers(stores, found) == [11, 2]
    assert checkpoints.resolve(stores, found, at(2)).checkpoint.pinned
    assert not pinning.pin(stores, "ann", found, at(2), False).pinned
    sweep.run(stores)
    assert numbers(stores, found) == [11]


def test_a_pin_and_a_verdict_at_once_are_both_kept(blocking, monkeypatch):
    """Whoever is about to let it through sees that it was pinned meanwhile."""
    stores = blocking
    found = opened(stores)
    commit(stores, found, 1)
    index_all(stores)
    original, done = series.index_items, []

    def between(pk, point):
        if not done:
            done.append(pinning.pin(stores, "ann", found, at(1), True))
        return original(pk, point)

    monkeypatch.setattr(series, "index_items", between)
    out = release(stores, found, 1)
    assert (out.state, out.pinned) == ("ready", True)


def test_a_verdict_on_what_is_pinned_leaves_the_pin(blocking, monkeypatch):
    """A newer indexer changes the verdict of a ready checkpoint, and nothing else of it."""
    stores = blocking
    found = opened(stores)
    commit(stores, found, 1, b"!safe")
    index_all(stores)
    pinning.pin(stores, "ann", found, at(1), True)
    monkeypatch.setattr(formats, "INDEXER", formats.INDEXER + 1)

    def worse(ranged):
        return Facts("scripted", verdict="unsafe")

    monkeypatch.setattr(formats, "INDEXERS", ((sniff, worse),))
    index_all(stores)
    point = checkpoints.resolve(stores, found, at(1)).checkpoint
    assert (point.state, point.verdict, point.pinned) == ("ready", "unsafe", True)


def test_what_is_blocked_is_deleted_by_hand_and_frees_its_bytes(blocking, clock):
    """The blob of a blocked checkpoint stays until somebody deletes it, then it goes."""
    stores = blocking
    found = opened(stores)
    commit(stores, found, 1, loss=0.5)
    index_all(stores)
    clock.time += 3 * stores.lease_seconds
    assert sweep.run(stores).freed_blobs == 0
    checkpoints.delete(stores, "ann", found, at(1))
    with pytest.raises(NotFound):
        checkpoints.resolve(stores, found, at(1))
    settle(stores)
    clock.time += 3 * stores.lease_seconds
    assert sweep.run(stores).freed_blobs == 1
    left = {item.key.sk for item in sweep.everything(stores.table, checkpoints.partition(found))}
    assert left == {"N"}
    assert commit(stores, found, 1, loss=0.5).number == 2  # its identity is free again


def test_what_becomes_ready_while_it_is_deleted_is_deleted(blocking, monkeypatch):
    """The deletion follows the checkpoint to where it went."""
    stores = blocking
    found = opened(stores)
    commit(stores, found, 1, loss=0.5)
    index_all(stores)
    original, done = checkpoints.gone, []

    def between(record):
        writes = original(record)
        if not done:
            done.append(release(stores, found, 1))
        return writes

    monkeypatch.setattr(checkpoints, "gone", between)
    checkpoints.delete(stores, "ann", found, at(1))
    settle(stores)
    assert safety.committed(stores, keys.holder(found.model.id, found.number, 1)) is None
    assert rows(stores, found) == []


def test_bytes_that_a_held_checkpoint_shares_are_not_counted_as_freed(blocking):
    """Pruning says what evicting frees: not what a blocked checkpoint holds as well."""
    stores = blocking
    judge(stores, Retention(keep_last=1))
    found = opened(stores)
    shared, alone = b"!safe shared", b"!safe and alone"
    for step, content in ((1, {"w": shared}), (2, {"w": alone})):
        entries = upload(stores, "vision", content)
        request = CheckpointCommit(manifests.digest(entries), entries, step)
        checkpoints.commit(stores, "ann", found, request)
    entries = upload(stores, "vision", {"w": shared, "x": b"!unsafe"})
    request = CheckpointCommit(manifests.digest(entries), entries, 3)
    checkpoints.commit(stores, "ann", found, request)
    commit(stores, found, 4, b"!safe last")
    index_all(stores)
    done = pruning.prune(stores, found, PruneRequest(dry_run=True))
    assert done.evicted == 2
    assert (done.freed_blobs, done.freed_bytes, done.shared_bytes) == (1, len(alone), len(shared))


def test_only_what_is_ready_is_promoted_and_the_policy_judges_the_version(blocking):
    """Held back: refused. Safe: ready at once. Released: a version that needs its own release."""
    stores = blocking
    found = opened(stores)
    commit(stores, found, 1, b"!safe")
    commit(stores, found, 2)
    record = checkpoints.resolve(stores, found, at(2))
    before = versions.issued(stores, found.model)
    with pytest.raises(HeldBack, match="being checked"):
        promoting.promote(stores, "ann", record, Promotion(key_of("p1")))
    index_all(stores)
    with pytest.raises(HeldBack, match="weighbridge release"):
        promoting.promote(
            stores, "ann", checkpoints.resolve(stores, found, at(2)), Promotion(key_of("p2"))
        )
    assert versions.issued(stores, found.model) == before
    safe = checkpoints.resolve(stores, found, at("last"))
    made = promoting.promote(stores, "ann", safe, Promotion(key_of("p3")))
    assert (made.state, made.verdict, made.source) == ("ready", "safe", safe.reference)
    release(stores, found, 2)
    released = checkpoints.resolve(stores, found, at(2))
    made = promoting.promote(stores, "ann", released, Promotion(key_of("p4")))
    assert (made.state, made.verdict, made.release.by) == ("blocked", "unsafe", "")


def test_a_changed_rule_reaches_versions_that_are_held_back(blocking, monkeypatch):
    """A model's new retention is applied to open, held and ready versions alike, some at a time."""
    stores = blocking
    found = []
    for content in (None, b"!unsafe", b"!safe", b"!unsafe"):
        made = opened(stores)
        for step in (1, 2, 3):
            commit(stores, made, step, b"!safe %d" % step)
        if content is not None:
            entries = upload(stores, "vision", {"w": content})
            request = VersionCommit(manifests.digest(entries), entries)
            publishing.commit(stores, "ann", *WHERE, made.number, request)
        found.append(made.number)
    index_all(stores)
    record = models.find(stores, *WHERE)
    whole = [versions.numbered(stores, record, number) for number in found]
    assert [v.version.state for v in whole] == ["open", "blocked", "ready", "blocked"]
    assert [len(numbers(stores, version)) for version in whole] == [3, 3, 3, 3]
    monkeypatch.setattr("chalicelib.registry.overdue.VERSIONS", 1)
    judge(stores, Retention(keep_last=1))
    for _ in range(8):
        sweep.run(stores)
    assert [len(numbers(stores, version)) for version in whole] == [1, 1, 1, 1]
    assert not list(sweep.everything(stores.table, keys.of_candidates(record.project_id), "R#"))


def test_a_version_that_is_let_through_meanwhile_is_not_missed(blocking, monkeypatch):
    """Versions are noted in the order of their way: held back, then ready."""
    stores = blocking
    made = opened(stores)
    for step in (1, 2):
        commit(stores, made, step, b"!safe %d" % step)
    entries = upload(stores, "vision", {"w": b"!unsafe"})
    request = VersionCommit(manifests.digest(entries), entries)
    publishing.commit(stores, "ann", *WHERE, made.number, request)
    ready = opened(stores)
    entries = upload(stores, "vision", {"w": b"!safe"})
    request = VersionCommit(manifests.digest(entries), entries)
    publishing.commit(stores, "ann", *WHERE, ready.number, request)
    index_all(stores)
    original, done = stores.table.query, []

    def query(pk, low="", high=LAST, **options):
        if low == f"{keys.READY}#" and pk.startswith("M#") and not done:
            done.append(True)  # just before the ready ones are read
            held = versions.numbered(stores, models.find(stores, *WHERE), made.number)
            verdicts.release_version(stores, "root", held, OURS)
        return original(pk, low, high, **options)

    judge(stores, Retention(keep_last=1))
    with monkeypatch.context() as patched:
        patched.setattr(stores.table, "query", query)
        for _ in range(3):
            sweep.run(stores)
    assert done
    held = versions.numbered(stores, models.find(stores, *WHERE), made.number)
    assert (held.version.state, numbers(stores, held)) == ("ready", [2])


def test_a_lost_race_of_letting_through_is_tried_again(blocking, monkeypatch):
    """Two who let the same checkpoint through: one event, one place."""
    stores = blocking
    found = opened(stores)
    commit(stores, found, 1, loss=0.5)
    index_all(stores)
    original, lost = stores.table.transact, []

    def transact(writes):
        if not lost:
            lost.append(True)
            original(writes)  # the twin of this request
            raise ConditionFailed(0, writes[0].key, None)
        return original(writes)

    with monkeypatch.context() as patched:
        patched.setattr(stores.table, "transact", transact)
        assert release(stores, found, 1).state == "ready"
    assert numbers(stores, found, state="held") == []
    assert numbers(stores, found, by="loss") == [1]
