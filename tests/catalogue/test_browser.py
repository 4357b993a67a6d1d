"""The site in a real browser: hostile strings, small screens, no scripts, and a person's clicks.

`WEIGHBRIDGE_SHOTS=DIR` keeps a screenshot of each page type at 390 and 1440 pixels.
"""

import os
from dataclasses import replace
from pathlib import Path
from urllib.parse import parse_qs, urlencode, urlsplit

import axe_playwright_python
import pytest

from chalicelib.catalogue import building, comparing, pages, publish
from chalicelib.catalogue.searching import answering
from chalicelib.catalogue.views import ActivityView, ErrorView, HomeView, SearchView, SignInView
from chalicelib.storage.memory import MemoryBlobs
from tests.catalogue.browsing import serving
from tests.catalogue.catalogue_compare import compared, mixed
from tests.catalogue.catalogue_world import world
from tests.catalogue.hostile import STRINGS, hostile_world
from weighbridge.contract.types import Event, Who

pytestmark = pytest.mark.browser

PAGES = {
    "home": "/home.html",
    "project": "/p/vision/",
    "model": "/p/vision/digits/",
    "version": "/p/vision/digits/8/",
    "encoder": "/p/text-embeddings/all-MiniLM-L6-v2/1/",
    "in-progress": "/p/vision/digits/9/",
    "checkpoints": "/p/vision/digits/8/checkpoints/",
    "checkpoint": "/p/vision/digits/8/checkpoints/12/",
    "checkpoint-range": "/p/vision/digits/8/checkpoints/1-100/",
    "providers": "/p/models/~providers/",
    "activity": "/activity.html",
    "range": "/p/vision/digits/versions/1-100/",
    "empty-model": "/p/vision/empty-so-far/",
    "federated": "/p/models/~federated/arbiter-10000~23guest-9999~23host-9998_10000~23model/",
    "compare": "/compare.html",
    "compare-three": "/compare-three.html",
    "compare-all": "/compare-all.html",
    "compare-checkpoints": "/compare-checkpoints.html",
    "search": "/search/?q=accuracy+%3E+0.9",
    "search-served": "/search-served.html",
    "search-problem": "/search-problem.html",
    "sign-in": "/sign-in.html",
    "not-found": "/404.html",
}


EVENT = Event(
    "2", "2026-11-11T17:10:00.000Z", "alias.moved", "ada", "digits", "staging",
    {"version": 8, "previous": 7},
)  # fmt: skip


def _published(source):
    store = MemoryBlobs()
    for project_id, _ in source.summaries():
        publish.publish_all(source, store, project_id)
    return store


def _answer(source, text):
    names = [summary.project.name for _, summary in source.summaries()]
    return answering.answer(_published(source), names, text, Who("ada", ()))


@pytest.fixture(scope="module")
def served(tmp_path_factory, renderer):
    """The sample site, the rendered-per-principal pages and the hostile site, over HTTP."""
    folder = tmp_path_factory.mktemp("served")
    source = world()
    building.build(source, folder, renderer)
    who = Who("ada", ())
    for name, page in {
        "home": pages.home_page(HomeView(who, tuple(s for _, s in source.summaries()))),
        "compare": comparing.compare_page(compared(source, "p1", "digits", 4, 8)),
        "compare-three": comparing.compare_page(
            compared(source, "p2", "all-MiniLM-L6-v2", 1, 2, 3)
        ),
        "compare-all": comparing.compare_page(
            replace(compared(source, "p1", "digits", 6, 8), everything=True)
        ),
        "compare-checkpoints": comparing.compare_page(mixed(source, 8, -3, -20, 7)),
        "activity": pages.activity_page(
            ActivityView(who, (("Vision", EVENT),), ("Vision", "scratch"), "", "/activity?before=1")
        ),
        "search-served": answering.search_page(replace(_answer(source, "vision"), indexes=())),
        "search-problem": answering.search_page(_answer(source, "tag:")),
        "sign-in": pages.sign_in_page(SignInView("/", "That token is not known.")),
        "404": pages.error_page(ErrorView(404, who=who)),
    }.items():
        (folder / f"{name}.html").write_bytes(renderer.render(page))
    hostile = hostile_world()
    building.build(hostile, folder / "hostile-build", renderer)
    letters = answering.shards(_published(hostile), ["Hostile"])
    search = answering.search_page(SearchView(who, indexes=letters))
    (folder / "hostile-search.html").write_bytes(renderer.render(search))
    (folder / "hostile-build/p/hostile").rename(folder / "p/hostile")
    (folder / "hostile-build/index.html").rename(folder / "hostile.html")
    both = [name for project, name in hostile.model_list if (project, name, 2) in hostile.versions]
    for index, name in enumerate(both):
        page = comparing.compare_page(compared(hostile, "h", name, 1, 2))
        (folder / f"hostile-compare-{index}.html").write_bytes(renderer.render(page))
    with serving(folder) as server:
        yield server


@pytest.fixture
def open_page(browser, served):
    """Opens an address; whatever the browser complains of is in `page.said`."""
    contexts = []

    def opened(address, width=1440, **options):
        context = browser.new_context(viewport={"width": width, "height": 900}, **options)
        contexts.append(context)
        page = context.new_page()
        page.said = []
        page.on("dialog", lambda d: (page.said.append(f"dialog {d.message}"), d.dismiss()))
        page.on("pageerror", lambda e: page.said.append(f"error {e}"))
        page.on(
            "console",
            lambda m: (
                page.said.append(f"{m.type} {m.text}") if m.type in ("error", "warning") else None
            ),
        )
        page.on("request", lambda r: page.said.append(f"request {r.url}")
                if not r.url.startswith(served.address) else None)  # fmt: skip
        page.goto(served.address + address)
        return page

    yield opened
    for context in contexts:
        context.close()


@pytest.mark.parametrize("width", [390, 1440])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_page_type_fits_its_screen(open_page, served, width, scheme):
    """No page is wider than the screen, says an error or asks another host, light or dark."""
    page = open_page("/p/vision/", width, color_scheme=scheme)
    keep = os.environ.get("WEIGHBRIDGE_SHOTS")
    for name, address in PAGES.items():
        page.goto(served.address + address)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, name
        assert page.locator("h1").count() == 1
        if keep:
            shot = Path(keep) / f"{name}-{width}-{scheme}.png"
            page.screenshot(path=shot, full_page=True)
    assert page.said == []


def test_hostile_strings_do_nothing(open_page, served):
    """On no hostile page a dialog opens, a script runs, a policy is violated or a host is asked.

    However long the words, none of them makes a small screen scroll sideways.
    """
    page = open_page("/hostile.html", 390)
    page.add_init_script("window.ran = 0; window.alert = () => { window.ran += 1; }")
    folder = served.folder / "p/hostile"
    addresses = ["/hostile.html", "/p/hostile/"]
    aside = {folder / name for name in ("~index", "~federated", "~providers")}
    for model in sorted(set(folder.iterdir()) - aside):
        if model.is_dir():
            below = f"/p/hostile/{model.name}/"
            parts = ("", "checkpoints/", "checkpoints/2/") if (model / "2").is_dir() else ()
            versions = [f"{below}2/{part}" for part in parts]
            addresses += [below, *versions]
    parties = [
        f"/p/hostile/~federated/{found.name}/" for found in (folder / "~federated").iterdir()
    ]
    compares = [f"/{path.name}" for path in served.folder.glob("hostile-compare-*.html")]
    assert len(addresses) == 2 + 6 * len(STRINGS)
    assert len(parties) > 60
    addresses += ["/p/hostile/~providers/", *parties, *compares]
    for address in addresses:
        page.goto(served.address + address)
        assert page.evaluate("window.ran") == 0, address
        assert page.said == [], address
        own = 'script:not([src^="/static/"])'
        assert page.locator(own).count() == 0, address
        assert page.title().endswith("· Weighbridge"), address
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, address


def test_choosing_versions_to_compare(open_page):
    """The button waits for two; the address then holds the references in order."""
    page = open_page("/p/vision/digits/")
    button = page.get_by_role("button", name="Compare", exact=True)
    assert button.is_disabled()
    page.get_by_label("Compare version 6").check()
    assert page.get_by_role("status").inner_text() == "1 chosen: one more"
    page.get_by_label("Compare version 8").check()
    assert button.is_enabled()
    with page.expect_request("**/compare?*") as asked:
        button.click()
    chosen = parse_qs(urlsplit(asked.value.url).query)["ref"]
    assert sorted(chosen) == ["Vision/digits@6", "Vision/digits@8"]


def test_at_most_six_are_chosen(open_page):
    """After six the other boxes are closed until one is given back."""
    page = open_page("/p/vision/digits/")
    for number in range(1, 7):
        page.get_by_label(f"Compare version {number}").check()
    assert page.get_by_label("Compare version 7").is_disabled()
    page.get_by_label("Compare version 1").uncheck()
    assert page.get_by_label("Compare version 7").is_enabled()


def test_comparing_works_without_scripts(open_page):
    """With scripts off the same form sends the same address."""
    page = open_page("/p/vision/digits/", java_script_enabled=False)
    page.get_by_label("Compare version 1", exact=True).check()
    page.get_by_label("Compare version 2", exact=True).check()
    with page.expect_request("**/compare?*") as asked:
        page.get_by_role("button", name="Compare", exact=True).click()
    assert "ref=Vision%2Fdigits%402" in asked.value.url


def test_tables_read_without_scripts(open_page):
    """Metrics and versions are in the page itself."""
    page = open_page("/p/vision/digits/", java_script_enabled=False)
    assert "0.975" in page.locator("#versions-table").inner_text()
    assert not page.get_by_placeholder("Filter…").first.is_visible()


def _numbers(page):
    return page.locator("#versions-table tbody tr:visible th a.num").all_inner_texts()


def test_sorting_a_table(open_page):
    """A click on a metric sorts the best first, another turns it round; the header says so."""
    page = open_page("/p/vision/digits/")
    assert _numbers(page) == [f"@{n}" for n in range(8, 0, -1)]
    head = page.get_by_role("columnheader", name="accuracy")
    head.get_by_role("button").click()
    assert _numbers(page)[:3] == ["@8", "@6", "@7"]
    assert head.get_attribute("aria-sort") == "descending"
    head.get_by_role("button").click()
    assert _numbers(page)[:2] == ["@1", "@2"]
    assert head.get_attribute("aria-sort") == "ascending"


def test_filtering_a_table(open_page):
    """Typing keeps the rows that hold every word; Enter does not submit the comparison."""
    page = open_page("/p/vision/digits/")
    box = page.get_by_label("Filter versions")
    box.fill("sgd")
    assert _numbers(page) == ["@2", "@1"]
    box.press("Enter")
    assert page.url.endswith("/p/vision/digits/")
    box.fill("")
    assert len(_numbers(page)) == 8


def test_copying_the_pull_command(open_page):
    """The button puts the very command onto the clipboard."""
    page = open_page("/p/vision/digits/", permissions=["clipboard-read", "clipboard-write"])
    page.get_by_role("button", name="Copy the command").click()
    page.get_by_role("button", name="Copy the command").get_by_text("Copied").wait_for()
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied == "weighbridge pull Vision/digits@production --to digits"


def test_unfolding_tensors(open_page):
    """A block opens to its tensors with their shapes."""
    page = open_page("/p/text-embeddings/all-MiniLM-L6-v2/1/")
    row = page.get_by_text("word_embeddings.weight", exact=True)
    assert not row.is_visible()
    page.locator("summary", has_text="embeddings").first.click()
    assert row.is_visible()
    assert page.get_by_text("30522 × 384").first.is_visible()


def test_the_keyboard_reaches_the_content(open_page):
    """The first Tab stop is the link that skips the header, and it moves the focus."""
    page = open_page("/p/vision/digits/")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to content"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"


CONTRAST = """
() => {
  const parse = (text) => (text.match(/[\\d.]+/g) || [0, 0, 0]).map(Number);
  const light = ([r, g, b]) => {
    const f = (v) => ((v /= 255) <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * f(r) + 0.7152 * f(g) + 0.0722 * f(b);
  };
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = 1;
  const pen = canvas.getContext("2d", { willReadFrequently: true });
  const behind = (element) => {
    const layers = [];
    for (let e = element; e; e = e.parentElement) layers.unshift(getComputedStyle(e).backgroundColor);
    pen.fillStyle = "#fff"; pen.fillRect(0, 0, 1, 1);
    for (const layer of layers) { pen.fillStyle = layer; pen.fillRect(0, 0, 1, 1); }
    return Array.from(pen.getImageData(0, 0, 1, 1).data);
  };
  const bad = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || !element.checkVisibility()) continue;
    if (element.closest("[disabled], svg, .sr, .skip, .status")) continue;
    const style = getComputedStyle(element);
    const [a, b] = [light(parse(style.color)), light(behind(element))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    const large = parseFloat(style.fontSize) >= 24;
    if (ratio < (large ? 3 : 4.5)) bad.push(`${walker.currentNode.data.trim().slice(0, 30)} ${ratio.toFixed(2)}`);
  }
  return bad;
}
"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_has_enough_contrast(open_page, served, scheme):
    """Every visible text reaches WCAG AA against what is behind it."""
    page = open_page("/p/vision/", color_scheme=scheme)
    for name, address in PAGES.items():
        page.goto(served.address + address)
        assert page.evaluate(CONTRAST) == [], name


@pytest.mark.parametrize("width", [390, 1440])
def test_axe_finds_no_violation(open_page, served, width):
    """Every page type meets WCAG 2.2 AA and axe's best practices, as far as a program can tell."""
    page = open_page("/p/vision/", width)
    script = Path(axe_playwright_python.__file__).with_name("axe.min.js").read_text("utf-8")
    told = []
    for name, address in PAGES.items():
        page.goto(served.address + address)
        page.evaluate(script)
        for rule in page.evaluate("axe.run(document, {resultTypes: ['violations']})")["violations"]:
            places = [" ".join(map(str, node["target"])) for node in rule["nodes"][:3]]
            told.append(f"{name}: {rule['id']}: {places}")
    assert not told, "\n".join(told)


def test_axe_would_tell(open_page):
    """A picture without words and a field without a label are found."""
    page = open_page("/p/vision/")
    page.evaluate("document.querySelector('main').innerHTML += '<img src=\"/x\"><input>'")
    page.evaluate(Path(axe_playwright_python.__file__).with_name("axe.min.js").read_text("utf-8"))
    found = page.evaluate("axe.run()")["violations"]
    assert {"image-alt", "label"} <= {rule["id"] for rule in found}


def test_pages_print_whole(open_page, served):
    """On paper nothing scrolls, and what only a screen can use is left out."""
    page = open_page("/p/vision/", 794)
    page.emulate_media(media="print")
    for name, address in PAGES.items():
        page.goto(served.address + address)
        cut = "all => all.filter(e => getComputedStyle(e).overflowX !== 'visible').length"
        assert page.locator(".scroll").evaluate_all(cut) == 0, name
        for useless in (".find", ".foot", ".pick .bar", ".tick", ".switch", ".filter"):
            assert page.locator(f"{useless}:visible").count() == 0, (name, useless)


def test_showing_all_and_differences_only(open_page):
    """The switch is a link that works without scripts and holds the whole selection."""
    page = open_page("/compare-checkpoints.html", java_script_enabled=False)
    link = page.get_by_role("link", name="Show all")
    asked = parse_qs(urlsplit(link.get_attribute("href")).query)
    assert asked == {
        "ref": ["Vision/digits@8", "Vision/digits@8:3", "Vision/digits@8:20", "Vision/digits@7"],
        "all": ["1"],
    }  # fmt: skip


def test_choosing_checkpoints_to_compare(open_page):
    """The series sends the references of the checkpoints chosen; a row leads to its checkpoint."""
    page = open_page("/p/vision/digits/8/checkpoints/")
    assert page.get_by_role("status").inner_text() == "Choose two or more checkpoints"
    page.get_by_label("Compare checkpoint 3", exact=True).check()
    page.get_by_label("Compare checkpoint 20", exact=True).check()
    with page.expect_request("**/compare?*") as asked:
        page.get_by_role("button", name="Compare", exact=True).click()
    chosen = parse_qs(urlsplit(asked.value.url).query)["ref"]
    assert sorted(chosen) == ["Vision/digits@8:20", "Vision/digits@8:3"]
    page.wait_for_url("**/compare?*")  # one cannot go back from where one is not yet
    page.go_back()
    page.get_by_role("link", name=":20", exact=True).click()
    page.wait_for_url("**/p/vision/digits/8/checkpoints/20/")
    page.get_by_role("link", name="← :19").click()
    page.wait_for_url("**/p/vision/digits/8/checkpoints/19/")


def test_hovering_a_time_tells_it_in_the_zone_of_the_reader(open_page):
    """In words of their language, with the exact time; what is shown stays the same for everybody."""
    page = open_page("/p/vision/digits/8/", timezone_id="Asia/Tokyo", locale="de-DE")
    time = page.locator("time").first
    title = time.get_attribute("title")
    assert time.get_attribute("datetime") in title
    assert "Donnerstag, 12. November 2026" in title
    assert time.inner_text().endswith("UTC")


# Search


def _hits(page):
    return page.locator("#hits .hit > a").evaluate_all(
        "all => all.map(a => a.getAttribute('href'))"
    )


def _until_read(page):
    page.locator("#search[aria-busy=false]").wait_for(timeout=10_000)


def test_search_answers_as_one_types(open_page):
    """Every key changes what is found; the address keeps the query, and opening it finds it again."""
    page = open_page("/search/?q=cheques")
    _until_read(page)
    assert _hits(page) == ["/p/vision/digits/"]
    box = page.get_by_label("Search models and versions")
    box.fill("")
    box.press_sequentially("accuracy > 0.96 format:safetensors")
    assert _hits(page) == [f"/p/vision/digits/{at}" for at in ("", "8/", "7/", "6/")]
    assert page.get_by_role("status").inner_text() == "4 results."
    box.fill("accuracy > much")
    assert page.get_by_role("status").inner_text().startswith("After accuracy > comes a number")
    box.fill("nowhere to be found")
    assert page.get_by_role("status").inner_text() == "Nothing found."
    box.fill("kind:version -by:grace")
    page.wait_for_url("**/search/?q=kind%3Aversion+-by%3Agrace")
    first = _hits(page)
    page.reload()
    _until_read(page)
    assert _hits(page) == first != []
    assert page.said == []


def test_search_by_keyboard_alone(open_page):
    """`/` from any page, arrows through what was found, Enter to open; Escape goes back to the box."""
    page = open_page("/p/text-embeddings/")
    page.keyboard.press("/")
    page.keyboard.type("top1 > 0.84")
    page.keyboard.press("Enter")
    page.wait_for_url("**/search/?q=top1+%3E+0.84")
    _until_read(page)
    found = _hits(page)
    assert found == ["/p/vision/faces/", "/p/vision/faces/5/"]
    focused = "document.activeElement.getAttribute('href') || document.activeElement.name"
    page.keyboard.press("/")
    assert page.evaluate(focused) == "q"
    for key, wanted in (
        ("ArrowUp", "q"), ("ArrowDown", found[0]), ("ArrowDown", found[1]), ("ArrowDown", found[1]),
        ("ArrowUp", found[0]), ("Escape", "q"), ("ArrowDown", found[0]), ("ArrowDown", found[1]),
    ):  # fmt: skip
        page.keyboard.press(key)
        assert page.evaluate(focused) == wanted, key
    page.keyboard.press("Enter")
    page.wait_for_url("**/p/vision/faces/5/")
    page.go_back()
    _until_read(page)
    page.keyboard.press("/")
    page.keyboard.type("cheques/")  # in the box it is a letter
    assert page.get_by_label("Search models and versions").input_value() == "cheques/"
    assert page.said == []


def test_scripts_show_what_the_server_shows(open_page, served, renderer):
    """The same rows, word for word, whichever side found them."""
    source = world()
    served_pages = []
    asked = (
        "accuracy > 0.9",
        "lr < 0.1",
        "kind:model",
        "kind:version",
        "verdict:*",
        "adam",
        "x",
        "latency_ms>0",
    )
    for number, text in enumerate(asked):
        page = answering.search_page(_answer(source, text))
        (served.folder / f"answer-{number}.html").write_bytes(renderer.render(page))
        served_pages.append(f"/answer-{number}.html")
    without = open_page("/", java_script_enabled=False)
    with_scripts = open_page("/search/")
    for text, address in zip(asked, served_pages, strict=True):
        without.goto(served.address + address)
        with_scripts.goto(f"{served.address}/search/?{urlencode({'q': text})}")
        _until_read(with_scripts)
        wanted = [" ".join(t.split()) for t in without.locator("#hits > li").all_inner_texts()]
        shown = [" ".join(t.split()) for t in with_scripts.locator("#hits > li").all_inner_texts()]
        assert shown == wanted != [], text
        said = without.get_by_role("status").inner_text()
        assert with_scripts.get_by_role("status").inner_text() == said


def test_searching_hostile_strings_does_nothing(open_page, served):
    """Whatever names, texts and queries hold, scripts show it as text."""
    page = open_page("/", 390)
    page.add_init_script("window.ran = 0; window.alert = () => { window.ran += 1; }")
    page.goto(f"{served.address}/hostile-search.html?q=kind:model")
    _until_read(page)
    box = page.get_by_label("Search models and versions")
    for text in ("kind:model", "kind:version", *STRINGS[::3], *(f'"{s}"' for s in STRINGS[::3])):
        box.evaluate(
            "(box, text) => { box.value = text; box.dispatchEvent(new Event('input')); }", text
        )
        assert page.evaluate("window.ran") == 0, text
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, text
    box.fill("kind:model")
    assert len(_hits(page)) == 50
    assert all(href.startswith("/p/hostile/") for href in _hits(page))
    assert page.said == []


def test_parts_of_the_index_that_cannot_be_read_are_told(open_page, served):
    """What is there is searched; a session that is over leads to the sign-in form."""
    page = open_page("/404.html")
    page.route("**/p/vision/digits/versions/**", lambda route: route.fulfill(status=503))
    page.goto(f"{served.address}/search/?q=production")
    _until_read(page)
    assert "1 part of the index could not be read" in page.get_by_role("status").inner_text()
    assert "/p/vision/faces/5/" in _hits(page)
    assert "/p/vision/digits/" in _hits(page)
    page.unroute("**/p/vision/digits/versions/**")
    page.route("**/search.json", lambda route: route.fulfill(status=401))
    page.goto(f"{served.address}/search/?q=production")
    link = page.get_by_role("link", name="Sign in again")
    link.wait_for()
    assert link.get_attribute("href") == "/sign-in?next=%2Fsearch%2F%3Fq%3Dproduction"


def test_the_index_is_read_when_it_is_asked_for(open_page, served, renderer):
    """An answer in part brings no megabytes along; its link, or a key, brings the rest, on the same page."""
    view = _answer(world(), "accuracy > 0.9")
    part = replace(view, hits=view.hits[:1], total=1, unread=3)
    page_of_it = renderer.render(answering.search_page(part))
    (served.folder / "answer-in-part.html").write_bytes(page_of_it)
    page = open_page("/404.html")
    asked = []
    page.on("request", lambda request: asked.append(urlsplit(request.url).path))
    for act in (
        lambda: page.get_by_role("link", name="Search them too").click(),
        lambda: page.get_by_label("Search models and versions").press_sequentially(" "),
    ):
        page.goto(f"{served.address}/answer-in-part.html", wait_until="networkidle")
        assert not [path for path in asked if path.endswith(".json")]
        assert _hits(page) == [view.hits[0].path]
        act()
        page.locator("#hits .hit").nth(1).wait_for()
        _until_read(page)
        assert _hits(page) == [hit.path for hit in view.hits]
        assert page.locator(".left-out").count() == 0
        assert page.said == []
        asked.clear()


def test_search_without_scripts(open_page):
    """The form is a form: its answer comes from the server, rows, count and what went wrong."""
    page = open_page("/search-served.html", java_script_enabled=False)
    assert len(_hits(page)) > 3
    assert "result" in page.get_by_role("status").inner_text()
    page = open_page("/p/vision/", java_script_enabled=False)
    page.get_by_label("Search models and versions").fill("digits")
    with page.expect_request("**/search?q=digits"):
        page.keyboard.press("Enter")
