"""What the ForML provider rests on and needs no ForML: tags, packages, listings."""

import stat
import struct
import warnings
import zipfile

import pytest

from weighbridge.client.session import Known
from weighbridge.contract import types
from weighbridge.contract.errors import from_body
from weighbridge.generations import names, packages, posix, tags
from weighbridge.generations.errors import BadPackage
from weighbridge.generations.listings import Listings

MANIFEST = 'NAME = "demo"\nVERSION = "1.0"\nPACKAGE = "demo"\nMODULES = {}\n'
TAG = b"""states = [ "19e4fabf-8ba4-43e7-a5f2-8dca871a8a05", "4ac09d27-7e7e-4f9a-b6f7-dfd699225bcc",]

[training]
timestamp = 2026-03-01T10:15:00.001032
ordinal = 2026-02-28

[tuning]
score = 0.91
"""


def test_a_tag_is_told_to_the_catalogue():
    """Score, ordinal, timestamps, and the states in their order."""
    assert tags.states(TAG)[0].startswith("19e4")
    assert tags.metrics(TAG) == {"score": 0.91}
    assert tags.tags(TAG) == {
        "training.timestamp": "2026-03-01T10:15:00.001032",
        "training.ordinal": "2026-02-28",
    }


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\xff",
        b"not toml at all",
        b"states = 3\ntraining = 1\ntuning = []",
        b"[tuning]\nscore = true",
    ],
)
def test_an_odd_tag_is_told_as_far_as_it_goes(raw):
    """Nothing depends on its parse."""
    assert tags.states(raw) == []
    assert tags.metrics(raw) == {}
    assert tags.tags(raw) == {}


def test_a_score_may_be_no_number():
    """`nan` is one that is not ranked."""
    [value] = tags.metrics(b"[tuning]\nscore = nan").values()
    assert value != value


def zipped(path, *members, manifest=MANIFEST):
    """A package file."""
    with warnings.catch_warnings(), zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        warnings.simplefilter("ignore")
        if manifest:
            archive.writestr("__4ml__.py", manifest)
        for name, data in members:
            archive.writestr(name, data)
    claimed = path.read_bytes().replace(  # a bomb, as far as it claims
        struct.pack("<I", 1_234_567), struct.pack("<I", 1200 << 20)
    )
    path.write_bytes(claimed)
    return path


def link(name):
    """A member that is a symbolic link."""
    info = zipfile.ZipInfo(name)
    info.create_system = 3
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    return info


def test_a_package_is_unpacked_in_one_step(tmp_path):
    """As files; whoever comes second leaves no copy."""
    file = zipped(tmp_path / "p.4ml", ("demo/__init__.py", ""), ("space/inner/code.py", "X = 1"))
    wanted = packages.manifest_of(file)
    target = tmp_path / "stage" / "demo" / "1.0-abc"
    for _ in range(2):
        packages.unpack(file, target, wanted)
    assert (target / "space/inner/code.py").read_text() == "X = 1"
    assert [p.name for p in target.parent.iterdir()] == ["1.0-abc"]
    assert packages.manifest_of(target) == wanted


@pytest.mark.parametrize(
    "members",
    [
        [("../x.py", "")], [("/x.py", "")], [("a\\b.py", "")], [("C:x", "")], [("a//b", "")],
        [(link("demo/link"), "/etc")], [("__4ml__.pyc", "")], [("__4ml__/__init__.py", "")],
        [("a", ""), ("a", "")], [("a", ""), ("a/b", "")], [("zeros", b"\0" * 1_234_567)],
    ],
    ids=["up", "absolute", "backslash", "drive", "empty", "link", "compiled", "package", "twice",
         "file and folder", "bomb"],
)  # fmt: skip
def test_hostile_packages_are_not_unpacked(tmp_path, members):
    """Nothing is written, inside or outside."""
    file = zipped(tmp_path / "p.4ml", *members)
    stage = tmp_path / "stage"
    with pytest.raises(BadPackage):
        packages.unpack(file, stage / "t", packages.Manifest("demo", "1.0", "demo"))
    assert not list(stage.iterdir())
    with pytest.raises(BadPackage):
        packages.manifest_of(file)


@pytest.mark.parametrize("manifest", ["import os\n", "", MANIFEST + "NAME = 'twice'\n"])
def test_a_manifest_is_never_executed(tmp_path, manifest):
    """Code, nothing, or names that stand twice are refused."""
    with pytest.raises(BadPackage):
        packages.manifest_of(zipped(tmp_path / "p.4ml", manifest=manifest))
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "__4ml__.py").write_text(manifest)
    with pytest.raises(BadPackage):
        packages.manifest_of(tmp_path / "folder")


def test_a_folder_is_packed_the_same_each_time(tmp_path):
    """Manifest first, a fixed order, no cache, no metadata of installers."""
    folder = tmp_path / "folder"
    for name in ("b/x.py", "a.py", "__4ml__.py", "b/__pycache__/x.pyc", "n-1.dist-info/RECORD"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(MANIFEST if name == "__4ml__.py" else "")
    one = posix.packed(folder, tmp_path / "1.zip")
    (folder / "a.py").touch()
    assert one.read_bytes() == posix.packed(folder, tmp_path / "2.zip").read_bytes()
    assert zipfile.ZipFile(one).namelist() == ["__4ml__.py", "a.py", "b/x.py"]


def test_names_of_files_are_reversible():
    """A state's path gives its id back."""
    assert names.sid_of(names.state("abc")) == "abc"
    assert names.sid_of("tag.toml") == ""
    assert names.label("v1.0-dev1") == "1.0.dev1"


class Lists:
    """A client whose listings a test sets; it knows what was asked."""

    def __init__(self, pages):
        self.pages, self.asked = pages, []

    def revisit(self, answer, *segments, query=None, known=None):
        """The next answer."""
        self.asked.append(known.tag if known else "")
        page = self.pages[(query or {}).get("page")]
        tag = repr(page)
        return known if known and known.tag == tag else Known(page, tag)


def test_listings_are_remembered_for_seconds():
    """A full one for ten, an empty one for two; then it is asked for again with its tag."""
    now = [0.0]
    lists = Lists({None: types.CheckpointPage(())})
    found = Listings(lists, "forml", clock=lambda: now[0])
    assert found.generations("demo", 1) == ()
    now[0] = 1.9
    assert found.generations("demo", 1) == ()
    assert len(lists.asked) == 1
    now[0] = 2.1
    lists.pages = {None: types.CheckpointPage((types.Checkpoint("forml", "demo", 1, 1),))}
    assert found.generations("demo", 1) == (1,)
    now[0] = 12.0
    assert found.generations("demo", 1) == (1,)
    assert len(lists.asked) == 2
    now[0] = 12.2
    assert found.generations("demo", 1) == (1,)
    assert lists.asked[0] == "" != lists.asked[2]
    found.drop()
    assert found.generations("demo", 1) == (1,)
    assert len(lists.asked) == 4


def test_all_pages_are_listed():
    """A list of several pages is complete, and each page has its own tag."""
    points = [types.Checkpoint("forml", "demo", 1, n) for n in range(1, 5)]
    lists = Lists({
        None: types.CheckpointPage(tuple(points[:2]), "next"),
        "next": types.CheckpointPage(tuple(points[2:])),
    })  # fmt: skip
    found = Listings(lists, "forml")
    assert found.generations("demo", 1) == (1, 2, 3, 4)


def test_another_servers_refusal_is_told_apart():
    """A gateway's 404 is not the registry's "not found"."""
    ours = {"error": {"code": "not_found", "message": "no", "details": {}, "request_id": ""}}
    assert from_body(404, None).foreign
    assert from_body(404, {"message": "Missing Authentication Token"}).foreign
    assert not from_body(404, ours).foreign
