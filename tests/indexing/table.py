"""Real files of each format, the facts expected of them, and the table of docs/formats.md.

A test module of this folder contributes by a list `ROWS`; nothing else is to be registered.
"""

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from chalicelib.indexing.formats import describe
from chalicelib.indexing.formats.ranged import Ranged

HERE = Path(__file__).parent
DOCUMENT = HERE.parents[1] / "docs" / "formats.md"
BEGIN, END = "<!-- table of real files: begin -->", "<!-- table of real files: end -->"


@dataclass(frozen=True)
class Row:
    """A real file: `make(folder)` writes or finds it, `check(path, facts)` asks a library about it."""

    format: str
    file: str
    made_by: str
    checked: str
    make: Callable[[Path], Path]
    check: Callable[[Path, object], None]


def rows():
    """The rows of all test modules here, in the order of their formats."""
    found = []
    for path in sorted(HERE.glob("test_*.py")):
        # Modules without rows may ask for those of the others while they are imported.
        if "\nROWS = " in path.read_text():
            found += importlib.import_module(f"tests.indexing.{path.stem}").ROWS
    return sorted(found, key=lambda row: (row.format, row.file))


def packaged(package, *parts):
    """A file that an installed package carries. The package is not imported."""
    return Path(find_spec(package).submodule_search_locations[0]).joinpath(*parts)


def ranged(source):
    """Bytes or a file, to be read by ranges; no byte that is not asked for is read."""
    if isinstance(source, bytes):
        return Ranged(lambda start, length: source[start : start + length], len(source))

    def fetch(start, length):
        with source.open("rb") as file:
            file.seek(start)
            return file.read(length)

    return Ranged(fetch, source.stat().st_size, source.name)


def described(source):
    """The facts of bytes or of a file, as the indexer keeps them."""
    return describe(ranged(source))


def table(seen):
    """The table of (row, size, facts), as Markdown."""
    lines = [
        "| format | file | made by | facts checked against the library | size | bytes read | requests |",
        "|---|---|---|---|--:|--:|--:|",
    ]
    for row, size, facts in seen:
        lines.append(
            f"| {row.format} | {row.file} | {row.made_by} | {row.checked} "
            f"| {size:,} | {facts.read_bytes:,} | {facts.requests} |"
        )
    return "\n".join(lines) + "\n"


def in_document(text):
    """The table that the document has."""
    return text.split(BEGIN + "\n")[1].split(END)[0]


def with_table(text, new):
    """The document with another table."""
    head, rest = text.split(BEGIN + "\n")
    return head + BEGIN + "\n" + new + END + rest.split(END)[1]
