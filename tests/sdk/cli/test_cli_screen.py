"""Tables align, values are for people, and JSON is exact."""

import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weighbridge.cli.screen import Screen, clean, describe, moment, number, plural, width
from weighbridge.contract import types

cells = st.text(max_size=12)


def _screen(encoding="utf-8"):
    stream = io.TextIOWrapper(io.BytesIO(), encoding, newline="\n", write_through=True)
    return Screen(stream, io.StringIO()), stream


def _printed(stream):
    return stream.buffer.getvalue().decode(stream.encoding)


@given(st.lists(st.tuples(cells, cells, cells), max_size=6))
def test_columns_begin_at_the_same_place(rows):
    """Whatever the text, the last column starts where its title does, counted in columns."""
    screen, stream = _screen()
    marked = [(a.replace("|", ""), b.replace("|", ""), f"|{c}") for a, b, c in rows]
    screen.table(("A", "B", "|C"), marked, "<><")
    text = _printed(stream)
    lines = text.split("\n")[:-1]
    assert len(lines) == len(rows) + 1
    assert len({width(row[: row.index("|")]) for row in lines}) == 1


@given(st.text())
def test_cleaned_text_is_printable_and_one_line(text):
    """Nothing that could steer a terminal is left."""
    assert clean(text).isprintable()


@given(st.text(st.characters(codec="utf-8", categories=["L", "N", "P", "Zs"])))
def test_printable_text_is_left_alone(text):
    """Names in any script are shown as they are."""
    if text.isprintable():
        assert clean(text) == text


def test_wide_and_combining_characters_are_counted():
    """A CJK character takes two columns, a combining accent none."""
    assert width("数字") == 4
    assert width("e\u0301") == 1


def test_fields_without_a_value_are_left_out():
    """Only what is known is shown."""
    screen, stream = _screen()
    screen.fields([("label", "1.0"), ("parents", ""), ("by", "ada")])
    assert _printed(stream) == "  label  1.0\n  by     ada\n"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.97, "0.97"), (1e-9, "1e-09"), (123456789.0, "1.23457e+08"), (float("nan"), "NaN"),
        (float("inf"), "inf"), (float("-inf"), "-inf"), (2.0, "2"),
    ],
)  # fmt: skip
def test_numbers_are_short(value, text):
    """Six digits are enough for people; JSON has them all."""
    assert number(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "-"),
        (True, "true"),
        ("a", "a"),
        (3, "3"),
        ([1, "é"], '[1, "é"]'),
        ({"a": 1}, '{"a": 1}'),
    ],
)
def test_any_value_is_described_on_one_line(value, text):
    """Parameters may be of any JSON type."""
    assert describe(value) == text


def test_counts_and_times_read_well():
    """Singular and plural; seconds, in UTC."""
    assert plural(1, "file") == "1 file"
    assert plural(1200, "file") == "1,200 files"
    assert moment("2026-11-21T09:10:11.123Z") == "2026-11-21 09:10:11"
    assert moment("") == ""


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1", "ascii"])
def test_json_is_exact_in_every_encoding(encoding):
    """Sizes are bytes, text is whole, what JSON cannot hold is text."""
    screen, stream = _screen(encoding)
    model = types.Model("p", "数字", aliases={"a": 1})
    screen.json({"model": model, "size": 2**53 + 1, "metric": float("nan")})
    back = json.loads(_printed(stream))
    assert back["model"]["name"] == "数字"
    assert back["size"] == 2**53 + 1
    assert back["metric"] == "NaN"
