"""Verdicts and the safety policy: what is shown, what is held back, and what lets it through."""

import itertools
import random

import pytest

from chalicelib.indexing import formats, objects, repair
from chalicelib.registry import (
    aliases,
    blobs,
    changing,
    checkpoints,
    downloads,
    facts,
    keys,
    models,
    outbox,
    projects,
    publishing,
    safety,
    sweep,
    verdicts,
    versions,
)
from tests.registry_world import index_all, key_of, publish, upload
from weighbridge.contract import manifests, references
from weighbridge.contract.errors import (
    Conflict,
    Forbidden,
    Gone,
    HeldBack,
    InvalidRequest,
    NotFound,
    Unavailable,
)
from weighbridge.contract.types import (
    AliasTarget,
    ApprovalChange,
    CheckpointCommit,
    Facts,
    ModelChanges,
    ModelSettings,
    NewVersion,
    ProjectChanges,
    ReleaseRequest,
    VersionCommit,
)

WHERE = ("vision", "digits")


def sniff(first, size):
    """A format of the tests: a file that begins with its verdict."""
    return first[:1] == b"!"


def read(ranged):
    """`!unsafe …`: the verdict is the first word."""
    verdict = ranged.read(1, 20).split()[0].decode()
    if verdict == "crash":
        raise ZeroDivisionError("a hostile file")
    return Facts("scripted", verdict=verdict, findings=(f"imports {verdict}",))


@pytest.fixture(autouse=True)
def scripted(monkeypatch):
    """An indexer whose verdict a file itself gives, by which tests decide."""
    monkeypatch.setattr(formats, "INDEXERS", ((sniff, read), *formats.INDEXERS))


@pytest.fixture
def blocking(stores):
    """The project `vision` holds back what is not known to be safe."""
    projects.change(stores, "ann", "vision", ProjectChanges(safety="block"))
    return stores


def number(n):
    return references.parse_version(str(n))


def version(stores, n):
    return versions.resolve(stores, *WHERE, number(n)).version


def listed(stores, state="ready"):
    record = models.find(stores, *WHERE)
    return [v.number for v in versions.listing(stores, record, state=state).items]


def events(stores):
    record = projects.find(stores, "vision")
    found = outbox.history(stores, record.id, record.project.created).items
    return [(e.kind, e.subject) for e in found]


def notes(stores):
    record = projects.find(stores, "vision")
    return list(sweep.everything(stores.table, keys.of_candidates(record.id), "W#"))


def point(stores, n, files, step=1):
    entries = upload(stores, "vision", files)
    found = versions.resolve(stores, *WHERE, number(n))
    request = CheckpointCommit(manifests.digest(entries), entries, step)
    return checkpoints.commit(stores, "ann", found, request)


def test_a_verdict_is_the_worst_of_the_files(stores):
    """safe < unknown < unsafe; a file that cannot execute code is safe; pending until all are known."""
    for content, wanted in (
        ({"a": b"plain"}, "safe"),
        ({"a": b"plain", "b": b"!safe"}, "safe"),
        ({"a": b"!unknown", "b": b"plain 2"}, "unknown"),
        ({"a": b"!unsafe", "b": b"!unknown 2", "c": b"!safe 2"}, "unsafe"),
    ):
        made = publish(stores, content)
        assert (made.state, made.verdict) == ("ready", "pending")
        index_all(stores)
        assert version(stores, made.number).verdict == wanted
    assert notes(stores) == []
    assert [k for k, _ in events(stores) if k == "version.verdict"] == ["version.verdict"] * 2


def test_pages_name_the_files_that_are_not_safe(stores):
    """The version's page shows verdict and findings of each file."""
    from chalicelib.catalogue import drain

    publish(stores, {"a": b"!unsafe", "b": b"!unknown"})
    index_all(stores)
    record = projects.find(stores, "vision")
    assert drain.project(stores, record.id)
    pages = [stores.site.read(head.key).decode() for head in stores.site.list("").heads]
    assert any("imports unsafe" in page and "imports unknown" in page for page in pages)


def test_what_was_indexed_before_is_decided_at_commit(stores):
    """The second version of the same bytes has its verdict at once, without a note."""
    publish(stores, {"a": b"!unsafe"})
    index_all(stores)
    assert publish(stores, {"a": b"!unsafe"}).verdict == "unsafe"
    assert publish(stores, {}).verdict == "safe"
    assert notes(stores) == []


def test_under_block_nothing_is_ready_before_its_verdict(blocking):
    """`checking` is in no list, no alias goes to it, its bytes are not given out; then it is ready."""
    stores = blocking
    made = publish(stores, {"a": b"fine"}, metrics={"accuracy": 1.0}, label="one")
    assert (made.state, made.published) == ("checking", "")
    settings = ModelSettings("accuracy", {"accuracy": "max"})
    models.change(stores, "ann", *WHERE, ModelChanges(settings=settings))
    record = models.find(stores, *WHERE)
    assert listed(stores) == []
    assert listed(stores, "held") == [1]
    for ask in (
        lambda: versions.of_model(stores, record, references.LATEST),
        lambda: versions.best(stores, record, ""),
    ):
        with pytest.raises(NotFound):
            ask()
    with pytest.raises(HeldBack, match="being checked"):
        aliases.move(stores, "ann", *WHERE, "production", AliasTarget("=one"))
    with pytest.raises(HeldBack):
        safety.refuse_held("x", made.state, made.verdict)
    with pytest.raises(Conflict):
        publish(stores, {"b": b"child"}, parents=("vision/digits@1",))
    index_all(stores)
    assert (version(stores, 1).state, version(stores, 1).verdict) == ("ready", "safe")
    assert version(stores, 1).published
    assert versions.best(stores, record, "").number == 1
    assert aliases.move(stores, "ann", *WHERE, "production", AliasTarget("=one")).version == 1
    assert events(stores).count(("version.published", "digits@1")) == 1
    assert ("version.checking", "digits@1") in events(stores)


@pytest.mark.parametrize("word", ["unsafe", "unknown", "crash"])
def test_under_block_what_is_not_safe_is_blocked_for_good(blocking, word):
    """Unknown counts as unsafe, and so does a file that an indexer trips over."""
    stores = blocking
    publish(stores, {"a": f"!{word}".encode()}, metrics={"accuracy": 1.0})
    index_all(stores)
    index_all(stores)
    found = version(stores, 1)
    assert (found.state, found.verdict) == ("blocked", "unknown" if word == "crash" else word)
    assert listed(stores) == []
    assert events(stores).count(("version.blocked", "digits@1")) == 1
    with pytest.raises(HeldBack, match="weighbridge release"):
        aliases.move(stores, "ann", *WHERE, "production", AliasTarget("1"))
    report = verdicts.of_version(stores, versions.resolve(stores, *WHERE, number(1)))
    assert (report.items[0].path, report.items[0].verdict) == ("a", found.verdict)
    if word == "crash":
        assert "ZeroDivisionError" in report.items[0].problem
    else:
        assert report.items[0].findings == (f"imports {word}",)
    projects.change(stores, "ann", "vision", ProjectChanges(safety="warn"))
    index_all(stores)
    assert version(stores, 1).state == "blocked"


def test_a_release_lets_through_and_is_recorded(blocking):
    """An administrator's release makes a blocked version ready, once, with name and reason."""
    stores = blocking
    publish(stores, {"a": b"!unsafe"})
    index_all(stores)
    found = versions.resolve(stores, *WHERE, number(1))
    with pytest.raises(InvalidRequest):
        verdicts.release_version(stores, "root", found, ReleaseRequest("  "))
    for _ in range(2):
        out = verdicts.release_version(stores, "root", found, ReleaseRequest("read it"))
        assert (out.state, out.verdict) == ("ready", "unsafe")
    assert (out.release.by, out.release.comment) == ("root", "read it")
    assert listed(stores) == [1]
    assert events(stores).count(("version.released", "digits@1")) == 1
    index_all(stores)
    assert version(stores, 1).state == "ready"
    publish(stores, {"a": b"harmless"})
    index_all(stores)
    safe = versions.resolve(stores, *WHERE, number(2))
    with pytest.raises(Conflict, match="nothing holds"):
        verdicts.release_version(stores, "root", safe, ReleaseRequest("why not"))


def test_a_protected_alias_follows_verdict_or_release(stores):
    """Approval alone does not do for a version that is not safe; with a release it does."""
    settings = ModelSettings(protected_aliases=("prod*",))
    models.change(stores, "ann", *WHERE, ModelChanges(settings=settings))
    publish(stores, {"a": b"!unsafe"})
    index_all(stores)
    changing.approve(stores, "ann", *WHERE, number(1), ApprovalChange("approved"))
    with pytest.raises(Forbidden, match="unsafe"):
        aliases.move(stores, "ann", *WHERE, "production", AliasTarget("1"))
    found = versions.resolve(stores, *WHERE, number(1))
    verdicts.release_version(stores, "root", found, ReleaseRequest("ours"))
    assert aliases.move(stores, "ann", *WHERE, "production", AliasTarget("1")).version == 1


def test_checkpoints_are_held_back_as_versions_are(blocking):
    """A checkpoint that is being checked is in no list, is not the last, and keeps its identity."""
    stores = blocking
    publishing.begin(stores, "ann", *WHERE, NewVersion(key_of("c")))
    first = point(stores, 1, {"w": b"one"}, 1)
    second = point(stores, 1, {"w": b"!unsafe"}, 2)
    assert (first.number, first.state, second.state) == (1, "checking", "checking")
    assert point(stores, 1, {"w": b"one"}, 1).number == 1
    found = versions.resolve(stores, *WHERE, number(1))
    assert checkpoints.listing(stores, found).items == ()
    assert checkpoints.listing(stores, found, order="step").items == ()
    assert len(checkpoints.listing(stores, found, state="held").items) == 2
    with pytest.raises(NotFound):
        checkpoints.resolve(stores, found, references.parse_checkpoint("last"))
    index_all(stores)
    assert [c.number for c in checkpoints.listing(stores, found).items] == [1]
    last = checkpoints.resolve(stores, found, references.parse_checkpoint("last"))
    assert (last.checkpoint.number, last.checkpoint.verdict) == (1, "safe")
    blocked = checkpoints.resolve(stores, found, references.parse_checkpoint("2"))
    assert blocked.checkpoint.state == "blocked"
    report = verdicts.of_checkpoint(stores, blocked)
    assert (report.reference, report.verdict) == ("vision/digits@1:2", "unsafe")
    out = verdicts.release_checkpoint(stores, "root", blocked, ReleaseRequest("ours"))
    assert (out.state, out.release.by) == ("ready", "root")
    assert [c.number for c in checkpoints.listing(stores, found).items] == [2, 1]
    assert ("checkpoint.released", "digits@1:2") in events(stores)


def test_what_is_held_back_keeps_its_bytes_and_can_be_deleted(blocking, clock):
    """The sweep leaves the blobs of a checking version alone; a deleted one's are freed."""
    stores = blocking
    made = publish(stores, {"a": b"held"})
    clock.time += 3 * stores.lease_seconds
    sweep.run(stores)
    record = projects.find(stores, "vision")
    [entry] = versions.files(stores, record.id, made.manifest)
    assert blobs.live(stores, record.id, [entry.blob])
    changing.delete(stores, "ann", *WHERE, number(1))
    with pytest.raises(Gone):
        version(stores, 1)
    from chalicelib.catalogue import drain

    drain.project(stores, record.id)
    clock.time += 3 * stores.lease_seconds
    report = repair.run(stores)
    assert report.freed_blobs == 1
    assert notes(stores) == []


@pytest.mark.parametrize("seed", range(12))
def test_events_may_come_twice_and_in_any_order(blocking, seed):
    """Versions that share files, events repeated and shuffled among commits: the same outcome."""
    stores = blocking
    dice = random.Random(seed)
    contents = [
        {f"f{i}": content for i, content in enumerate(chosen)}
        for chosen in itertools.combinations((b"1", b"2", b"!unsafe", b"!unknown", b"3"), 2)
    ]
    dice.shuffle(contents)
    record = projects.find(stores, "vision")
    for content in contents:
        publish(stores, content)
        heads = [h.key for h in stores.blobs.list(f"blobs/{record.id}/").heads]
        for key in dice.sample(heads, dice.randint(0, min(2, len(heads)))):
            objects.look(stores, key)
    heads = [h.key for h in stores.blobs.list(f"blobs/{record.id}/").heads] * 2
    dice.shuffle(heads)
    for key in heads:
        objects.look(stores, key)
    for n, content in enumerate(contents, 1):
        bad = {bytes(c) for c in content.values()} & {b"!unsafe", b"!unknown"}
        verdict = "unsafe" if b"!unsafe" in bad else "unknown" if bad else "safe"
        found = version(stores, n)
        assert (found.state, found.verdict) == ("blocked" if bad else "ready", verdict)
    assert notes(stores) == []


def test_a_large_version_reads_each_fact_about_once(blocking):
    """1,000 files, one event each: notes move on a few times, not once per event."""
    stores = blocking
    entries = upload(stores, "vision", {f"{i:04}": b"%d" % i for i in range(1000)})
    made = publishing.begin(stores, "ann", *WHERE, NewVersion(key_of("large")))
    request = VersionCommit(manifests.digest(entries), entries)
    record = projects.find(stores, "vision")
    heads = [h.key for h in stores.blobs.list(f"blobs/{record.id}/").heads]
    random.Random(1).shuffle(heads)
    for key in heads[:500]:
        objects.look(stores, key)
    publishing.commit(stores, "ann", *WHERE, made.number, request)
    asked = []
    original = facts.verdicts

    def counted(stores_, project_id, blob_ids):
        asked.append(len(blob_ids))
        return original(stores_, project_id, blob_ids)

    facts.verdicts = counted
    try:
        for key in heads[500:]:
            objects.look(stores, key)
    finally:
        facts.verdicts = original
    assert version(stores, made.number).state == "ready"
    assert sum(asked) < 5000


def test_the_sweep_takes_up_what_no_event_announced(blocking, clock):
    """Lost events: after a while the sweep indexes what is waited for, and decides."""
    stores = blocking
    publish(stores, {"a": b"1", "b": b"2", "c": b"!safe"})
    repair.run(stores)
    assert version(stores, 1).state == "checking"
    for _ in range(4):
        clock.time += safety.WAIT_SECONDS + 1
        repair.run(stores)
    assert version(stores, 1).state == "ready"
    assert notes(stores) == []


def test_a_file_that_can_never_be_looked_at_is_unknown_in_the_end(blocking, clock, monkeypatch):
    """What ends every attempt does not keep a version waiting for ever."""
    stores = blocking
    publish(stores, {"a": b"!safe"})

    def killed(*args):
        raise Unavailable("no answer")

    monkeypatch.setattr(formats, "describe", killed)
    for _ in range(repair.ATTEMPTS):
        clock.time += safety.WAIT_SECONDS + 1
        repair.run(stores)
        assert version(stores, 1).state == "checking"
    clock.time += safety.WAIT_SECONDS + 1
    repair.run(stores)
    assert (version(stores, 1).state, version(stores, 1).verdict) == ("blocked", "unknown")


def test_a_newer_indexer_changes_verdicts_but_not_what_is_ready_or_blocked(blocking, monkeypatch):
    """Facts that change are taken into every verdict; a ready version stays, a blocked one too."""
    stores = blocking
    publish(stores, {"a": b"!safe"})
    publish(stores, {"a": b"!unsafe", "b": b"x"})
    index_all(stores)
    monkeypatch.setattr(formats, "INDEXER", formats.INDEXER + 1)
    swapped = {"safe": "unsafe", "unsafe": "safe"}

    def other(ranged):
        found = read(ranged)
        return Facts("scripted", verdict=swapped[found.verdict])

    monkeypatch.setattr(formats, "INDEXERS", ((sniff, other),))
    index_all(stores)
    assert (version(stores, 1).state, version(stores, 1).verdict) == ("ready", "unsafe")
    assert (version(stores, 2).state, version(stores, 2).verdict) == ("blocked", "safe")
    assert ("version.verdict", "digits@1") in events(stores)
    assert notes(stores) == []


def test_what_only_an_older_indexer_saw_is_looked_at_again(blocking, monkeypatch):
    """Verdicts of indexers from before verdicts do not count; a new event is asked for."""
    stores = blocking
    publish(stores, {"a": b"!unsafe"})
    record = projects.find(stores, "vision")
    [entry] = versions.files(stores, record.id, version(stores, 1).manifest)
    facts.save(stores, record.id, entry.blob, Facts("file", indexer=facts.JUDGING - 1))
    stores.queue.take("index")
    again = publish(stores, {"a": b"!unsafe"})
    assert again.state == "checking"
    [wanted] = stores.queue.take("index")
    objects.look(stores, wanted["detail"]["object"]["key"])
    assert [version(stores, n).state for n in (1, 2)] == ["blocked", "blocked"]


def test_bytes_of_what_is_held_back_are_not_signed(blocking):
    """The files are listed, as names and digests, and no more."""
    stores = blocking
    made = publish(stores, {"a": b"held"})
    record = projects.find(stores, "vision")
    assert downloads.files(stores, record.id, made.manifest, limit=10, page=None).total == 1


def test_formats_are_gathered_with_the_verdict(stores):
    """Once all files were looked at, versions and checkpoints name their formats; files without one
    count for nothing, and what was known before the commit is there at once."""
    content = {"a": b"!safe", "b": b"plain", "c": b"GGUF" + bytes(20)}
    made = publish(stores, content)
    made_point = point(stores, made.number, {"z": b"!unsafe"})
    assert made.formats == made_point.formats == ()
    index_all(stores)
    assert version(stores, made.number).formats == ("gguf", "scripted")
    found = versions.resolve(stores, *WHERE, number(made.number))
    [shown] = checkpoints.listing(stores, found).items
    assert shown.formats == ("scripted",)
    assert publish(stores, content).formats == ("gguf", "scripted")
    assert publish(stores, {"b": b"plain"}).formats == ()


def test_many_formats_are_cut_to_the_first_by_name(stores, monkeypatch):
    """16 are kept, whatever the order in which the files were looked at."""

    def named(ranged):
        return Facts(ranged.read(1, 20).decode())

    monkeypatch.setattr(formats, "INDEXERS", ((sniff, named),))
    names = [f"format-{i:02}" for i in range(20)]
    random.Random(3).shuffle(names)
    made = publish(stores, {name: b"!" + name.encode() for name in names})
    index_all(stores)
    assert version(stores, made.number).formats == tuple(sorted(names)[:16])


def test_a_newer_indexer_changes_formats(stores, monkeypatch):
    """A format that is known only later reaches the versions that were decided before, quietly."""
    made = publish(stores, {"a": b"!safe"})
    index_all(stores)
    monkeypatch.setattr(formats, "INDEXER", formats.INDEXER + 1)
    other = (sniff, lambda ranged: Facts("better", verdict="safe"))
    monkeypatch.setattr(formats, "INDEXERS", (other,))
    index_all(stores)
    assert version(stores, made.number).formats == ("better",)
    assert not [k for k, _ in events(stores) if k == "version.verdict"]
    assert notes(stores) == []
