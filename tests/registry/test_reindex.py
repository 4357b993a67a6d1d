"""Reindexing: old facts are replaced piece by piece, wherever a worker stopped."""

import pytest

from chalicelib.indexing import formats, objects, reindex, repair
from chalicelib.registry import facts, outbox, projects, reindexing, safety, versions
from chalicelib.registry.ports import Update
from tests.registry.test_safety import point, version
from tests.registry_world import index_all, publish
from weighbridge.contract import references
from weighbridge.contract.errors import Conflict, NotFound
from weighbridge.contract.types import Facts, ReindexRequest


@pytest.fixture
def improved(stores, monkeypatch):
    """Two versions and a checkpoint, indexed; then a newer indexer."""
    publish(stores, {"a": b"1", "b": b"2"})
    publish(stores, {"a": b"3", "b": b"2"})
    point(stores, 1, {"w": b"4"})
    index_all(stores)
    monkeypatch.setattr(formats, "INDEXER", formats.INDEXER + 1)
    monkeypatch.setattr(
        formats, "INDEXERS", ((lambda first, size: True, lambda r: Facts("new", verdict="unsafe")),)
    )
    return stores


def project_id(stores):
    return projects.find(stores, "vision").id


def indexers(stores, n):
    entries = versions.files(stores, project_id(stores), version(stores, n).manifest)
    return {facts.indexed(stores, project_id(stores), e.blob) for e in entries}


def run(stores, **request):
    reindexing.start(stores, "root", "vision", ReindexRequest(**request))
    for message in stores.queue.take("index"):
        objects.look(stores, message["detail"]["object"]["key"])
    return reindexing.show(stores, "vision")


def test_a_project_is_indexed_again_with_verdicts_and_history(improved):
    """Every version and checkpoint, each blob once; what follows from new facts follows."""
    job = run(improved)
    assert (job.state, job.looked, job.indexed, job.failed) == ("done", 5, 4, 0)
    assert indexers(improved, 1) == indexers(improved, 2) == {formats.INDEXER}
    assert version(improved, 1).verdict == version(improved, 2).verdict == "unsafe"
    assert run(improved).indexed == 0
    assert run(improved, everything=True).indexed == 5
    record = projects.find(improved, "vision")
    kinds = [e.kind for e in outbox.history(improved, record.id, record.project.created).items]
    assert kinds.count("reindex.done") == kinds.count("reindex.started") == 3


def test_one_version_or_model_can_be_named(improved):
    """Only what is named is looked at."""
    assert run(improved, model="digits", version=2).indexed == 2
    assert indexers(improved, 1) == {formats.INDEXER, formats.INDEXER - 1}
    assert run(improved, model="digits").indexed == 2
    with pytest.raises(NotFound):
        run(improved, model="nothing")


def test_a_dry_run_counts_and_changes_nothing(improved):
    """What would be looked at again is counted (a shared file per holder); facts stay."""
    job = run(improved, dry_run=True)
    assert (job.state, job.looked, job.indexed) == ("done", 5, 5)
    assert indexers(improved, 1) == {formats.INDEXER - 1}


def test_pieces_go_on_where_the_last_one_stopped(improved):
    """With no time at all a worker does one batch, saves where it is, and asks for the next."""
    reindexing.start(improved, "root", "vision", ReindexRequest())
    with pytest.raises(Conflict):
        reindexing.start(improved, "root", "vision", ReindexRequest())
    improved.queue.take("index")
    pieces = 1
    while reindex.work(improved, project_id(improved), -1.0):
        assert len(improved.queue.take("index")) == 1
        pieces += 1
        assert pieces < 10
    assert pieces == 4
    job = reindexing.show(improved, "vision")
    assert (job.state, job.looked, job.indexed) == ("done", 5, 4)


def test_the_sweep_goes_on_with_a_job_whose_message_was_lost(improved):
    """No message is needed."""
    reindexing.start(improved, "root", "vision", ReindexRequest())
    improved.queue.take("index")
    repair.run(improved)
    assert reindexing.show(improved, "vision").state == "done"


def test_versions_from_before_verdicts_get_one(stores):
    """A version whose verdict nobody waits for is decided when its files are looked at again."""
    from chalicelib.registry import keys, sweep
    from chalicelib.registry.ports import Delete

    publish(stores, {"a": b"1"})
    candidates = keys.of_candidates(project_id(stores))
    for note in list(sweep.everything(stores.table, candidates, "W#")):
        stores.table.write(Delete(note.key))
    index_all(stores)
    assert version(stores, 1).verdict == "pending"
    run(stores)
    assert version(stores, 1).verdict == "safe"
    assert list(sweep.everything(stores.table, candidates, "W#")) == []


def test_formats_of_what_was_decided_before_they_were_kept_are_gathered(stores):
    """A version whose item has no formats gets them, although nothing is indexed anew."""
    made = publish(stores, {"a": b"GGUF" + bytes(20)})
    index_all(stores)
    found = safety.committed(stores, versions.resolve(
        stores, "vision", "digits", references.parse_version(str(made.number))).holder)  # fmt: skip
    doc = {name: value for name, value in found.doc.items() if name != "formats"}
    stores.table.write(Update(found.key, doc=doc))
    assert version(stores, made.number).formats == ()
    assert run(stores).indexed == 0
    assert version(stores, made.number).formats == ("gguf",)
