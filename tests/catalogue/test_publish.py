"""Publishing: what a change touches, who wins, what goes."""

import json
from dataclasses import replace

import pytest

from chalicelib.catalogue import publish, shelf, slugs
from chalicelib.catalogue.changes import Change
from chalicelib.storage.memory import MemoryBlobs
from tests.catalogue.catalogue_world import plain
from weighbridge.contract.errors import NotFound
from weighbridge.contract.types import Event

DIGITS = "p/vision/digits/"


@pytest.fixture
def store():
    """An empty site."""
    return MemoryBlobs()


def _everything(store, source, renderer):
    for project_id, _ in source.summaries():
        publish.publish_all(source, store, project_id, renderer)


def _keys(store):
    return set(shelf.keys_under(store, ""))


def _bytes(store):
    return {key: store.read(key) for key in _keys(store)}


def _published(source, number, **fields):
    source.add_version("p1", "digits", number, metrics={"accuracy": 0.98}, **fields)
    source.add_facts("p1", "digits", number, plain("model.bin", 10))
    return Change("digits", (number,), "version.published")


def test_one_new_version_touches_a_constant_number_of_objects(store, source, renderer):
    """Fifty versions or a thousand: one more writes the same number of objects."""
    _everything(store, source, renderer)
    counts = []
    for number in (40, 41, 1041):
        for filler in range(9, number):
            if filler % 50 == 0:
                source.add_version("p1", "digits", filler)
        change = _published(source, number)
        report = publish.publish(source, store, "p1", [change], renderer)
        counts.append(len(report.created) + len(report.written))
    assert counts[1] == 12
    assert counts[0] == 12
    assert counts[2] <= counts[1] + 3 * 11  # ranges that no version had opened before
    report = publish.publish(source, store, "p1", [_published(source, 1042)], renderer)
    assert report.writes == 12


def test_pages_come_before_the_pages_that_list_them(store, source, renderer):
    """Leaves first, index pages last: a reader never follows a link to a page not yet there."""
    report = publish.publish(source, store, "p1", [_published(source, 10)], renderer)
    order = [key for key in report.created if key.endswith(".html")]
    assert order == [
        f"{DIGITS}10/checkpoints/index.html", f"{DIGITS}10/index.html",
        f"{DIGITS}9/checkpoints/index.html", f"{DIGITS}9/index.html",
        f"{DIGITS}versions/1-100/index.html", f"{DIGITS}index.html", "p/vision/index.html",
    ]  # fmt: skip
    assert report.created.index(f"{DIGITS}index.json") < report.created.index(f"{DIGITS}index.html")


def test_rebuilding_a_deleted_site_gives_the_same_bytes(store, source, renderer):
    """After changes one by one the site is the same as one made at once from nothing."""
    _everything(store, source, renderer)
    publish.publish(source, store, "p1", [_published(source, 10)], renderer)
    source.versions["p1", "faces", 2] = replace(source.versions["p1", "faces", 2], state="deleted")
    publish.publish(source, store, "p1", [Change("faces", (2,), "version.deleted")], renderer)
    fresh = MemoryBlobs()
    _everything(fresh, source, renderer)
    assert _bytes(store) == _bytes(fresh)


def test_an_older_reading_never_overwrites_a_newer(store):
    """Whoever read later wins, in whatever order the writes arrive."""
    assert shelf.put(store, "p/x/index.html", b"new", 2000) == "created"
    assert shelf.put(store, "p/x/index.html", b"old", 1000) == "newer"
    assert store.read("p/x/index.html") == b"new"
    assert shelf.put(store, "p/x/index.html", b"newest", 3000) == "written"
    assert store.head("p/x/index.html").metadata["revision"] == "3000"


def test_repeating_a_reading_writes_nothing(store):
    """The same bytes of the same reading are left alone."""
    shelf.put(store, "k.html", b"same", 1000)
    before = store.head("k.html")
    assert shelf.put(store, "k.html", b"same", 1000) == "same"
    assert shelf.put(store, "k.html", b"same", 900) == "same"
    assert store.head("k.html") == before


def test_data_that_went_back_is_not_lost_to_a_slow_publisher(store):
    """A, then B, then A again: a publisher that still holds B does not win over the second A."""
    shelf.put(store, "k.html", b"A", 1000)
    shelf.put(store, "k.html", b"A", 3000)
    assert shelf.put(store, "k.html", b"B", 2000) == "newer"
    assert store.read("k.html") == b"A"


class _Racing(MemoryBlobs):
    """A store in which another publisher writes between our look and our write."""

    def __init__(self, revisions):
        super().__init__()
        self.revisions = list(revisions)

    def put(self, key, data, *args, **options):
        if self.revisions:
            revision = self.revisions.pop(0)
            metadata = {"revision": str(revision), "sha256": f"of {revision}"}
            super().put(key, f"other {revision}".encode(), metadata=metadata)
        return super().put(key, data, *args, **options)


def test_a_lost_race_is_looked_at_again():
    """An older rival is overwritten, a newer one is left."""
    older = _Racing([500, 600])
    assert shelf.put(older, "k.html", b"mine", 1000) == "written"
    assert older.read("k.html") == b"mine"
    newer = _Racing([500, 2000])
    assert shelf.put(newer, "k.html", b"mine", 1000) == "newer"
    assert newer.read("k.html") == b"other 2000"


def test_many_threads_leave_the_newest(store):
    """Whatever the threads' order, the newest reading stays."""
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(8) as pool:
        done = [
            pool.submit(shelf.put, store, "k.html", str(n).encode(), n)
            for n in (5, 3, 8, 1, 7, 2, 6, 4)
        ]
        assert {d.result() for d in done} <= {"created", "written", "newer"}
    assert store.read("k.html") == b"8"


def test_a_deleted_version_has_no_page(store, source, renderer):
    """Its folder goes with everything in it; its neighbours stay."""
    _everything(store, source, renderer)
    assert f"{DIGITS}7/index.html" in _keys(store)
    gone = source.versions["p1", "digits", 7]
    source.versions["p1", "digits", 7] = replace(gone, state="deleted")
    report = publish.publish(
        source, store, "p1", [Change("digits", (7,), "version.deleted")], renderer
    )
    assert not [key for key in _keys(store) if key.startswith(f"{DIGITS}7/")]
    assert f"{DIGITS}8/index.html" in _keys(store)
    assert f"{DIGITS}7/index.html" in report.removed
    assert b'"number":7' not in store.read(f"{DIGITS}versions/1-100/index.json")


def test_a_parents_page_follows_its_children(store, source, renderer):
    """When a child is published or deleted, its parent's page says so, also in another model."""
    _everything(store, source, renderer)
    path = "p/vision/faces/1/index.json"
    assert json.loads(store.read(path))["children"] == []
    change = _published(source, 10, parents=("Vision/faces@1", "Elsewhere/x@3", "no reference"))
    publish.publish(source, store, "p1", [change], renderer)
    assert json.loads(store.read(path))["children"] == ["Vision/digits@10"]
    child = source.versions["p1", "digits", 10]
    source.versions["p1", "digits", 10] = replace(child, state="deleted")
    publish.publish(source, store, "p1", [Change("digits", (10,), "version.deleted")], renderer)
    assert json.loads(store.read(path))["children"] == []


def test_a_deleted_model_has_no_page(store, source, renderer):
    """A model's folder goes, also one that is named by its id."""
    _everything(store, source, renderer)
    for project_id, name in (("p1", "faces"), ("p3", "x" * 400)):
        model = source.model_list.pop((project_id, name))
        for key in [k for k in source.versions if k[:2] == (project_id, name)]:
            del source.versions[key]
        event = Event("1", "", "model.deleted", "ada", name, name, {"id": model.id})
        folder = slugs.folder(slugs.model_path(model.project, name, model.id))
        assert [key for key in _keys(store) if key.startswith(folder)]
        publish.publish(source, store, project_id, [Change.of(event, [])], renderer)
        assert not [key for key in _keys(store) if key.startswith(folder)]
    assert b"faces" not in store.read("p/vision/index.html")


def test_a_model_made_anew_keeps_nothing_of_the_old_one(store, source, renderer):
    """Deleted and created again before anybody rendered: only the new one's versions have pages."""
    _everything(store, source, renderer)
    old = source.model_list.pop(("p1", "faces"))
    for key in [k for k in source.versions if k[:2] == ("p1", "faces")]:
        del source.versions[key]
    source.model_list["p1", "faces"] = replace(old, id="f" * 16, aliases={})
    source.add_version("p1", "faces", 1)
    deleted = Event("1", "", "model.deleted", "ada", "faces", "faces", {"id": old.id})
    publish.publish(source, store, "p1", [Change.of(deleted, [])], renderer)
    numbers = {k.split("/")[3] for k in _keys(store) if k.startswith("p/vision/faces/")}
    assert numbers == {"1", "versions", "index.html", "index.json"}


class _Deleting(MemoryBlobs):
    """A store during whose first write of a page the version is deleted by others."""

    def __init__(self, act):
        super().__init__()
        self.act = act

    def put(self, key, data, *args, **options):
        if key == f"{DIGITS}10/index.html" and self.act:
            act, self.act = self.act, None
            act()
        return super().put(key, data, *args, **options)


def test_a_slow_publisher_does_not_bring_a_deleted_version_back(source, renderer):
    """Read before the deletion, written after it: the page is taken away again."""

    def delete():
        found = source.versions["p1", "digits", 10]
        source.versions["p1", "digits", 10] = replace(found, state="deleted")
        publish.publish(source, store, "p1", [Change("digits", (10,), "version.deleted")], renderer)

    store = _Deleting(delete)
    publish.publish(source, store, "p1", [_published(source, 10)], renderer)
    assert not [key for key in _keys(store) if key.startswith(f"{DIGITS}10/")]


def test_checkpoints_touch_only_what_shows_them(store, source, renderer):
    """A checkpoint renders its version, not the model nor the lists of versions."""
    _everything(store, source, renderer)
    report = publish.publish(
        source, store, "p1", [Change("digits", (9,), "checkpoint.published")], renderer
    )
    touched = {key.rpartition("/")[0] for key in report.written + report.created}
    assert touched == {f"{DIGITS}9/checkpoints", f"{DIGITS}9"}


def test_a_hundred_changes_at_once_render_each_page_once(store, source, renderer):
    """A burst is gathered: as many writes as for one change."""
    changes = [Change("digits", (9,), "checkpoint.published")] * 100
    report = publish.publish(source, store, "p1", changes, renderer)
    assert len(report.created) == len(set(report.created)) == 4


def test_an_aborted_version_leaves_no_page(store, source, renderer):
    """What was in progress and given up has no page any more."""
    _everything(store, source, renderer)
    assert f"{DIGITS}9/index.html" in _keys(store)
    given_up = replace(source.versions["p1", "digits", 9], state="aborted")
    source.versions["p1", "digits", 9] = given_up
    publish.publish(source, store, "p1", [Change("digits", (9,), "version.aborted")], renderer)
    assert not [key for key in _keys(store) if key.startswith(f"{DIGITS}9/")]


def test_all_ranges_exist_although_some_are_empty(store, source, renderer):
    """A model whose numbers jumped has a page for every range that its own page names."""
    _everything(store, source, renderer)
    publish.publish(source, store, "p1", [_published(source, 350)], renderer)
    ranges = json.loads(store.read(f"{DIGITS}index.json"))["ranges"]
    assert len(ranges) == 4
    for path in ranges:
        assert slugs.object_key(path) in _keys(store)


def test_a_range_above_the_newest_goes(store, source, renderer):
    """When the newest versions were deleted, their range has no page left."""
    _everything(store, source, renderer)
    publish.publish(source, store, "p1", [_published(source, 101)], renderer)
    assert f"{DIGITS}versions/101-200/index.html" in _keys(store)
    gone = replace(source.versions["p1", "digits", 101], state="deleted")
    source.versions["p1", "digits", 101] = gone
    publish.publish(source, store, "p1", [Change("digits", (101,), "version.deleted")], renderer)
    assert f"{DIGITS}versions/101-200/index.html" not in _keys(store)


def test_everything_anew_removes_strays(store, source, renderer):
    """What no page owns goes; what somebody newer wrote stays."""
    _everything(store, source, renderer)
    shelf.put(store, "p/vision/old-model/index.html", b"stale", 1)
    shelf.put(store, "p/vision/future/index.html", b"newer", source.clock + 10**9)
    report = publish.publish_all(source, store, "p1", renderer)
    assert report.removed == ["p/vision/old-model/index.html"]
    assert "p/vision/future/index.html" in _keys(store)


def test_a_removed_project_has_no_page(store, source, renderer):
    """All below its address goes, and nothing else."""
    _everything(store, source, renderer)
    publish.remove_project(store, "Vision")
    left = _keys(store)
    assert not [key for key in left if key.startswith("p/vision/")]
    assert "p/scratch/index.html" in left
    del source.projects["p1"]
    assert publish.publish(source, store, "p1", [Change("digits")], renderer).writes == 0


def test_static_files_are_stored_once(store, renderer):
    """Styles and scripts are written when they changed, with their types; then left alone."""
    first = publish.publish_static(store, renderer)
    assert {"static/style.css", "static/site.js", "static/icon.svg", "404.html"} <= set(
        first.created
    )
    again = publish.publish_static(store, renderer)
    assert again.writes == 0
    store.put("static/site.js", b"old", metadata={"sha256": "other"})
    assert publish.publish_static(store, renderer).written == ["static/site.js"]
    with pytest.raises(NotFound):
        store.head("static/.hidden")
