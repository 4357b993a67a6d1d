"""From paths to files of a version: names, links, folders."""

import os

import pytest

from weighbridge.contract.errors import InvalidManifest, InvalidRequest
from weighbridge.sources import collect


def _names(*arguments):
    return [source.name for source in collect(*arguments)]


@pytest.fixture
def folder(tmp_path):
    """A folder with a file at its top, a hidden one and one below."""
    (tmp_path / "m" / "sub" / "deep").mkdir(parents=True)
    for name in ("a", ".b", "sub/deep/c"):
        (tmp_path / "m" / name).write_text(name)
    return tmp_path / "m"


def test_folder_content_stands_at_the_top(folder):
    """A folder's own name is no part of the names; hidden files are included."""
    assert _names(folder) == [".b", "a", "sub/deep/c"]
    assert _names([folder / "a", folder / "sub"]) == ["a", "deep/c"]


def test_current_folder_can_be_named(folder, monkeypatch):
    """`.` means what is in it."""
    monkeypatch.chdir(folder)
    assert _names(".") == [".b", "a", "sub/deep/c"]
    assert _names("a") == ["a"]


def test_same_name_twice_is_refused(folder):
    """Two files that would have one name are refused."""
    (folder / "sub" / "a").write_text("")
    with pytest.raises(InvalidManifest, match="twice"):
        collect([folder / "a", folder / "sub" / "a"])


def test_links_inside_are_followed(folder):
    """A link to a file or folder of the same folder stands for its content."""
    (folder / "link").symlink_to("a")
    (folder / "folder").symlink_to("sub")
    assert _names(folder) == [".b", "a", "folder/deep/c", "link", "sub/deep/c"]


def test_links_to_the_outside_are_refused(folder, tmp_path):
    """A link that leads out of the folder is refused: it could carry anything along."""
    (tmp_path / "secret").write_text("s")
    (folder / "x").symlink_to(tmp_path / "secret")
    with pytest.raises(InvalidManifest, match="leads out"):
        collect(folder)


@pytest.mark.parametrize("target", [".", "..", "sub/.."])
def test_endless_links_are_refused(folder, target):
    """A link to a folder that contains it is refused instead of walked for ever."""
    (folder / "loop").symlink_to(target)
    with pytest.raises(InvalidManifest):
        collect(folder)


def test_broken_links_and_pipes_are_refused(folder):
    """What is neither file nor folder is refused by name, not skipped."""
    os.mkfifo(folder / "pipe")
    with pytest.raises(InvalidManifest, match="pipe"):
        collect(folder)
    with pytest.raises(InvalidManifest, match="pipe"):
        collect(folder / "pipe")
    (folder / "pipe").unlink()
    (folder / "broken").symlink_to("nowhere")
    with pytest.raises(InvalidManifest, match="broken"):
        collect(folder)


def test_a_named_link_is_followed(folder, tmp_path):
    """A path that the caller names may itself be a link."""
    (tmp_path / "link").symlink_to(folder)
    assert _names(tmp_path / "link") == [".b", "a", "sub/deep/c"]


def test_nothing_to_push_is_refused(tmp_path):
    """No path, an empty folder and a missing path are errors that say so."""
    with pytest.raises(InvalidManifest):
        collect([])
    with pytest.raises(InvalidManifest, match="no file"):
        collect(tmp_path)
    with pytest.raises(InvalidRequest, match="nowhere"):
        collect(tmp_path / "nowhere")


def test_names_that_cannot_be_stored_are_refused(tmp_path):
    """A file name outside the grammar, or not in Unicode, is refused."""
    (tmp_path / "a\nb").write_text("")
    with pytest.raises(InvalidManifest):
        collect(tmp_path)
    (tmp_path / "a\nb").unlink()
    (tmp_path / os.fsdecode(b"a\xff")).write_text("")
    with pytest.raises(InvalidManifest, match="Unicode"):
        collect(tmp_path)


def test_one_new_name_needs_one_path(folder):
    """`as_name` with two paths is refused."""
    with pytest.raises(InvalidRequest):
        collect([folder / "a", folder / ".b"], "x")
