"""Numbers → the geometry of line charts. Markup is the templates'; a chart stretches to any width.

Coordinates live in a box of 1000 × 300; lines do not scale with it (`vector-effect`), so that one
drawing serves a phone and a wide screen. Axis texts are HTML beside the drawing.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from chalicelib.catalogue import formats

WIDTH, HEIGHT = 1000, 300
MOST_POINTS = 400
MOST_DOTS = 60
MOST_LINES = 6
Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Series:
    """One line: points by ascending x."""

    name: str
    points: tuple[Point, ...]


@dataclass(frozen=True, slots=True)
class Dot:
    """One point to hover; `best` marks the best value."""

    path: str
    label: str
    best: bool = False


@dataclass(frozen=True, slots=True)
class Line:
    """One drawn line."""

    name: str
    path: str
    dots: tuple[Dot, ...]
    last: str


@dataclass(frozen=True, slots=True)
class Chart:
    """A drawn chart. `y_ticks` from top to bottom, evenly spaced, as are the lines of `grid`."""

    title: str
    summary: str
    lines: tuple[Line, ...]
    grid: str
    y_ticks: tuple[str, ...]
    x_ticks: tuple[str, ...]
    single: bool


def _shown(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".")


def _finite(points: Iterable[Point]) -> list[Point]:
    return [(x, y) for x, y in points if math.isfinite(x) and math.isfinite(y)]


def thinned(points: Sequence[Point], most: int = MOST_POINTS) -> list[Point]:
    """At most `most` points that keep each stretch's lowest and highest, and both ends."""
    if len(points) <= most:
        return list(points)
    buckets = (most - 2) // 2
    inner = points[1:-1]
    kept = [points[0]]
    for index in range(buckets):
        part = inner[index * len(inner) // buckets : (index + 1) * len(inner) // buckets]
        low, high = min(part, key=lambda p: p[1]), max(part, key=lambda p: p[1])
        kept += sorted({low, high})
    return [*kept, points[-1]]


def scale(low: float, high: float, most: int = 5) -> list[float]:
    """Evenly spaced round numbers from at or below `low` to at or above `high`, ascending."""
    if high - low <= max(abs(low), abs(high)) * 1e-12:
        pad = abs(high) * 0.1 or 1.0
        low, high = low - pad, high + pad
    raw = high / (most - 1) - low / (most - 1)
    if not math.isfinite(raw) or raw <= 0:
        return [low, high]
    base = 10.0 ** math.floor(math.log10(raw))
    if base <= 0:
        return [low, high]
    step = next(base * m for m in (1, 2, 2.5, 5, 10, 20) if base * m >= raw * (1 - 1e-9))
    if not math.isfinite(step * (most + 2)):
        return [low, high]
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [index * step for index in range(first, last + 1)]


def _position(value: float, low: float, high: float) -> float:
    # Halves, because the distance of two finite floats may not be finite; and half of the smallest
    # float is nothing.
    span = high / 2 - low / 2
    if not 0 < span < math.inf:
        return 0.5
    return min(1.0, max(0.0, (value / 2 - low / 2) / span))


def line_chart(
    title: str, series: Sequence[Series], x_name: str, direction: str = "", *, at: str = ""
) -> Chart | None:
    """A chart of up to six lines, or None where there is no finite point.

    `x_name` is the word for x ("version"), `at` stands before its number ("@"). With a direction
    (`max` or `min`) the best point is marked.
    """
    lines = [(s.name, _finite(s.points)) for s in series]
    lines = [(name, points) for name, points in lines if points][:MOST_LINES]
    if not lines:
        return None
    everything = [point for _, points in lines for point in points]
    ticks = scale(min(y for _, y in everything), max(y for _, y in everything))
    x_low, x_high = min(x for x, _ in everything), max(x for x, _ in everything)
    bounds = (x_low, x_high, ticks[0], ticks[-1])
    best = _best(everything, direction)
    drawn = tuple(
        _line(name, points, bounds, best, f"{x_name} {at}", len(lines) > 1)
        for name, points in lines
    )
    rows = len(ticks) - 1
    grid = "".join(f"M0 {_shown(HEIGHT * i / rows)}H{WIDTH}" for i in range(rows + 1))
    one = x_low == x_high
    middle = (x_low + x_high) / 2
    between = [middle] if not one and middle.is_integer() else []
    x_ticks = [x_low] if one else [x_low, *between, x_high]
    return Chart(
        title, _summary(lines, x_name, at, best), drawn, grid,
        tuple(formats.number(round(t, 12)) for t in reversed(ticks)),
        tuple(f"{at}{x:,.0f}" for x in x_ticks), one,
    )  # fmt: skip


def _best(points: Sequence[Point], direction: str) -> Point | None:
    if direction not in ("max", "min") or len(points) < 2:
        return None
    return (max if direction == "max" else min)(points, key=lambda p: p[1])


def _summary(
    lines: Sequence[tuple[str, list[Point]]], x_name: str, at: str, best: Point | None
) -> str:
    parts = []
    for name, points in lines:
        (x0, y0), (x1, y1) = points[0], points[-1]
        parts.append(
            f"{name}: {formats.number(y0)} at {x_name} {at}{x0:,.0f}"
            + (f" to {formats.number(y1)} at {x_name} {at}{x1:,.0f}" if len(points) > 1 else "")
        )
    if best:
        parts.append(f"best {formats.number(best[1])} at {x_name} {at}{best[0]:,.0f}")
    return "; ".join(parts)


def _line(
    name: str,
    points: list[Point],
    bounds: tuple[float, float, float, float],
    best: Point | None,
    before: str,
    named: bool,
) -> Line:
    x_low, x_high, y_low, y_high = bounds

    def place(point: Point) -> str:
        x = _position(point[0], x_low, x_high) * WIDTH
        y = (1 - _position(point[1], y_low, y_high)) * HEIGHT
        return f"{_shown(x)} {_shown(y)}"

    kept = thinned(points)
    path = "M" + "L".join(place(point) for point in kept)
    shown = points if len(points) <= MOST_DOTS else [p for p in (best, points[-1]) if p in points]
    dots = tuple(
        Dot(
            f"M{place(p)}h0",
            f"{before}{p[0]:,.0f}: {name + ' ' if named else ''}{formats.number(p[1])}",
            p == best,
        )
        for p in dict.fromkeys(p for p in shown if p is not None)
    )
    return Line(name, path if len(kept) > 1 else "", dots, formats.number(points[-1][1]))


@dataclass(frozen=True, slots=True)
class Sparkline:
    """A small line without axes, in a box of 100 × 28."""

    path: str
    last: str
    label: str


def sparkline(name: str, points: Sequence[Point]) -> Sparkline | None:
    """The drawing of a metric's last values, or None for fewer than two finite ones."""
    kept = _finite(points)
    if len(kept) < 2:
        return None
    values = [y for _, y in kept]
    low, high = min(values), max(values)
    places = [
        f"{_shown(2 + 96 * i / (len(kept) - 1))} {_shown(25 - 22 * _position(y, low, high))}"
        for i, y in enumerate(values)
    ]
    label = (
        f"{name} over {len(kept)} versions: from {formats.number(values[0])} "
        f"to {formats.number(values[-1])}"
    )
    return Sparkline("M" + "L".join(places), f"M{places[-1]}h0", label)
