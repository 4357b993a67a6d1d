"""Archives against the standard library: what they hold, and what in them should make one careful."""

import gzip
import io
import lzma
import os
import pickle
import struct
import subprocess
import tarfile
import zipfile
import zlib

import pytest

from chalicelib.indexing.formats import forml, listing
from tests.indexing.table import Row, described

FILES = {
    "a/weights.bin": b"w" * 3000,
    "a/readme.txt": b"hello",
    "é/" + "long" * 40 + ".txt": b"x" * 600,
}


def zipped(files, method=zipfile.ZIP_DEFLATED):
    """A zip of names and contents."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as file:
        for name, data in files.items():
            file.writestr(zipfile.ZipInfo(name), data, method)
    return out.getvalue()


def tarred(entries, mode="w", form=tarfile.PAX_FORMAT):
    """A tar of `TarInfo` or names, with their contents."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode, format=form) as file:
        for entry, data in entries:
            info = tarfile.TarInfo(entry) if isinstance(entry, str) else entry
            info.size = len(data)
            file.addfile(info, io.BytesIO(data))
    return out.getvalue()


def _link(name, target, kind=tarfile.SYMTYPE):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


MANIFEST = b'''"""Made by a release."""
# a comment
NAME = "demo-project"
VERSION = "1.0.dev1"
PACKAGE = "demo.pipelines"
MODULES = {"source": "demo.data.reader"}
'''
PACKAGE = {
    "__4ml__.py": MANIFEST,
    "demo/__init__.py": b"",
    "demo/pipelines/pipeline.py": b"print(1)\n",
}


def _make(name, build):
    def make(folder):
        path = folder / name
        path.write_bytes(build())
        return path

    return make


def _check_zip(path, facts):
    with zipfile.ZipFile(path) as file:
        infos = [i for i in file.infolist() if not i.is_dir()]
        assert facts.metadata["files"] == str(len(infos))
        assert facts.metadata["unpacked"] == str(sum(i.file_size for i in infos))
        assert facts.metadata["names"] == ", ".join(i.filename[:120] for i in infos)
    assert facts.verdict == ""


def _check_tar(path, facts):
    with tarfile.open(path) as file:
        members = file.getmembers()
    files = [m for m in members if m.isreg()]
    assert facts.metadata["files"] == str(len(files))
    assert facts.metadata.get("folders", "0") == str(sum(m.isdir() for m in members))
    assert facts.metadata.get("links", "0") == str(sum(m.issym() or m.islnk() for m in members))
    assert facts.metadata["unpacked"] == str(sum(m.size for m in files))
    assert facts.metadata["names"] == ", ".join(m.name[:120] for m in files)
    assert (facts.verdict, facts.findings) == ("", ())


def _entries():
    folder = tarfile.TarInfo("a")
    folder.type = tarfile.DIRTYPE
    deep = "deep/" * 30 + "é" * 60
    return [(folder, b""), *FILES.items(), (deep, b"1"), (_link("a/in", "readme.txt"), b""),
            (_link("hard", "a/readme.txt", tarfile.LNKTYPE), b"")]  # fmt: skip


def _check_forml(path, facts):
    names = {"NAME": "name", "VERSION": "version", "PACKAGE": "package"}
    space = {}
    exec(zipfile.ZipFile(path).read("__4ml__.py"), space)  # as ForML does, but of our own making
    assert {facts.metadata[ours] for ours in names.values()} == {space[theirs] for theirs in names}
    assert facts.metadata["module source"] == space["MODULES"]["source"]
    assert facts.verdict == "unknown"
    assert facts.findings == (
        "3 members that may run code when loaded: '__4ml__.py', 'demo/__init__.py', "
        "'demo/pipelines/pipeline.py'",
    )


_LISTED = "files, folders, links, sizes, names"
ROWS = [
    Row("zip", "files.zip", "zipfile", _LISTED, _make("files.zip", lambda: zipped(FILES)), _check_zip),
    *(
        Row("tar", f"files.tar, {name}", "tarfile", _LISTED,
            _make("files.tar", lambda form=form: tarred(_entries(), form=form)), _check_tar)
        for name, form in (("pax", tarfile.PAX_FORMAT), ("GNU", tarfile.GNU_FORMAT))
    ),
    *(
        Row(f"tar.{kind}", f"files.tar.{kind}", "tarfile", _LISTED,
            _make(f"files.tar.{kind}", lambda kind=kind: tarred(_entries(), f"w:{kind}")), _check_tar)
        for kind in ("gz", "bz2", "xz")
    ),
    Row("forml-package", "demo.4ml", "zipfile, by the documented layout", "name, version, package, modules",
        _make("demo.4ml", lambda: zipped(PACKAGE)), _check_forml),
]  # fmt: skip


NAMES = [
    ("../up.txt", "leads out"), ("a/../../up.txt", "leads out"), ("/etc/passwd", "absolute"),
    ("\\server\\x", "absolute"), ("C:\\x", "drive letter"), ("c:x", "drive letter"),
    ("a\\..\\..\\x", "leads out"), ("d/" * 300 + "x", "folders deep"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "reason"), NAMES)
def test_names_that_lead_out_make_an_archive_unsafe(name, reason):
    """In a zip, in a tar and in a compressed tar."""
    for data in zipped({name: b"x"}), tarred([(name, b"x")]), tarred([(name, b"x")], "w:gz"):
        facts = described(data)
        assert facts.verdict == "unsafe"
        assert any(reason in finding for finding in facts.findings)


@pytest.mark.parametrize("name", ["a/b..c", "..a", "a/...", "ab:c", "./a", "a//b"])
def test_odd_but_harmless_names_are_let_through(name):
    """What stays inside is no finding."""
    assert listing.wrong(name) == ""
    assert described(tarred([(name, b"x")])).verdict == ""


LINKS = [
    ([("out", "/etc/passwd")], True), ([("a/out", "../../x")], True), ([("x", "C:\\x")], True),
    ([("a/b/in", "../../c")], False), ([("in", "a/../b")], False), ([("a/in", "..")], False),
    ([("a/b/here", "."), ("a/b/up", "here/../../..")], True),
]  # fmt: skip


@pytest.mark.parametrize(("links", "unsafe"), LINKS)
def test_links_may_not_point_outside(links, unsafe):
    """Absolute, upwards, or upwards through another link."""
    facts = described(tarred([(_link(name, target), b"") for name, target in links]))
    assert facts.verdict == ("unsafe" if unsafe else "")


def test_hard_links_are_seen_from_the_top():
    """Their targets are members, not neighbours."""
    inside = described(tarred([("a", b"x"), (_link("d/e/f", "a", tarfile.LNKTYPE), b"")]))
    out = described(tarred([(_link("d/e/f", "../a", tarfile.LNKTYPE), b"")]))
    assert (inside.verdict, out.verdict) == ("", "unsafe")


def test_what_is_written_through_a_link_is_unsafe():
    """A folder that is a link sends the files below it elsewhere."""
    facts = described(tarred([(_link("logs", "data"), b""), ("logs/x", b"1")]))
    assert facts.verdict == "unsafe"
    assert "through the link 'logs'" in facts.findings[0]


def test_devices_pipes_and_names_that_stand_twice_are_told():
    """A tar may hold them; a model has no use for them."""
    device = tarfile.TarInfo("sda")
    device.type = tarfile.BLKTYPE
    pipe = tarfile.TarInfo("pipe")
    pipe.type = tarfile.FIFOTYPE
    facts = described(tarred([(device, b""), (pipe, b"")]))
    assert facts.findings == ("'sda' is a device", "'pipe' is a pipe")
    assert facts.verdict == "unsafe"
    twice = described(tarred([("a", b"1"), ("a", b"2")]))
    assert (twice.verdict, twice.findings) == ("unknown", ("'a' stands twice",))


def test_members_that_can_run_code_and_archives_within_are_not_looked_into():
    """So nobody calls the archive safe."""
    facts = described(zipped({"m.pkl": b"1", "x.py": b"2", "in.tar.gz": b"3", "w.bin": b"4"}))
    assert facts.verdict == "unknown"
    assert facts.findings == (
        "1 member that may run code when loaded: 'x.py'",
        "1 archive within, not looked into: 'in.tar.gz'",
        "m.pkl: named like a pickle, but none that can be read",
    )


def test_encrypted_members_are_told():
    """The flag of the local header and of the directory, set by hand."""
    data = bytearray(zipped({"a.bin": b"x" * 100}, zipfile.ZIP_STORED))
    for mark, at in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        begin = data.index(mark) + at
        data[begin : begin + 2] = struct.pack("<H", 1)
    facts = described(bytes(data))
    assert facts.verdict == "unknown"
    assert facts.findings[0] == "1 member encrypted"


def test_a_bomb_is_unsafe(monkeypatch):
    """Far more bytes than the archive has, by its own directory; a small one is none, whatever its ratio."""
    data = zipped({f"{n}.bin": bytes(4_000_000) for n in range(3)})
    assert described(data).verdict == ""
    monkeypatch.setattr(listing, "BIG", 10_000_000)
    facts = described(data)
    assert facts.verdict == "unsafe"
    assert "times its size" in facts.findings[0]


@pytest.mark.parametrize("kind", ["gz", "bz2", "xz"])
def test_a_compressed_bomb_is_unpacked_only_so_far(kind):
    """Of sixty megabytes of nothing the beginning is looked at."""
    data = tarred([("big.bin", bytes(60_000_000)), ("last", b"x")], f"w:{kind}")
    facts = described(data)
    assert facts.problem == ""
    assert facts.verdict == "unknown"
    assert facts.findings == ("only the first 1 member were looked at",)
    assert facts.metadata["unpacked"] == "60000000"


def test_compressed_files_that_are_no_tar_are_named():
    """And a pickle within is not taken for data."""
    assert (
        described(subprocess.run(["gzip"], input=b"text", capture_output=True).stdout).format
        == "gzip"
    )
    facts = described(lzma.compress(b"\x80\x04N."))
    assert (facts.format, facts.verdict) == ("pickle", "safe")
    assert described(b"\x28\xb5\x2f\xfd" + bytes(20)).verdict == "unknown"


def test_an_xz_that_wants_too_much_memory_is_a_problem():
    """Its dictionary is the file's claim."""
    data = bytearray(
        lzma.compress(b"x" * 100, filters=[{"id": lzma.FILTER_LZMA2, "dict_size": 4096}])
    )
    at = 12 + 4  # stream header, then size, flags, filter id and length of its properties
    assert data[at] == 0  # 4 KiB
    data[at] = 34  # 512 MiB
    size = (data[12] + 1) * 4
    data[12 + size - 4 : 12 + size] = struct.pack("<I", zlib.crc32(bytes(data[12 : 12 + size - 4])))
    facts = described(bytes(data))
    assert "cannot be unpacked" in facts.problem


EVIL = b"cos\nsystem\n(S'true'\ntR."


def _packings(name, data):
    yield zipped({"a.txt": b"x", name: data})
    for mode in ("w", "w:gz", "w:bz2", "w:xz"):
        yield tarred([("a.txt", b"x"), (name, data)], mode)


def test_pickles_in_archives_are_walked_whatever_their_names():
    """In a zip, in a tar, in a compressed tar: one that calls is unsafe, plain values are safe."""
    for data in _packings("picture.png", EVIL):
        facts = described(data)
        assert facts.verdict == "unsafe"
        assert "picture.png: calls os.system" in facts.findings
        assert facts.metadata["names"] == "a.txt, picture.png"
    for data in _packings("m.pkl", b"\x80\x04}."):
        assert (described(data).verdict, described(data).findings) == ("safe", ())


@pytest.mark.parametrize("other", ["w", "w:gz"])
def test_no_kind_of_zip_hides_a_pickle_or_a_name(other):
    """A package, a model of skops and a plain zip say the worst of what any of them would."""
    schema = b'{"__loader__": "JsonNode", "__module__": "m", "__class__": "c", "protocol": 2}'
    for files in (PACKAGE, {"schema.json": schema}, {"schema.json": schema, **PACKAGE}, FILES):
        inner = tarred([("a", b"x")], other)
        assert described(zipped({**files, "notes": EVIL})).verdict == "unsafe"
        assert described(zipped({**files, "../notes": b"x"})).verdict == "unsafe"
        assert described(zipped({**files, "a/data.pkl": EVIL})).verdict == "unsafe"
        assert described(zipped({**files, "inner": inner})).verdict == "unknown"
    assert described(zipped({"schema.json": schema, "x.npz": EVIL})).verdict == "unsafe"


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_a_large_tar_is_listed_by_its_headers(form, tmp_path):
    """Data between headers are not read."""
    path = tmp_path / "big.tar"
    with tarfile.open(path, "w", format=form) as file:
        for n in range(20):
            info = tarfile.TarInfo(f"part-{n}.bin")
            info.size = 1_000_000
            file.addfile(info, io.BytesIO(bytes(1_000_000)))
    facts = described(path)
    assert facts.metadata["files"] == "20"
    assert facts.requests <= 22
    assert facts.read_bytes < 22 * 64 * 1024


def test_real_tools_sparse_and_old_archives_are_read(tmp_path):
    """What GNU tar writes: old headers without a magic word, and holes."""
    hole = tmp_path / "hole.bin"
    with hole.open("wb") as file:
        for n in range(40):
            file.seek(n * 100_000)
            file.write(b"x" * 5000)
        file.truncate(5_000_000)
    (tmp_path / "after.txt").write_text("hi")
    for options in (["--format=v7"], ["--format=gnu", "-S"], ["--format=pax", "-S"]):
        path = tmp_path / "out.tar"
        subprocess.run(
            ["tar", *options, "-cf", path, "-C", tmp_path, "hole.bin", "after.txt"], check=True
        )
        facts = described(path)
        assert facts.problem == ""
        assert facts.metadata["files"] == "2"
        assert facts.metadata["names"] == "hole.bin, after.txt"
        path.unlink()


@pytest.mark.parametrize(
    ("manifest", "problem", "verdict"),
    [
        (b"import os\n" + MANIFEST, "line 1 of the manifest is code", "unsafe"),
        (MANIFEST + b"print('x')\n", "line 7 of the manifest is code", "unsafe"),
        (b'NAME = __import__("os").system("true")\n', "is no literal", "unsafe"),
        (b'NAME = "a" + str(1)\n', "is no literal", "unsafe"),
        (b'NAME = VERSION = "a"\n', "is code", "unsafe"),
        (b'NAME: str = "a"\n', "is code", "unsafe"),
        (b'OTHER = "a"\n', "something else", "unsafe"),
        (b'"text"\nNAME = f"{print(1)}"\n', "is no literal", "unsafe"),
        (b"def f(): pass\n", "is code", "unsafe"),
        (b"NAME = " + b"(" * 60_000, "more than assignments", "unsafe"),
        (b"NAME = " + b"-" * 60_000 + b"1", "more than assignments", "unsafe"),
        (b"NAME = " + b"not " * 10_000 + b"1", "no Python", "unknown"),
        (b"# coding: utf-7\n" + MANIFEST, "another encoding", "unsafe"),
        (b"\n# vim: set fileencoding=latin-1 :\n" + MANIFEST, "another encoding", "unsafe"),
        (b"NAME = 'a'\nNAME = 'b'\n", "twice", "unknown"),
        (b"NAME = 'a'\n", "sets no VERSION", "unknown"),
        (MANIFEST.replace(b'"demo-project"', b"7"), "sets no NAME", "unknown"),
        (MANIFEST.replace(b'"demo.data.reader"', b"7"), "mapping of texts", "unknown"),
        (b"NAME = '\xff'\n", "no UTF-8", "unknown"),
        (b"NAME = \n", "no Python", "unknown"),
        (b"NAME = " + b"9" * 5000, "no Python", "unknown"),
        (b"# " + b"x" * 70_000, "at most", "unknown"),
        (b"", "sets no NAME", "unknown"),
    ],
)
def test_a_manifest_is_read_as_syntax_and_never_run(manifest, problem, verdict):
    """Whatever would do something when imported makes the package unsafe."""
    facts = described(zipped({**PACKAGE, "__4ml__.py": manifest}))
    assert facts.format == "forml-package"
    assert problem in facts.problem
    assert facts.problem
    assert facts.verdict == verdict


@pytest.mark.parametrize(
    "rival",
    ["__4ml__.pyc", "__4ml__/__init__.py", "__4ML__.PY", "__pycache__/__4ml__.cpython-311.pyc",
     "__4ml__.abi3.so", "./__4ml__.py"],
)  # fmt: skip
def test_a_second_manifest_makes_a_package_unsafe(rival):
    """Python would prefer some of them, and nobody looks at those."""
    facts = described(zipped({**PACKAGE, rival: b"x"}))
    assert facts.verdict == "unsafe"
    assert facts.problem == "it has more than one manifest"


@pytest.mark.parametrize("pack", [bytes, gzip.compress, lzma.compress], ids=["tar", "gz", "xz"])
def test_a_member_that_is_cut_off_behind_the_first_byte_of_a_pickle_is_unknown(pack):
    """Found by damaged archives: there is no second byte to look at."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as file:
        data = pickle.dumps(["a pickle"], 4)
        info = tarfile.TarInfo("data.pkl")
        info.size = len(data)
        file.addfile(info, io.BytesIO(data))
    facts = described(pack(out.getvalue()[:513]))
    assert facts.verdict == "unknown"
    assert described(pack(out.getvalue())).verdict == "safe"


def test_traversal_makes_a_package_unsafe():
    """A package is extracted before it is used."""
    facts = described(zipped({**PACKAGE, "../../bin/x": b"x"}))
    assert facts.verdict == "unsafe"
    assert facts.metadata["name"] == "demo-project"


def test_the_manifest_of_a_package_with_thousands_of_members_takes_few_reads():
    """The end of the zip, the manifest, and the beginnings of the first members, which lie side by side."""
    data = zipped({**PACKAGE, **{f"lib/m{n}.py": os.urandom(300) for n in range(6900)}})
    facts = described(data)
    assert (facts.metadata["name"], facts.metadata["files"]) == ("demo-project", "6903")
    assert facts.requests <= 10
    assert facts.read_bytes < len(data) / 2


def test_a_manifest_is_what_it_says():
    """The parser alone."""
    assert forml.parse(MANIFEST) == forml.Manifest(
        "demo-project", "1.0.dev1", "demo.pipelines", {"source": "demo.data.reader"}
    )
