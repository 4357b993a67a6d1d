"""Old code on new items and new code on old ones: what an exchange of a deployment without a pause needs.

`recorded/` holds the items and small objects of a registry as a released version wrote them, one file per
version; `python -m tests.storage.test_mixed_versions NAME` adds one. They are never made anew.
"""

import base64
import json
import sqlite3
import sys
import tempfile
from pathlib import Path

import boto3
import pytest

from chalicelib.catalogue import drain
from chalicelib.indexing import repair
from chalicelib.registry import (
    aliases,
    changing,
    checkpoints,
    keys,
    models,
    outbox,
    pinning,
    projects,
    publishing,
    tokens,
    versions,
)
from chalicelib.registry.ports import Item, Key, Put, Update
from chalicelib.storage.sqlite import SqliteTable
from tests.registry_world import index_all, key_of, publish, setup_model, upload, world
from weighbridge.contract import manifests, references
from weighbridge.contract.types import (
    AliasTarget,
    ApprovalChange,
    CheckpointCommit,
    ModelChanges,
    ModelSettings,
    NewProject,
    NewVersion,
    ProjectChanges,
    VersionChanges,
    VersionCommit,
)

RECORDED = Path(__file__).with_name("recorded")
TOKEN = "wb_admin_0123456789abcdef0123456789abcdef"
TYPED = ("P#", "M#", "C#", "B#", "F#", "G#", "S#", "Z#")
"""Partitions whose items have kinds, which their sort keys begin with; the others hold one kind for ever."""
LATER = {"said": ["by", "a later version"]}


class Watched:
    """A table that remembers which keys were written."""

    def __init__(self, inner):
        self.inner, self.keys = inner, set()

    def __getattr__(self, name):
        found = getattr(self.inner, name)
        if name not in ("write", "transact", "write_many", "write_each"):
            return found

        def call(writes, *rest):
            for write in [writes] if name == "write" else writes:
                self.keys.add(write.item.key if isinstance(write, Put) else write.key)
            return found(writes, *rest)

        return call

    def items(self):
        """Every item that was written and is still there."""
        return self.inner.get_many(self.keys)


def number(n):
    """A selector."""
    return references.VersionSelector("number", n)


def grown(stores):
    """A registry with something of every kind, one version still open."""
    setup_model(stores)
    judged = ModelSettings("loss", {"loss": "min"})
    models.change(stores, "ann", "vision", "digits", ModelChanges(settings=judged))
    tokens.bootstrap(stores, TOKEN)
    for n in (1, 2):
        publish(
            stores,
            {"w.bin": b"%d" % n, "same.txt": b"same"},
            label=f"1.{n}",
            metrics={"loss": 1 / n},
        )
    found = versions.resolve(stores, "vision", "digits", number(1))
    for step in (1, 2):
        files = upload(stores, "vision", {"ck.bin": b"step %d" % step})
        request = CheckpointCommit(
            manifests.digest(files), files, step, metrics={"loss": 0.5 / step}
        )
        checkpoints.commit(stores, "ann", found, request)
    aliases.move(stores, "ann", "vision", "digits", "stage", AliasTarget("1"))
    opened = publishing.begin(stores, "ann", "vision", "digits", NewVersion(key_of("opened")))
    assert opened.number == 3
    index_all(stores)
    drain.project(stores, projects.find(stores, "vision").id)


def changed(stores, clock):
    """Every verb that writes over what is there."""
    at = ("ann", "vision", "digits")
    projects.change(stores, "ann", "vision", ProjectChanges(description="changed"))
    models.change(stores, *at, ModelChanges(description="changed", tags={"team": "vision"}))
    aliases.move(stores, *at, "stage", AliasTarget("2"))
    changing.change(stores, *at, number(1), VersionChanges(tags={"a": "b"}, metrics={"f1": 0.5}))
    changing.approve(stores, *at, number(2), ApprovalChange("approved"))
    entries = upload(stores, "vision", {"late.bin": b"late", "same.txt": b"same"})
    commit = VersionCommit(manifests.digest(entries), entries)
    publishing.commit(stores, *at, 3, commit)
    found = versions.resolve(stores, "vision", "digits", number(1))
    pinning.pin(stores, "ann", found, references.CheckpointSelector("number", 1), True)
    clock.time += 7200
    tokens.authenticate(stores, TOKEN)
    index_all(stores)
    repair.run(stores)
    drain.everything(stores)


def readable(stores):
    """What every version of the code must be able to say of the registry above."""
    assert projects.find(stores, "vision").project.name == "vision"
    record = models.find(stores, "vision", "digits")
    assert [v.number for v in versions.listing(stores, record).items][-2:] == [2, 1]
    first = versions.resolve(stores, "vision", "digits", references.VersionSelector("label", "1.1"))
    assert first.version.metrics["loss"] == 1
    files = versions.files(stores, record.project_id, first.version.manifest)
    assert [f.path for f in files] == ["same.txt", "w.bin"]
    assert versions.best(stores, record, "loss").number in (1, 2)
    points = checkpoints.listing(stores, first)
    assert {point.step for point in points.items} == {1, 2}
    assert record.model.aliases["stage"] in (1, 2)
    history = aliases.history(stores, "vision", "digits", "stage", limit=10, page=None)
    assert history.items[-1].version == 1
    assert tokens.authenticate(stores, TOKEN).name == "token:admin"
    place = [("vision", record.project_id, "2020-01-01T00:00:00.000Z")]
    kinds = {event.kind for _, event in outbox.across(stores, place, limit=100)[0]}
    assert {"project.created", "version.published", "alias.moved"} <= kinds


def test_fields_of_a_later_version_survive_every_change(table, tmp_path):
    """They are read over, and are still there in every item that was changed, moved or let alone."""
    stores, clock = world(tmp_path, table=Watched(table))
    grown(stores)
    before = stores.table.items()
    for item in before.values():
        table.write(Update(item.key, doc={**item.doc, "later": LATER}))
    readable(stores)
    changed(stores, clock)
    readable(stores)
    lost = [key for key in before if (item := table.get(key)) and item.doc.get("later") != LATER]
    assert lost == []
    record = models.find(stores, "vision", "digits")
    moved = table.get(keys.version(record.id, keys.READY, 3))
    assert moved.doc["later"] == LATER, "the open version's"


def test_attributes_and_columns_of_a_later_version_are_read_over(table, place, tmp_path):
    """Not even the storage stumbles over what it has no name for, and updates leave it in place."""
    stores, clock = world(tmp_path, table=Watched(table))
    grown(stores)
    if place.engine == "sqlite":
        with sqlite3.connect(place.name) as beside:
            beside.execute("ALTER TABLE items ADD COLUMN later TEXT DEFAULT 'x'")
        beside.close()
        changed(stores, clock)
        readable(stores)
        return
    options = {"endpoint_url": place.endpoint} if place.endpoint else {}
    client = boto3.client("dynamodb", region_name="us-east-1", **options)
    before = list(stores.table.items())

    def at(key):
        return {"TableName": place.name, "Key": {"pk": {"S": key.pk}, "sk": {"S": key.sk}}}

    for key in before:
        client.update_item(
            **at(key), UpdateExpression="SET later = :x",
            ExpressionAttributeValues={":x": {"M": {"a": {"S": "b"}}}},
        )  # fmt: skip
    changed(stores, clock)
    readable(stores)
    model = models.find(stores, "vision", "digits")
    for key in (keys.project("vision"), model.key):
        assert client.get_item(**at(key))["Item"]["later"] == {"M": {"a": {"S": "b"}}}
    client.close()


def test_items_of_kinds_that_only_a_later_version_knows_are_in_nobodys_way(table, tmp_path):
    """Lists, sweeps and deletions pass over them, and they stay."""
    stores, clock = world(tmp_path, table=Watched(table))
    grown(stores)
    partitions = sorted({key.pk for key in stores.table.keys if key.pk.startswith(TYPED)})
    assert len(partitions) > 5
    strange = [
        Key(pk, f"{sort}new") for pk in partitions for sort in ("!later#", "Y9later#", "~later#")
    ]
    for key in strange:
        table.write(Put(Item(key, {"state": "unheard-of", "n": 7}, {"shape": ["unknown"]})))
    changed(stores, clock)
    readable(stores)
    projects.create(stores, "ann", NewProject("brief"))
    projects.delete(stores, "ann", "brief")
    clock.time += 30 * 86400
    repair.run(stores)
    drain.everything(stores)
    assert set(table.get_many(strange)) == set(strange)


@pytest.mark.parametrize("file", sorted(RECORDED.glob("*.json")), ids=lambda file: file.stem)
def test_items_of_earlier_versions_are_read_and_changed(table, tmp_path, file):
    """What was written then can be read, changed, swept and rendered now."""
    stores, clock = world(tmp_path, table=table)
    recorded = json.loads(file.read_text())
    for pk, sk, attrs, doc in recorded["items"]:
        table.write(Put(Item(Key(pk, sk), attrs, doc)))
    for key, data in recorded["objects"].items():
        stores.blobs.put(key, base64.b64decode(data))
    clock.time = recorded["time"]
    readable(stores)
    changed(stores, clock)
    readable(stores)
    found = versions.resolve(stores, "vision", "digits", number(3))
    assert found.version.state == "ready"


def test_something_was_recorded():
    """The test above has something to read."""
    assert list(RECORDED.glob("*.json"))


def record(name):
    """Writes down what this version of the code makes."""
    with tempfile.TemporaryDirectory() as folder:
        table = SqliteTable(str(Path(folder) / "catalog.sqlite"))
        stores, clock = world(Path(folder), table=Watched(table))
        grown(stores)
        items = [
            [*i.key, dict(i.attrs), dict(i.doc)] for _, i in sorted(stores.table.items().items())
        ]
        objects = {
            head.key: base64.b64encode(stores.blobs.read(head.key)).decode()
            for head in stores.blobs.list("").heads
        }
        table.close()
    told = {"time": clock.time, "items": items, "objects": objects}
    file = RECORDED / f"{name}.json"
    with file.open("x", encoding="utf-8") as out:
        json.dump(told, out, indent=1, sort_keys=True)
        out.write("\n")


if __name__ == "__main__":
    record(sys.argv[1])
