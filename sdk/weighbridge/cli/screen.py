"""What a command prints: aligned tables, fields, JSON. Knows text and terminals, no registry."""

import json
import math
import os
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TextIO

from weighbridge.contract import codec
from weighbridge.transfer.progress import size as human_size

__all__ = [
    "Align",
    "Screen",
    "clean",
    "describe",
    "human_size",
    "moment",
    "number",
    "plural",
    "shape_text",
]

Align = Literal["<", ">"]


@dataclass(frozen=True, slots=True)
class Screen:
    """Where results go (`out`) and where remarks go (`err`)."""

    out: TextIO
    err: TextIO
    colour: bool = False

    @classmethod
    def on(cls, out: TextIO, err: TextIO, env: Mapping[str, str] | None = None) -> "Screen":
        """A screen that colours only a terminal, and not if `NO_COLOR` is set."""
        env = os.environ if env is None else env
        plain = bool(env.get("NO_COLOR")) or env.get("TERM") == "dumb"
        return cls(out, err, out.isatty() and not plain)

    def line(self, text: str = "") -> None:
        """One line of the result."""
        self.out.write(text + "\n")

    def remark(self, text: str) -> None:
        """One line beside the result, which a pipe does not carry."""
        self.out.flush()
        self.err.write(text + "\n")

    def json(self, value: Any) -> None:
        """`value` (contract types allowed) as JSON for programs: exact sizes, all fields."""
        utf8 = (self.out.encoding or "utf-8").lower().replace("-", "") == "utf8"
        self.line(json.dumps(codec.encode(value), indent=2, ensure_ascii=not utf8))

    def bold(self, text: str) -> str:
        """`text` in bold, where the screen takes colours."""
        return f"\x1b[1m{text}\x1b[0m" if self.colour else text

    def heading(self, text: str) -> None:
        """A title with an empty line before it."""
        self.line()
        self.line(self.bold(text))

    def table(
        self,
        titles: Sequence[str],
        rows: Iterable[Sequence[str]],
        align: str = "",
        indent: str = "",
    ) -> None:
        """Columns of equal width; `align` has one `<` or `>` per column."""
        cells = [[clean(cell) for cell in row] for row in rows]
        head = [clean(title) for title in titles]
        widths = [
            max((width(row[i]) for row in [head, *cells]), default=0) for i in range(len(head))
        ]
        sides = align.ljust(len(head), "<")
        if any(head):
            self.line(indent + self.bold(_row(head, widths, sides)))
        for row in cells:
            self.line(indent + _row(row, widths, sides))

    def fields(self, pairs: Iterable[tuple[str, str]], indent: str = "  ") -> None:
        """`name  value` lines; those without a value are left out."""
        shown = [(clean(name), clean(value)) for name, value in pairs if value]
        self.table(("", ""), shown, indent=indent)


def _row(cells: Sequence[str], widths: Sequence[int], sides: str) -> str:
    padded = []
    for cell, wide, side in zip(cells, widths, sides, strict=True):
        gap = " " * (wide - width(cell))
        padded.append(gap + cell if side == ">" else cell + gap)
    return "  ".join(padded).rstrip()


def width(text: str) -> int:
    """How many columns of a terminal `text` takes."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1
        for c in text
    )


def clean(text: str, *, keep: str = "") -> str:
    """`text` without anything that could steer a terminal; line breaks become spaces."""
    if text.isprintable():
        return text
    shown = []
    for char in text:
        if char.isprintable() or char in keep:
            shown.append(char)
        else:
            shown.append(" " if char in "\n\r\t" else char.encode("unicode_escape").decode())
    return "".join(shown)


def number(value: float) -> str:
    """A metric for people: up to six significant digits."""
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else ("inf" if value > 0 else "-inf")
    return f"{value:.6g}"


def describe(value: Any) -> str:
    """Any JSON value on one line; absent is `-`."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return number(value)
    if isinstance(value, str):
        return value
    return json.dumps(codec.encode(value), ensure_ascii=False)


def moment(iso: str) -> str:
    """`2026-11-21 09:10:11` (UTC) of a time on the wire; empty stays empty."""
    return iso[:19].replace("T", " ")


def shape_text(shape: Iterable[int]) -> str:
    """`[768, 3]`; `[]` of a scalar."""
    return f"[{', '.join(map(str, shape))}]"


def plural(count: int, noun: str) -> str:
    """`1 file`, `4 files`."""
    return f"{count:,} {noun}" + ("" if count == 1 else "s")
