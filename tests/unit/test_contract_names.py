"""The grammar of names: what is legal, what is refused, and with which error."""

from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from weighbridge.contract import names
from weighbridge.contract.errors import InvalidManifest, InvalidName, InvalidRequest

LEGAL = st.text(
    st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"], exclude_characters="/@:"),
    min_size=1,
    max_size=300,
)


@settings(deadline=None)
@given(LEGAL)
def test_any_free_text_is_a_model_name(text):
    """A model name is any text without reserved and control characters, up to 1,000 bytes."""
    legal = len(text.encode()) <= 1000 and text == text.strip() and text not in (".", "..")
    if legal:
        assert names.model_name(text) == text
    else:
        with pytest.raises(InvalidName):
            names.model_name(text)


@settings(deadline=None)
@given(st.text(max_size=50))
def test_a_name_is_returned_unchanged_or_refused(text):
    """No parser changes a name: it answers it, or raises `InvalidRequest`, never another error."""
    parsers = (
        names.project_name, names.model_name, names.alias_name, names.label, names.component,
        names.step_name, names.file_path, lambda t: names.key("metric", t),
    )  # fmt: skip
    for parse in parsers:
        with suppress(InvalidRequest):
            assert parse(text) == text


@pytest.mark.parametrize("value", [None, 7, b"x", ["a"], 1.5])
def test_what_is_no_text_is_no_name(value):
    """Values of other types are refused with the same error."""
    for parse in (names.project_name, names.model_name, names.alias_name, names.label):
        with pytest.raises(InvalidName):
            parse(value)


@pytest.mark.parametrize("text", ["p", "A-b.c_9", "0", "x" * 96])
def test_legal_projects(text):
    """Projects are named as model hubs name organisations."""
    assert names.project_name(text) == text


@pytest.mark.parametrize(
    "text", ["", ".", "..", "-a", "_a", "a/b", "a b", "é", "a\n", "x" * 97, "٣", "a@b"]
)
def test_illegal_projects(text):
    """Everything else is refused, digits of other scripts and a final newline included."""
    with pytest.raises(InvalidName):
        names.project_name(text)


@pytest.mark.parametrize(
    "text", ["", " a", "a ", "a/b", "a@b", "a:b", "a\x00", "a\u2028", "\ud800"]
)
def test_illegal_models(text):
    """Separators of references, control characters and invisible edges are refused."""
    with pytest.raises(InvalidName):
        names.model_name(text)


def test_fate_party_ids_are_models():
    """A party model id with `#` fits unescaped."""
    text = "arbiter-10000#guest-9999#host-10000#model"
    assert names.model_name(text) == text


@pytest.mark.parametrize(
    "text", ["latest", "Latest", "v7", "V12", "7", "", "-a", "a b", "é", "a\n"]
)
def test_reserved_aliases(text):
    """An alias never looks like a number, nor like `latest`."""
    with pytest.raises(InvalidName):
        names.alias_name(text)


@pytest.mark.parametrize("text", ["production", "v", "v7a", "vv7", "a.b-c_d", "A" * 96])
def test_legal_aliases(text):
    """Words that are neither numbers nor reserved are aliases."""
    assert names.alias_name(text) == text


@pytest.mark.parametrize(
    "text",
    ["", "/a", "a/", "a//b", ".", "..", "a/../b", "./a", "a/.", "C:/x", "c:x", "a\\b", "a\nb",
     "a\x7f", "x" * 1025, "é" * 513, "\udcff"],
)  # fmt: skip
def test_illegal_paths(text):
    """A path that could leave its folder, or that some system cannot hold, is refused."""
    with pytest.raises(InvalidManifest):
        names.file_path(text)


SEGMENT = st.text(
    st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"], exclude_characters="/\\:"),
    min_size=1,
    max_size=20,
).filter(lambda s: s not in (".", ".."))


@settings(deadline=None)
@given(st.lists(SEGMENT, min_size=1, max_size=6))
def test_legal_paths_stay_below_their_folder(segments):
    """A legal path, joined to a folder, is below that folder."""
    import posixpath

    path = names.file_path("/".join(segments))
    assert posixpath.normpath(f"/folder/{path}").startswith("/folder/")


@pytest.mark.parametrize("paths", [["a", "a"], ["a", "a/b"], ["a/b/c", "a/b"], ["x", "a/b", "a"]])
def test_clashing_paths_are_refused(paths):
    """A path twice, and a file that is also a folder, are refused in any order."""
    for order in (paths, paths[::-1]):
        with pytest.raises(InvalidManifest):
            names.check_paths(order)


def test_paths_that_only_look_alike_are_fine():
    """Common beginnings are no clash."""
    names.check_paths(["a", "ab", "b/a", "b/ab", "a.b"])


@pytest.mark.parametrize("text", ["x" * 257, "", "a\tb"])
def test_illegal_keys_and_labels(text):
    """Keys and labels have 1 to 256 bytes and no control characters."""
    with pytest.raises(InvalidName):
        names.key("metric", text)
    with pytest.raises(InvalidName):
        names.label(text)


def test_error_shows_the_value_in_one_short_line():
    """However long or strange a name is, its error is a short line."""
    for text in ("x" * 5000, "\n" * 100, "\x1b[31m"):
        with pytest.raises(InvalidName) as caught:
            names.model_name(text)
        assert len(caught.value.message) < 500
        assert "\x1b" not in caught.value.message
        assert "\n" not in caught.value.message
