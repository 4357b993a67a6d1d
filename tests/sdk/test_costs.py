"""The estimate of a bill: its arithmetic, what it is held against, and the example of docs/cost.md."""

import os
import re
from dataclasses import replace
from pathlib import Path

import pytest

from weighbridge.costs import PRICES, Price, Use, estimate
from weighbridge.costs.estimate import VERBS

DOCUMENT = Path(__file__).parents[2] / "docs" / "cost.md"
BEGIN, END = (
    "<!-- example: UPDATE_COST=1 pytest tests/sdk/test_costs.py -->",
    "<!-- end of example -->",
)
EXAMPLE = Use(
    projects=5, versions=5000, checkpoints=20_000, bytes=2_000_000_000_000, pushes=20,
    checkpoints_a_day=200, aliases=10, pulls=500, reads=5000, out_gb=100, alarms=10,
)  # fmt: skip


def dollars(bill):
    """What each line costs."""
    return {line.name: line.dollars for line in bill.lines}


def test_each_line_is_amount_times_price():
    """Storage by hand, and a total that is the sum of its lines."""
    bill = estimate(EXAMPLE)
    assert dollars(bill)["store bytes"] == pytest.approx(2000 * 0.023)
    assert dollars(bill)["transfer out"] == pytest.approx(9.0)
    assert dollars(bill)["alarms"] == pytest.approx(1.0)
    calls = 30 * (20 * 4 + 200 * 3 + 10 + 500 + 5000)
    assert dollars(bill)["api requests"] == pytest.approx(calls * 3.5e-6)
    assert bill.total == pytest.approx(sum(dollars(bill).values()))
    assert {line.name for line in bill.lines} == set(PRICES.prices)


def test_an_empty_registry_costs_next_to_nothing_and_use_adds_to_it():
    """Idle is what is left when nobody does anything; more of anything is never cheaper."""
    empty = estimate(Use(projects=1))
    assert empty.total == empty.idle < 1.5
    assert estimate(Use(projects=1), free_tier=True).total < 0.5
    base = estimate(EXAMPLE)
    assert base.idle < base.total
    for name in ("versions", "bytes", "pushes", "pulls", "reads", "out_gb", "aliases"):
        more = replace(EXAMPLE, **{name: getattr(EXAMPLE, name) * 2})
        assert estimate(more).total > base.total, name


def test_what_is_free_is_not_billed_and_never_negative():
    """Free amounts are subtracted once, down to nothing."""
    few = estimate(replace(EXAMPLE, out_gb=40), free_tier=True)
    assert dollars(few)["transfer out"] == 0
    much = estimate(replace(EXAMPLE, out_gb=140), free_tier=True)
    assert dollars(much)["transfer out"] == pytest.approx(40 * 0.09)


def test_other_prices_make_another_bill():
    """Prices are data: a region of one's own can be given."""
    dear = {**PRICES.prices, "store bytes": Price(1.0, 1, "GB-month")}
    bill = estimate(EXAMPLE, replace(PRICES, region="far-away-1", prices=dear))
    assert bill.region == "far-away-1"
    assert dollars(bill)["store bytes"] == pytest.approx(2000)


def test_the_verbs_write_what_is_measured():
    """The table of docs/cost.md, which is measured, and what indexing adds: no less, not much more."""
    rows = re.findall(
        r"^\| ([^|]+) \| [\d.]+ \| ([\d.]+) \| ([\d.]+) \|", DOCUMENT.read_text(), re.M
    )
    cost = {verb: float(now) + float(later) for verb, now, later in rows}
    complete = cost["complete (per new blob)"]
    for verb, measured in (
        ("push", cost["begin"] + complete + cost["commit"]),
        ("checkpoint", complete + cost["commit a checkpoint"]),
        ("alias", cost["move an alias"]),
    ):
        assert measured <= VERBS[verb].writes <= measured + 3, verb


def test_the_documented_example_is_what_is_estimated():
    """docs/cost.md holds the bill of the example, line by line."""
    bill = estimate(EXAMPLE)
    rows = [f"| {x.name} | {_short(x.amount)} {x.unit} | {x.dollars:,.2f} |" for x in bill.lines]
    table = "\n".join([
        "| | a month | dollars |", "|---|---|---|", *rows,
        f"| **in all** | | **{bill.total:,.2f}** |",
        f"| of which idle | | {bill.idle:,.2f} |",
        f"| without storage and transfer | | {_running(bill):,.2f} |",
    ])  # fmt: skip
    text = DOCUMENT.read_text()
    head, tail = text.split(BEGIN)[0], text.split(END)[1]
    wanted = f"{head}{BEGIN}\n\n{table}\n\n{END}{tail}"
    if os.environ.get("UPDATE_COST"):
        DOCUMENT.write_text(wanted)
    assert DOCUMENT.read_text() == wanted


def _short(amount):
    return f"{amount:,.0f}" if amount >= 10 else f"{amount:.2g}"


def _running(bill):
    stored = ("store bytes", "table bytes", "table recovery", "transfer out")
    return sum(line.dollars for line in bill.lines if line.name not in stored)
