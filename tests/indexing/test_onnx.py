"""ONNX against the library."""

from math import prod

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from chalicelib.indexing.formats import describe
from chalicelib.indexing.formats.onnx import DTYPES
from tests.indexing.table import Row, described, packaged, ranged


def _graphs(graph):
    """The graph and those within its nodes."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            for inner in [attribute.g, *attribute.graphs] if attribute.type in (5, 10) else []:
                yield from _graphs(inner)


def _shape(value):
    shape = value.type.tensor_type.shape
    return tuple(str(d.dim_value) if d.HasField("dim_value") else d.dim_param for d in shape.dim)


def check(path, facts):
    """Ports, opsets, producer, initializers and constants, nodes."""
    model = onnx.load(path, load_external_data=False)
    graphs = list(_graphs(model.graph))
    initializers = [t for g in graphs for t in g.initializer]
    constants = [
        (n.output[0], a.t) for g in graphs for n in g.node for a in n.attribute if a.type == 4
    ]
    expected = [(t.name, t) for t in initializers]
    expected += [(name, t) for name, t in constants if prod(t.dims) > 1]
    assert sorted((t.name, t.dtype, t.shape) for t in facts.tensors) == sorted(
        (name, DTYPES[t.data_type], tuple(t.dims)) for name, t in expected
    )
    held = {t.name for t in model.graph.initializer}
    for ports, values in ((facts.inputs, model.graph.input), (facts.outputs, model.graph.output)):
        assert [(p.name, p.dtype, p.shape) for p in ports] == [
            (v.name, DTYPES[v.type.tensor_type.elem_type], _shape(v))
            for v in values
            if v.name not in held
        ]
    for opset in model.opset_import:
        assert facts.metadata[f"opset {opset.domain or 'ai.onnx'}"] == str(opset.version)
    assert facts.metadata.get("producer_name", "") == model.producer_name
    assert facts.metadata["nodes"] == str(sum(len(g.node) for g in graphs))
    raw = path.read_bytes()
    for tensor in facts.tensors:
        if tensor.offset:
            found = next(t for name, t in expected if name == tensor.name)
            assert raw[tensor.offset : tensor.offset + tensor.bytes] == found.raw_data
    assert facts.verdict == ""


def _quantised(folder):
    """A model with a custom operator, external data, named dimensions and properties."""
    rng = np.random.default_rng(3)
    big = numpy_helper.from_array(rng.integers(-9, 9, (512, 512), dtype=np.int8), "w")
    inside = numpy_helper.from_array(rng.normal(size=(300, 300)).astype(np.float32), "inside")
    far = numpy_helper.from_array(np.ones((64, 64), np.float16), "far")
    node = helper.make_node("MyOp", ["x", "w", "inside", "far"], ["y"], domain="com.example")
    graph = helper.make_graph(
        [node], "main", [helper.make_tensor_value_info("x", TensorProto.FLOAT16, ["batch", None, 512])],
        [helper.make_tensor_value_info("y", TensorProto.BFLOAT16, ["batch", 4])], [big, inside, far],
    )  # fmt: skip
    opsets = [helper.make_opsetid("", 20), helper.make_opsetid("com.example", 2)]
    model = helper.make_model(graph, opset_imports=opsets, producer_name="tests", ir_version=9)
    helper.set_model_props(model, {"model_type": "bert"})
    onnx.external_data_helper.set_external_data(far, "weights.bin", 0, 8192)
    far.ClearField("raw_data")
    model.graph.initializer[2].CopyFrom(far)
    (folder / "custom.onnx").write_bytes(model.SerializeToString())
    return folder / "custom.onnx"


def check_custom(path, facts):
    """The custom domain, the external file, the architecture and the quantisation, too."""
    check(path, facts)
    assert facts.metadata["custom domains"] == "com.example"
    assert facts.metadata["external data"] == "weights.bin"
    assert (facts.architecture, facts.quantisation) == ("bert", "int8")
    assert facts.read_bytes < path.stat().st_size / 2, "weights were fetched"


def _silero(name):
    return Row("onnx", name, "silero-vad", "ports, opsets, tensors, nodes",
               lambda _: packaged("silero_vad", "data", name), check)  # fmt: skip


ROWS = [
    _silero("silero_vad.onnx"),
    _silero("silero_vad_half.onnx"),
    _silero("silero_vad_openvino_16k.onnx"),
    Row("onnx", "nmp.onnx", "basic-pitch", "ports, opsets, tensors, nodes",
        lambda _: packaged("basic_pitch", "saved_models", "icassp_2022", "nmp.onnx"), check),
    Row("onnx", "custom.onnx", "onnx", "ports, domains, external data, properties", _quantised, check_custom),
]  # fmt: skip


def test_every_dtype_of_the_library_is_known():
    """A dtype of ours for each of ONNX's."""
    assert set(DTYPES) == {
        value for name, value in TensorProto.DataType.items() if name != "UNDEFINED"
    }


@pytest.mark.parametrize("path", sorted(packaged("onnx", "backend", "test", "data", "light").glob("*.onnx")),
                         ids=lambda path: path.stem)  # fmt: skip
def test_the_librarys_own_models_are_read(path):
    """The models that the library is tested with, of an older version of the format."""
    facts = described(path)
    assert (facts.problem, facts.format) == ("", "onnx")
    check(path, facts)


def test_sequences_maps_and_optionals_are_ports():
    """What is no tensor is named."""
    sequence = helper.make_tensor_sequence_value_info("s", TensorProto.FLOAT, [2])
    key = onnx.ValueInfoProto(name="m")
    key.type.map_type.key_type = TensorProto.STRING
    key.type.map_type.value_type.tensor_type.elem_type = TensorProto.FLOAT
    graph = helper.make_graph(
        [helper.make_node("Identity", ["s"], ["t"])], "g", [sequence, key], []
    )
    facts = described(helper.make_model(graph).SerializeToString())
    assert [(p.name, p.dtype) for p in facts.inputs] == [("s", "sequence"), ("m", "map")]


@pytest.mark.parametrize("location", ["../../etc/passwd", "/etc/passwd", "C:\\x", "a/../../b"])
def test_external_data_elsewhere_is_a_finding(location):
    """A file of weights must lie beside the model."""
    tensor = TensorProto(name="w", data_type=1, dims=[1])
    tensor.raw_data = bytes(4)
    onnx.external_data_helper.set_external_data(tensor, location, 0, 4)
    tensor.ClearField("raw_data")
    graph = helper.make_graph([helper.make_node("Identity", ["w"], ["y"])], "g", [], [], [tensor])
    facts = described(helper.make_model(graph).SerializeToString())
    assert facts.findings == (f"external data outside the folder: {location}",)


def test_a_tensor_whose_bytes_do_not_fit_its_shape_is_a_problem():
    """A shape that lies is said so."""
    tensor = TensorProto(name="w", data_type=1, dims=[1000, 1000], raw_data=bytes(400))
    graph = helper.make_graph([helper.make_node("Identity", ["w"], ["y"])], "g", [], [], [tensor])
    facts = described(helper.make_model(graph).SerializeToString())
    assert "has 400 bytes, not the 4000000" in facts.problem


def test_graphs_nested_too_deeply_are_a_problem():
    """Subgraphs end at a depth that no exporter reaches."""
    graph = helper.make_graph([helper.make_node("Identity", ["w"], ["y"])], "g", [], [])
    for _ in range(12):
        node = helper.make_node("If", ["c"], ["y"], then_branch=graph, else_branch=graph)
        graph = helper.make_graph([node], "g", [], [])
        if len(graph.SerializeToString()) > 10**6:
            break
    facts = described(helper.make_model(graph).SerializeToString())
    assert "nested too deeply" in facts.problem


def test_a_large_model_is_read_by_its_headers():
    """2 GB of weights between the headers cost a few thousand bytes each."""
    names = [f"layers.{n}.weight" for n in range(50)]
    graph = helper.make_graph([helper.make_node("Identity", [names[0]], ["y"])], "g", [], [])
    head = helper.make_model(graph).SerializeToString()
    assert len(head) < 200
    length = 40_000_000
    one = [TensorProto(name=n, data_type=1, dims=[1000, 10_000]).SerializeToString() for n in names]
    raw = b"\x4a" + _varint(length)
    tensors = [o + raw for o in one]
    size = sum(len(t) + length + 1 + len(_varint(len(t) + length)) for t in tensors)
    pieces, at = [], 0

    def add(data, hole=0):
        nonlocal at
        pieces.append((at, data))
        at += len(data) + hole

    add(b"\x08\x08\x3a" + _varint(size))
    for tensor in tensors:
        add(b"\x2a" + _varint(len(tensor) + length) + tensor, length)
    source = ranged(b"")
    source.size = at
    source.fetch = lambda start, count: _sparse(pieces, start, min(count, at - start))
    facts = describe(source)
    assert (facts.problem, len(facts.tensors), facts.parameters) == ("", 50, 500_000_000)
    assert facts.read_bytes < 500_000
    assert facts.requests <= 60


def _varint(value):
    data = b""
    while value > 127:
        data += bytes([value & 127 | 128])
        value >>= 7
    return data + bytes([value])


def _sparse(pieces, start, count):
    data = bytearray(count)
    for at, piece in pieces:
        low, high = max(at, start), min(at + len(piece), start + count)
        if low < high:
            data[low - start : high - start] = piece[low - at : high - at]
    return bytes(data)
