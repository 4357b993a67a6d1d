"""Checkpoint pages: what they show, what one more checkpoint touches, what goes with a deleted one."""

import json
from dataclasses import replace

import pytest

from chalicelib.catalogue import publish, reading, series_pages, shelf, slugs
from chalicelib.catalogue.changes import Change
from chalicelib.storage.memory import MemoryBlobs
from tests.catalogue.catalogue_world import digits_network, plain, sha, weights
from tests.catalogue.markup import read
from weighbridge.contract.types import Checkpoint, ClaimsSummary, Event, Release, VersionFacts

SERIES = "p/vision/digits/9/checkpoints/"
KEY = ("p1", "digits", 9)


@pytest.fixture
def store():
    """An empty site."""
    return MemoryBlobs()


def _commit(source, number, **fields):
    """One more checkpoint of version 9, and the change that its event makes."""
    point = Checkpoint(
        "Vision", "digits", 9, number, "", number * 10, "", {"loss": 1 / number}, {},
        sha(f"c{number}"), 1, 10, "2026-11-12T09:00:00.000Z", "ada", **fields,
    )  # fmt: skip
    source.checkpoint_list[KEY] = (*source.checkpoint_list.get(KEY, ()), point)
    return _event("published", number)


def _event(what, *numbers):
    subject = f"digits@9:{numbers[0]}" if len(numbers) == 1 else "digits@9"
    details = {"checkpoints": list(numbers)} if len(numbers) > 1 else {}
    event = Event("1", "", f"checkpoint.{what}", "ada", "digits", subject, details)
    return Change.of(event, [9])


def _remove(source, *numbers):
    left = tuple(c for c in source.checkpoint_list[KEY] if c.number not in numbers)
    source.checkpoint_list[KEY] = left


def _keys(store):
    return set(shelf.keys_under(store, ""))


def _series(source, count):
    source.checkpoint_list[KEY] = ()
    for number in range(1, count + 1):
        _commit(source, number)


def test_an_event_says_which_checkpoints_it_is_about():
    """One in its subject, several in its details; other events none."""
    assert _event("published", 12).points == (12,)
    assert _event("evicted", 3, 4).points == (3, 4)
    quiet = Event("1", "", "~checkpoint.verdict", "indexer", "digits", "digits@9:7")
    assert (Change.of(quiet, [9]).points, Change.of(quiet, [9]).small) == ((7,), True)
    other = Event("1", "", "version.published", "ada", "digits", "digits@9")
    assert (Change.of(other, [9]).points, Change.of(other, [9]).small) == ((), False)


@pytest.mark.parametrize("count", [10, 150, 5000])
def test_one_more_checkpoint_touches_a_constant_number_of_objects(store, source, renderer, count):
    """Its own page, the one before, their range, the series and the version: ten objects,
    in a series of ten as of five thousand."""
    _series(source, count)
    publish.publish(source, store, "p1", [_event("published", count)], renderer)
    change = _commit(source, count + 1)
    first, last = slugs.range_of(count + 1)
    if (count, count + 1) != (first - 1, first):
        report = publish.publish(source, store, "p1", [change], renderer)
    else:  # a range begins, and those below it were never asked for
        publish.publish(source, store, "p1", [change], renderer)
        report = publish.publish(source, store, "p1", [_commit(source, count + 2)], renderer)
    assert report.writes == 10
    touched = {key for key in report.written + report.created if key.endswith(".html")}
    new = count + 2 if count == 5000 else count + 1
    assert touched == {
        f"{SERIES}{new}/index.html", f"{SERIES}{new - 1}/index.html",
        f"{SERIES}{first}-{last}/index.html", f"{SERIES}index.html",
        "p/vision/digits/9/index.html",
    }  # fmt: skip


def test_a_hundred_at_once_share_what_lists_them(store, source, renderer):
    """A burst writes each page of its own, and whatever lists them once."""
    changes = [_commit(source, number) for number in range(7, 107)]
    report = publish.publish(source, store, "p1", changes, renderer)
    pages = [key for key in report.created + report.written if key.endswith(".html")]
    assert len(pages) == len(set(pages)) == 100 + 1 + 2 + 2


def test_what_was_published_one_by_one_is_what_is_rendered_at_once(store, source, renderer):
    """Commits, an eviction of several and a pin come to the same bytes as a rebuilding."""
    fresh = MemoryBlobs()
    publish.publish_all(source, store, "p1", renderer)
    for number in range(7, 120):
        publish.publish(source, store, "p1", [_commit(source, number)], renderer)
    _remove(source, 50, 51, 119)
    publish.publish(source, store, "p1", [_event("evicted", 50, 51, 119)], renderer)
    pinned = tuple(replace(c, pinned=c.number == 7) for c in source.checkpoint_list[KEY])
    source.checkpoint_list[KEY] = pinned
    publish.publish(source, store, "p1", [_event("pinned", 7)], renderer)
    publish.publish_all(source, fresh, "p1", renderer)
    assert {k: store.read(k) for k in _keys(store)} == {k: fresh.read(k) for k in _keys(fresh)}
    assert f"{SERIES}50/index.html" not in _keys(store)
    assert json.loads(store.read(f"{SERIES}49/index.json"))["after"] == 52
    assert json.loads(store.read(f"{SERIES}118/index.json"))["after"] == 0


def test_a_range_above_the_newest_goes(store, source, renderer):
    """When the newest checkpoints were evicted, their range has no page left."""
    _series(source, 101)
    publish.publish(source, store, "p1", [_event("published", 100, 101)], renderer)
    assert f"{SERIES}101-200/index.html" in _keys(store)
    _remove(source, 101)
    publish.publish(source, store, "p1", [_event("deleted", 101)], renderer)
    assert not [key for key in _keys(store) if key.startswith(f"{SERIES}101")]
    assert f"{SERIES}1-100/index.html" in _keys(store)


class _Deleting(MemoryBlobs):
    """A store during whose first write of a checkpoint's page the checkpoint is deleted by others."""

    def __init__(self, act):
        super().__init__()
        self.act = act

    def put(self, key, data, *args, **options):
        if key == f"{SERIES}7/index.html" and self.act:
            act, self.act = self.act, None
            act()
        return super().put(key, data, *args, **options)


def test_a_slow_publisher_does_not_bring_a_deleted_checkpoint_back(source, renderer):
    """Read before the deletion, written after it: the page is taken away again."""

    def delete():
        _remove(source, 7)
        publish.publish(source, store, "p1", [_event("deleted", 7)], renderer)

    store = _Deleting(delete)
    publish.publish(source, store, "p1", [_commit(source, 7)], renderer)
    assert not [key for key in _keys(store) if key.startswith(f"{SERIES}7/")]


def test_a_deleted_version_takes_its_checkpoints_pages_along(store, source, renderer):
    """All below the version's address goes."""
    publish.publish_all(source, store, "p1", renderer)
    assert f"{SERIES}6/index.html" in _keys(store)
    source.versions[KEY] = replace(source.versions[KEY], state="aborted")
    publish.publish(source, store, "p1", [Change("digits", (9,), "version.aborted")], renderer)
    assert not [key for key in _keys(store) if key.startswith(SERIES)]


def _view(source, number, **fields):
    model = source.model_list["p1", "digits"]
    version = source.version("p1", model, 8)
    point = replace(source.points("p1", version, number, number)[0], **fields)
    around = source.around("p1", version, number)
    return reading.point_view(source, "p1", model, version, point, around)


def test_a_checkpoint_says_what_it_is_and_what_to_do_with_it(source, renderer):
    """Files with facts, metrics, tags, verdict, pin, neighbours, and the commands with its reference."""
    source.point_list["p1", "digits", 8, 12] = VersionFacts(
        (weights("model.safetensors", digits_network(64)), plain("o.bin", 9))
    )
    view = _view(
        source, 12, tags={"kind": "auto"}, verdict="unsafe", pinned=True, files=2,
        release=Release("grace", "2026-11-12T09:00:00.000Z", "looked at it"),
        claims=ClaimsSummary((), nan=2),
    )  # fmt: skip
    page = series_pages.point_page(view)
    text = renderer.render(page).decode()
    found = read(text.encode())
    assert found.problems == []
    for part in (
        "weighbridge checkpoint pull Vision/digits@8:12",
        "weighbridge checkpoint promote Vision/digits@8:12",
        "weighbridge checkpoint unpin Vision/digits@8:12", "model.safetensors", "2 tensors with NaN",
        "kind: auto", "epoch-12", "unsafe, released", "looked at it", "Pinned: it stays",
    ):  # fmt: skip
        assert part in text.replace("<bdi>", "").replace("</bdi>", ""), part
    for path in ("11/", "13/", "1-100/", ""):
        assert f"/p/vision/digits/8/checkpoints/{path}" in found.links
    assert "/compare?ref=Vision%2Fdigits%408%3A11&ref=Vision%2Fdigits%408%3A12" in found.links
    assert [item.path for item in page.json["files"]] == ["model.safetensors", "o.bin"]
    assert page.json["tensors"] == 4


def test_the_first_and_the_last_have_one_neighbour(source, renderer):
    """No link leads before the first or behind the last."""
    first, last = (series_pages.point_page(_view(source, n)) for n in (1, 24))
    assert (first.data["before"], first.data["after"].text) == (None, ":2")
    assert (last.data["before"].text, last.data["after"]) == (":23", None)
    assert [words for words, _ in last.data["compares"]] == [
        "the checkpoint before", "its version",
    ]  # fmt: skip


def test_checkpoints_can_be_chosen_to_compare(source, renderer):
    """The series is a plain form whose boxes are references; each row leads to its own page."""
    model = source.model_list["p1", "digits"]
    view = reading.version_view(source, "p1", model, source.version("p1", model, 8))
    page = series_pages.checkpoints_page(reading.checkpoints_view(view))
    text = renderer.render(page).decode()
    assert text.count('name="ref"') == 24
    assert 'value="Vision/digits@8:24"' in text
    assert 'action="/compare"' in text
    assert "/p/vision/digits/8/checkpoints/24/" in read(text.encode()).links
