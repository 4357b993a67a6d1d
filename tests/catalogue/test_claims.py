"""What is claimed of tensors is shown as claimed, on the version's page and beside differences."""

import html
import re
from dataclasses import replace

from chalicelib.catalogue import comparing, pages, reading
from chalicelib.catalogue.views import CompareView
from tests.catalogue.markup import read
from weighbridge.contract import codec
from weighbridge.contract.types import ClaimsSummary, Comparison, Difference, Section, Statistics

FIGURES = Statistics(100, 50, -1.5, 2.0, 0.25, 0.5, nan=0.02)
SUMMARY = ClaimsSummary(("0" * 20,), tensors=4, fingerprints=4, statistics=4, sampled=1, nan=1)


def text_of(renderer, page):
    """What a reader sees of a sound page."""
    data = renderer.render(page)
    assert not read(data).problems
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", data.decode())).split())


def version_view(source, **claims):
    """The page of a version whose first tensor has statistics."""
    model = source.model_list["p1", "digits"]
    view = reading.version_view(source, "p1", model, source.version("p1", model, 8))
    at = next(i for i, item in enumerate(view.facts.items) if item.facts and item.facts.tensors)
    first = view.facts.items[at]
    tensors = tuple(replace(t, statistics=FIGURES) for t in first.facts.tensors[:1])
    facts = replace(first.facts, tensors=(*tensors, *first.facts.tensors[1:]))
    before, after = view.facts.items[:at], view.facts.items[at + 1 :]
    items = (*before, replace(first, facts=facts), *after)
    return replace(
        view, facts=replace(view.facts, items=items), version=replace(view.version, **claims)
    )


def test_the_version_page_shows_statistics_as_claimed(source, renderer):
    """Figures stand with their tensor, NaN is marked, and it says whose word it is."""
    text = text_of(renderer, pages.version_page(version_view(source, claims=SUMMARY)))
    assert "0.25 ± 0.5, −1.5 to 2, 2 % NaN (of 50 % of the values)" in text
    assert "claimed by the pusher" in text
    assert "1 tensor with NaN" in text


def test_a_version_without_claims_says_nothing_of_them(source, renderer):
    """No claims, no words about claims."""
    model = source.model_list["p1", "digits"]
    view = reading.version_view(source, "p1", model, source.version("p1", model, 8))
    assert "claimed" not in text_of(renderer, pages.version_page(view))


def test_compare_shows_renames_and_figures_as_claimed(source, renderer):
    """A renamed tensor is one row with both names; figures are said to be claimed."""
    model = source.model_list["p1", "digits"]
    versions = tuple(replace(source.version("p1", model, n), claims=SUMMARY) for n in (6, 8))
    value = {"dtype": "F32", "shape": [2], "bytes": 8, "fingerprint": "ab" * 16,
             "statistics": codec.encode(FIGURES)}  # fmt: skip
    renamed = Difference(
        "block.w", ({**value, "name": "layer.w"}, {**value, "name": "block.w"}), "renamed"
    )
    comparison = Comparison(
        ("p/digits@6", "p/digits@8"), versions, (Section("tensors", (renamed,)),)
    )
    text = text_of(renderer, comparing.compare_page(CompareView(comparison, (model, model))))
    assert "1 renamed" in text
    assert "layer.w" in text
    assert "0.25 ± 0.5" in text
    assert "claimed by the pushers" in text
