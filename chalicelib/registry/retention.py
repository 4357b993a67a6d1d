"""Which checkpoints are kept: the rules, as pure functions, and the note that asks for a look.

A checkpoint is kept if any rule keeps it (as with backup programs' `keep-last`, `keep-within`):

| reason | keeps |
|---|---|
| `pinned` | what somebody pinned |
| `last` | the newest of each component by number: a killed training goes on from there |
| `best` | the version's best by the model's main metric: what `:best` means |
| `keep_last` | the newest n of each component by number |
| `keep_best` | the best n of each component by a metric; of equal values the newest |
| `keep_every` | every step that the rule divides |
| `max_age` | what is younger than that |

Without any rule everything is kept. Steps do not order: a training that went back to an earlier step
must not lose what it has written just now.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from chalicelib.registry import keys
from chalicelib.registry.ports import Condition, Item, Put
from chalicelib.registry.stores import Stores, epoch
from weighbridge.contract import names
from weighbridge.contract.errors import InvalidRequest
from weighbridge.contract.types import Checkpoint, Direction, Judged, Retention

MAX_COUNT = 1000
MAX_BEST = 8
MAX_AGE = 100 * 365 * 86400


def checked(policy: Retention) -> Retention:
    """The policy, or `InvalidRequest` naming what is wrong with it."""
    if not 0 <= policy.keep_last <= MAX_COUNT:
        raise InvalidRequest(f"keep_last is from 1 to {MAX_COUNT}, not {policy.keep_last}")
    if not 0 <= policy.keep_every < 2**53:
        raise InvalidRequest(f"keep_every is a number of steps, not {policy.keep_every}")
    if not 0 <= policy.max_age <= MAX_AGE:
        raise InvalidRequest(f"max_age is from 1 to {MAX_AGE} seconds, not {policy.max_age}")
    if len(policy.keep_best) > MAX_BEST:
        raise InvalidRequest(f"{len(policy.keep_best)} rules keep_best; {MAX_BEST} at most")
    seen = set()
    for rule in policy.keep_best:
        names.key("metric name", rule.metric)
        if not 1 <= rule.count <= MAX_COUNT:
            raise InvalidRequest(f"keep_best keeps from 1 to {MAX_COUNT}, not {rule.count}")
        if rule.metric in seen:
            raise InvalidRequest(f"two rules keep_best name the metric {rule.metric!r}")
        seen.add(rule.metric)
    return policy


def has_rules(policy: Retention) -> bool:
    """Whether the policy evicts anything ever."""
    return policy != Retention()


@dataclass(frozen=True, slots=True)
class Standing:
    """How the checkpoints of one component stand among themselves: numbers, by rule."""

    newest: frozenset[int] = frozenset()
    last: frozenset[int] = frozenset()
    best: Mapping[str, frozenset[int]] = field(default_factory=dict)


def judge(
    point: Checkpoint, policy: Retention, standing: Standing, champion: int, now: float
) -> Judged:
    """What the policy says of one checkpoint; `champion` is the version's best (0: none)."""
    reason = ""
    if point.pinned:
        reason = "pinned"
    elif point.number in standing.newest:
        reason = "last"
    elif point.number == champion:
        reason = "best"
    elif point.number in standing.last:
        reason = "keep_last"
    elif any(point.number in numbers for numbers in standing.best.values()):
        reason = "keep_best"
    elif policy.keep_every and point.step % policy.keep_every == 0:
        reason = "keep_every"
    elif policy.max_age and expiry(point, policy) > now:
        reason = "max_age"
    elif not has_rules(policy):
        reason = "no rule"
    keep = bool(reason)
    return Judged(
        point.number, point.component, point.step, point.size, keep, reason or "no rule keeps it"
    )


def expiry(point: Checkpoint, policy: Retention) -> float:
    """When `max_age` stops keeping a checkpoint."""
    return epoch(point.created) + policy.max_age


def standing(points: Iterable[Checkpoint], policy: Retention) -> Standing:
    """How all checkpoints of one component stand."""
    newest = sorted((p.number for p in points), reverse=True)
    best = {
        rule.metric: frozenset(best_of(points, rule.metric, rule.mode, rule.count))
        for rule in policy.keep_best
    }
    return Standing(frozenset(newest[:1]), frozenset(newest[: policy.keep_last]), best)


def best_of(points: Iterable[Checkpoint], metric: str, mode: Direction, count: int) -> list[int]:
    """Numbers of the best by a metric; values that are no finite number are not ranked."""
    sign = -1 if mode == "max" else 1
    ranked = sorted(
        (sign * value, -point.number)
        for point in points
        if (value := point.metrics.get(metric)) is not None and value - value == 0
    )
    return [-number for _, number in ranked[:count]]


def choose(
    points: Sequence[Checkpoint],
    policy: Retention,
    now: float,
    main_metric: str = "",
    direction: Direction | None = None,
) -> tuple[Judged, ...]:
    """What the policy says of each of a version's checkpoints, all of which are given."""
    components: dict[str, list[Checkpoint]] = {}
    for point in points:
        components.setdefault(point.component, []).append(point)
    standings = {name: standing(group, policy) for name, group in components.items()}
    champion = 0
    if main_metric and direction is not None:
        champion = next(iter(best_of(points, main_metric, direction, 1)), 0)
    return tuple(judge(p, policy, standings[p.component], champion, now) for p in points)


def note(
    stores: Stores,
    project_id: str,
    model_id: str,
    number: int,
    after: int = 0,
    condition: Condition = (),
) -> Put:
    """Asks the sweep to apply the retention of a version (0: of all versions of the model) once
    `after` seconds are over. `ref` tells a note that was written anew from the one that was read."""
    until = int(stores.now()) + after
    key = keys.retention_due(project_id, model_id, number)
    return Put(Item(key, {"until": until, "ref": stores.random()}), condition)
