"""Metrics of checkpoints over steps: of one version, and of several over each other, one line per side of
a comparison."""

from collections import Counter
from collections.abc import Mapping, Sequence

from chalicelib.catalogue import charts, tables
from weighbridge.contract.types import Checkpoint, Comparison, Model, ModelSettings

Points = tuple[charts.Point, ...]


def _chosen_metric(rows: Sequence[Checkpoint], settings: ModelSettings) -> str:
    columns = tables.of_checkpoints(rows, settings).metrics
    return columns[0].name if columns else ""


def metric_chart(
    rows: Sequence[Checkpoint], settings: ModelSettings, metric: str
) -> charts.Chart | None:
    """One metric over steps, a line per component."""
    lines: dict[str, list[charts.Point]] = {}
    for row in sorted(rows, key=lambda r: (r.step, r.number)):
        if metric in row.metrics:
            lines.setdefault(row.component, []).append((float(row.step), row.metrics[metric]))
    series = [charts.Series(name or metric, tuple(lines[name])) for name in sorted(lines)]
    return charts.line_chart(
        f"{metric} by step", series, "step", settings.directions.get(metric, "")
    )


def checkpoint_chart(rows: Sequence[Checkpoint], settings: ModelSettings) -> charts.Chart | None:
    """The main metric over steps (or, where checkpoints lack it, the one most of them have)."""
    metric = _chosen_metric(rows, settings)
    return metric_chart(rows, settings, metric) if metric else None


def overlaid(
    comparison: Comparison,
    models: Sequence[Model | None],
    series: Sequence[Sequence[Checkpoint]],
    names: Sequence[str],
) -> charts.Chart | None:
    """The main metric over steps (else the metric that most sides have): a line per version, a dot per
    checkpoint, and behind dots the line they lie on, where there is room. None where no line is."""
    metric = _metric(models, series)
    if not metric:
        return None
    points = comparison.checkpoints or (None,) * len(names)
    lines: list[charts.Series] = []
    behind: list[charts.Series] = []
    drawn: set[tuple[str, str, int, str]] = set()
    for version, point, rows, name in zip(comparison.versions, points, series, names, strict=True):
        component = point.component if point else _component(rows, metric)
        curve = _curve(rows, component, metric)
        at = (version.project, version.model, version.number, component)
        if point is not None:
            if metric in point.metrics:
                dot = (float(point.step), point.metrics[metric])
                lines.append(charts.Series(name, (dot,)))
        elif curve:
            lines.append(charts.Series(f"{name} {component}".strip(), curve))
            drawn.add(at)
            continue
        if curve and at not in drawn:
            run = name.rpartition(":")[0]
            behind.append(charts.Series(f"{run} {component}".strip(), curve))
            drawn.add(at)
    behind = [line for line in behind if line.name not in {known.name for known in lines}]
    chosen = [*lines, *behind][: charts.MOST_LINES]
    if not any(len(line.points) > 1 for line in chosen):
        return None
    declared = {m.settings.directions.get(metric, "") for m in models if m}
    direction = declared.pop() if len(declared) == 1 else ""
    return charts.line_chart(f"{metric} by step", chosen, "step", direction)


def _metric(models: Sequence[Model | None], series: Sequence[Sequence[Checkpoint]]) -> str:
    """The main metric if a side's checkpoints have it, else the metric of the most sides, by name."""
    seen = Counter(name for rows in series for name in {n for row in rows for n in row.metrics})
    main = next(
        (m.settings.main_metric for m in models if m and m.settings.main_metric in seen), ""
    )
    return main or min(seen, key=lambda name: (-seen[name], name), default="")


def _component(rows: Sequence[Checkpoint], metric: str) -> str:
    """The component whose checkpoints have the metric most often; that without a name first."""
    seen = Counter(row.component for row in rows if metric in row.metrics)
    return min(seen, key=lambda name: (name != "", -seen[name], name), default="")


def _curve(rows: Sequence[Checkpoint], component: str, metric: str) -> Points:
    found: Mapping[int, float] = {
        row.step: row.metrics[metric]
        for row in sorted(rows, key=lambda row: (row.step, row.number))
        if row.component == component and metric in row.metrics
    }
    return tuple((float(step), value) for step, value in found.items())
