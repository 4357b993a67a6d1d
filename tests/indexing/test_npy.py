"""NumPy's arrays and archives, against NumPy."""

import io
import os

import numpy as np
import pytest

from tests.indexing.table import Row, described

NAMES = {"F64": "float64", "F32": "float32", "F16": "float16", "I16": "int16", "I64": "int64",
         "BOOL": "bool", "C64": "complex64", "U8": "uint8"}  # fmt: skip


def _saved(array, version=None):
    data = io.BytesIO()
    np.lib.format.write_array(data, array, version)
    return data.getvalue()


def _npy(folder):
    path = folder / "embeddings.npy"
    np.save(path, np.asfortranarray(np.arange(40_000, dtype=np.float32).reshape(100, 400)))
    return path


def check_npy(path, facts):
    """Dtype, shape, order and where the data begin."""
    array = np.load(path, mmap_mode="r")
    tensor = facts.tensors[0]
    assert (NAMES[tensor.dtype], tensor.shape, tensor.bytes) == (
        array.dtype,
        array.shape,
        array.nbytes,
    )
    assert tensor.offset == array.offset
    assert facts.metadata == ({"fortran_order": "true"} if array.flags.f_contiguous else {})
    assert facts.verdict == ""


def _npz(save, name):
    def make(folder):
        rng = np.random.default_rng(1)
        save(folder / name, weights=rng.normal(size=(200, 300)), bias=np.ones(300, np.float16),
             mask=np.ones((2, 2), bool), step=np.int64(7))  # fmt: skip
        return folder / name

    return make


def check_npz(path, facts):
    """Names, dtypes and shapes of the members."""
    with np.load(path) as archive:
        expected = {name: (archive[name].dtype, archive[name].shape) for name in archive.files}
    assert {t.name: (NAMES[t.dtype], t.shape) for t in facts.tensors} == expected
    assert facts.verdict == ""


ROWS = [
    Row("npy", "embeddings.npy", "numpy.save", "dtype, shape, order, offset", _npy, check_npy),
    Row("npz", "plain.npz", "numpy.savez", "names, dtypes, shapes", _npz(np.savez, "plain.npz"), check_npz),
    Row("npz", "compressed.npz", "numpy.savez_compressed", "names, dtypes, shapes",
        _npz(np.savez_compressed, "compressed.npz"), check_npz),
]  # fmt: skip


@pytest.mark.parametrize("version", [(1, 0), (2, 0), (3, 0)])
@pytest.mark.parametrize("dtype", ["<f4", ">i2", "|u1", "?", "<c8", "<i8", "<f8"])
@pytest.mark.parametrize("shape", [(), (0,), (3, 4), (1, 2, 3, 4)])
def test_every_version_dtype_and_rank_is_read(version, dtype, shape):
    """The header of each version says the same."""
    array = np.zeros(shape, dtype)
    tensor = described(_saved(array, version)).tensors[0]
    assert (NAMES[tensor.dtype], tensor.shape, tensor.bytes) == (
        array.dtype.newbyteorder("="), shape, array.nbytes,
    )  # fmt: skip


@pytest.mark.parametrize(("dtype", "name"), [
    ("U5", "TEXT"), ("S3", "BYTES"), ("M8[ns]", "DATETIME64"), ("m8[s]", "TIMEDELTA64"),
    ([("x", "<f4", (2, 3)), ("größe", "<i8")], "STRUCT"), ([("a", [("b", "<u2"), ("c", "V3")])], "STRUCT"),
])  # fmt: skip
def test_dtypes_without_a_number_have_a_name(dtype, name):
    """Texts, times and structures are named, and their bytes are right."""
    array = np.zeros((2, 3), dtype)
    facts = described(_saved(array, (3, 0)))
    assert (facts.problem, facts.tensors[0].dtype, facts.tensors[0].bytes) == (
        "",
        name,
        array.nbytes,
    )


@pytest.mark.parametrize("array", [
    np.array([{}, []], object), np.zeros(2, [("a", [("b", "O")]), ("c", "f4")]),
])  # fmt: skip
def test_an_array_of_objects_says_pickled_and_has_the_verdict_of_its_pickle(array):
    """Plain values are harmless; so it is inside an archive."""
    data = io.BytesIO()
    np.save(data, array, allow_pickle=True)
    facts = described(data.getvalue())
    assert (facts.problem, facts.verdict) == ("", "safe")
    assert facts.findings[0] == "object array: pickled"
    archive = io.BytesIO()
    np.savez(archive, fine=np.ones(3), odd=array)
    facts = described(archive.getvalue())
    assert (facts.verdict, facts.findings[0]) == ("safe", "object array: pickled: odd")
    assert facts.parameters == 3


class _Calls:
    def __reduce__(self):
        return os.system, ("true",)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_an_archive_with_an_array_that_calls_is_unsafe(save):
    """The pickle behind the header of a member is walked, packed or not."""
    data = io.BytesIO()
    save(data, fine=np.ones(3), odd=np.array([_Calls()], object))
    facts = described(data.getvalue())
    assert (facts.format, facts.verdict, facts.parameters) == ("npz", "unsafe", 3)
    assert any("calls" in finding and "system" in finding for finding in facts.findings)


def test_an_archive_whose_members_have_zip64_fields_is_read():
    """NumPy writes zip64 fields into every member."""
    data = io.BytesIO()
    np.savez(data, a=np.ones((10, 10)))
    assert b"\x01\x00\x10\x00" in data.getvalue()[:200], "no zip64 field: the test tests nothing"
    assert described(data.getvalue()).parameters == 100


def _header(text, size=24):
    head = text.encode().ljust(118) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(head).to_bytes(2, "little") + head + bytes(size)


@pytest.mark.parametrize(("text", "why"), [
    ("{'descr': '<f4', 'fortran_order': False, 'shape': (6,), }", ""),
    ("{'descr': '<f4', 'fortran_order': False, 'shape': (6L,), }", ""),
    ("{'descr': '<f4', 'fortran_order': False, 'shape': (7,), }", "28 bytes of data are described"),
    ("{'descr': '<f4', 'fortran_order': False, 'shape': (-1,), }", "no literal"),
    ("{'descr': '<f4', 'fortran_order': False, 'shape': (9999999999999999999,), }", "impossible"),
    ("{'descr': '<q9', 'fortran_order': False, 'shape': (6,), }", "not known"),
    ("{'descr': '<f4', 'shape': (6,), }", "three keys"),
    ("{'descr': '<f4', 'descr': '<f8', 'fortran_order': False, 'shape': (6,), }", "twice"),
    ("__import__('os').system('true')", "no literal"),
    ("((((((((((((((((((((((((((((((((((((((((1))))))))))))))))))))))))))))))))))))))))", "too deeply"),
    ("{'descr'", "cut short"),
])  # fmt: skip
def test_only_the_literal_that_numpy_writes_is_read(text, why):
    """Nothing is evaluated; sizes must fit the file."""
    facts = described(_header(text))
    assert facts.format == "npy"
    assert why in facts.problem
    assert bool(facts.problem) == bool(why)
