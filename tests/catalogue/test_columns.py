"""Choosing the columns of a table: forty metrics stay readable, the choice can be sent and is remembered."""

import math
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import axe_playwright_python
import pytest

from chalicelib.catalogue import building, formats, tables
from tests.catalogue.browsing import serving
from tests.catalogue.catalogue_world import FakeSource, at
from tests.catalogue.hostile import STRINGS
from weighbridge.contract.types import Checkpoint, ModelSettings, Project

pytestmark = pytest.mark.browser

MODEL = "/p/lab/wide/"
METRICS = ["score", *(f"m{number:02}" for number in range(39))]
SEED = 12345678901234567890
ODD = {1: 1e-9, 2: -123456.789, 3: math.nan, 4: math.inf, 5: 3.0, 6: 1234567.0, 7: 0.1 + 0.2}


def _wide():
    """A model with forty metrics and nine params in twelve versions, with checkpoints; and a hostile one."""
    source = FakeSource()
    source.projects["w"] = Project("Lab", "", False, at(1), "ada")
    settings = ModelSettings("score", {"score": "max", "m30": "min"})
    source.add_model("w", "wide", settings=settings)
    for number in range(1, 13):
        metrics = {name: round(number / 7 + index, 6) for index, name in enumerate(METRICS)}
        metrics["odd"] = ODD.get(number, 0.5)
        if number == 12:
            del metrics["m30"]
        params = {"seed": SEED + number, "constant": "same", "lr": 10**-number, "flag": number > 6,
                  "nested": {"b": [1, 2.5, None], "a": "x"}, "many": 10**6 + number, "text": f"run {number}",
                  "late": number, "one": 1}  # fmt: skip
        source.add_version("w", "wide", number, metrics=metrics, params=params)
    source.checkpoint_list["w", "wide", 12] = tuple(
        Checkpoint(
            "Lab", "wide", 12, n, step=n * 10, metrics={m: n + i for i, m in enumerate(METRICS)}
        )
        for n in range(1, 9)
    )
    source.add_model("w", "hostile")
    named = dict.fromkeys((s for s in STRINGS if s), 1.0)
    for number in (1, 2):
        source.add_version("w", "hostile", number, metrics=named, params={s: s for s in named})
    return source


@pytest.fixture(scope="module")
def served(tmp_path_factory, renderer):
    """The site, over HTTP."""
    folder = tmp_path_factory.mktemp("columns")
    building.build(_wide(), folder, renderer)
    with serving(folder) as server:
        yield server


@pytest.fixture
def context(browser):
    """One reader's browser."""
    made = browser.new_context(viewport={"width": 1440, "height": 900})
    made.said = []
    made.on("weberror", lambda e: made.said.append(str(e.error)))
    made.on("console", lambda m: made.said.append(m.text) if m.type == "error" else None)
    yield made
    made.close()


@pytest.fixture
def open_page(context, served):
    """Opens an address in a tab of the reader."""

    def opened(address):
        page = context.new_page()
        page.goto(served.address + address)
        return page

    return opened


def heads(page):
    """The ids of the columns shown, in order."""
    return page.locator("th[data-column]").evaluate_all("all => all.map(h => h.dataset.column)")


def column(page, identifier):
    """What a column's cells say by the number of their version."""
    return page.evaluate(
        """id => {
            const table = document.querySelector("table[data-columns]");
            const at = [...table.tHead.rows[0].cells].findIndex((h) => h.dataset.column === id);
            return Object.fromEntries([...table.tBodies[0].rows].map((row) => {
                const cell = row.cells[at].cloneNode(true);
                cell.querySelectorAll(".sr").forEach((e) => e.remove());
                return [row.querySelector("th").dataset.v, cell.textContent.trim()];
            }));
        }""",
        identifier,
    )


def choose(page, *names):
    """Ticks columns in the list."""
    if not page.locator("details.columns[open]").count():
        page.locator("details.columns > summary").click()
    for name in names:
        page.locator(".choose").get_by_label(name, exact=True).check()


def test_without_scripts_a_few_columns_and_the_way_to_all(browser, served):
    """The main metric first, a few more, params that vary; the rest is on the versions' own pages."""
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(served.address + MODEL)
    shown = heads(page)
    assert shown[0] == "m:score"
    assert len(shown) == tables.MOST_METRICS + tables.MOST_PARAMS
    hint = page.locator(".left-out")
    assert hint.inner_text() == "35 more metrics and 5 more params on each version's own page."
    assert page.locator("details.columns").count() == 0
    page.goto(f"{served.address}{MODEL}12/")
    for name in ("m38", "odd", "constant", "nested"):
        assert page.get_by_text(name, exact=True).count()
    context.close()


def test_columns_are_chosen_by_keyboard_sent_and_remembered(open_page, served, browser, context):
    """Enter opens the list, Space ticks; the address holds the choice for others, the browser for oneself."""
    page = open_page(MODEL)
    assert page.locator("details.columns > summary").inner_text() == "Columns 10 of 50"
    page.locator("details.columns > summary").focus()
    page.keyboard.press("Enter")
    page.get_by_label("Find a column").wait_for()
    page.keyboard.press("Tab")
    page.keyboard.type("m3")
    page.keyboard.press("Enter")  # chooses nothing, and sends no form
    assert page.locator(".choose label:visible").count() == 9
    page.locator(".choose").get_by_label("m30", exact=True).focus()
    page.keyboard.press("Space")
    assert "m:m30" in heads(page)
    assert page.locator("details.columns > summary").inner_text() == "Columns 11 of 50"
    assert "m:m30" in parse_qs(urlsplit(page.url).query)["column"]
    page.keyboard.press("Escape")
    assert page.evaluate("document.activeElement.tagName") == "SUMMARY"
    assert page.locator(".choose").is_hidden()
    chosen, sent = heads(page), page.url
    for address in (
        MODEL,
        f"{MODEL}versions/1-100/",
    ):  # in another tab, and on the pages of older versions
        again = open_page(address)
        again.locator('th[data-column="m:m30"]').wait_for()
        assert heads(again) == chosen
    colleague = browser.new_context()
    page = colleague.new_page()
    page.goto(sent)
    page.locator('th[data-column="m:m30"]').wait_for()
    assert heads(page) == chosen
    assert page.evaluate("localStorage.length") == 0
    colleague.close()
    assert context.said == []


def test_chosen_columns_say_what_the_server_would(open_page):
    """Numbers and params word for word, the exact value beside; whole numbers keep all their digits."""
    page = open_page(MODEL)
    choose(page, "odd", "seed", "nested", "constant", "flag", "many")
    shown = column(page, "m:odd")
    assert shown == {str(n): formats.number(ODD.get(n, 0.5)) for n in range(1, 13)}
    assert column(page, "p:seed") == {str(n): str(SEED + n) for n in range(1, 13)}
    assert column(page, "p:many")["3"] == "1000003"
    assert column(page, "p:flag")["7"] == formats.exact(True)
    assert column(page, "p:nested")["1"] == formats.clipped(
        formats.exact({"b": [1, 2.5, None], "a": "x"}), 32
    )
    assert (
        page.locator('td[data-v="0.30000000000000004"] [title="0.30000000000000004"]').count() == 1
    )


def test_chosen_columns_are_sorted_and_know_their_best(open_page):
    """By the declared direction; what is missing comes last either way."""
    page = open_page(MODEL)
    choose(page, "m30")
    page.keyboard.press("Escape")
    best = page.locator("td.best").filter(has_text=formats.number(round(1 / 7 + 31, 6)))
    assert best.count() == 1
    assert column(page, "m:m30")["12"] == formats.DASH
    order = "all => all.map((h) => h.dataset.v)"
    rows = page.locator("tbody th.lead")
    page.get_by_role("button", name="m30").click()
    assert rows.evaluate_all(order) == [*map(str, range(11, 0, -1)), "12"]
    page.get_by_role("button", name="m30").click()
    assert rows.evaluate_all(order) == [*map(str, range(1, 12)), "12"]
    choose(page, "text")  # and a column chosen afterwards stands beside the right rows
    assert column(page, "p:text") == {str(n): f"run {n}" for n in range(1, 13)}


def test_all_none_and_as_it_was(open_page):
    """All forty fit the screen, because the table scrolls; none leaves what a version is; reset forgets."""
    page = open_page(MODEL)
    choose(page)
    page.get_by_role("button", name="All", exact=True).click()
    assert len(heads(page)) == 50
    for width in (1440, 390):
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        box = page.locator(".choose").bounding_box()
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= width
    page.get_by_role("button", name="None", exact=True).click()
    assert heads(page) == []
    assert parse_qs(urlsplit(page.url).query, keep_blank_values=True)["column"] == [""]
    page.reload()
    assert heads(page) == []
    choose(page)
    page.get_by_role("button", name="Reset").click()
    assert len(heads(page)) == 10
    assert urlsplit(page.url).query == ""
    assert page.evaluate("localStorage.length") == 0


def test_an_address_with_columns_that_are_gone_shows_the_rest(open_page):
    """Those that are there are shown; with none of them, the page is as it is for everybody."""
    page = open_page(f"{MODEL}?column=m:m20&column=m:gone")
    page.locator('th[data-column="m:m20"]').wait_for()
    assert heads(page) == ["m:m20"]
    page = open_page("/404.html")
    with page.expect_response("**/index.json"):
        page.goto(page.url.replace("/404.html", f"{MODEL}?column=m:gone"))
    assert len(heads(page)) == 10


def test_a_list_that_cannot_be_read_says_so_and_is_read_again(open_page):
    """The table stays as it is; closing and opening the list tries anew."""
    page = open_page(MODEL)
    page.route("**/index.json", lambda route: route.fulfill(status=503))
    page.locator("details.columns > summary").click()
    page.get_by_text("could not be read").wait_for()
    assert len(heads(page)) == 10
    page.unroute("**/index.json")
    page.locator("details.columns > summary").click()
    choose(page, "m38")
    assert "m:m38" in heads(page)


def test_checkpoints_have_columns_to_choose_too(open_page):
    """Their metrics; remembered apart from those of versions."""
    page = open_page(f"{MODEL}12/checkpoints/")
    choose(page, "m38")
    assert column(page, "m:m38") == {str(n): str(n + 39) for n in range(1, 9)}
    page = open_page(f"{MODEL}12/checkpoints/1-100/")
    page.locator('th[data-column="m:m38"]').wait_for()
    assert "m:m38" not in heads(open_page(MODEL))


def test_hostile_names_are_columns_like_any_other(open_page, context):
    """Every one can be chosen and does nothing."""
    page = open_page("/p/lab/hostile/")
    page.evaluate("window.ran = 0; window.alert = () => { window.ran += 1; }")
    choose(page)
    page.get_by_role("button", name="All", exact=True).click()
    assert len(heads(page)) >= 2 * len({s for s in STRINGS if s})
    page.reload()
    assert page.evaluate("window.ran") is None
    page.set_viewport_size({"width": 390, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert context.said == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_open_list_passes_axe(open_page, scheme):
    """Its groups, boxes and buttons have names and contrast."""
    page = open_page(MODEL)
    page.emulate_media(color_scheme=scheme)
    choose(page, "m38")
    page.evaluate(Path(axe_playwright_python.__file__).with_name("axe.min.js").read_text("utf-8"))
    assert page.evaluate("axe.run()")["violations"] == []
