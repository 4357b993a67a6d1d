"""Index documents: what they say, what a change writes of them, and that nobody's change is lost."""

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from chalicelib.catalogue import publish, shelf
from chalicelib.catalogue.changes import Change
from chalicelib.catalogue.searching import index, shards
from chalicelib.registry.ports import Precondition
from chalicelib.storage.memory import MemoryBlobs
from tests.catalogue.catalogue_world import FakeSource, plain, sha
from weighbridge.contract.types import Event, Model, ModelSettings, Project, Version

FOLDER = "p/vision/~index/"


@pytest.fixture
def store():
    """An empty site."""
    return MemoryBlobs()


@pytest.fixture
def small():
    """A project without models."""
    source = FakeSource()
    source.projects["p1"] = Project("Vision")
    return source


def named(source, model_id, name, **fields):
    """A model whose id, and so whose shard, the test chooses."""
    model = Model("Vision", name, model_id, **fields)
    source.model_list["p1", name] = model
    return model


def changed(source, store, name, kind="model.updated", model_id=""):
    return publish.publish(source, store, "p1", [Change(name, (), kind, model_id)])


def drop(source, name):
    model = source.model_list.pop(("p1", name))
    event = Event("1", "", "model.deleted", "ada", name, name, {"id": model.id})
    return Change.of(event, [])


def shard(store, letter):
    """The names in a shard; None if there is none."""
    stored = shelf.read(store, f"{FOLDER}models-{letter}.json")
    return [m["name"] for m in json.loads(stored.data)["models"]] if stored else None


def keys(store, prefix=FOLDER):
    return set(shelf.keys_under(store, prefix))


def bytes_of(store):
    return {key: store.read(key) for key in keys(store, "")}


def test_a_model_tells_what_people_look_for(source):
    """Name, address, description, card, tags, aliases, the newest value of the main metric, formats."""
    model = source.model_list["p1", "digits"]
    found = shards.entry(source, "p1", model)
    assert found == {
        "id": model.id, "name": "digits", "path": "/p/vision/digits/",
        "description": model.description, "card": source.cards["p1", "digits"],
        "tags": {"team": "vision", "task": "classification"},
        "aliases": {"production": 6, "staging": 8}, "metric": "accuracy", "value": 0.975,
        "highest": 8, "formats": ["safetensors"],
    }  # fmt: skip


def test_a_version_tells_what_people_look_for(source):
    """Number, label, aliases, metrics, params as text, tags, formats, verdict, by, time, size."""
    version = source._shown("p1", source.versions["p1", "digits", 8])
    found = index.version_entry(version)
    assert found["number"] == 8
    assert found["label"] == "1.8.0"
    assert found["aliases"] == ["staging"]
    assert found["metrics"]["accuracy"] == 0.975
    assert found["tags"] == {"device": "cpu"}
    assert found["params"]["lr"] == "0.003"
    assert found["params"]["optimizer"] == "adam"
    assert found["params"]["schedule"] == '{"kind": "cosine", "warmup": 3}'
    assert (found["formats"], found["verdict"], found["by"]) == (["safetensors"], "pending", "ada")
    bare = index.version_entry(Version("Vision", "x", 1, "ready"))
    assert bare == {"number": 1, "verdict": "pending"}


def test_entries_are_bounded_whatever_is_pushed():
    """10,000 params, metrics and tags and texts of a megabyte come to less than 40 kB."""
    long = "x" * 1_000_000
    version = Version(
        "Vision", "x", 1, "ready", description=long,
        metrics={f"{i:05}{'m' * 300}": float("nan") for i in range(10_000)},
        params={f"p{i:05}": long for i in range(10_000)}, tags={f"t{i:05}": long for i in range(99)},
        aliases=tuple(f"a{i}" for i in range(1000)),
    )  # fmt: skip
    text = json.dumps(index.version_entry(version))
    assert len(text) < 40_000
    model = Model(
        "Vision", "x", "1", description=long, tags={f"t{i:05}": long for i in range(99)},
        aliases={f"a{i:05}": 1 for i in range(1000)},
    )  # fmt: skip
    assert len(json.dumps(index.model_entry(model, long, None))) < 20_000


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_values_that_are_no_numbers_travel_as_text(value):
    """JSON has no NaN: the document says it as the API does."""
    model = Model("Vision", "x", "1", settings=ModelSettings("loss"))
    version = Version("Vision", "x", 1, "ready", metrics={"loss": value})
    said = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}[str(value)]
    assert index.model_entry(model, "", version)["value"] == said
    assert index.version_entry(version)["metrics"] == {"loss": said}


def test_a_new_version_writes_two_objects_of_the_index(store, source, renderer):
    """Its range and its model's shard; the other shards and ranges are left alone."""
    publish.publish_all(source, store, "p1", renderer)
    source.add_version("p1", "digits", 10, metrics={"accuracy": 0.99})
    source.add_facts("p1", "digits", 10, plain("model.bin", 10))
    change = Change("digits", (10,), "version.published")
    report = publish.publish(source, store, "p1", [change], renderer)
    letter = index.shard_of(source.model_list["p1", "digits"].id)
    touched = {key for key in report.written if "~index" in key or key.endswith("search.json")}
    assert touched == {
        f"{FOLDER}models-{letter}.json", "p/vision/digits/versions/1-100/search.json"
    }  # fmt: skip
    [entry] = [
        m for m in json.loads(store.read(f"{FOLDER}models-{letter}.json"))["models"]
        if m["name"] == "digits"
    ]  # fmt: skip
    assert (entry["highest"], entry["value"]) == (10, 0.99)
    found = json.loads(store.read("p/vision/digits/versions/1-100/search.json"))
    assert [v["number"] for v in found["versions"]] == [10, *range(8, 0, -1)]


def test_changes_one_by_one_come_to_the_same_bytes_as_all_at_once(store, small):
    """Models made, changed, deleted, made anew: the site is as if it were rendered from nothing."""
    small.add_model("p1", "first")
    for number in range(60):
        name = f"model-{number % 25}"
        if ("p1", name) in small.model_list and number % 7 == 0:
            publish.publish(small, store, "p1", [drop(small, name)])
        elif ("p1", name) in small.model_list:
            small.model_list["p1", name] = replace(
                small.model_list["p1", name], description=f"changed {number}"
            )
            changed(small, store, name)
        else:
            named(small, sha(f"{name} {number}")[:16], name)
            changed(small, store, name, "model.created")
    changed(small, store, "first")
    fresh = MemoryBlobs()
    publish.publish_all(small, fresh, "p1")
    assert bytes_of(store) == bytes_of(fresh)
    assert len(keys(store)) > 10


def test_checkpoints_leave_the_index_alone(store, source, renderer):
    """A series of thousands writes nothing of it."""
    publish.publish_all(source, store, "p1", renderer)
    change = Change("digits", (9,), "checkpoint.published")
    report = publish.publish(source, store, "p1", [change], renderer)
    assert not [key for key in report.written if "~index" in key or "search" in key]


def test_a_deleted_model_is_not_found_any_more(store, small):
    """Its entry goes; with the last one the shard goes, as a site made at once would have none."""
    for model_id, name in (("a1", "one"), ("a2", "two"), ("b1", "three")):
        named(small, model_id, name)
        changed(small, store, name)
    assert (shard(store, "a"), shard(store, "b")) == (["one", "two"], ["three"])
    publish.publish(small, store, "p1", [drop(small, "one")])
    assert shard(store, "a") == ["two"]
    report = publish.publish(small, store, "p1", [drop(small, "two")])
    assert shard(store, "a") is None
    assert f"{FOLDER}models-a.json" in report.removed
    small.model_list.pop(("p1", "three"))
    changed(small, store, "three", "model.deleted")  # by an event that does not say its id
    assert keys(store) == set()


def test_a_model_made_anew_is_found_once(store, small):
    """The new one's id leads to another shard; the old entry goes."""
    named(small, "a1", "one")
    changed(small, store, "one")
    gone = drop(small, "one")
    named(small, "c7", "one", description="made anew")
    publish.publish(small, store, "p1", [gone])
    assert (shard(store, "a"), shard(store, "c")) == (None, ["one"])


def test_a_deleted_project_leaves_nothing(store, small):
    """Nor does a slow publisher bring its shards back."""
    named(small, "a1", "one")
    changed(small, store, "one")
    slow = shards.Changes(small, store, "p1", "Vision", small.now(), shelf.Report())
    slow.model("one", shards.entry(small, "p1", small.model_list["p1", "one"]))
    small.projects.clear()
    small.model_list.clear()
    publish.remove_project(store, "Vision")
    slow.write()
    assert keys(store, "") == set()


def test_a_slow_publisher_reads_again_what_somebody_newer_wrote(store, small):
    """What it holds may be older than the shard, whichever model the newer one wrote."""
    named(small, "a1", "one", description="old")
    named(small, "a2", "two")
    publish.publish_all(small, store, "p1")
    slow = shards.Changes(small, store, "p1", "Vision", small.now(), shelf.Report())
    slow.model("one", shards.entry(small, "p1", small.model_list["p1", "one"]))
    named(small, "a1", "one", description="new")
    changed(small, store, "one")
    slow.write()
    [one, _] = json.loads(store.read(f"{FOLDER}models-a.json"))["models"]
    assert one["description"] == "new"
    small.model_list.pop(("p1", "one"))
    changed(small, store, "one", "model.deleted", "a1")
    slow.write()
    assert shard(store, "a") == ["two"]


def test_a_shard_of_another_version_of_the_program_is_made_anew(store, small):
    """Whatever it holds, all models of the shard are in it afterwards."""
    for model_id, name in (("a1", "one"), ("a2", "two"), ("b1", "three")):
        named(small, model_id, name)
    for other in (b"no JSON", b"[]", b'{"format": 0, "models": []}', b'{"models": []}', b"{}"):
        store.put(f"{FOLDER}models-a.json", other, metadata={"revision": "1"})
        changed(small, store, "one")
        assert shard(store, "a") == ["one", "two"]


class _Interrupted(MemoryBlobs):
    """A store in which something happens just before the first writing, or deleting, of a shard."""

    def __init__(self):
        super().__init__()
        self.before_put = self.before_delete = None

    def put(self, key, data, *args, **options):
        if "~index" in key and self.before_put:
            act, self.before_put = self.before_put, None
            act()
        return super().put(key, data, *args, **options)

    def delete(self, keys):
        if self.before_delete and any("~index" in key for key in keys):
            act, self.before_delete = self.before_delete, None
            act()
        return super().delete(keys)


def test_a_model_deleted_while_its_shard_is_made_does_not_stay(small):
    """Whoever deletes it finds no shard to edit; whoever made the shard looks once more."""
    store = _Interrupted()
    named(small, "a1", "one")
    store.before_put = lambda: publish.publish(small, store, "p1", [drop(small, "one")])
    changed(small, store, "one")
    assert shard(store, "a") is None


def test_a_model_added_while_its_shard_goes_is_not_lost(small):
    """The last model goes, another comes before the object is removed: it is looked for afterwards."""
    store = _Interrupted()
    named(small, "a1", "one")
    changed(small, store, "one")
    gone = drop(small, "one")

    def add():
        named(small, "a2", "two")
        changed(small, store, "two")

    store.before_delete = add
    publish.publish(small, store, "p1", [gone])
    assert shard(store, "a") == ["two"]


def test_many_publishers_lose_nothing(store, small):
    """Twelve models of one shard, changed by eight threads at once: the last change of each is there."""
    names = [f"model-{i}" for i in range(12)]
    for number, name in enumerate(names):
        named(small, f"a{number:02}", name)

    def change(step):
        name = names[step % len(names)]
        model = small.model_list["p1", name]
        small.model_list["p1", name] = replace(model, description=f"step {step}")
        one = shards.Changes(small, store, "p1", "Vision", small.now(), shelf.Report())
        one.model(name, shards.entry(small, "p1", small.model_list["p1", name]))
        one.write()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(change, range(96)))
    fresh = MemoryBlobs()
    publish.publish_all(small, fresh, "p1")
    key = f"{FOLDER}models-a.json"
    assert store.read(key) == fresh.read(key)


def test_replacing_refuses_what_was_replaced(store):
    """The condition is the object that was read, or that there was none."""
    assert shelf.replace(store, "k.json", b"1", 5, None) == "created"
    read = shelf.read(store, "k.json")
    assert shelf.replace(store, "k.json", b"1", 5, read) == "same"
    assert shelf.replace(store, "k.json", b"2", 6, read) == "written"
    for before in (None, read):
        with pytest.raises(Precondition):
            shelf.replace(store, "k.json", b"3", 7, before)
    assert shelf.read(store, "absent.json") is None
