"""Pickles of harmless things are safe, whichever library and protocol wrote them."""

import collections
import datetime
import decimal
import fractions
import io
import pathlib
import pickle
import uuid
import zipfile
from itertools import count

import joblib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.ensemble import RandomForestClassifier

from chalicelib.indexing.formats import describe, zips
from chalicelib.indexing.formats.pickled import machine, source, values
from chalicelib.indexing.formats.pickled.members import members_verdict
from chalicelib.indexing.formats.ranged import Ranged
from tests.indexing import pickle_parts as parts

ZOO = {
    "plain": [1, -2, 2.5, None, True, "ü" * 300, b"bytes", (1, 2, 3, 4), {1, 2}, frozenset([3]), 10**50],
    "big": "x" * 100_000,
    "ordered": collections.OrderedDict(a=1),
    "default": collections.defaultdict(int, {1: 2}),
    "counter": collections.Counter("aab"),
    "deque": collections.deque([1, 2]),
    "dates": [datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC), datetime.timedelta(1)],
    "numbers": [decimal.Decimal("1.5"), fractions.Fraction(1, 2), 3 + 4j, slice(1, 2), range(3)],
    "names": [uuid.UUID(int=7), pathlib.PurePosixPath("a/b")],
    "array": np.arange(5.0),
    "large": np.zeros((100, 100), "f4"),
    "scalar": np.float32(3),
    "texts": np.array(["a", "bb"]),
    "times": np.array(["2026-01-01"], "M8[D]"),
    "fields": np.zeros(2, [("a", "f4"), ("b", "i8")]),
    "objects": np.array([1, "a", None, [2]], dtype=object),
    "bytearray": bytearray(b"q"),
}  # fmt: skip


def look(data, name=""):
    """The facts of bytes."""
    return describe(Ranged(lambda s, n: data[s : s + n], len(data), name))


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("what", ZOO)
def test_pickles_of_harmless_things_are_safe(what, protocol):
    """Every protocol of the standard library."""
    facts = look(pickle.dumps([ZOO[what], ZOO[what]], protocol))
    assert (facts.format, facts.verdict) == ("pickle", "safe"), facts.findings


@pytest.mark.parametrize(
    "compress", [0, ("zlib", 3), ("gzip", 3), ("bz2", 3), ("lzma", 3), ("xz", 3)]
)
def test_joblib_files_are_walked_over_their_arrays(compress):
    """Raw arrays in the stream, packed or not; what follows them is found."""
    file = io.BytesIO()
    joblib.dump(ZOO, file, compress=compress)
    facts = look(file.getvalue())
    assert (facts.format, facts.verdict) == ("joblib", "safe"), facts.findings
    file = io.BytesIO()
    joblib.dump([np.arange(100_000.0), Evil()], file, compress=compress)
    facts = look(file.getvalue())
    assert (facts.format, facts.verdict) == ("joblib", "unsafe")
    assert "calls builtins.print" in facts.findings


class Evil:
    """Calls something when it is loaded."""

    def __reduce__(self):
        return print, ("loaded",)


def test_large_arrays_are_not_read():
    """Bytes of a joblib array are skipped, not fetched."""
    file = io.BytesIO()
    joblib.dump([np.zeros(4_000_000), 1], file)
    facts = look(file.getvalue())
    assert facts.verdict == "safe"
    assert facts.read_bytes < 1_000_000 < len(file.getvalue())


@pytest.mark.parametrize("dump", [joblib.dump, pickle.dump])
def test_estimators_are_unknown_and_named(dump):
    """A library's class restores itself by its own code, so nobody can promise anything of it."""
    file = io.BytesIO()
    dump(RandomForestClassifier(5).fit(np.random.rand(90, 4), np.arange(90) % 3), file)
    facts = look(file.getvalue())
    assert facts.verdict == "unknown"
    assert any("RandomForestClassifier" in text for text in facts.findings)
    assert not any(
        text.startswith("imports sklearn") and "own code" not in text for text in facts.findings
    )


def test_an_array_of_objects_is_looked_into():
    """`.npy` files of objects are pickles behind a header, in archives too."""
    file = io.BytesIO()
    np.save(file, ZOO["objects"])
    assert look(file.getvalue()).verdict == "safe"
    file = io.BytesIO()
    np.save(file, np.array([Evil()], dtype=object), allow_pickle=True)
    assert look(file.getvalue()).verdict == "unsafe"
    file = io.BytesIO()
    np.save(file, np.array(["O"]))
    assert look(file.getvalue()).verdict == ""


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_members_of_a_zip_are_looked_into_whatever_their_name(method):
    """For indexers of other zips: empty where nothing is a pickle, the findings by member."""

    def verdict(*members):
        data = parts.zipped(members, method)
        ranged = Ranged(lambda s, n: data[s : s + n], len(data))
        return members_verdict(ranged, zips.directory(ranged))

    assert verdict(("config.json", b"{}"), ("a/", b""), ("weights.h5", b"\x89HDF\r\n\x1a\n")) == (
        "",
        (),
    )
    assert verdict(("notes", pickle.dumps(ZOO["ordered"])))[0] == "safe"
    unsafe, findings = verdict(
        ("config.json", b"{}"), ("notes", pickle.dumps([b"x" * 9000, Evil()]))
    )
    assert unsafe == "unsafe"
    assert "notes: calls builtins.print" in findings
    assert verdict(("a.pkl", b"\x00nothing"))[0] == "unknown"


@pytest.mark.parametrize("name", ["model.pkl", "m.PTH", "m.ckpt", "m.bin", "m.joblib"])
def test_a_file_named_like_a_pickle_is_never_without_a_verdict(name):
    """What is not understood under such a name is unknown; under another, it is only a file."""
    assert look(b"\x00\x01\x02 nothing known", name).verdict == "unknown"
    assert look(b"\x00\x01\x02 nothing known", "notes").verdict == ""


@pytest.mark.parametrize("text", ["I am text\n" * 20, "class Net:\n    pass\n", "(see below)\n", "Vectors\n",
                                  "import os\n", "{}", "N", "cost, name\n1, 2\n", "Text" * 50])  # fmt: skip
def test_text_is_no_pickle(text):
    """Opcodes are letters, but words lead nowhere."""
    assert look(text.encode()).format == "file"


@pytest.mark.parametrize("fill", [b"e", b"u", b"\x90"])
def test_nothing_is_added_to_anything(fill):
    """The loader in C does not look at what no items are added to, and goes on to what comes behind."""
    data = b"\x80\x04Vtext\n(" + fill + b"0cos\nsystem\n(Vtrue\ntR."
    with pytest.raises(ImportRefused, match=r"os\.system"):
        Refusing(io.BytesIO(data)).load()
    facts = look(data)
    assert facts.verdict == "unsafe"
    assert any("os.system" in text for text in facts.findings)


@pytest.mark.parametrize("fill", [b"(K\x01e", b"K\x01a", b"(K\x01K\x02u", b"K\x01K\x02s"])
def test_what_a_persistent_id_stands_for_may_take_items(fill):
    """The loader decides what it is, so what comes behind may be reached."""
    facts = look(b"\x80\x02Pkey\n" + fill + b"0cos\nsystem\n(Vtrue\ntR.")
    assert facts.verdict == "unsafe"
    assert any("os.system" in text for text in facts.findings)


class ImportRefused(Exception):
    """What a pickle would have imported."""


class Refusing(pickle.Unpickler):
    """The real loader, up to its first import."""

    def find_class(self, module, name):
        """Refuses it."""
        raise ImportRefused(f"{module}.{name}")


def test_several_pickles_in_a_row_count_together():
    """A loader may be called again on the same file."""
    good = pickle.dumps([1])
    assert look(good * 3).verdict == "safe"
    assert look(good * 3 + pickle.dumps(Evil())).verdict == "unsafe"
    assert look(good + b"more").verdict == "unknown"


def plain(value):
    """The object that a stand-in stands for."""
    match value:
        case values.Dict():
            return {plain(key): plain(inner) for key, inner in value.pairs}
        case list():
            return [plain(inner) for inner in value]
        case tuple():
            return tuple(plain(inner) for inner in value)
        case values.Bag():
            return {plain(inner) for inner in value.items}
        case values.Call():
            made = {"set": set, "bytes": bytes}[value.function.name]
            return made(*[plain(inner) for inner in value.arguments])
    return value


KEYS = st.one_of(
    st.integers(), st.text(max_size=20), st.booleans(), st.none(), st.binary(max_size=20)
)
TREES = st.recursive(
    st.one_of(KEYS, st.floats(allow_nan=False), st.sets(KEYS, max_size=3)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.tuples(inner, inner),
        st.dictionaries(KEYS, inner, max_size=4),
    ),
    max_leaves=20,
)


@settings(max_examples=150, deadline=None)
@given(tree=TREES, protocol=st.integers(0, 5))
def test_the_machine_sees_the_object_that_a_loader_makes(tree, protocol):
    """Stack, memo and marks are those of the real loader: the stand-ins give the same object."""
    data = pickle.dumps([tree, tree], protocol)
    notes = machine.Notes()
    walk = machine.walk(source.Memory(data), 0, source.Limits(), notes, machine.Mode())
    assert (walk.broken, walk.end, notes.verdict) == ("", len(data), "safe")
    assert plain(walk.root) == pickle.loads(data)


def test_a_walk_is_bounded():
    """Opcodes and requests of one object are counted over all of its pickles."""
    numbers = count()
    data = pickle.dumps([str(next(numbers)) for _ in range(300_000)])
    facts = look(data)
    assert facts.verdict == "unknown"
    assert any("opcodes" in text for text in facts.findings)
