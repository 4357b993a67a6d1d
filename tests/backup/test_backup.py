"""A backup restored into an empty registry is that registry: items, objects, pages; and damage is found."""

import json
import uuid
from dataclasses import replace

import pytest

from chalicelib.registry import aliases, keys, models, projects, versions
from chalicelib.registry.ports import Item, Put
from chalicelib.storage.memory import MemoryBlobs
from infra.embedded.backups import contents, records, restoring, snapshot, taking
from infra.embedded.backups.vault import Bucket, opened
from tests.backup.registry_to_keep import BIG, items_of, objects_of
from tests.registry_world import publish
from weighbridge.contract import digests, references
from weighbridge.contract.errors import (
    Conflict,
    IntegrityError,
    InvalidRequest,
    NotFound,
    Unavailable,
    Unsupported,
)
from weighbridge.contract.types import AliasTarget


def turn(stores, seconds):
    """A second backup is another one only in another second."""
    stores.now.time += seconds


@pytest.mark.parametrize("make", ["sqlite", "dynamodb"], indirect=True)
def test_a_restored_registry_is_the_one_that_was_backed_up(source, target, vault):
    """Items, objects and pages are equal, byte for byte; a copy of parts works in the new store too."""
    made, copied, moved = taking.take(source, vault)
    assert copied > 0
    assert moved >= len(b"".join(BIG))
    restored = restoring.restore(target, vault)
    assert restored == made
    assert items_of(target) == items_of(source)
    assert objects_of(target.blobs) == objects_of(source.blobs)
    assert objects_of(target.site) == objects_of(source.site)
    record = projects.find(target, "vision")
    big = next(
        e for e in versions.files(target, record.id, _manifest(target)) if e.path == "big.bin"
    )
    head = target.blobs.head(str(target.table.get(keys.blob(record.id, big.blob)).doc["key"]))
    tags = {i.doc["etag"] for i in target.table.scan() if i.attrs.get("ref") == big.blob}
    assert tags == {head.etag}
    number = publish(target, {"next.bin": b"next"}).number
    assert number == publish(source, {"next.bin": b"next"}).number


def _manifest(stores):
    found = versions.resolve(stores, "vision", "digits", references.parse_version("2"))
    return found.version.manifest


def test_a_second_backup_moves_only_what_is_new(source, vault):
    """Nothing where nothing changed; one version's bytes and its manifest where one came."""
    first, _, _ = taking.take(source, vault)
    turn(source, 5)
    _, copied, moved = taking.take(source, vault)
    assert (copied, moved) == (0, 0)
    turn(source, 5)
    publish(source, {"new.bin": b"twelve bytes"})
    third, copied, moved = taking.take(source, vault)
    assert copied == 2
    assert third.bytes == first.bytes + moved
    assert records.listed(vault) == sorted(records.listed(vault))
    assert len(records.listed(vault)) == 3


def test_an_older_backup_can_be_restored_too(source, target, vault):
    """Backups share their bytes, and stay what they were."""
    first, _, _ = taking.take(source, vault)
    before = items_of(source)
    turn(source, 5)
    publish(source, {"new.bin": b"new"})
    taking.take(source, vault)
    restoring.restore(target, vault, first.name)
    assert items_of(target) == before


def test_half_a_backup_is_refused(source, target, vault):
    """Without its last file there is none; the target stays empty."""
    made, _, _ = taking.take(source, vault)
    (vault.root / f"backups/{made.name}/backup.json").unlink()
    with pytest.raises(NotFound, match="no complete backup"):
        restoring.restore(target, vault)
    turn(source, 5)
    taking.take(source, vault)
    with pytest.raises(IntegrityError, match="not finished"):
        restoring.restore(target, vault, made.name)
    assert list(target.table.scan()) == []


def test_a_flipped_bit_is_found_and_named(source, make, vault):
    """In a blob of one piece, in one of parts, in the table: by verifying and by restoring."""
    made, _, _ = taking.take(source, vault)
    listed = {s.key: s for s in _stored(vault, made)}
    single = next(s for s in listed.values() if s.key.startswith("blobs/") and "-" not in s.content)
    parts = next(s for s in listed.values() if "-" in s.content)
    for stored in (single, parts):
        target = make()
        path = vault.root / records.object_name(stored.content)
        right = path.read_bytes()
        path.write_bytes(right[:-1] + bytes([right[-1] ^ 1]))
        with pytest.raises(IntegrityError) as verifying:
            restoring.verify(vault)
        assert stored.content in verifying.value.message
        with pytest.raises(IntegrityError, match=stored.content):
            restoring.restore(target, vault)
        assert projects.records(target) == []
        path.write_bytes(right)
    table = vault.root / f"backups/{made.name}/table.gz"
    right = table.read_bytes()
    table.write_bytes(right[:100] + bytes([right[100] ^ 1]) + right[101:])
    with pytest.raises(IntegrityError, match="is damaged"):
        restoring.verify(vault)
    table.write_bytes(right)
    (vault.root / records.object_name(parts.content)).unlink()
    with pytest.raises(IntegrityError, match="missing"):
        restoring.verify(vault)


def _stored(vault, made):
    lines = records.read_lines(vault, f"backups/{made.name}/objects.gz", made.objects_sha256)
    return [records.stored_of(line) for line in lines]


def test_an_interrupted_restore_goes_on(source, target, vault, monkeypatch):
    """It shows nothing before its end; the same backup goes on, another is refused."""
    first, _, _ = taking.take(source, vault)
    turn(source, 5)
    publish(source, {"new.bin": b"new"})
    taking.take(source, vault)

    class Killed(BaseException):
        pass

    def killed(*_):
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(restoring, "_items", killed)
        with pytest.raises(Killed):
            restoring.restore(target, vault, first.name)
    assert projects.records(target) == []
    with pytest.raises(Conflict, match=first.name):
        restoring.restore(target, vault)
    sent = []
    put = target.blobs.put
    monkeypatch.setattr(
        type(target.blobs), "put",
        lambda self, key, *rest, **more: (sent.append(key), put(key, *rest, **more))[1],
    )  # fmt: skip
    restoring.restore(target, vault, first.name)
    assert not [key for key in sent if key.startswith("blobs/")]
    assert {r.project.name for r in projects.records(target)} == {"vision", "speech"}
    assert target.table.get(restoring.MARK) is None


def test_a_registry_that_is_not_empty_is_left_alone(source, vault):
    """Its projects are named."""
    taking.take(source, vault)
    with pytest.raises(Conflict, match="speech"):
        restoring.restore(source, vault)


def test_what_a_registry_lost_itself_is_named(source, vault):
    """A backup of a registry whose bytes are gone or damaged would be none."""
    record = projects.find(source, "vision")
    model = models.find(source, "vision", "digits")
    found = versions.files(source, record.id, _manifest(source))
    blob = next(entry for entry in found if entry.path == "big.bin")
    at = str(source.table.get(keys.blob(record.id, blob.blob)).doc["key"])
    source.blobs.delete([at])
    with pytest.raises(IntegrityError, match=r"vision/digits@2: big\.bin"):
        taking.take(source, vault)
    assert records.listed(vault) == []
    assert model.model.name == "digits"


def test_bytes_that_rotted_in_the_store_are_found(source, vault):
    """They are not what the store verified when they came."""
    key = next(k for k in objects_of(source.blobs) if k.startswith("blobs/"))
    kept = source.blobs._objects[key]
    source.blobs._objects[key] = replace(kept, data=kept.data[:-1] + b"?")
    with pytest.raises(IntegrityError, match=key):
        taking.take(source, vault)


def test_what_is_over_or_of_this_server_alone_is_left_out(source, target, vault):
    """Sign-in links, open uploads, jobs; blobs that nothing refers to and that are gone."""
    record = projects.find(source, "vision")
    for key in (
        keys.Key(keys.TICKETS, "x"), keys.upload(record.id, "u"), keys.job(record.id, "j"),
        keys.Key("Y#token", "fate#1"),
    ):  # fmt: skip
        source.table.write(Put(Item(key, {"until": 1}, {})))
    lost = keys.blob(record.id, f"s-{'0' * 64}-4")
    source.table.write(Put(Item(lost, {"state": "live"}, {"key": "blobs/x/y", "size": 4})))
    taking.take(source, vault)
    restoring.restore(target, vault)
    there = items_of(target)
    assert lost not in there
    assert not [k for k in there if k.pk in (keys.TICKETS, "Y#token") or k.sk in ("U#u", "T#j")]


@pytest.mark.parametrize("make", ["dynamodb"], indirect=True)
def test_what_changes_during_a_scan_is_read_again(source, target, vault, monkeypatch):
    """A version, an alias to it and a deletion while the scan runs: the backup has all or none of each."""
    scan = type(source.table).scan
    done = []

    def busy(table):
        for number, item in enumerate(scan(table)):
            if number == 20 and table is source.table and not done:
                done.append(True)
                publish(source, {"late.bin": b"late"})
                aliases.move(source, "ann", "vision", "digits", "stage", AliasTarget("5"))
            yield item

    monkeypatch.setattr(type(source.table), "scan", busy)
    taking.take(source, vault)
    assert done
    restoring.restore(target, vault)
    assert models.find(target, "vision", "digits").model.aliases["stage"] == 5
    assert versions.files(target, projects.find(target, "vision").id, _latest(target))
    assert publish(target, {"x": b"x"}).number == 6


def _latest(stores):
    return versions.resolve(stores, "vision", "digits", references.LATEST).version.manifest


@pytest.mark.parametrize("make", ["dynamodb"], indirect=True)
def test_a_registry_that_never_rests_is_not_backed_up_wrongly(source, vault, monkeypatch):
    """Better no backup than one that mixes two moments."""
    again = snapshot._read_again
    monkeypatch.setattr(snapshot, "ROUNDS", 3)

    def busy(*rest):
        again(*rest)
        publish(source, {"more.bin": uuid.uuid4().bytes})

    monkeypatch.setattr(snapshot, "_read_again", busy)
    scan = type(source.table).scan

    def touched(table):
        publish(source, {"first.bin": b"first"})
        yield from scan(table)

    monkeypatch.setattr(type(source.table), "scan", touched)
    with pytest.raises(Unavailable, match="when less is written"):
        taking.take(source, vault)


def test_a_bucket_keeps_backups_as_a_folder_does(source, target):
    """The same through an object store; large objects go in parts."""
    place = Bucket(MemoryBlobs(clock=source.now))
    made, _, _ = taking.take(source, place)
    assert restoring.verify(place) == made
    restoring.restore(target, place)
    assert items_of(target) == items_of(source)
    data = [b"a" * 7_000_000] * 13
    place.write("objects/large", data)
    assert b"".join(place.read("objects/large")) == b"".join(data)


def test_backups_of_another_format_and_bad_names_are_refused(source, target, vault):
    """Each with what to do."""
    made, _, _ = taking.take(source, vault)
    file = vault.root / f"backups/{made.name}/backup.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "format": 2}))
    with pytest.raises(Unsupported, match="update"):
        restoring.verify(vault)
    file.write_text("{}")
    with pytest.raises(IntegrityError):
        restoring.verify(vault)
    with pytest.raises(NotFound, match="there are"):
        records.chosen(vault, "20200101T000000000Z")
    for text in ("http://x/y", "s3://", "s3://b?x"):
        with pytest.raises(InvalidRequest):
            opened(text, create=True)
    with pytest.raises(InvalidRequest):
        opened(str(vault.root / "nothing"), create=False)
    with pytest.raises(InvalidRequest):
        records.check_name("../x")


@pytest.mark.parametrize(
    ("size", "listed", "parts"),
    [
        (90_868_376, [], [16 * 2**20] * 5 + [6_982_296]),
        (600 * 2**20, [], [512 * 2**20, 88 * 2**20]),
        (40, [30, 10], [30, 10]),
    ],
)
def test_a_blob_without_a_part_list_is_cut_as_such_blobs_are(size, listed, parts):
    """Of what the store copied itself, and of files with fixed cuts, the sizes follow from the size."""
    blob = digests.composite_blob(digests.sha256_of(b"parts"), len(parts), size, 1)
    assert contents.cuts_of(blob, listed) == tuple(parts)


def test_a_part_list_of_another_blob_is_refused():
    """Parts that do not make up the size, or too few of them."""
    blob = digests.composite_blob(digests.sha256_of(b"parts"), 2, 40, 1)
    for listed in ([30, 11], [40], []):
        with pytest.raises(IntegrityError, match="missing, or another's"):
            contents.cuts_of(blob, listed)
