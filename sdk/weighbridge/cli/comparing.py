"""`diff`: versions and checkpoints side by side, differences first."""

import dataclasses
from argparse import ArgumentParser, Namespace
from collections.abc import Mapping
from typing import Any

from weighbridge.cli import exits, parsing, targets
from weighbridge.cli.context import Context
from weighbridge.cli.screen import Screen, clean, describe, human_size, number, shape_text
from weighbridge.contract import codec, types
from weighbridge.contract.errors import InvalidRequest

SECTIONS = ("metrics", "params", "attributes", "tensors", "files", "tags", "provenance")
LONGEST = 60


def diff_arguments(parser: ArgumentParser) -> None:
    """Arguments of `diff`."""
    parser.add_argument(
        "refs",
        metavar="REF",
        nargs="+",
        help="two to six versions or checkpoints (without @: the latest)",
    )
    parser.add_argument(
        "--only",
        metavar="SECTION",
        choices=SECTIONS,
        action="append",
        default=[],
        help=f"compare only this: {', '.join(SECTIONS)} (may be given more than once)",
    )
    parsing.reads(parser)


def diff(args: Namespace, context: Context) -> int:
    """Compares versions and checkpoints; 1 if they differ."""
    if not 2 <= len(args.refs) <= 6:
        raise InvalidRequest(f"diff compares 2 to 6 versions or checkpoints, not {len(args.refs)}")
    refs = [str(targets.pinpointed(text)) for text in args.refs]
    with context.registry(args) as registry:
        found = registry.client.compare(*refs)
    wanted = args.only or SECTIONS
    sections = tuple(section for section in found.sections if section.title in wanted)
    different = any(section.differences for section in sections)
    screen = context.screen
    if args.json:
        shown = dataclasses.replace(found, sections=sections)
        screen.json({"equal": not different, **codec.encode(shown)})
    else:
        _show(screen, found.references, sections)
    return exits.DIFFERENT if different else 0


def _show(screen: Screen, references: tuple[str, ...], sections: tuple[types.Section, ...]) -> None:
    screen.line(screen.bold(clean("  ".join(references))))
    for section in sections:
        if section.differences:
            _section(screen, references, section)
    equal = [f"{section.title} ({section.same:,})" for section in sections if section.same]
    screen.line()
    screen.line(f"equal: {', '.join(equal) or 'nothing'}")


def _section(screen: Screen, references: tuple[str, ...], section: types.Section) -> None:
    deltas = section.title == "metrics" and len(references) == 2
    titles = [section.title.upper(), *references, "CHANGE"]
    rows = []
    for row in section.differences:
        change = _delta(row.values) if deltas else ""
        rows.append(
            (row.name, *(_value(v, section.title) for v in row.values), change or row.change)
        )
    align = "<" + (">" if section.title == "metrics" else "<") * len(references) + "<"
    screen.line()
    screen.table(titles, rows, align)


def _figures(claimed: Any) -> list[str]:
    """What the pusher claims of a tensor's numbers, in short."""
    if not isinstance(claimed, Mapping):
        return []
    found = codec.decode(types.Statistics, dict(claimed))
    said = [] if found.mean is None else [f"mean={number(found.mean)}"]
    said += [] if found.std is None else [f"std={number(found.std)}"]
    said += [f"NaN={100 * found.nan:.3g}%"] if found.nan else []
    return said + ([f"Inf={100 * found.inf:.3g}%"] if found.inf else [])


def _delta(values: tuple[Any, ...]) -> str:
    """`+0.02` between two numbers, else nothing."""
    first, last = values[0], values[-1]
    if all(isinstance(v, (int, float)) and not isinstance(v, bool) for v in (first, last)):
        return f"{last - first:+.4g}"
    return ""


def _value(value: Any, title: str) -> str:
    if isinstance(value, Mapping):
        if title == "tensors":
            shape = shape_text(value.get("shape", ()))
            mark = str(value.get("fingerprint", ""))[:8]
            named = (str(value.get("name", "")), str(value.get("dtype", "?")), shape, mark)
            return " ".join(filter(None, (*named, *_figures(value.get("statistics")))))
        if title == "files":
            return f"{human_size(int(value.get('size', 0)))} {str(value.get('sha256', ''))[:12]}"
    if title == "metrics" and isinstance(value, (int, float)):
        return number(value)
    text = describe(value)
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"
