"""Versions and their parents → the geometry of a graph: one row each, newest first, lanes for the lines.

A line leaves a version downwards, runs in a lane of its own, and ends at the parent, as histories of
source code are drawn. What comes from elsewhere (another model, or an older version than is listed)
gets a row below the others.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from chalicelib.catalogue.links import lineage_link, reference, version_link
from weighbridge.contract.types import Model, Version

MOST_ROWS = 30
MOST_LANES = 8
ROW, LANE, LEFT = 30, 18, 12
_DOT = 5


@dataclass(frozen=True, slots=True)
class Node:
    """One row: a version of the model, or a parent from elsewhere (`outside`)."""

    text: str
    path: str
    note: str
    x: int
    y: int
    outside: bool = False


@dataclass(frozen=True, slots=True)
class Graph:
    """A drawn graph, in pixels. Texts begin at `text_x`. `hidden` rows were left out."""

    width: int
    height: int
    text_x: int
    nodes: tuple[Node, ...]
    edges: tuple[str, ...]
    summary: str
    hidden: int = 0


@dataclass(slots=True)
class _Row:
    ref: str
    text: str
    path: str
    note: str
    parents: tuple[str, ...]
    outside: bool = False
    lane: int = 0


def _sources(version: Version) -> tuple[str, ...]:
    """What a version was made from: its parents, and the version whose checkpoint it was."""
    promoted = version.source.rpartition(":")[0]
    return tuple(dict.fromkeys((*version.parents, *((promoted,) if promoted else ()))))


def _rows(model: Model, versions: Sequence[Version]) -> list[_Row]:
    """Those of the versions (newest first) that have a parent or a child among all, then the others'
    parents from elsewhere."""
    known = {reference(version) for version in versions}
    used = {ref for version in versions for ref in _sources(version)}
    rows = []
    for version in versions:
        ref, parents = reference(version), _sources(version)
        if parents or ref in used:
            at = version_link(model, version.number)
            rows.append(_Row(ref, f"@{version.number}", at, version.label, parents))
    elsewhere = sorted(used - known)
    for ref in elsewhere:
        link = lineage_link(ref, model)
        rows.append(_Row(ref, ref, link.path, "", (), outside=True))
    return rows


def _laned(rows: Sequence[_Row]) -> list[str]:
    """Gives each row its lane; answers the lines as SVG paths."""
    place = {row.ref: number for number, row in enumerate(rows)}
    lanes: list[str] = []  # which parent the line in each lane leads to; empty: free
    begun: dict[int, list[tuple[int, int]]] = {}  # lane → (row, lane) of the children in it
    edges: list[str] = []
    for number, row in enumerate(rows):
        waiting = [lane for lane, ref in enumerate(lanes) if ref == row.ref]
        row.lane = waiting[0] if waiting else _free(lanes)
        for lane in waiting:
            edges += [_edge(start, lane, (number, row.lane)) for start in begun.pop(lane)]
            lanes[lane] = ""
        for parent in row.parents:
            if place.get(parent, -1) <= number:
                continue  # not drawn, or no history at all: it would come before its child
            if parent in lanes:
                lane = lanes.index(parent)
            else:
                lane = row.lane if not lanes[row.lane] else _free(lanes)
                lanes[lane] = parent
            begun.setdefault(lane, []).append((number, row.lane))
    return edges


def _free(lanes: list[str]) -> int:
    for lane, ref in enumerate(lanes):
        if not ref:
            return lane
    lanes.append("")
    return len(lanes) - 1


def _point(number: int, lane: int) -> tuple[int, int]:
    return LEFT + min(lane, MOST_LANES - 1) * LANE, ROW // 2 + number * ROW


def _edge(start: tuple[int, int], lane: int, end: tuple[int, int]) -> str:
    """From a child down its lane to the parent, with a bend at either end where lanes differ."""
    x, y = _point(*start)
    over, below = _point(start[0] + 1, lane)
    target_x, target_y = _point(*end)
    path = f"M{x} {y}"
    if over != x and end[0] > start[0] + 1:
        path += f"C{x} {below - ROW // 3} {over} {y + ROW // 3} {over} {below}"
        y, x = below, over
    if x == target_x:
        return path + f"V{target_y}"
    bend = target_y - ROW
    if y < bend:
        path += f"V{bend}"
    return path + f"C{x} {target_y - ROW // 3} {target_x} {bend + ROW // 3} {target_x} {target_y}"


def graph(model: Model, versions: Sequence[Version]) -> Graph | None:
    """The lineage of these versions (newest first) of a model; None where none has any."""
    rows = _rows(model, versions)
    if not rows:
        return None
    hidden = max(0, len(rows) - MOST_ROWS)
    rows = rows[:MOST_ROWS]
    edges = _laned(rows)
    lanes = min(MOST_LANES, 1 + max(row.lane for row in rows))
    text_x = LEFT + lanes * LANE
    nodes = tuple(
        Node(row.text, row.path, row.note, *_point(number, row.lane), outside=row.outside)
        for number, row in enumerate(rows)
    )
    drawn = {row.ref for row in rows}
    said = [
        f"{row.text} from {', '.join(p for p in row.parents if p in drawn)}"
        for row in rows
        if any(parent in drawn for parent in row.parents)
    ]
    return Graph(
        text_x + 420, len(rows) * ROW, text_x, nodes, tuple(edges), "; ".join(said), hidden
    )
