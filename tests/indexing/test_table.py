"""The facts of real files are what their library says, and the documentation's table is true."""

import os

import pytest

from tests.indexing import table

ROWS_OF_ALL = table.rows()


@pytest.mark.parametrize("row", ROWS_OF_ALL, ids=lambda row: f"{row.format}: {row.file}")
def test_facts_are_what_the_library_says(row, made):
    """Format, and what the row checks; nothing is wrong with a real file."""
    path = made(row)
    facts = table.described(path)
    assert facts.problem == ""
    assert facts.format == row.format
    assert facts.parameters == sum(facts.dtypes.values())
    row.check(path, facts)


@pytest.mark.parametrize("row", ROWS_OF_ALL, ids=lambda row: f"{row.format}: {row.file}")
def test_a_file_cut_short_has_facts_still(row, made):
    """Whatever is left of a file, there is an entry for it, and no exception."""
    data = made(row).read_bytes()
    for length in sorted({0, 1, 7, 8, 9, 64, 1000, len(data) // 2, len(data) - 1}):
        if length < len(data):
            facts = table.described(data[:length])
            assert facts.format
            assert facts.read_bytes <= 4 * length + 65536


def test_the_table_of_the_documentation_is_what_was_seen(made):
    """docs/formats.md lists every real file with what was read; UPDATE_FORMATS=1 writes it anew."""
    seen = []
    for row in ROWS_OF_ALL:
        path = made(row)
        seen.append((row, path.stat().st_size, table.described(path)))
    new = table.table(seen)
    text = table.DOCUMENT.read_text(encoding="utf-8")
    if os.environ.get("UPDATE_FORMATS"):
        text = table.with_table(text, new)
        table.DOCUMENT.write_text(text, encoding="utf-8")
    assert table.in_document(text) == new
