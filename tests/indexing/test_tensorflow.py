"""TensorFlow's formats: the graph and the variables of a SavedModel, and TensorFlow Lite.

TensorFlow itself is too heavy to ask. The files are real; the graph file is asked of the protobuf
library, by the parts of its schema that matter, and TensorFlow Lite of the library of its schema.
"""

from functools import cache

import pytest
import tflite
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from chalicelib.indexing.formats.savedmodel import DTYPES as TENSORFLOW
from chalicelib.indexing.formats.tflite import DTYPES
from tests.indexing.table import Row, described, packaged

NUMBERS = {name: number for number, name in TENSORFLOW.items()}
WIDTHS = {"F32": 4, "I64": 8, "I32": 4, "I8": 1, "U8": 1, "F16": 2}
FOLDER = ("saved_models", "icassp_2022")

# message: {field: (number, type, repeated)}; a type in capitals is another message.
SCHEMA = {
    "SavedModel": {"version": (1, "int64", 0), "graphs": (2, "MetaGraph", 1)},
    "MetaGraph": {"info": (1, "Info", 0), "graph": (2, "Graph", 0), "signatures": (5, "Entry", 1),
                  "objects": (7, "Objects", 0)},
    "Info": {"tags": (4, "string", 1), "tensorflow": (5, "string", 0)},
    "Graph": {"nodes": (1, "Node", 1), "library": (2, "Library", 0)},
    "Library": {"functions": (1, "Function", 1)},
    "Function": {"nodes": (3, "Node", 1)},
    "Node": {"name": (1, "string", 0), "op": (2, "string", 0)},
    "Entry": {"key": (1, "string", 0), "value": (2, "Signature", 0)},
    "Signature": {"inputs": (1, "PortEntry", 1), "outputs": (2, "PortEntry", 1)},
    "PortEntry": {"key": (1, "string", 0), "value": (2, "Info2", 0)},
    "Info2": {"name": (1, "string", 0), "dtype": (2, "int64", 0), "shape": (3, "Shape", 0)},
    "Shape": {"dims": (2, "Dim", 1)},
    "Dim": {"size": (1, "int64", 0)},
    "Objects": {"nodes": (1, "Object", 1)},
    "Object": {"variable": (7, "Variable", 0)},
    "Variable": {"dtype": (1, "int64", 0), "shape": (2, "Shape", 0), "name": (6, "string", 0)},
}  # fmt: skip


@cache
def schema(name):
    """The class of a message of the schema above."""
    file = descriptor_pb2.FileDescriptorProto(name="t.proto", package="t", syntax="proto3")
    for message, fields in SCHEMA.items():
        one = file.message_type.add(name=message)
        for field, (number, kind, repeated) in fields.items():
            kinds = {"int64": {"type": 3}, "string": {"type": 9}}
            kind = kinds.get(kind, {"type": 11, "type_name": f".t.{kind}"})
            one.field.add(name=field, number=number, label=3 if repeated else 1, **kind)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"t.{name}"))


def _dims(shape):
    return tuple("" if d.size < 0 else str(d.size) for d in shape.dims)


def check_savedmodel(path, facts):
    """Tags, signature, variables and nodes, as the protobuf library reads them."""
    graph = schema("SavedModel").FromString(path.read_bytes()).graphs[0]
    assert facts.metadata["tags"] == ", ".join(graph.info.tags)
    assert facts.metadata["tensorflow_version"] == graph.info.tensorflow
    serving = next(e.value for e in graph.signatures if e.key == "serving_default")
    for ports, entries in ((facts.inputs, serving.inputs), (facts.outputs, serving.outputs)):
        assert {(p.name, NUMBERS[p.dtype], p.shape) for p in ports} == {
            (e.key, e.value.dtype, _dims(e.value.shape)) for e in entries
        }
    variables = [o.variable for o in graph.objects.nodes if o.HasField("variable")]
    assert [(t.name, NUMBERS[t.dtype], tuple(map(str, t.shape))) for t in facts.tensors] == [
        (v.name, v.dtype, _dims(v.shape)) for v in variables
    ]
    nodes = [*graph.graph.nodes, *(n for f in graph.graph.library.functions for n in f.nodes)]
    assert facts.metadata["nodes"] == str(len(nodes))
    assert not {"ReadFile", "WriteFile", "PyFunc"} & {n.op for n in nodes}
    assert (facts.architecture, facts.verdict, facts.findings) == ("Functional", "safe", ())


def check_bundle(path, facts):
    """Variables fill the data file, and are as many, of the same shapes, as those of the graph."""
    data = path.with_name("variables.data-00000-of-00001")
    graph = described(path.parents[1] / "saved_model.pb")
    assert sorted((t.dtype, t.shape) for t in facts.tensors) == sorted(
        (t.dtype, t.shape) for t in graph.tensors
    )
    end = 0
    for tensor in sorted(facts.tensors, key=lambda t: t.offset):
        assert tensor.offset == end
        end += tensor.bytes
    # What is behind the variables is the text of the object graph.
    rest = data.read_bytes()[end:]
    assert b"VARIABLE_VALUE" in rest
    assert b"\0\0\0\0" not in rest


def check_tflite(path, facts):
    """Ports, operators and constants, as the schema's library reads them."""
    model = tflite.Model.GetRootAs(path.read_bytes(), 0)
    names = {v: k for k, v in vars(tflite.TensorType).items() if isinstance(v, int)}
    expected, operators = [], 0
    for n in range(model.SubgraphsLength()):
        graph = model.Subgraphs(n)
        operators += graph.OperatorsLength()
        for i in range(graph.TensorsLength()):
            tensor = graph.Tensors(i)
            size = model.Buffers(tensor.Buffer()).DataLength()
            if size:
                shape = tuple(int(d) for d in tensor.ShapeAsNumpy()) if tensor.ShapeLength() else ()
                expected.append((tensor.Name().decode(), names[tensor.Type()], shape, size))
    spelled = {
        "F32": "FLOAT32",
        "F16": "FLOAT16",
        "I32": "INT32",
        "I8": "INT8",
        "I64": "INT64",
        "U8": "UINT8",
    }
    assert sorted((t.name, spelled[t.dtype], t.shape, t.bytes) for t in facts.tensors) == sorted(
        expected
    )
    graph = model.Subgraphs(0)
    for ports, places in (
        (facts.inputs, graph.InputsAsNumpy()),
        (facts.outputs, graph.OutputsAsNumpy()),
    ):
        tensors = [graph.Tensors(int(i)) for i in places]
        assert {(p.name, spelled[p.dtype]) for p in ports} == {
            (t.Name().decode(), names[t.Type()]) for t in tensors
        }
        for port, tensor in zip(ports, tensors, strict=True):
            shape = (
                tensor.ShapeSignatureAsNumpy()
                if tensor.ShapeSignatureLength()
                else tensor.ShapeAsNumpy()
            )
            assert port.shape == tuple("" if d < 0 else str(d) for d in shape)
    assert facts.metadata["operators"] == str(operators)
    assert facts.metadata["subgraphs"] == str(model.SubgraphsLength())
    assert facts.metadata["description"] == model.Description().decode()


ROWS = [
    Row("tensorflow savedmodel", "saved_model.pb", "basic-pitch", "tags, signature, variables, nodes",
        lambda _: packaged("basic_pitch", *FOLDER, "nmp", "saved_model.pb"), check_savedmodel),
    Row("tensorflow bundle", "variables.index", "basic-pitch", "variables, places in the data",
        lambda _: packaged("basic_pitch", *FOLDER, "nmp", "variables", "variables.index"), check_bundle),
    Row("tflite", "nmp.tflite", "basic-pitch", "ports, operators, constants",
        lambda _: packaged("basic_pitch", *FOLDER, "nmp.tflite"), check_tflite),
    *(Row("tflite", f"{name}.tflite", "pymicro-wakeword", "ports, operators, constants",
          lambda _, name=name: packaged("pymicro_wakeword", "models", f"{name}.tflite"), check_tflite)
      for name in ("okay_nabu", "hey_jarvis")),
]  # fmt: skip


def test_every_dtype_of_the_schema_is_known():
    """As many dtypes as TensorFlow Lite's schema has."""
    assert set(DTYPES) == {v for v in vars(tflite.TensorType).values() if isinstance(v, int)}


@pytest.mark.parametrize("operator", ["ReadFile", "WriteFile", "PyFunc", "EagerPyFunc"])
@pytest.mark.parametrize("hidden", [False, True])
def test_operators_that_touch_files_or_python_make_a_graph_unsafe(operator, hidden):
    """In the graph as in a function, and where the operator is named twice."""
    model = schema("SavedModel")(version=1)
    graph = model.graphs.add()
    graph.info.tags.append("serve")
    nodes = graph.graph.library.functions.add().nodes if hidden else graph.graph.nodes
    nodes.add(name="n", op=operator)
    facts = described(model.SerializeToString())
    assert (facts.format, facts.verdict) == ("tensorflow savedmodel", "unsafe")
    assert facts.findings == (f"operator {operator}",)


def test_a_graph_that_is_cut_short_is_not_called_safe():
    """What was not seen is not vouched for."""
    data = packaged("basic_pitch", *FOLDER, "nmp", "saved_model.pb").read_bytes()
    inner = bytearray(data)
    inner[200_000:200_020] = b"\xff" * 20
    facts = described(bytes(inner))
    assert facts.problem
    assert facts.verdict == "unknown"
