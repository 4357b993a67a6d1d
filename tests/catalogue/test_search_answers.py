"""The search page without scripts: what the server finds in the index, within its budget."""

import json

import pytest

from chalicelib.catalogue import publish
from chalicelib.catalogue.searching import answering, index, matching, query
from chalicelib.catalogue.views import SearchView
from chalicelib.storage.memory import MemoryBlobs
from tests.catalogue.hostile import STRINGS, hostile_world
from tests.catalogue.markup import read


class Counting(MemoryBlobs):
    """A store that remembers which objects were read."""

    def __init__(self):
        super().__init__()
        self.read_keys = []

    def read(self, key, *args, **options):
        self.read_keys.append(key)
        return super().read(key, *args, **options)


@pytest.fixture
def published(source, renderer):
    """The sample registry's site."""
    store = Counting()
    for project_id, _ in source.summaries():
        publish.publish_all(source, store, project_id, renderer)
    store.read_keys.clear()
    return store


ALL = ("Vision", "Text-Embeddings", "scratch", "models")


def paths(view):
    return [hit.path for hit in view.hits]


def test_models_and_versions_are_found(published):
    """The same words that scripts understand, over the same documents."""
    found = answering.answer(published, ALL, "accuracy > 0.966 tag:device=cpu format:safetensors")
    assert paths(found) == ["/p/vision/digits/8/", "/p/vision/digits/7/", "/p/vision/digits/6/"]
    assert (found.total, found.unread, found.problem) == (3, 0, "")
    assert paths(answering.answer(published, ALL, "cheques")) == ["/p/vision/digits/"]
    found = answering.answer(published, ALL, "lr < 1e-4 project:text-embeddings")
    assert paths(found) == ["/p/text-embeddings/long-documents/5/"]
    assert found.hits[0].metrics == (("lr", "1e-05"),)


def test_only_the_named_projects_are_read(published):
    """What one may not read is neither found nor looked at, names included."""
    found = answering.answer(published, ["scratch"], "kind:*")
    assert {path.split("/")[2] for path in paths(found)} == {"scratch"}
    assert [name for name, _ in found.indexes] == ["scratch"]
    assert all(key.startswith("p/scratch/") for key in published.read_keys)


def test_nothing_asked_reads_nothing(published):
    """An empty or broken query shows how to ask; no document is read for it."""
    for text, problem in (("", ""), ("  ", ""), ("tag:", "After tag: a value is missing.")):
        found = answering.answer(published, ALL, text)
        assert (found.hits, found.problem) == ((), problem)
    assert published.read_keys == []
    assert dict(answering.answer(published, ALL, "").indexes).keys() == set(ALL)


def test_only_models_that_can_answer_are_opened(published):
    """A named model, or `kind:model`, spares the versions of all others."""
    answering.answer(published, ALL, "kind:model digits")
    assert not [key for key in published.read_keys if key.endswith("search.json")]
    answering.answer(published, ALL, "model:digits accuracy>0")
    ranges = [key for key in published.read_keys if key.endswith("search.json")]
    assert ranges == ["p/vision/digits/versions/1-100/search.json"]


def test_what_the_budget_leaves_out_is_told(published, source, renderer, monkeypatch):
    """The newest range of every model comes first; the rest is counted, on the page too."""
    for number in (150, 250, 350):
        source.add_version("p1", "digits", number, metrics={"accuracy": 0.5})
    publish.publish_all(source, published, "p1", renderer)
    monkeypatch.setattr(answering, "DOCUMENTS", 5)
    view = answering.answer(published, ["Vision"], "accuracy > 0")
    ranges = [key for key in published.read_keys if key.endswith("search.json")]
    assert "p/vision/digits/versions/301-400/search.json" in ranges
    assert (len(ranges), view.unread) == (5, 2)
    assert b"2 parts of the index left out" in renderer.render(answering.search_page(view))
    monkeypatch.setattr(answering, "MAX_BYTES", 1)
    monkeypatch.setattr(answering, "AT_ONCE", 1)
    assert answering.answer(published, ["Vision"], "accuracy > 0").unread > 2


def test_the_page_is_shown_before_all_is_read(published, renderer, monkeypatch):
    """What can be read at once is answered, from the newest on; the page leads on to the rest."""
    monkeypatch.setattr(answering, "AT_ONCE", 1)

    def answered(**how):
        published.read_keys.clear()
        ticks = iter(range(100))
        clock = lambda: next(ticks) / 10  # noqa: E731
        return answering.answer(published, ALL, "kind:*", clock=clock, **how)

    quick = answered()
    assert quick.hits
    assert quick.unread > 0
    page = renderer.render(answering.search_page(quick)).decode()
    assert '<a href="/search?q=kind%3A%2A&amp;all=1">Search them too</a>' in page
    read = len(published.read_keys)
    whole = answered(thorough=True)
    assert whole.unread == 0
    assert len(published.read_keys) > read
    assert whole.total > quick.total


def test_a_query_that_names_its_project_reads_no_other(published):
    """However many there are: what cannot be found there is not looked for."""
    for text, wanted in (("project:vision kind:model", True), ("-project:vis* kind:model", False)):
        published.read_keys.clear()
        view = answering.answer(published, ALL, text)
        assert view.unread == 0
        assert view.hits
        of_vision = [key for key in published.read_keys if key.startswith("p/vision/")]
        others = [key for key in published.read_keys if key not in of_vision]
        assert (bool(of_vision), bool(others)) == (wanted, not wanted)


def test_time_is_bounded(published, monkeypatch):
    """When the time is over, what was read so far is answered."""
    monkeypatch.setattr(answering, "AT_ONCE", 1)
    ticks = iter([0.0, 0.0, 99.0, 99.0, 99.0, 99.0])
    clock = lambda: next(ticks)  # noqa: E731
    view = answering.answer(published, ALL, "kind:*", clock=clock, thorough=True)
    assert view.unread > 0


def test_index_documents_that_are_gone_or_foreign_are_passed_over(published):
    """Deleted since, or written by another version of the program: no error."""
    published.delete(["p/vision/digits/versions/1-100/search.json"])
    [(_, letters)] = answering.shards(published, ["scratch"])
    published.put(index.shard_key("scratch", letters[0]), json.dumps({"format": 99}).encode())
    found = paths(answering.answer(published, ALL, "kind:version"))
    assert found
    assert not [path for path in found if path.startswith("/p/vision/digits/")]


def test_metrics_that_were_asked_for_are_shown_first():
    """Among many, those of the query; then others, four in all."""
    model = matching.model_entries(
        {"project": "P", "models": [{"id": "1", "name": "m", "path": "/p/p/m/"}]}
    )[0]
    shown = {
        "number": 1,
        "metrics": dict.fromkeys("abcdef", 1.0),
        "params": {"lr": "0.1", "x": "y"},
    }
    [entry] = matching.version_entries({"versions": [shown]}, model)
    hit = answering.hit(entry, query.parse("E > 0 lr > 0"))
    assert [name for name, _ in hit.metrics] == ["lr", "e", "a", "b"]


def test_the_page_is_well_formed_and_harmless(renderer):
    """Hostile names, texts and queries stay text."""
    source, store = hostile_world(), MemoryBlobs()
    for project_id, _ in source.summaries():
        publish.publish_all(source, store, project_id, renderer)
    names = [summary.project.name for _, summary in source.summaries()]
    for text in ("kind:model", "kind:version", *STRINGS[::6], *(f'"{s}"' for s in STRINGS[::3])):
        view = answering.answer(store, names, text)
        page = read(renderer.render(answering.search_page(view)))
        assert page.problems == [], text
        assert page.loose == [], text
    ready = [v for v in source.versions.values() if v.state == "ready"]
    assert answering.answer(store, names, "kind:version").total == len(ready)


def test_an_empty_registry_says_what_to_do(renderer):
    """Without any model the page says where one comes from."""
    page = renderer.render(answering.search_page(SearchView(None)))
    assert b"the first push makes a model" in page
