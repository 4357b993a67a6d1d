"""Versions and checkpoints as tables: which metrics and params become columns."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from chalicelib.catalogue import formats
from weighbridge.contract.types import Checkpoint, ModelSettings, Version

MOST_METRICS = 6
MOST_PARAMS = 4
"""Columns of a page as it is stored; readers with scripts choose among all, from the document beside it."""


@dataclass(frozen=True, slots=True)
class Column:
    """A metric's column: its direction and the rows (by number) that hold its best value."""

    name: str
    direction: str = ""
    best: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Columns:
    """The metric and param columns of a table; `left_out` are metrics that found no room, `more_params`
    params that found none or are the same in every row."""

    metrics: tuple[Column, ...]
    params: tuple[str, ...]
    left_out: int = 0
    more_params: int = 0

    @property
    def more(self) -> int:
        """How many are not shown."""
        return self.left_out + self.more_params

    @property
    def total(self) -> int:
        """How many there are to choose from."""
        return len(self.metrics) + len(self.params) + self.more


def best_of(values: Mapping[int, float], direction: str) -> frozenset[int]:
    """The numbers whose value is the best; none without a direction or with nothing to compare."""
    finite = {n: v for n, v in values.items() if math.isfinite(v)}
    if direction not in ("max", "min") or len(finite) < 2:
        return frozenset()
    top = (max if direction == "max" else min)(finite.values())
    if all(v == top for v in finite.values()):
        return frozenset()
    return frozenset(n for n, v in finite.items() if v == top)


def _metrics(
    rows: Sequence[Version] | Sequence[Checkpoint], settings: ModelSettings
) -> tuple[tuple[Column, ...], int]:
    seen = Counter(name for row in rows for name in row.metrics)
    main = settings.main_metric
    names = sorted(seen, key=lambda name: (name != main, -seen[name], name))
    kept = names[:MOST_METRICS]
    columns = tuple(
        Column(
            name,
            direction := settings.directions.get(name, ""),
            best_of({r.number: r.metrics[name] for r in rows if name in r.metrics}, direction),
        )
        for name in kept
    )
    return columns, len(names) - len(kept)


def of_versions(rows: Sequence[Version], settings: ModelSettings) -> Columns:
    """The columns of a versions table: the main metric first, then params that vary."""
    metrics, left_out = _metrics(rows, settings)
    names = Counter(name for row in rows for name in row.params)
    varying = [n for n in names if len(rows) == 1 or _varies(rows, n)]
    params = sorted(varying, key=lambda name: (-names[name], name))[:MOST_PARAMS]
    return Columns(metrics, tuple(params), left_out, len(names) - len(params))


def _varies(rows: Sequence[Version], name: str) -> bool:
    absent = object()
    texts: set[Any] = {
        formats.exact(row.params[name]) if name in row.params else absent for row in rows
    }
    return len(texts) > 1


def of_checkpoints(rows: Sequence[Checkpoint], settings: ModelSettings) -> Columns:
    """The metric columns of a checkpoint series."""
    metrics, left_out = _metrics(rows, settings)
    return Columns(metrics, (), left_out)


def judged(settings: ModelSettings) -> dict[str, Any]:
    """The settings by which a table's columns are ordered and their best value is found."""
    return {"main_metric": settings.main_metric, "directions": settings.directions}


def ordered(metrics: Mapping[str, float], settings: ModelSettings) -> list[tuple[str, float]]:
    """One version's metrics, the main one first."""
    return sorted(metrics.items(), key=lambda item: (item[0] != settings.main_metric, item[0]))
