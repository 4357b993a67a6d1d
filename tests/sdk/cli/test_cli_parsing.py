"""Values on the command line, and references: what they mean and what is refused."""

import argparse
import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.catalogue import slugs
from weighbridge.cli import addresses, parsing, targets
from weighbridge.contract.errors import InvalidName, InvalidRequest

names = st.text(min_size=1, max_size=20).filter(lambda text: "=" not in text)
plain_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=5,
)


@given(names, plain_json)
def test_a_parameter_that_is_json_keeps_its_type(name, value):
    """Numbers, booleans, lists and objects arrive as such."""
    assert parsing.param(f"{name}={json.dumps(value)}") == (name, value)


@pytest.mark.parametrize(
    "text", ["adam", "", "NaN", "-Infinity", "1e999", "1.2.3", "[1,", "[" * 9999]
)
def test_a_parameter_that_is_no_json_is_text(text):
    """Also what JSON's grammar lacks, so that no value is lost or becomes infinite."""
    assert parsing.param(f"k={text}") == ("k", text)


@given(names, st.floats())
def test_a_metric_is_a_number(name, value):
    """Every float that Python writes is read back, NaN and infinities too."""
    found = parsing.metric(f"{name}={value!r}")
    assert found[0] == name
    assert found[1] == value or math.isnan(value)


@given(names, st.text(min_size=1, max_size=20))
def test_a_tag_is_split_at_the_first_equals_sign(name, value):
    """Values may contain equals signs."""
    assert parsing.tag(f"{name}={value}") == (name, value)


@pytest.mark.parametrize(
    ("parse", "text"),
    [
        (parsing.metric, "accuracy"), (parsing.metric, "=1"), (parsing.metric, "a=1_0"),
        (parsing.metric, "a="), (parsing.param, "lr"), (parsing.param, "=1"), (parsing.tag, "k="),
        (parsing.tag, "k"), (parsing.direction, "loss=up"), (parsing.direction, "=max"),
        (parsing.positive, "0"), (parsing.positive, "-1"), (parsing.positive, "x"),
        (parsing.positive, "٣"), (parsing.natural, "-1"), (parsing.natural, "1.0"),
    ],
)  # fmt: skip
def test_malformed_values_are_refused(parse, text):
    """The message names the value."""
    with pytest.raises(argparse.ArgumentTypeError):
        parse(text)


def test_a_direction_is_split_at_the_last_equals_sign():
    """Metric names may contain equals signs."""
    assert parsing.direction("f1@k=5=max") == ("f1@k=5", "max")


def test_a_name_given_twice_is_refused():
    """Neither value is chosen silently."""
    assert parsing.once("tag", [("a", "1"), ("b", "2")]) == {"a": "1", "b": "2"}
    with pytest.raises(InvalidRequest, match="given twice"):
        parsing.once("tag", [("a", "1"), ("a", "1")])


def test_a_target_is_a_project_or_a_reference():
    """Only a slash makes it more than a project."""
    assert targets.anything("vision") == "vision"
    assert targets.anything("vision/") == "vision"
    assert str(targets.anything("vision/a b#1@production")) == "vision/a b#1@production"


@pytest.mark.parametrize(
    "text", ["vision", "vision/digits", "vision/digits:3", "vision/digits@1:3", "vision/@1"]
)
def test_a_version_must_be_named_where_it_is_changed(text):
    """No command changes the latest version because a number was forgotten."""
    with pytest.raises(InvalidName):
        targets.version(text)


def test_without_a_version_the_latest_is_read():
    """Reading commands fill in what is missing."""
    assert str(targets.versioned("vision/digits")) == "vision/digits@latest"
    assert str(targets.checkpoint("vision/digits")) == "vision/digits@latest:last"
    assert str(targets.checkpoint("vision/digits@1:best=loss")) == "vision/digits@1:best=loss"


@given(
    st.text(st.characters(codec="utf-8"), min_size=1, max_size=120)
    | st.sampled_from([".", "..", "...", "index.html", "index.json", "index.htm"])
)
def test_page_addresses_are_those_of_the_catalogue(name):
    """`open` leads to the page that the server renders, whatever the model is called."""
    page = addresses.model("Vision", name, "m01")
    assert page == slugs.model_path("Vision", name, "m01")
    assert addresses.version(page, 7) == slugs.version_path("Vision", name, "m01", 7)
    assert addresses.version(page, 7, checkpoints=True) == slugs.checkpoints_path(
        "Vision", name, "m01", 7
    )
