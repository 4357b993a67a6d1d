"""Pages against golden files, and what single pages promise.

`WEIGHBRIDGE_GOLDEN=update` writes the golden files anew; look at their difference before a commit.
"""

import os
import re
from dataclasses import replace
from pathlib import Path

import pytest
from jinja2 import UndefinedError

from chalicelib.catalogue import comparing, pages, parties, reading, series_pages
from chalicelib.catalogue.pages import Page
from chalicelib.catalogue.render import CONTENT_SECURITY_POLICY, Renderer, canonical
from chalicelib.catalogue.views import NO_FACTS, ErrorView, HomeView, SignInView
from tests.catalogue.catalogue_compare import compared
from tests.catalogue.catalogue_world import MODEL_ID
from tests.catalogue.markup import read
from weighbridge.contract.types import Event, Package, Who

GOLDEN = Path(__file__).parent / "golden"
WHO = Who("ada", ())


def _rich(source):
    model = source.model_list["p1", "digits"]
    minilm = source.model_list["p2", "all-MiniLM-L6-v2"]
    eighth = reading.version_view(source, "p1", model, source.version("p1", model, 8))
    encoder = reading.version_view(source, "p2", minilm, source.version("p2", minilm, 1))
    guest = source.model_list["p4", f"guest#9999#{MODEL_ID}"]
    party = reading.version_view(source, "p4", guest, source.version("p4", guest, 2))
    events = (
        ("Vision", Event("2", "2026-11-11T17:10:00.000Z", "alias.moved", "ada", "digits",
                         "staging", {"version": 8, "previous": 7})),
        ("Vision", Event("1", "2026-11-11T16:10:00.000Z", "version.published", "ci-trainer",
                         "digits", "digits@8")),
    )  # fmt: skip
    home = HomeView(WHO, tuple(summary for _, summary in source.summaries()), events)
    return {
        "home": pages.home_page(home),
        "project": pages.project_page(reading.project_view(source, "p1", source.projects["p1"])),
        "model": pages.model_page(reading.model_view(source, "p1", model)),
        "version": pages.version_page(eighth),
        "encoder": pages.version_page(encoder),
        "checkpoints": series_pages.checkpoints_page(reading.checkpoints_view(eighth)),
        "compare": comparing.compare_page(compared(source, "p1", "digits", 4, 8)),
        "checkpoint": series_pages.point_page(
            reading.point_view(
                source, "p1", model, eighth.version, eighth.checkpoints[11], (11, 13)
            )
        ),
        "federated": parties.federated_page(
            reading.federated_view(source, "p4", "models", MODEL_ID)
        ),
        "party": pages.version_page(party),
        "sign-in": pages.sign_in_page(SignInView("/p/vision/", "That token is not known.")),
        "not-found": pages.not_found_page(),
    }


@pytest.mark.parametrize(
    "name",
    ["home", "project", "model", "version", "encoder", "checkpoints", "checkpoint", "compare", "federated",
     "party", "sign-in", "not-found"],
)  # fmt: skip
def test_pages_are_as_they_were(name, source, renderer):
    """A page changes only when somebody meant it: the golden file shows the difference."""
    text = renderer.render(_rich(source)[name]).decode()
    text = re.sub(r"\?v=[0-9a-f]{8}", "?v=00000000", text)
    path = GOLDEN / f"{name}.html"
    if os.environ.get("WEIGHBRIDGE_GOLDEN") == "update":
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8")
    assert read(text.encode()).problems == []


def test_the_sign_in_form_carries_where_to_go(renderer):
    """The form posts the token and the page to return to."""
    text = renderer.render(pages.sign_in_page(SignInView('/p/"x/'))).decode()
    assert '<form method="post" action="/sign-in">' in text
    assert 'name="next" value="/p/&#34;x/"' in text
    assert 'name="token"' in text


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 500, 503])
def test_errors_say_what_to_do(status, renderer):
    """Every status has a title, a reason and a hint; given texts win."""
    found = read(renderer.render(pages.error_page(ErrorView(status))))
    assert found.problems == []
    text = renderer.render(pages.error_page(ErrorView(status, message="Because of <x>"))).decode()
    assert "Because of &lt;x&gt;" in text


def test_the_versions_form_works_without_scripts(source, renderer):
    """Each version has a checkbox in a plain GET form to the compare page."""
    model = source.model_list["p1", "digits"]
    text = renderer.render(pages.model_page(reading.model_view(source, "p1", model))).decode()
    assert '<form class="pick" method="get" action="/compare"' in text
    assert 'name="ref" value="Vision/digits@8"' in text
    assert "disabled" not in text


def test_an_open_version_is_shown_as_in_progress(source, renderer):
    """Its checkpoints are there, its files are not, and it cannot be pulled yet."""
    model = source.model_list["p1", "digits"]
    view = reading.version_view(source, "p1", model, source.version("p1", model, 9))
    text = renderer.render(pages.version_page(view)).decode()
    assert "This version is being pushed" in text
    assert "All 6 checkpoints" in text
    assert "weighbridge pull" not in text


def test_not_indexed_and_broken_files_are_told_apart(source, renderer):
    """A file without facts is waiting; one with a problem says which."""
    model = source.model_list["p1", "digits"]
    view = reading.version_view(source, "p1", model, source.version("p1", model, 8))
    waiting, broken, _ = view.facts.items
    broken = replace(broken, facts=replace(broken.facts, problem="the header is cut off"))
    view = replace(view, facts=replace(view.facts, items=(replace(waiting, facts=None), broken)))
    text = renderer.render(pages.version_page(view)).decode()
    assert "not indexed yet" in text
    assert "the header is cut off" in text


def test_without_a_main_metric_the_page_says_how_to_name_one(source, renderer):
    """The hint carries the model's own reference."""
    model = source.model_list["p2", "long-documents"]
    text = renderer.render(pages.model_page(reading.model_view(source, "p2", model))).decode()
    assert "weighbridge model set Text-Embeddings/long-documents --main-metric" in text


def test_the_newest_of_very_many_checkpoints_are_listed(source, renderer):
    """Five thousand stay below the page's limit, with the command for the rest."""
    model = source.model_list["p1", "digits"]
    first = source.checkpoint_list["p1", "digits", 8][0]
    source.checkpoint_list["p1", "digits", 8] = tuple(
        replace(first, number=n, step=n * 10, metrics={"accuracy": n / 5000, "loss": 1 / n})
        for n in range(1, 5001)
    )
    view = reading.version_view(source, "p1", model, source.version("p1", model, 8))
    data = renderer.render(series_pages.checkpoints_page(reading.checkpoints_view(view)))
    assert b"5,000 checkpoints" in data
    assert b"weighbridge checkpoint ls <bdi>Vision/digits@8</bdi>" in data
    assert len(data) < 300_000


def test_the_same_page_gives_the_same_bytes(source):
    """Two renderers, two renderings: byte for byte the same."""
    first, second = Renderer(), Renderer()
    for page in _rich(source).values():
        assert first.render(page) == second.render(page) == first.render(page)
        assert first.files(page) == second.files(page)


def test_a_template_that_misses_data_fails(renderer):
    """What a template names and a page lacks is an error, never an empty place."""
    with pytest.raises(UndefinedError):
        renderer.render(Page("/x/", "home.html", {"title": "x", "crumbs": ()}))


def test_documents_are_canonical():
    """Keys sorted, no spaces, ASCII, numbers that JSON lacks as the contract's words."""
    data = canonical({"b": float("nan"), "a": ("é\ud800", None)})
    assert data == b'{"a":["\\u00e9\\ud800",null],"b":"NaN"}'


def test_the_policy_forbids_inline_and_foreign():
    """Nothing inline, nothing foreign, no framing."""
    assert "unsafe" not in CONTENT_SECURITY_POLICY
    assert "http" not in CONTENT_SECURITY_POLICY
    assert "frame-ancestors 'none'" in CONTENT_SECURITY_POLICY


def test_the_style_sheet_and_script_name_no_other_host(renderer):
    """Everything a page needs comes from its own site."""
    for key, data in renderer.static_files().items():
        text = data.decode().replace("http://www.w3.org/2000/svg", "")
        assert "//" not in re.sub(r"(^|\n)\s*//.*", "", text), key
        assert "url(" not in text
        assert "@import" not in text


def test_a_model_shows_its_attributes_and_a_version_where_its_bytes_lie(source, renderer):
    """Typed facts of a model; the address of what was registered without files, escaped."""
    model = replace(source.model_list["p1", "digits"], attributes={"licence": "<mit>", "depth": 18})
    text = renderer.render(pages.model_page(reading.model_view(source, "p1", model))).decode()
    assert "&lt;mit&gt;" in text
    assert "licence" in text
    package = Package("p" * 16, "m.zip", 0, "", "", "https://x.example/<b>.zip")
    version = replace(source.version("p1", model, 8), package=package, files=0, manifest="")
    view = replace(reading.version_view(source, "p1", model, version), facts=NO_FACTS)
    text = renderer.render(pages.version_page(view)).decode()
    assert "https://x.example/&lt;b&gt;.zip" in text
    assert read(text.encode()).problems == []
