"""Manifests: canonical, complete, and refused where they could not be stored."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from weighbridge.contract import digests, manifests
from weighbridge.contract.errors import InvalidManifest
from weighbridge.contract.manifests import FileEntry

NAMES = st.text(st.sampled_from("abé\U0001f600ﬀ_.-~ "), min_size=1, max_size=8).filter(
    lambda name: name not in (".", "..")
)
CONTENT = st.binary(max_size=40)


@st.composite
def entries(draw):
    """Legal lists of files, in any order."""
    made = {}
    for name in draw(st.lists(NAMES, unique=True, max_size=6)):
        data = draw(CONTENT)
        sha = digests.sha256_of(data)
        if draw(st.booleans()):
            blob = digests.composite_blob(digests.composite([sha]), 1, len(data))
        else:
            blob = digests.single_blob(sha, len(data))
        folder = draw(st.sampled_from(["", "folder/", "folder/x/"]))
        made[name] = FileEntry(f"{folder}{name}{'!' if not folder else ''}", len(data), sha, blob)
    return list(made.values())


@settings(deadline=None)
@given(entries(), st.randoms())
def test_manifest_is_canonical(files, chance):
    """The same files in any order give the same bytes and the same digest."""
    shuffled = list(files)
    chance.shuffle(shuffled)
    assert manifests.encode(shuffled) == manifests.encode(files)
    assert manifests.digest(shuffled) == manifests.digest(files)


@settings(deadline=None)
@given(entries())
def test_manifest_is_read_back(files):
    """What was encoded is decoded, in canonical order."""
    data = manifests.encode(files)
    assert manifests.decode(data) == manifests.checked(files)
    assert manifests.encode(manifests.decode(data)) == data


@settings(deadline=None)
@given(entries().filter(bool))
def test_digest_changes_with_any_file(files):
    """A manifest with one file less, or another path, has another digest."""
    assert manifests.digest(files[1:]) != manifests.digest(files)
    first = files[0]
    moved = FileEntry("moved?", first.size, first.sha256, first.blob)
    assert manifests.digest([moved, *files[1:]]) != manifests.digest(files)


def test_manifest_form_is_pinned():
    """The canonical form never changes: its digest names content for ever."""
    empty = digests.sha256_of(b"")
    entry = FileEntry("a/é", 0, empty, digests.single_blob(empty, 0))
    expected = (
        '{"files":[{"blob":"s-' + empty + '-0","path":"a/é","sha256":"' + empty + '","size":0}],'
        '"schema":1}'
    )
    assert manifests.encode([entry]) == expected.encode()
    assert json.loads(manifests.encode([])) == {"files": [], "schema": 1}


SHA = digests.sha256_of(b"x")
OTHER = digests.sha256_of(b"y")


@pytest.mark.parametrize(
    "entry",
    [
        FileEntry("../a", 1, SHA, digests.single_blob(SHA, 1)),
        FileEntry("/a", 1, SHA, digests.single_blob(SHA, 1)),
        FileEntry("a", 2, SHA, digests.single_blob(SHA, 1)),
        FileEntry("a", 1, OTHER, digests.single_blob(SHA, 1)),
        FileEntry("a", 1, SHA.upper(), digests.single_blob(SHA, 1)),
        FileEntry("a", 1, "", digests.single_blob(SHA, 1)),
        FileEntry("a", 1, SHA, "x"),
        FileEntry("a", 1, SHA, ""),
        FileEntry("a", -1, SHA, f"s-{SHA}--1"),
    ],
)
def test_entries_that_cannot_be_stored(entry):
    """Paths, sizes, digests and blobs that do not fit each other are refused."""
    with pytest.raises(InvalidManifest):
        manifests.checked([entry])


def test_path_twice_is_refused():
    """One path names one file."""
    entry = FileEntry("a", 1, SHA, digests.single_blob(SHA, 1))
    with pytest.raises(InvalidManifest, match="twice"):
        manifests.checked([entry, entry])


def test_unknown_schema_is_refused():
    """A manifest of a later schema is not misread."""
    with pytest.raises(InvalidManifest):
        manifests.decode(b'{"schema": 2, "files": []}')


def test_too_many_files_are_refused():
    """The limit is stated in the error."""
    blob = digests.single_blob(SHA, 1)
    files = (FileEntry(f"f{n}", 1, SHA, blob) for n in range(manifests.MAX_FILES + 1))
    with pytest.raises(InvalidManifest) as caught:
        manifests.checked(files)
    assert caught.value.details == {"limit": manifests.MAX_FILES}
