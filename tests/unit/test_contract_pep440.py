"""Versions are parsed, written and ordered as the `packaging` library does it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.version import InvalidVersion
from packaging.version import Version as Oracle

from weighbridge.contract import pep440
from weighbridge.contract.errors import InvalidName

NUMBER = st.sampled_from(["0", "1", "2", "10", "007", "20261121"])
SEPARATOR = st.sampled_from(["", ".", "-", "_"])


@st.composite
def versions(draw):
    """Texts that PEP 440 knows, in all their spellings."""
    text = draw(st.sampled_from(["", "v", "V", " "]))
    text += draw(st.sampled_from(["", "1!", "0!"]))
    text += ".".join(draw(st.lists(NUMBER, min_size=1, max_size=4)))
    if draw(st.booleans()):
        letter = draw(
            st.sampled_from(["a", "b", "c", "rc", "alpha", "beta", "pre", "preview", "RC"])
        )
        text += draw(SEPARATOR) + letter + draw(SEPARATOR) + draw(NUMBER)
    if draw(st.booleans()):
        kinds = ["-{}", ".post{}", "post-{}", "_rev.{}", "r{}", ".post"]
        text += draw(st.sampled_from(kinds)).format(draw(NUMBER))
    if draw(st.booleans()):
        text += draw(st.sampled_from([".dev{}", "dev-{}", "-DEV{}", ".dev"])).format(draw(NUMBER))
    if draw(st.booleans()):
        parts = draw(
            st.lists(st.sampled_from(["1", "007", "abc", "Ubuntu", "a1"]), min_size=1, max_size=3)
        )
        text += "+" + draw(st.sampled_from([".", "-", "_"])).join(parts)
    return text + draw(st.sampled_from(["", " ", "\n"]))


@given(versions())
def test_a_version_is_written_canonically(text):
    """The canonical form is the oracle's, and parses to itself."""
    assert str(pep440.parse(text)) == str(Oracle(text))
    assert pep440.parse(pep440.parse(text).text).text == pep440.parse(text).text


@given(versions(), versions())
def test_versions_are_ordered_as_the_oracle_orders_them(one, other):
    """Less, equal and greater agree; equal ones have one normal form and one hash."""
    ours, theirs = (pep440.parse(one), pep440.parse(other)), (Oracle(one), Oracle(other))
    assert (ours[0] < ours[1]) == (theirs[0] < theirs[1])
    assert (ours[0] == ours[1]) == (theirs[0] == theirs[1]) == (ours[0].normal == ours[1].normal)
    if ours[0] == ours[1]:
        assert hash(ours[0]) == hash(ours[1])


@given(st.text(alphabet="v1.0!abcrdevpost-_+ x\u0663", max_size=12))
def test_what_is_no_version_is_refused(text):
    """A text is a version to us exactly if it is one to the oracle."""
    try:
        expected = str(Oracle(text))
    except InvalidVersion:
        with pytest.raises(InvalidName):
            pep440.parse(text)
    else:
        assert pep440.parse(text).text == expected


@pytest.mark.parametrize("value", ["", "latest", "1.0.", None, 1.0, "1" * 300, "1.0\0"])
def test_odd_values_are_refused(value):
    """Anything else than a short text of that form is an `InvalidName`."""
    with pytest.raises(InvalidName):
        pep440.parse(value)


def test_equal_versions_print_differently():
    """`1.0` and `1.0.0` are equal, and each keeps its text."""
    short, long = pep440.parse("1.0"), pep440.parse("v1.0.0")
    assert short == long
    assert (short.text, long.text, short.normal) == ("1.0", "1.0.0", "1")
