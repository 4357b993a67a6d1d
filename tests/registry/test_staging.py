"""Checkpoints under an expected number, of files that others announced before."""

import threading

import pytest

from chalicelib.registry import bundles, checkpoints, models, staging, sweep, versions
from chalicelib.registry.ports import Key
from tests.registry_world import key_of, publish, upload
from weighbridge.contract import digests, manifests
from weighbridge.contract.errors import (
    AlreadyExists,
    Conflict,
    InvalidManifest,
    RegistryError,
    TooLarge,
)
from weighbridge.contract.manifests import FileEntry
from weighbridge.contract.references import CheckpointSelector
from weighbridge.contract.types import CheckpointCommit, PutDone, StageRequest


@pytest.fixture
def version(stores, clock):
    """A ready version, between two full seconds."""
    clock.time += 0.5
    number = publish(stores, {"a.bin": b"1"}).number
    return versions.numbered(stores, models.find(stores, "vision", "digits"), number)


def entry(name, data):
    """A file that is not stored yet."""
    digest = digests.sha256_of(data)
    return FileEntry(name, len(data), digest, digests.single_blob(digest, len(data)))


def staged(stores, version, name, data):
    """Stages a file as a client does."""
    file = entry(name, data)
    answer = staging.stage(stores, "ann", version, StageRequest((file,)))
    done = []
    for item in answer.missing:
        stores.blobs.execute(item.request, data)
        done.append(PutDone(item.blob, item.key))
    if done:
        answer = staging.stage(stores, "ann", version, StageRequest((file,), tuple(done)))
    assert not answer.missing
    return file


def commit(stores, version, number, files, names=None):
    """Commits under an expected number."""
    files = manifests.checked(files)
    names = tuple(f.path for f in files) if names is None else names
    request = CheckpointCommit(
        manifests.digest(files), files, step=number, expected=number, staged=names
    )
    return checkpoints.commit(stores, "ann", version, request)


def asked(stores, version, *names):
    """What is staged under these names."""
    return staging.stage(stores, "ann", version, StageRequest(names=names)).files


def test_files_are_announced_by_some_and_committed_by_another(stores, version):
    """Whoever commits asks for the names; nothing is visible before."""
    files = [staged(stores, version, f"states/{n}.bin", str(n).encode()) for n in range(3)]
    assert not checkpoints.listing(stores, version).items
    assert set(asked(stores, version, *(f.path for f in files), "states/9.bin")) == set(files)
    point = commit(stores, version, 1, files)
    assert (point.number, point.files) == (1, 3)


def test_a_number_is_taken_once_and_leaves_no_gap(stores, version):
    """The same again is one checkpoint; another under that number, or a gap, is refused."""
    one, two = (staged(stores, version, f"{n}.bin", n.encode()) for n in ("one", "two"))
    with pytest.raises(Conflict, match="next checkpoint"):
        commit(stores, version, 2, [one])
    assert commit(stores, version, 1, [one]) == commit(stores, version, 1, [one])
    with pytest.raises(AlreadyExists):
        commit(stores, version, 1, [two])
    with pytest.raises(Conflict):
        commit(stores, version, 3, [two])
    assert commit(stores, version, 2, [two]).number == 2
    assert [p.number for p in checkpoints.listing(stores, version).items] == [2, 1]


def test_what_was_not_staged_cannot_be_committed(stores, version):
    """Neither a name that is not there, nor one that was staged with other bytes."""
    file = staged(stores, version, "a.bin", b"first")
    other = upload(stores, "vision", {"a.bin": b"other", "b.bin": b"b"})
    for wrong in (other[0], other[1]):
        with pytest.raises(InvalidManifest):
            commit(stores, version, 1, [wrong])
    assert not checkpoints.listing(stores, version).items
    assert commit(stores, version, 1, [file]).number == 1


def test_a_bound_name_keeps_its_bytes(stores, version):
    """Before it is bound, the last announcement counts; after it, only the same bytes are taken."""
    staged(stores, version, "a.bin", b"draft")
    file = staged(stores, version, "a.bin", b"final")
    commit(stores, version, 1, [file])
    staged(stores, version, "a.bin", b"final")
    with pytest.raises(AlreadyExists):
        staged(stores, version, "a.bin", b"changed")
    assert asked(stores, version, "a.bin") == (file,)


def test_what_nobody_binds_is_freed(stores, version, clock):
    """After the lease the announcement is over and the bytes go; what was bound stays."""
    kept = staged(stores, version, "kept.bin", b"kept")
    lost = staged(stores, version, "lost.bin", b"lost")
    commit(stores, version, 1, [kept])
    clock.time += stores.lease_seconds - 120
    sweep.run(stores)
    assert asked(stores, version, "lost.bin") == (lost,)
    clock.time += 240
    sweep.run(stores)
    assert asked(stores, version, "lost.bin") == ()
    with pytest.raises(InvalidManifest):
        commit(stores, version, 2, [lost])
    record = checkpoints.resolve(stores, version, CheckpointSelector("last", ""))
    assert [f.path for f in bundles.of_checkpoint(stores, record).files.items] == ["kept.bin"]
    with pytest.raises(InvalidManifest):
        commit(stores, version, 2, [lost], names=())


def test_an_announcement_holds_old_bytes_for_the_whole_time(stores, version, clock):
    """A blob that was stored long ago is held for a lease from its announcement on."""
    upload(stores, "vision", {"x": b"old bytes"})
    clock.time += stores.lease_seconds - 1800
    file = staged(stores, version, "a.bin", b"old bytes")
    clock.time += 3600
    sweep.run(stores)
    assert commit(stores, version, 1, [file]).number == 1


def test_a_deleted_version_takes_its_announcements_along(stores, version):
    """Nothing of it stays in the table."""
    from chalicelib.catalogue import drain
    from chalicelib.registry import changing, keys
    from weighbridge.contract.references import VersionSelector

    staged(stores, version, "a.bin", b"1")
    number = str(version.number)
    changing.delete(stores, "ann", "vision", "digits", VersionSelector("number", number))
    drain.project(stores, version.model.project_id)
    pk = keys.of_checkpoints(version.model.id, version.number)
    assert stores.table.get(Key(pk, "F#a.bin")) is None


def test_requests_are_bounded(stores, version):
    """More than 1,000 files in one request are refused."""
    with pytest.raises(TooLarge):
        staging.stage(
            stores, "ann", version, StageRequest(names=tuple(str(n) for n in range(1001)))
        )


def test_of_many_that_close_one_number_one_wins(stores, version):
    """32 at once, each with states of its own: one wins, 31 are refused, nothing is overwritten."""
    files = [staged(stores, version, f"states/{n}.bin", key_of(str(n)).encode()) for n in range(32)]
    barrier, done = threading.Barrier(32), []

    def one(file):
        barrier.wait()
        try:
            done.append((file, commit(stores, version, 1, [file])))
        except RegistryError as error:
            done.append((file, error))

    threads = [threading.Thread(target=one, args=(file,)) for file in files]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    won = [(file, point) for file, point in done if not isinstance(point, Exception)]
    assert len(won) == 1
    assert {type(found) for _, found in done if isinstance(found, Exception)} == {AlreadyExists}
    record = checkpoints.resolve(stores, version, CheckpointSelector("last", ""))
    assert record.checkpoint.number == 1
    assert versions.files(stores, version.model.project_id, record.checkpoint.manifest) == (
        won[0][0],
    )


def test_twins_of_one_commit_are_one(stores, version):
    """A request that is sent twice at once answers twice the same."""
    file = staged(stores, version, "a.bin", b"1")
    barrier, done = threading.Barrier(8), []

    def one():
        barrier.wait()
        done.append(commit(stores, version, 1, [file]))

    threads = [threading.Thread(target=one) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {point.number for point in done} == {1}
    assert len(done) == 8
