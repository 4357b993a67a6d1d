"""`site check`: each kind of defect, planted, is told; a whole site has none."""

import shutil

import pytest

from chalicelib.catalogue import building, checking, publish, shelf
from chalicelib.catalogue.checking import Broken, Folder, Store
from chalicelib.storage.memory import MemoryBlobs
from tests.catalogue.catalogue_world import world

MODEL = "p/vision/digits/index.html"


@pytest.fixture(scope="module")
def expected(renderer):
    """What a site of the sample registry holds, by key."""
    return dict(building.built(world(), renderer))


@pytest.fixture
def folder(tmp_path, site):
    """A built site to damage."""
    return shutil.copytree(site, tmp_path / "site")


@pytest.fixture
def store(source, renderer):
    """A published site to damage."""
    made = MemoryBlobs()
    publish.publish_static(made, renderer)
    for project_id, _ in source.summaries():
        publish.publish_all(source, made, project_id, renderer)
    return made


def of_folder(folder, expected):
    return checking.check(Folder(folder), expected.items(), 0, True)


def of_store(store, source, renderer):
    revision = source.now()
    return checking.check(Store(store), building.stored(source, renderer), revision, False)


def test_a_whole_site_has_no_defect(folder, expected, store, source, renderer):
    """Built or published."""
    for found in (of_folder(folder, expected), of_store(store, source, renderer)):
        assert found.clean, found
        assert found.pages > 100


def test_a_missing_page_is_told_with_the_links_to_it(folder, expected):
    """The key that should be there, and every page that leads to it."""
    (folder / "p/vision/digits/6/index.html").unlink()
    found = of_folder(folder, expected)
    assert found.missing == ["p/vision/digits/6/index.html"]
    assert Broken(MODEL, "/p/vision/digits/6/") in found.broken
    assert found.stale == found.strays == []


def test_a_stale_page_is_told(folder, expected, store, source, renderer):
    """A page that shows old data, in a folder and in a store."""
    path = folder / MODEL
    path.write_bytes(path.read_bytes().replace(b"0.975", b"0.974"))
    assert of_folder(folder, expected).stale == [MODEL]
    source.add_version("p1", "digits", 10)
    told = of_store(store, source, renderer)
    assert "p/vision/digits/10/index.html" in told.missing
    assert {MODEL, "p/vision/index.html"} <= set(told.stale)
    assert not told.clean


def test_strays_are_told(folder, expected, store, source, renderer):
    """What no page owns, and all of a project that is gone."""
    (folder / "p/vision/old").mkdir()
    (folder / "p/vision/old/index.html").write_text("<a href='/nowhere'>")
    found = of_folder(folder, expected)
    assert (found.strays, found.broken) == (["p/vision/old/index.html"], [])
    shelf.put(store, "p/gone/index.html", b"left behind", 1)
    assert of_store(store, source, renderer).strays == ["p/gone/index.html"]


def test_what_is_newer_is_not_wrong(store, source, renderer):
    """A page that was rendered while the check went on is left out."""
    later = source.clock + 10**6
    shelf.put(store, "p/vision/new/index.html", b"newer", later)
    shelf.put(store, MODEL, b"newer", later)
    found = of_store(store, source, renderer)
    assert (found.stale, found.strays) == ([], [])


@pytest.mark.parametrize(
    ("link", "leads"),
    [
        ("/p/vision/digits/99/", False), ("/static/site.js?v=1", True), ("/static/gone.js", False),
        ("#versions", True), ("#nothing", False), ("index.json", True), ("other.json", False),
        ("/p/vision/digits/8/#files", True), ("/p/vision/digits/8/#nothing", False),
        ("/compare?ref=a%2Fb", True), ("https://example.org/", True), ("/", True),
        ("/p/vision/digits/8", False),
    ],
)  # fmt: skip
def test_links_are_followed(folder, expected, link, leads):
    """Pages, files beside them, anchors here and elsewhere; what the API answers is left to it."""
    path = folder / MODEL
    path.write_bytes(
        path.read_bytes().replace(b"</main>", f'<a href="{link}">x</a></main>'.encode())
    )
    found = of_folder(folder, expected)
    assert found.broken == ([] if leads else [Broken(MODEL, link)])


def test_home_is_the_apis_where_pages_are_in_a_store(folder, expected, store, source, renderer):
    """A folder needs a page at `/`; a store has none."""
    (folder / "index.html").unlink()
    found = of_folder(folder, expected)
    assert found.missing == ["index.html"]
    assert Broken(MODEL, "/") in found.broken
    assert of_store(store, source, renderer).clean


def test_checking_changes_nothing(store, renderer):
    """The same bytes and revisions before and after."""
    before = {key: store.head(key) for key in shelf.keys_under(store, "")}
    shelf.put(store, "p/gone/index.html", b"left behind", 1)
    of_store(store, world(), renderer)
    store.delete(["p/gone/index.html"])
    assert {key: store.head(key) for key in shelf.keys_under(store, "")} == before


def test_a_repaired_site_is_whole_again(store, source, renderer):
    """What is missing, stale or too many is put right, projects that are gone included."""
    shelf.put(store, "p/gone/index.html", b"left behind", 1)
    shelf.put(store, "p/vision/old/index.html", b"left behind", 1)
    store.delete(["p/vision/digits/6/index.html", "static/site.js"])
    source.add_version("p1", "digits", 10)
    found = of_store(store, source, renderer)
    assert not found.clean
    checking.repair(source, store, found, renderer)
    assert of_store(store, source, renderer).clean
