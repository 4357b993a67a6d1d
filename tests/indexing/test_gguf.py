"""GGUF against the library that llama.cpp's authors publish."""

import struct

import gguf
import numpy as np
import pytest

from chalicelib.indexing.formats.gguf import FILE_TYPES
from tests.indexing.table import Row, described
from weighbridge.contract.gguf import TYPES

QUANTISED = ("Q4_0", "Q8_0", "Q5_1")


def _write(folder, name, endian=gguf.GGUFEndian.LITTLE, vocabulary=1000):
    path = folder / name
    writer = gguf.GGUFWriter(path, "llama", endianess=endian)
    writer.add_name("tiny")
    writer.add_file_type(int(gguf.LlamaFileType.MOSTLY_Q8_0))
    writer.add_context_length(512)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_token_list([f"token {n}" for n in range(vocabulary)])
    writer.add_token_scores([float(n) for n in range(vocabulary)])
    writer.add_add_bos_token(True)
    writer.add_key_value("a.u64", 2**40, gguf.GGUFValueType.UINT64)
    writer.add_key_value("a.i8", -3, gguf.GGUFValueType.INT8)
    writer.add_key_value("a.f64", 0.25, gguf.GGUFValueType.FLOAT64)
    writer.add_base_model_count(1)
    writer.add_base_model_name(0, "Tiny Base")
    weights = np.linspace(-1, 1, 64 * 64, dtype=np.float32).reshape(64, 64)
    for kind in QUANTISED:
        data = gguf.quants.quantize(weights, gguf.GGMLQuantizationType[kind])
        if endian == gguf.GGUFEndian.LITTLE:
            writer.add_tensor(f"blk.{kind}.weight", data, raw_dtype=gguf.GGMLQuantizationType[kind])
    writer.add_tensor("norm", np.ones(64, np.float32))
    writer.add_tensor("half", np.ones((2, 3, 4), np.float16))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def check(path, facts):
    """Keys and the tensor table as `gguf.GGUFReader` reads them."""
    reader = gguf.GGUFReader(path)
    expected = {
        t.name: (t.tensor_type.name, tuple(int(n) for n in reversed(t.shape)), int(t.n_bytes),
                 int(t.data_offset)) for t in reader.tensors
    }  # fmt: skip
    start = min((t.data_offset for t in reader.tensors), default=0)
    found = {t.name: (t.dtype, t.shape, t.bytes, t.offset + start) for t in facts.tensors}
    assert found == expected
    assert facts.parameters == sum(int(t.n_elements) for t in reader.tensors)
    for key, field in reader.fields.items():
        if key.startswith("GGUF."):
            continue
        value, shown = field.contents(), facts.metadata[key]
        if isinstance(value, list):
            assert shown.startswith(f"{len(value)} values")
        elif isinstance(value, bool):
            assert shown == str(value).lower()
        elif isinstance(value, float):
            assert float(shown) == pytest.approx(value)
        else:
            assert shown == str(value)
    assert (facts.architecture, facts.quantisation) == ("llama", "Q8_0")
    assert facts.base_model == "Tiny Base"


ROWS = [
    Row("gguf", "tiny.gguf", "gguf", "keys, types, shapes, sizes, offsets",
        lambda folder: _write(folder, "tiny.gguf"), check),
    Row("gguf", "big-endian.gguf", "gguf", "keys, types, shapes, sizes, offsets",
        lambda folder: _write(folder, "big-endian.gguf", gguf.GGUFEndian.BIG), check),
    Row("gguf", "vocabulary.gguf", "gguf, 20,000 tokens", "keys, types, shapes, sizes, offsets",
        lambda folder: _write(folder, "vocabulary.gguf", vocabulary=20_000), check),
]  # fmt: skip


def test_the_tables_of_types_are_those_of_the_library():
    """Every type that the library knows, with its block and its bytes, and every file type's name."""
    sizes = gguf.constants.GGML_QUANT_SIZES
    assert {t.value: (t.name, *sizes[t]) for t in gguf.GGMLQuantizationType} == TYPES
    names = {
        int(t): t.name.removeprefix("MOSTLY_").removeprefix("ALL_") for t in gguf.LlamaFileType
        if t.name != "GUESSED"
    }  # fmt: skip
    assert names == FILE_TYPES


def _text(value):
    return struct.pack("<Q", len(value)) + value


def _file(*tensors, keys=b"", count=0, version=3):
    head = b"GGUF" + struct.pack("<IQQ", version, len(tensors), count) + keys
    for name, shape, kind, offset in tensors:
        head += _text(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, kind, offset)
    return head.ljust(-(-len(head) // 32) * 32, b"\0") + bytes(4096)


def test_version_2_is_read_as_version_3_is():
    """Only the number differs."""
    assert described(_file((b"a", (4,), 0, 0), version=2)).dtypes == {"F32": 4}


@pytest.mark.parametrize(("data", "why"), [
    (_file((b"a", (4,), 0, 0), (b"a", (4,), 0, 32)), "stands twice"),
    (_file((b"a", (100,), 0, 0), (b"b", (4,), 0, 32)), "overlaps"),
    (_file((b"a", (2**40,), 0, 0)), "beyond the file"),
    (_file((b"a", (33,), 2, 0)), "does not fill blocks"),
    (_file((b"a", (4,), 0, 0), version=9), "version 9"),
    (_file(keys=_text(b"k") + struct.pack("<I", 99), count=1), "unknown type 99"),
    (_file(keys=_text(b"k") + struct.pack("<IIQ", 9, 8, 2**60), count=1), "strings"),
    (b"GGUF" + struct.pack("<IQQ", 3, 2**60, 0), "claims"),
])  # fmt: skip
def test_what_cannot_be_is_a_problem(data, why):
    """Names twice, overlaps, sizes beyond the file, unknown types, impossible counts."""
    facts = described(data)
    assert facts.format == "gguf"
    assert why in facts.problem
