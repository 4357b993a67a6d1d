"""The compare page: differences first, judged by the declared directions."""

import math
from dataclasses import replace

from chalicelib.catalogue import comparing
from tests.catalogue.catalogue_compare import compared
from tests.catalogue.markup import read
from weighbridge.contract.types import (
    Comparison,
    Difference,
    Model,
    ModelSettings,
    Section,
    Version,
)


def _sections(page):
    return {section.title: section for section in page.data["sections"]}


def test_metrics_are_judged_by_their_direction(source):
    """Larger accuracy and smaller loss are better; what has no direction is only different."""
    page = comparing.compare_page(compared(source, "p1", "digits", 6, 8))
    rows = {row.name: row for row in _sections(page)["metrics"].rows}
    assert next(row.name for row in _sections(page)["metrics"].rows) == "accuracy"
    assert rows["accuracy"].cells[1].verdict == "better"
    assert rows["accuracy"].cells[1].delta == "+0.0056 (+0.58 %)"
    assert rows["loss"].cells[1].verdict == "better"
    assert rows["seconds"].cells[1].verdict == ""
    assert page.data["headline"].name == "accuracy"
    turned = comparing.compare_page(compared(source, "p1", "digits", 8, 6))
    rows = {row.name: row for row in _sections(turned)["metrics"].rows}
    assert rows["accuracy"].cells[1].verdict == "worse"


def test_tensors_say_how_they_changed(source, renderer):
    """Added, removed, reshaped, retyped and changed tensors show both shapes and types."""
    page = comparing.compare_page(compared(source, "p1", "digits", 4, 5))
    changes = {row.name: row.change for row in _sections(page)["tensors"].rows}
    assert changes == {
        "hidden.bias": "reshaped", "hidden.weight": "reshaped", "output.weight": "reshaped",
    }  # fmt: skip
    text = renderer.render(page).decode()
    assert "F32 [64 × 32]" in text
    assert "F32 [64 × 64]" in text
    typed = comparing.compare_page(compared(source, "p2", "all-MiniLM-L6-v2", 1, 2))
    assert dict(_sections(typed)["tensors"].counts) == {"retyped": 101}
    grown = comparing.compare_page(compared(source, "p2", "all-MiniLM-L6-v2", 1, 3))
    assert dict(_sections(grown)["tensors"].counts) == {"added": 96}
    order = [row.name for row in _sections(grown)["tensors"].rows]
    assert order.index("encoder.layer.9.output.dense.bias") < order.index(
        "encoder.layer.10.output.dense.bias"
    )
    shrunk = comparing.compare_page(compared(source, "p2", "all-MiniLM-L6-v2", 3, 1))
    assert dict(_sections(shrunk)["tensors"].counts) == {"removed": 96}


def test_what_is_the_same_is_folded_away(source, renderer):
    """Equal rows are counted, and listed in a fold where the data is there."""
    page = comparing.compare_page(compared(source, "p1", "digits", 6, 8))
    params = _sections(page)["params"]
    assert params.same == 4
    assert [row.name for row in params.equal] == ["epochs", "hidden", "lr", "optimizer"]
    assert [row.name for row in _sections(page)["tensors"].equal] == ["hidden.bias", "output.bias"]
    view = replace(compared(source, "p1", "digits", 6, 8), facts=(), files=())
    bare = comparing.compare_page(view)
    assert _sections(bare)["tensors"].equal == ()
    assert _sections(bare)["tensors"].same == 2
    assert b"2 the same" in renderer.render(bare)


def test_equal_versions_have_no_difference(source, renderer):
    """A version beside itself says so."""
    text = renderer.render(comparing.compare_page(compared(source, "p1", "digits", 6, 6))).decode()
    assert "No difference" in text
    assert '<td class="differs"' not in text


def test_up_to_six_sides_each_may_be_left_out(source, renderer):
    """With three or more sides each has an address without it; pages stay well formed."""
    page = comparing.compare_page(compared(source, "p1", "digits", 1, 2, 3, 4, 5, 6))
    without = [side.without for side in page.data["sides"]]
    assert len(without) == 6
    assert without[0].count("ref=") == 5
    assert "digits%401" not in without[0]
    assert read(renderer.render(page)).problems == []
    two = comparing.compare_page(compared(source, "p1", "digits", 1, 2))
    assert [side.without for side in two.data["sides"]] == ["", ""]


def test_lineage_between_the_sides_is_told(source, renderer):
    """A parent and its child among the sides are named."""
    page = comparing.compare_page(compared(source, "p1", "digits", 7, 8))
    assert page.data["lineage"] == (("Vision/digits@8", "Vision/digits@7"),)


def _metrics(first, second, settings):
    sides = (
        Version("p", "a", 1, "ready", metrics=first), Version("p", "b", 1, "ready", metrics=second),
    )  # fmt: skip
    names = dict.fromkeys([*first, *second])
    section = Section(
        "metrics", tuple(Difference(n, (first.get(n), second.get(n)), "changed") for n in names)
    )
    models = tuple(
        Model("p", name, name * 4, settings=chosen)
        for name, chosen in zip("ab", settings, strict=True)
    )
    view = comparing.CompareView(Comparison(("p/a@1", "p/b@1"), sides, (section,)), models)
    return comparing.compare_page(view)


def test_models_that_disagree_give_no_verdict(renderer):
    """Where two models declare opposite directions nothing is called better."""
    up, down = ModelSettings("m", {"m": "max"}), ModelSettings("m", {"m": "min"})
    page = _metrics({"m": 1.0}, {"m": 2.0}, (up, down))
    assert page.data["sections"][0].rows[0].cells[1].verdict == ""
    page = _metrics({"m": 1.0}, {"m": 2.0}, (up, ModelSettings()))
    assert page.data["sections"][0].rows[0].cells[1].verdict == "better"


def test_values_that_are_no_numbers_do_not_break_the_page(renderer):
    """Infinity, NaN, zero and huge ratios are shown without a nonsensical delta."""
    first = {"a": 0.0, "b": math.nan, "c": math.inf, "d": 1e-300, "e": -1.0, "f": 1.0}
    second = {"a": 1.0, "b": 1.0, "c": -math.inf, "d": 1e300, "e": 1.0}
    page = _metrics(first, second, (ModelSettings(), ModelSettings()))
    deltas = {row.name: row.cells[1].delta for row in page.data["sections"][0].rows}
    assert deltas == {
        "a": "+1", "b": "", "c": "", "d": "+1e+300", "e": "+2 (+200 %)", "f": "",
    }  # fmt: skip
    assert b"absent" in renderer.render(page)


def test_different_models_are_told_apart(renderer):
    """Sides of different models carry the model's name in their heading."""
    page = _metrics({"a": 1.0}, {"a": 2.0}, (ModelSettings(), ModelSettings()))
    assert page.data["names"] == ("a@1", "b@1")


def test_unknown_models_leave_the_page_without_links(source, renderer):
    """Without the models the page still renders, only their addresses are missing."""
    view = replace(compared(source, "p1", "digits", 6, 8), models=())
    page = comparing.compare_page(view)
    assert [side.path for side in page.data["sides"]] == ["", ""]
    assert read(renderer.render(page)).problems == []


def test_very_many_differences_are_cut(renderer):
    """Beyond five hundred rows the page names the command for the rest."""
    first = {f"m{n}": 1.0 for n in range(700)}
    page = _metrics(first, dict.fromkeys(first, 2.0), (ModelSettings(), ModelSettings()))
    data = renderer.render(page)
    assert b"200 more differences" in data
    assert len(data) < 300_000
