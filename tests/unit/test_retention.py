"""The rules of retention against a slow oracle that was written from their description alone."""

import math

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chalicelib.registry import retention
from weighbridge.contract.types import Checkpoint, KeepBest, Retention

unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
NOW = 1_800_000_000.0
METRICS = ("loss", "f1")
VALUES = st.sampled_from([0.0, -0.0, 1.0, 2.0, -1.0, math.nan, math.inf, -math.inf])


def moment(age):
    """The time that was `age` seconds ago, as it is stored."""
    from chalicelib.registry.stores import iso

    return iso(NOW - age)


@st.composite
def series(draw):
    """Checkpoints with gaps in their numbers, equal values, odd metrics and pins."""
    numbers = draw(st.lists(st.integers(1, 40), unique=True, max_size=10))
    return [
        Checkpoint(
            "p", "m", 1, number, draw(st.sampled_from(["", "a", "b"])), draw(st.integers(0, 12)),
            metrics=draw(st.dictionaries(st.sampled_from(METRICS), VALUES)),
            created=moment(draw(st.integers(0, 100))), 
            pinned=draw(st.sampled_from([False, False, False, True])),
        )
        for number in sorted(numbers)
    ]  # fmt: skip


POLICIES = st.builds(
    Retention,
    keep_last=st.integers(0, 4),
    keep_best=st.lists(
        st.builds(KeepBest, st.sampled_from(METRICS), st.sampled_from(["max", "min"]),
                  st.integers(1, 3)),
        max_size=2, unique_by=lambda rule: rule.metric,
    ).map(tuple),
    keep_every=st.integers(0, 4),
    max_age=st.integers(0, 60),
)  # fmt: skip


def beats(one, other, metric, mode):
    """Whether `one` is better than `other`; of equal values the newer is."""
    a, b = one.metrics[metric], other.metrics[metric]
    if a == b:
        return one.number > other.number
    return a > b if mode == "max" else a < b


def ranked(points, metric):
    """Those with a value that can be ranked."""
    return [p for p in points if metric in p.metrics and math.isfinite(p.metrics[metric])]


def kept(point, points, policy, main, direction):
    """Whether the description of the rules keeps a checkpoint, one sentence after the other."""
    if policy == Retention():
        return True
    siblings = [p for p in points if p.component == point.component]
    newer = [p for p in siblings if p.number > point.number]
    if point.pinned or not newer or len(newer) < policy.keep_last:
        return True
    rivals = ranked(points, main) if main and direction else []
    if point in rivals and not any(beats(p, point, main, direction) for p in rivals if p != point):
        return True
    for rule in policy.keep_best:
        among = ranked(siblings, rule.metric)
        if point in among:
            better = [p for p in among if p != point and beats(p, point, rule.metric, rule.mode)]
            if len(better) < rule.count:
                return True
    if policy.keep_every and point.step % policy.keep_every == 0:
        return True
    age = NOW - retention.epoch(point.created)
    return bool(policy.max_age) and age < policy.max_age


@unhurried
@given(series(), POLICIES, st.sampled_from(["", "loss"]), st.sampled_from(["max", "min", None]))
def test_what_is_kept_is_what_the_description_says(points, policy, main, direction):
    """Checkpoint by checkpoint, for any rules and any values."""
    chosen = retention.choose(points, policy, NOW, main, direction)
    assert [verdict.number for verdict in chosen] == [p.number for p in points]
    for verdict, point in zip(chosen, points, strict=True):
        assert verdict.keep == kept(point, points, policy, main, direction), verdict


@unhurried
@given(series(), POLICIES, st.sampled_from(["", "loss"]), st.sampled_from(["max", "min", None]))
def test_choosing_again_among_the_kept_keeps_all(points, policy, main, direction):
    """Evicting converges at once: nobody is kept only because of one that goes."""
    first = retention.choose(points, policy, NOW, main, direction)
    left = [p for p, verdict in zip(points, first, strict=True) if verdict.keep]
    assert all(v.keep for v in retention.choose(left, policy, NOW, main, direction))


@unhurried
@given(series(), POLICIES)
def test_the_last_of_each_component_and_the_pinned_are_never_evicted(points, policy):
    """Whatever the rules say."""
    for verdict, point in zip(retention.choose(points, policy, NOW), points, strict=True):
        last = max(p.number for p in points if p.component == point.component)
        assert verdict.keep or not (point.pinned or point.number == last)


@unhurried
@given(series(), POLICIES, POLICIES)
def test_more_rules_keep_more(points, one, other):
    """Rules add up: what either policy keeps by its counts, the one with the larger counts keeps."""
    both = Retention(
        max(one.keep_last, other.keep_last), one.keep_best, one.keep_every,
        max(one.max_age, other.max_age),
    )  # fmt: skip
    small = {v.number for v in retention.choose(points, one, NOW) if v.keep}
    large = {v.number for v in retention.choose(points, both, NOW) if v.keep}
    if retention.has_rules(one):
        assert small <= large
