"""TensorFlow Lite (LiteRT): inputs, outputs, operators and the tensor table (schema.fbs, TFL3).

A flatbuffer. Weights are told from activations by what operators write, so that buffers, which lie
scattered between the tables, need not be looked at.
"""

from dataclasses import dataclass, field

from chalicelib.indexing.formats.dtypes import counted, size_of
from chalicelib.indexing.formats.flatbuffers import BadFlatbuffer, Buffer, Table
from chalicelib.indexing.formats.ranged import OverBudget, Ranged
from chalicelib.indexing.formats.windows import CutShort, Window
from weighbridge.contract.types import Facts, Port, Tensor

MAGIC = b"TFL3"
MAX_SUBGRAPHS = 1000
MAX_TENSORS = 30_000
MAX_OPERATORS = 30_000

DTYPES = {
    0: "F32", 1: "F16", 2: "I32", 3: "U8", 4: "I64", 5: "TEXT", 6: "BOOL", 7: "I16", 8: "C64",
    9: "I8", 10: "F64", 11: "C128", 12: "U64", 13: "RESOURCE", 14: "VARIANT", 15: "U32", 16: "U16",
    17: "I4", 18: "BF16",
}  # fmt: skip
_CUSTOM = 32
"""BuiltinOperator.CUSTOM: an operator that only its name describes."""


@dataclass
class _Found:
    tensors: list[Tensor] = field(default_factory=list)
    inputs: list[Port] = field(default_factory=list)
    outputs: list[Port] = field(default_factory=list)
    operators: int = 0


def sniff(first: bytes, size: int) -> bool:
    """The file identifier."""
    return first[4:8] == MAGIC


def read(ranged: Ranged) -> Facts:
    """The facts of a model."""
    found, metadata, custom, problem = _Found(), dict[str, str](), list[str](), ""
    try:
        model = Buffer(Window(ranged)).root()
        metadata["version"] = str(model.number(0, 4))
        if description := model.text(3):
            metadata["description"] = description
        custom = [code.text(1, 200) for code in model.tables(1, 1000) if _code(code) == _CUSTOM]
        count = model.length(2, 4)
        metadata["subgraphs"] = str(count)
        if count > MAX_SUBGRAPHS:
            raise BadFlatbuffer(f"it claims {count} subgraphs; {MAX_SUBGRAPHS} at most")
        for index, graph in enumerate(model.tables(2, count)):
            _graph(graph, index == 0, found)
        if signatures := [t.text(2, 100) for t in model.tables(7, 50)]:
            metadata["signatures"] = ", ".join(signatures)
        if notes := [t.text(0, 100) for t in model.tables(6, 50)]:
            metadata["metadata"] = ", ".join(notes)
    except (BadFlatbuffer, CutShort, OverBudget) as error:
        problem = str(error)
    metadata["operators"] = str(found.operators)
    if custom:
        metadata["custom operators"] = ", ".join(sorted(set(custom)))
    dtypes = counted(found.tensors)
    return Facts(
        "tflite", parameters=sum(dtypes.values()), tensors=tuple(found.tensors), metadata=metadata,
        problem=problem, dtypes=dtypes, inputs=tuple(found.inputs), outputs=tuple(found.outputs),
        quantisation=_quantisation(dtypes),
    )  # fmt: skip


def _code(code: Table) -> int:
    """An operator's number: the old field holds a byte, the newer one all of it."""
    return max(code.number(0, 1, signed=True), code.number(3, 4, signed=True))


def _graph(graph: Table, main: bool, found: _Found) -> None:
    operators, tensors = graph.length(3, 4), graph.length(0, 4)
    if found.operators + operators > MAX_OPERATORS or tensors > MAX_TENSORS:
        raise BadFlatbuffer(f"it claims {tensors} tensors and {operators} operators")
    found.operators += operators
    inputs, outputs = graph.numbers(1, 4, tensors), graph.numbers(2, 4, tensors)
    made = set(inputs)
    for operator in graph.tables(3, operators):
        made |= set(operator.numbers(2, 4, 1000))
    ports: dict[int, Port] = {}
    wanted = {*inputs, *outputs} if main else set[int]()
    for index, tensor in enumerate(graph.tables(0, tensors)):
        weight = index not in made and not tensor.number(5, 1)
        if weight or index in wanted:
            ports[index] = _port(tensor)
        if weight:
            _weight(tensor, ports[index], found)
    if main:
        found.inputs += [ports[index] for index in inputs if index in ports]
        found.outputs += [ports[index] for index in outputs if index in ports]


def _port(tensor: Table) -> Port:
    kind = tensor.number(1, 1)
    shape = tensor.numbers(7, 4, 64) or tensor.numbers(0, 4, 64)
    dtype = DTYPES.get(kind, f"type {kind}")
    return Port(tensor.text(3, 500), dtype, tuple(str(n) if n >= 0 else "" for n in shape))


def _weight(tensor: Table, port: Port, found: _Found) -> None:
    shape = tensor.numbers(0, 4, 64)
    if min(shape, default=0) < 0:
        raise BadFlatbuffer(f"the tensor {port.name[:100]!r} has an impossible shape")
    if len(found.tensors) >= MAX_TENSORS:
        raise BadFlatbuffer(f"it has more than {MAX_TENSORS} tensors")
    found.tensors.append(Tensor(port.name, port.dtype, tuple(shape), size_of(port.dtype, shape)))


def _quantisation(dtypes: dict[str, int]) -> str:
    """What most parameters are, where that is narrow."""
    most = max(dtypes, key=lambda dtype: dtypes[dtype], default="")
    return {"I8": "int8", "U8": "int8", "I4": "int4", "I16": "int16", "F16": "fp16"}.get(most, "")
