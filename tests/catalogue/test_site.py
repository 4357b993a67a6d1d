"""The whole rendered site: links, well-formed markup, reproducibility, size, building to a folder."""

import json
from urllib.parse import parse_qs, urlsplit

import pytest

from chalicelib.catalogue import building, checking, pages, reading, series_pages, slugs
from chalicelib.catalogue.views import DETAILED_MODELS
from tests.catalogue.catalogue_world import at, plain, world
from tests.catalogue.hostile import STRINGS, hostile_world
from tests.catalogue.markup import read
from weighbridge.contract import references
from weighbridge.contract.errors import InvalidRequest
from weighbridge.contract.types import Checkpoint, ModelSettings, Project

DYNAMIC = {"/activity", "/search", "/compare", "/sign-in", "/sign-out"}
MOST = 300_000


def _tree(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def _target(page, link):
    path = urlsplit(link).path
    if not path:
        return page
    if not path.startswith("/"):
        return f"{page.rpartition('/')[0]}/{path}".lstrip("/")
    return (path + "index.html" if path.endswith("/") else path).lstrip("/")


def test_every_link_leads_somewhere(site):
    """No page of the site has a broken link, a missing anchor or a reference that does not parse."""
    files = _tree(site)
    pages = {name: read(data) for name, data in files.items() if name.endswith(".html")}
    assert len(pages) > 100
    broken = []
    for name, page in pages.items():
        for link in page.links:
            parts = urlsplit(link)
            if parts.path in DYNAMIC:
                for text in parse_qs(parts.query).get("ref", []):
                    references.parse(text)
                continue
            target = _target(name, link)
            if target not in files or (parts.fragment and parts.fragment not in pages[target].ids):
                broken.append((name, link))
    assert broken == []


def test_every_page_is_reached_from_home(site):
    """Whatever is rendered can be found by following links."""
    files = _tree(site)
    seen, todo = set(), ["index.html"]
    while todo:
        name = todo.pop()
        if name in seen or name not in files or not name.endswith(".html"):
            continue
        seen.add(name)
        todo += [_target(name, link) for link in read(files[name]).links]
    by_form = {"404.html", "search/index.html"}
    pages = {n for n in files if n.endswith(".html")} - by_form
    unreached = {n for n in pages - seen if not ("/versions/" in n or "/checkpoints/" in n)}
    assert unreached == set()


def test_every_page_is_well_formed(site):
    """Only known elements, each closed; no inline script or style; one h1; ids used once."""
    for name, data in _tree(site).items():
        if name.endswith(".html"):
            found = read(data)
            assert found.problems == [], name
            assert all(src.startswith("/static/") for src in found.scripts)
            assert len(data) < MOST, name


def test_json_beside_each_page(site):
    """Each page below a project has canonical JSON with the same data."""
    files = _tree(site)
    for name, data in files.items():
        if name.startswith("p/") and name.endswith("/index.html"):
            beside = files[name.replace("index.html", "index.json")]
            value = json.loads(beside)
            again = json.dumps(value, sort_keys=True, separators=(",", ":")).encode()
            assert again == beside
            kind = slugs.parse_path(f"/{name[:-10]}").kind
            assert value["kind"] == ("versions" if kind == "range" else kind)
            assert data
    version = json.loads(files["p/vision/digits/8/index.json"])
    assert version["version"]["metrics"]["accuracy"] == 0.975
    assert version["files"][1]["facts"]["tensors"][0]["name"] == "hidden.weight"
    assert version["checkpoints"]["count"] == 24


def test_many_tensors_lie_in_a_file_of_their_own(tmp_path, source, renderer):
    """Above 200 tensors the page's JSON stays small, and `tensors.json` has them all."""
    from tests.catalogue.catalogue_world import tensor, weights

    for count in (200, 201):
        tensors = tuple(tensor(f"block.{n}.weight", 4) for n in range(count))
        source.add_facts("p1", "digits", 1, weights("model.safetensors", tensors))
        building.build(source, tmp_path / str(count), renderer)
        folder = tmp_path / str(count) / "p/vision/digits/1"
        assert (folder / "tensors.json").exists() == (count > 200)
    index = json.loads((folder / "index.json").read_bytes())
    assert index["files"][0]["facts"]["tensors"] == []
    assert index["tensors"] == 201
    aside = json.loads((folder / "tensors.json").read_bytes())
    assert len(aside["files"][0]["tensors"]) == 201


def test_two_renderings_are_identical(site, tmp_path, renderer):
    """The same data gives the same bytes, at another time and by another renderer."""
    other = world()
    other.clock += 10**9
    building.build(other, tmp_path / "again")
    assert _tree(site) == _tree(tmp_path / "again")


def test_a_built_folder_follows_the_data(tmp_path, source, renderer):
    """Building again changes only what changed, and removes what is gone."""
    out = tmp_path / "site"
    building.build(source, out, renderer)
    before = {p: p.stat().st_mtime_ns for p in out.rglob("*") if p.is_file()}
    del source.versions["p1", "faces", 5]
    source.add_version("p1", "faces", 6, metrics={"top1": 0.9})
    model = source.model_list["p1", "faces"]
    model.aliases["production"] = 6
    building.build(source, out, renderer)
    assert not (out / "p/vision/faces/5").exists()
    assert (out / "p/vision/faces/6/index.html").exists()
    untouched = [p for p, at in before.items() if p.exists() and p.stat().st_mtime_ns == at]
    assert out / "p/vision/digits/8/index.html" in untouched
    assert out / "p/vision/faces/index.html" not in untouched


def test_a_foreign_folder_is_left_alone(tmp_path, source, renderer):
    """A folder with other things in it is refused, and nothing of it is touched."""
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(InvalidRequest):
        building.build(source, tmp_path, renderer)
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.txt"]


@pytest.fixture(scope="module")
def hostile_site(tmp_path_factory, renderer):
    """Every text of this site is a hostile string."""
    folder = tmp_path_factory.mktemp("hostile")
    building.build(hostile_world(), folder, renderer)
    return _tree(folder)


class _Files(dict):
    """A site in memory."""

    def read(self, key):
        """A file without a time of its own."""
        return (self[key], 0) if key in self else None


def test_hostile_links_lead_somewhere(hostile_site):
    """Whatever their names, every page is where the links to it say; none is missing or too many."""
    found = checking.check(_Files(hostile_site), hostile_site.items(), 0, True)
    assert found.pages > 600
    assert found.clean, found.broken


def test_there_are_sixty_hostile_strings():
    """The list does not shrink."""
    assert len(set(STRINGS)) >= 60


def test_hostile_strings_are_text_only(hostile_site):
    """No string becomes an element, an attribute, a comment or a foreign address."""
    for name, data in hostile_site.items():
        if name.endswith(".html"):
            assert read(data).problems == [], name


def test_hostile_strings_leave_no_control_character(hostile_site):
    """Null bytes and escapes become visible signs; directions are isolated or taken out."""
    for name, data in hostile_site.items():
        if not name.endswith(".html"):
            continue
        text = data.decode("utf-8")
        assert not any(ord(c) < 32 and c not in "\n\t" for c in text), name
        assert read(data).loose == [], name


def test_hostile_pages_stay_whole(hostile_site):
    """Every hostile model, version and series has its page, and its JSON tells the very string."""
    versions = [n for n in hostile_site if n.endswith("/2/index.json") and "checkpoints" not in n]
    assert len(versions) == len(STRINGS)
    labels = {json.loads(hostile_site[n])["version"]["label"] for n in versions}
    assert labels == set(STRINGS)
    points = [n for n in hostile_site if n.endswith("/2/checkpoints/1/index.json")]
    names = {json.loads(hostile_site[n])["checkpoint"]["name"] for n in points}
    assert names == set(STRINGS)


def test_an_empty_registry_says_what_to_do(tmp_path, renderer):
    """Without anything the home page names the command that begins."""
    from tests.catalogue.catalogue_world import FakeSource

    building.build(FakeSource(), tmp_path / "site", renderer)
    assert b"weighbridge push" in (tmp_path / "site/index.html").read_bytes()


def test_a_model_without_versions_says_what_to_do(site):
    """An empty model names the command with its own reference."""
    text = (site / "p/vision/empty-so-far/index.html").read_text()
    assert "weighbridge push Vision/empty-so-far" in text


def test_a_version_with_very_many_files_stays_readable(tmp_path, source, renderer):
    """A thousand files are cut to what a page can bear, with the command for the rest."""
    files = [plain(f"shard-{n:05d}.bin", 10**9) for n in range(1000)]
    source.add_facts("p1", "digits", 1, *files)
    building.build(source, tmp_path / "site", renderer)
    data = (tmp_path / "site/p/vision/digits/1/index.html").read_bytes()
    assert len(data) < MOST
    assert b"500 more files" in data


def test_large_lists_stay_small(source, renderer):
    """Five hundred models, a hundred versions with forty metrics and long params, a thousand checkpoints:
    none of the pages is beyond what a reader should load."""
    source.projects["w"] = Project("Lab", "", False, at(1), "ada")
    settings = ModelSettings("m00", {f"m{index:02}": "max" for index in range(40)})
    for number in range(500):
        name = f"sentence-encoder-for-product-search-{number:03}"
        aliases = {"production": 18, "staging": 20, "candidate": 20, "canary": 19}
        source.add_model(
            "w", name, description="What it is for, " * 20, settings=settings, aliases=aliases
        )
        if number < DETAILED_MODELS:
            for version in range(1, 21):
                source.add_version(
                    "w", name, version, metrics={"m00": 0.912345 + version}, label=f"1.{version}"
                )
    model = source.add_model("w", "wide", settings=settings)
    for number in range(1, 101):
        metrics = {f"m{index:02}": 0.123456789 * index + number for index in range(40)}
        params = {f"p{index:02}": f"a long text {number} " * 20 for index in range(20)}
        version = source.add_version(
            "w", "wide", number, metrics=metrics, params=params, label=f"rc-{number}"
        )
    source.checkpoint_list["w", "wide", 100] = tuple(
        Checkpoint("Lab", "wide", 100, n, "encoder", n * 10, "epoch", metrics, {"phase": "warm-up"}, created=at(3))
        for n in range(1, 1001)
    )  # fmt: skip
    project = reading.project_view(source, "w", source.projects["w"])
    shown = reading.version_view(source, "w", model, version)
    rendered = {
        "project": pages.project_page(project),
        "model": pages.model_page(reading.model_view(source, "w", model)),
        "range": pages.range_page(reading.range_view(source, "w", model, 1, 100)),
        "version": pages.version_page(shown),
        "checkpoints": series_pages.checkpoints_page(reading.checkpoints_view(shown)),
        "points": series_pages.range_page(reading.point_range_view(source, "w", model, version, 1)),
    }
    sizes = {name: len(renderer.render(page)) for name, page in rendered.items()}
    assert max(sizes.values()) < MOST, sizes
    text = renderer.render(rendered["project"]).decode()
    assert "500 models, and more" in text
    assert "400 more models" in text
    assert text.count("sentence-encoder-for-product-search-499") >= 1
