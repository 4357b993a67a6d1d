"""PyTorch files: tensor tables and verdicts of files that torch wrote, and of some put together."""

import io
import struct
import zipfile
from collections import Counter

import joblib
import numpy as np
import pytest
from safetensors import safe_open
from sklearn.linear_model import LogisticRegression

from chalicelib.indexing.formats import describe
from chalicelib.indexing.formats.ranged import Ranged
from tests.indexing import corpus
from tests.indexing import pickle_parts as parts
from tests.indexing.table import Row, packaged

SILERO = ("silero_vad", "data")


def look(data, name=""):
    """The facts of bytes."""
    return describe(Ranged(lambda s, n: data[s : s + n], len(data), name))


def _same_as_safetensors(path, facts):
    """The model of one sample rate is in the same package as safetensors, under other names."""
    table = {t.name: t for t in facts.tensors if t.name.startswith("_model.")}
    with safe_open(packaged(*SILERO, "silero_vad_16k.safetensors"), "np") as other:
        names = list(other.keys())
        wanted = Counter(tuple(other.get_slice(name).get_shape()) for name in names)
        weights = Counter(len(other.get_tensor(name).tobytes()) for name in names)
    assert Counter(t.shape for t in table.values()) == wanted
    with zipfile.ZipFile(path) as archive:
        stored = Counter(i.file_size for i in archive.infolist() if "/data/" in i.filename)
    assert Counter(t.bytes for t in table.values()) == weights
    assert weights <= stored
    assert facts.verdict == "unknown"


def _lpips(path, facts):
    """One weight per layer; the raw numbers behind the pickles are as many as the table says."""
    data = path.read_bytes()
    assert [t.name for t in facts.tensors] == [f"lin{n}.model.1.weight" for n in range(5)]
    for tensor in facts.tensors:
        assert data.count(struct.pack("<q", tensor.shape[1])) >= 1
    assert facts.dtypes == {"F32": 64 + 192 + 384 + 256 + 256}
    assert facts.verdict == "safe"


def _checkpoint(path, facts):
    """Every storage of the archive is as long as its tensor."""
    with zipfile.ZipFile(path) as archive:
        stored = [i.file_size for i in archive.infolist() if "/data/" in i.filename]
    assert Counter(stored) == Counter(t.bytes for t in facts.tensors)
    assert all(t.name.startswith("state_dict.") for t in facts.tensors)
    assert facts.metadata["byteorder"] == "little"


def _safe_checkpoint(path, facts):
    """A checkpoint of numbers and settings alone."""
    _checkpoint(path, facts)
    assert facts.verdict == "safe", facts.findings


def _configured_checkpoint(path, facts):
    """The settings are objects of another library, which restore themselves."""
    _checkpoint(path, facts)
    assert facts.verdict == "unknown"
    assert any("omegaconf" in text for text in facts.findings)


def _joblib(folder):
    path = folder / "arrays.joblib"
    joblib.dump({"w": np.arange(10_000.0), "names": ["a", "b"]}, path)
    return path


def _estimator(folder):
    path = folder / "estimator.joblib"
    joblib.dump(LogisticRegression().fit([[0.0], [1.0]], [0, 1]), path)
    return path


def _verdict(verdict):
    def check(path, facts):
        assert facts.verdict == verdict, facts.findings

    return check


ROWS = [
    Row("torchscript", "silero_vad.jit", "PyTorch (silero-vad 6)", "shapes, bytes (safetensors)",
        lambda folder: packaged(*SILERO, "silero_vad.jit"), _same_as_safetensors),
    Row("pytorch", "alex.pth (legacy)", "PyTorch 0.4 (lpips 0.1.4)", "names, shapes, sizes",
        lambda folder: packaged("lpips", "weights", "v0.1", "alex.pth"), _lpips),
    Row("pytorch", "mir-1k.ckpt", "Lightning (pesto-pitch 2)", "sizes of all storages, verdict",
        lambda folder: packaged("pesto", "weights", "mir-1k.ckpt"), _safe_checkpoint),
    Row("pytorch", "mir-1k_g7.ckpt", "Lightning (pesto-pitch 2)", "sizes of all storages, verdict",
        lambda folder: packaged("pesto", "weights", "mir-1k_g7.ckpt"), _configured_checkpoint),
    Row("joblib", "arrays.joblib", "joblib", "verdict", _joblib, _verdict("safe")),
    Row("joblib", "estimator.joblib", "scikit-learn, joblib", "verdict", _estimator, _verdict("unknown")),
]  # fmt: skip


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.file)
def test_real_files(row, made):
    """Format and facts of a file that its library wrote."""
    path = made(row)
    facts = look(path.read_bytes(), path.name)
    assert (facts.format, facts.problem) == (row.format, "")
    row.check(path, facts)


def test_the_parts_put_together_are_files_of_torch():
    """What the corpus puts together is read like the real ones: tensors, and a safe verdict."""
    for what, name, data in corpus.harmless():
        facts = look(data, name)
        assert (facts.format, facts.verdict, facts.problem) == ("pytorch", "safe", ""), what
        table = [(t.name, t.dtype, t.shape, t.bytes) for t in facts.tensors]
        assert table == [
            ("a.weight", "F32", (2, 3), 24), ("a.bias", "F16", (3,), 6), ("tied", "F32", (2, 3), 24),
        ]  # fmt: skip
        assert facts.dtypes == {"F16": 3, "F32": 6}  # tied numbers count once
        assert facts.parameters == 9


def test_nested_names_are_dotted_and_offsets_are_within_the_storage():
    """Checkpoints nest dictionaries and lists."""
    inner = parts.state_dict(w=parts.tensor("0", (2,), offset=3, numbers=8))
    tree = b"}" + parts.text("model") + inner + b"s" + parts.text("steps") + b"]"
    tree += parts.tensor("0", (1,), numbers=8) + b"as"
    facts = look(parts.torch_zip(parts.whole(tree, 2), [("0", bytes(32))]))
    table = [(t.name, t.offset, t.bytes) for t in facts.tensors]
    assert table == [("model.w", 12, 8), ("steps.0", 0, 4)]
    assert facts.verdict == "safe"


@pytest.mark.parametrize("storages", [[], [("0", bytes(3))]])
def test_a_storage_that_is_missing_or_short_is_a_problem(storages):
    """The table is there, and what is wrong with it."""
    facts = look(
        parts.torch_zip(parts.whole(parts.state_dict(w=parts.tensor("0", (2,))), 2), storages)
    )
    assert "'0' is missing or too short" in facts.problem
    assert [t.name for t in facts.tensors] == ["w"]


def test_a_structure_that_contains_itself_ends():
    """Lists in themselves, and lists that double: each is visited once."""
    itself = b"]q\x00h\x00ah\x00a" + parts.tensor("0", (2,)) + b"a"
    doubling = b"]" + b"".join(b"q\x01](h\x01h\x01e" for _ in range(2000))
    for tree in (itself, doubling):
        facts = look(parts.torch_zip(parts.whole(tree, 2), [("0", bytes(8))]))
        assert facts.format == "pytorch"
        assert len(facts.tensors) <= 1


def test_large_storages_are_not_read():
    """Only the directory, the pickle and small members are fetched."""
    pickle = parts.whole(parts.state_dict(w=parts.tensor("0", (1000, 1000))), 2)
    data = parts.torch_zip(pickle, [("0", bytes(4_000_000))])
    facts = look(data)
    assert facts.verdict == "safe"
    assert facts.read_bytes < 300_000
    assert facts.requests <= 8


def test_a_pickle_in_python_2_words_is_the_same():
    """Old names of modules are those that loaders make of them."""
    facts = look(io.BytesIO(b"c__builtin__\nset\n((lK\x01atR.").getvalue())
    assert facts.verdict == "safe"
