"""The compare page: differences first, judged by the declared directions."""

import math
from dataclasses import replace
from urllib.parse import parse_qs, urlsplit

from chalicelib.catalogue import comparing
from tests.catalogue.catalogue_compare import compared, mixed
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


def test_what_is_the_same_is_shown_when_asked_for(source, renderer):
    """Equal rows are counted; with all of it shown they follow the differences, as far as is known."""
    view = compared(source, "p1", "digits", 6, 8)
    params = _sections(comparing.compare_page(view))["params"]
    assert (params.same, [row.name for row in params.rows]) == (4, ["schedule"])
    page = comparing.compare_page(replace(view, everything=True))
    rows = {title: section.rows for title, section in _sections(page).items()}
    assert [row.name for row in rows["params"]] == [
        "schedule", "epochs", "hidden", "lr", "optimizer",
    ]  # fmt: skip
    assert [r.name for r in rows["tensors"] if r.change == "same"] == ["hidden.bias", "output.bias"]
    assert not any(cell.differs for row in rows["params"][1:] for cell in row.cells)
    bare = comparing.compare_page(replace(view, facts=(), files=(), everything=True))
    assert _sections(bare)["tensors"].left_out == 2
    assert b"2 more are the same" in renderer.render(bare)
    assert page.data["total"] == comparing.compare_page(view).data["total"] > 0


def test_the_switch_keeps_the_whole_selection(source, renderer):
    """Every address of the page holds the sides in order, and whether all is shown."""
    view = compared(source, "p1", "digits", 6, 8, 7)
    only = comparing.compare_page(view)
    refs = ["Vision/digits@6", "Vision/digits@8", "Vision/digits@7"]

    def asked(address):
        return parse_qs(urlsplit(address).query)

    assert asked(only.path) == {"ref": refs}
    assert asked(only.data["other"]) == {"ref": refs, "all": ["1"]}
    every = comparing.compare_page(replace(view, everything=True))
    assert asked(every.path) == {"ref": refs, "all": ["1"]}
    assert asked(every.data["other"]) == {"ref": refs}
    assert asked(every.data["reverse"]) == {"ref": refs[::-1], "all": ["1"]}
    assert asked(every.data["sides"][0].without) == {"ref": refs[1:], "all": ["1"]}
    for page in (only, every):
        found = read(renderer.render(page))
        assert found.problems == []
        assert page.data["other"] in found.links


def test_checkpoints_stand_beside_versions(source, renderer):
    """A side that is a checkpoint has its own reference, heading, place and relation to the others."""
    page = comparing.compare_page(mixed(source, 8, -3, -20, 7))
    assert page.data["names"] == ("@8", "@8:3", "@8:20", "@7")
    assert [side.path for side in page.data["sides"]] == [
        "/p/vision/digits/8/", "/p/vision/digits/8/checkpoints/3/",
        "/p/vision/digits/8/checkpoints/20/", "/p/vision/digits/7/",
    ]  # fmt: skip
    assert page.data["lineage"] == (
        ("Vision/digits@8", "was made from", "Vision/digits@7"),
        ("Vision/digits@8:3", "is a checkpoint of", "Vision/digits@8"),
        ("Vision/digits@8:20", "is a checkpoint of", "Vision/digits@8"),
        ("Vision/digits@8:20", "comes 850 steps after", "Vision/digits@8:3"),
    )
    found = read(renderer.render(page))
    assert found.problems == []
    assert "ref=Vision%2Fdigits%408%3A20" in page.data["other"]
    assert b"epoch-20" in renderer.render(page)


def test_curves_of_several_versions_lie_over_each_other(source, renderer):
    """One line per version with a series, a dot per checkpoint; the line behind dots is drawn once."""
    series = source.checkpoint_list["p1", "digits", 8]
    source.checkpoint_list["p1", "digits", 6] = tuple(
        replace(c, version=6, metrics={"accuracy": c.metrics["accuracy"] - 0.1}) for c in series
    )
    chart = comparing.compare_page(mixed(source, 6, 8)).data["chart"]
    assert chart.title == "accuracy by step"
    assert [line.name for line in chart.lines] == ["@6", "@8"]
    assert all(line.path for line in chart.lines)
    chart = comparing.compare_page(mixed(source, -3, -20)).data["chart"]
    assert [(line.name, bool(line.path)) for line in chart.lines] == [
        ("@8:3", False), ("@8:20", False), ("@8", True),
    ]  # fmt: skip
    chart = comparing.compare_page(mixed(source, 8, -20)).data["chart"]
    assert [line.name for line in chart.lines] == ["@8", "@8:20"]
    assert comparing.compare_page(mixed(source, 1, 2)).data["chart"] is None
    assert b"accuracy by step" in renderer.render(comparing.compare_page(mixed(source, 6, 8)))


def test_a_curve_is_of_one_component_and_of_a_metric_that_is_there(source):
    """Components are not mixed into one line; without the main metric the most common one is drawn."""
    found = comparing.compare_page(mixed(source, 9, 1)).data["chart"]
    assert found.title == "loss by step"
    assert [line.name for line in found.lines] == ["@9 encoder"]


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
    assert page.data["lineage"] == (("Vision/digits@8", "was made from", "Vision/digits@7"),)


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
