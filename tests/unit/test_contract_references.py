"""References: what is built is parsed back, and what is no reference is refused."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from weighbridge.contract import names
from weighbridge.contract.errors import InvalidName, InvalidRequest
from weighbridge.contract.references import (
    CheckpointSelector,
    Reference,
    VersionSelector,
    build,
    build_checkpoint,
    build_version,
    parse,
    parse_checkpoint,
    parse_version,
)


def _legal(check):
    def keep(text):
        try:
            check(text)
        except InvalidRequest:
            return False
        return True

    return keep


CHARS = st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"])
TRICKY = st.text(st.sampled_from("%:@/=2F5A3C4 .#é\U0001f600"), min_size=1, max_size=20)
TEXT = st.text(CHARS, min_size=1, max_size=40) | TRICKY
PROJECTS = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,20}", fullmatch=True)
MODELS = TEXT.filter(_legal(names.model_name))
ALIASES = st.from_regex(r"[A-Za-z][A-Za-z0-9._-]{0,20}", fullmatch=True).filter(
    _legal(names.alias_name)
)
NUMBERS = st.integers(1, 10**18 - 1).map(str)
VERSIONS = st.one_of(
    st.just(VersionSelector("latest")),
    st.builds(VersionSelector, st.just("number"), NUMBERS),
    st.builds(VersionSelector, st.just("alias"), ALIASES),
    st.builds(VersionSelector, st.just("label"), TEXT.filter(_legal(names.label))),
)
CHECKPOINTS = st.one_of(
    st.just(CheckpointSelector("last")),
    st.builds(CheckpointSelector, st.just("number"), NUMBERS),
    st.builds(
        CheckpointSelector,
        st.just("best"),
        st.just("") | TEXT.filter(_legal(lambda t: names.key("metric name", t))),
    ),
)
REFERENCES = st.builds(Reference, PROJECTS, MODELS, st.none() | VERSIONS, st.none() | CHECKPOINTS)


@settings(deadline=None)
@given(REFERENCES)
def test_what_is_built_is_parsed_back(reference):
    """`parse(build(r)) == r`, for every legal reference."""
    assert parse(build(reference)) == reference
    assert parse(str(reference)) == reference


@settings(deadline=None)
@given(VERSIONS)
def test_version_selectors_are_parsed_back(selector):
    """The part behind the `@` alone is parsed back too."""
    assert parse_version(build_version(selector)) == selector


@settings(deadline=None)
@given(CHECKPOINTS)
def test_checkpoint_selectors_are_parsed_back(selector):
    """The part behind the `:` alone is parsed back too."""
    assert parse_checkpoint(build_checkpoint(selector)) == selector


@settings(deadline=None)
@given(st.text(max_size=60) | TRICKY)
def test_any_text_is_a_reference_or_refused(text):
    """No text makes the parser fail in another way than `InvalidName`; what it accepts is stable."""
    try:
        reference = parse(text)
    except InvalidName:
        return
    assert parse(build(reference)) == reference


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ("7", "number", "7"),
        ("007", "number", "7"),
        ("production", "alias", "production"),
        ("=1.4.2", "label", "1.4.2"),
        ("=7", "label", "7"),
        ("=a%3Ab%40c", "label", "a:b@c"),
        ("latest", "latest", ""),
    ],
)
def test_what_stands_behind_the_at(text, kind, value):
    """Numbers, aliases, labels and `latest` are told apart by their form."""
    assert parse_version(text) == VersionSelector(kind, value)


@pytest.mark.parametrize("text", ["", "0", "v7", "Latest", "=", "-1", "1.5", "a b", "9" * 19, "٣"])
def test_what_is_no_version(text):
    """Everything else is refused."""
    with pytest.raises(InvalidName):
        parse_version(text)


@pytest.mark.parametrize("text", ["", "0", "best=", "first", "=3", "-1", "9" * 19])
def test_what_is_no_checkpoint(text):
    """A checkpoint is a number, `last`, or `best`."""
    with pytest.raises(InvalidName):
        parse_checkpoint(text)


@pytest.mark.parametrize(
    "text", ["p", "/m", "p/", "p/m@", "p/m:", "p/m@1:", "p/a/b", "p p/m", "p/m@1@2"]
)
def test_what_is_no_reference(text):
    """Missing and surplus parts are refused."""
    with pytest.raises(InvalidName):
        parse(text)


def test_full_reference():
    """All four parts at once."""
    assert parse("vision/digits@=1.4:best=loss") == Reference(
        names.ProjectName("vision"),
        names.ModelName("digits"),
        VersionSelector("label", "1.4"),
        CheckpointSelector("best", "loss"),
    )
