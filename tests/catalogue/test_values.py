"""Numbers, texts, charts and tensor trees: the pure parts below the pages."""

import math
import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.catalogue import charts, formats, links, tables, tensors
from tests.catalogue.catalogue_world import encoder, tensor
from weighbridge.contract.types import ModelSettings, Version

FLOATS = st.floats(allow_nan=True, allow_infinity=True)


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0, "0 B"), (999, "999 B"), (1000, "1 kB"), (90_868_376, "90.9 MB"), (999_600, "1 MB"),
     (5 * 1024**4, "5.5 TB")],
)  # fmt: skip
def test_sizes(value, shown):
    """Sizes have three digits and a decimal unit."""
    assert formats.size(value) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0, "0"), (4810, "4,810"), (9999, "9,999"), (22_713_216, "22.7M"), (70_600_000_000, "70.6B"),
     (999_950, "1M")],
)  # fmt: skip
def test_counts(value, shown):
    """Counts are exact below ten thousand, then short."""
    assert formats.count(value) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0.9812345678, "0.981235"), (-1e-9, "\u22121e-09"), (math.nan, "NaN"),
     (-math.inf, "\u2212∞"), (3.0, "3")],
)  # fmt: skip
def test_metrics_have_six_digits(value, shown):
    """Numbers are shortened to six significant digits."""
    assert formats.number(value) == shown


def test_times_are_read_by_people():
    """A time is shown in words; what is no time is shown as it is."""
    assert formats.moment("2026-11-21T09:10:11.123Z") == "21 Nov 2026, 09:10 UTC"
    assert formats.moment("soon") == "soon"


def test_control_characters_and_overrides_become_visible():
    """Nothing invisible survives in a title."""
    assert formats.visible("a\x00b\ud800c\nd") == "a\u2400b\ufffdc\nd"
    assert formats.flat("a\u202eb\u2066\n c") == "a\ufffdb\ufffd c"


@given(st.lists(st.tuples(st.floats(-1e308, 1e308), FLOATS), max_size=700))
def test_any_points_make_a_chart_or_none(points):
    """A chart has finite coordinates inside its box, whatever the values are."""
    chart = charts.line_chart("loss", (charts.Series("loss", tuple(points)),), "step", "min")
    finite = [p for p in points if math.isfinite(p[1])]
    assert (chart is None) == (not finite)
    if chart:
        for line in chart.lines:
            text = line.path.replace("M", " ").replace("L", " ")
            for number in text.split():
                assert -1 <= float(number) <= charts.WIDTH + 1
        assert 2 <= len(chart.y_ticks) <= 7


@given(st.floats(-1e300, 1e300), st.floats(-1e300, 1e300))
def test_scales_hold_their_values(one, other):
    """Ticks are ascending and reach from below the lowest to above the highest value."""
    low, high = sorted((one, other))
    ticks = charts.scale(low, high)
    slack = (ticks[-1] - ticks[0]) * 1e-6
    assert ticks == sorted(ticks)
    assert ticks[0] <= low + slack
    assert ticks[-1] >= high - slack


def test_thinning_keeps_ends_and_extremes():
    """A long series keeps its first, last, lowest and highest point."""
    points = [(float(i), math.sin(i / 50)) for i in range(5000)]
    points[2500] = (2500.0, 9.0)
    kept = charts.thinned(points)
    assert len(kept) <= charts.MOST_POINTS
    assert kept[0] == points[0]
    assert kept[-1] == points[-1]
    assert (2500.0, 9.0) in kept
    assert kept == sorted(kept)


def test_the_best_point_is_marked_by_direction():
    """With a direction the best point stands out, without one none does."""
    series = (charts.Series("loss", ((1, 0.5), (2, 0.2), (3, 0.3))),)
    best = [d.label for line in charts.line_chart("l", series, "version", "min", at="@").lines
            for d in line.dots if d.best]  # fmt: skip
    assert best == ["version @2: 0.2"]
    plain = charts.line_chart("l", series, "version")
    assert not any(dot.best for line in plain.lines for dot in line.dots)


def test_sparklines_need_two_points():
    """One value draws no line."""
    assert charts.sparkline("m", ((1, 2.0),)) is None
    assert charts.sparkline("m", ((1, 2.0), (2, math.nan))) is None
    assert charts.sparkline("m", ((1, 2.0), (2, 2.0))).path == "M2 14L98 14"


def test_tensors_are_grouped_by_block_with_totals():
    """Blocks carry the sums of what is below; chains of single blocks are joined."""
    found = tensors.tree(encoder(12))
    names = [block.name for block in found.root.blocks]
    assert names == ["embeddings", "encoder.layer", "pooler.dense"]
    layers = [block.name for block in found.root.blocks[1].blocks]
    assert layers == [str(n) for n in range(12)]
    assert found.root.tensors == len(encoder(12))
    assert found.root.parameters == sum(tensors.parameters(t) for t in encoder(12))
    assert found.root.bytes == sum(t.bytes for t in encoder(12))
    assert not found.shortened


@pytest.mark.parametrize("count", [701, 5000])
def test_huge_tables_are_shortened(count):
    """A page never lists more rows than it can bear; the totals stay right."""
    flat = tensors.tree([tensor(f"w{n}", 2) for n in range(count)])
    assert flat.shortened
    assert flat.root.tensors == count
    deep = tensors.tree([tensor(f"m.{n}.a.b.c.d.e.f.weight", 2) for n in range(count)])
    assert deep.shortened
    assert deep.root.parameters == 2 * count


def test_a_name_of_a_thousand_dots_is_harmless():
    """Depth is bounded, whatever a header says."""
    found = tensors.tree([tensor(".".join("x" * 1000), 1), tensor(".", 1), tensor("", 1)])
    assert found.root.tensors == 3


def _versions(*metrics):
    return [Version("p", "m", n, "ready", metrics=m) for n, m in enumerate(metrics, 1)]


def test_the_main_metric_is_the_first_column():
    """Then the most common ones; too many are counted, not shown."""
    rows = _versions({f"m{n:02}": 1.0 for n in range(20)} | {"z": 1.0}, {"z": 2.0, "m03": 3.0})
    columns = tables.of_versions(rows, ModelSettings("z", {"z": "max"}))
    assert [c.name for c in columns.metrics][:3] == ["z", "m03", "m00"]
    assert columns.metrics[0].best == {2}
    assert columns.left_out == 21 - tables.MOST_METRICS


def test_no_best_without_direction_or_difference():
    """A best value needs a declared direction and something worse."""
    assert tables.best_of({1: 1.0, 2: 2.0}, "") == frozenset()
    assert tables.best_of({1: 1.0, 2: 1.0}, "max") == frozenset()
    assert tables.best_of({1: 1.0, 2: math.nan, 3: 0.5}, "min") == {3}


def test_only_params_that_vary_are_columns():
    """A param that is the same everywhere says nothing in a table."""
    rows = [Version("p", "m", n, "ready", params={"lr": n, "seed": 1, "odd": [n, {"a": None}]})
            for n in (1, 2)]  # fmt: skip
    assert tables.of_versions(rows, ModelSettings()).params == ("lr", "odd")


@given(st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=40))
def test_commands_quote_their_references(name):
    """A pasted command hands the exact reference to the program, whatever the name holds."""
    found = links.pull("proj", name, "3")
    words = shlex.split(found.cli)
    assert words[:3] == ["weighbridge", "pull", f"proj/{name}@3"]
    assert f"proj/{name}@3" in [
        c for c in compile(found.python, "page", "exec").co_consts if isinstance(c, str)
    ]
