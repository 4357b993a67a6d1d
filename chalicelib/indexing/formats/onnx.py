"""ONNX: inputs, outputs, opsets, producer and the tensor table, without the tensors (onnx.proto).

The file is one protobuf message without a magic number. Weights, also those of nodes and subgraphs,
are passed over. Operators of other domains need code that is not in the file; they are named.
"""

from dataclasses import dataclass, field
from math import prod

from chalicelib.indexing.formats.dtypes import BITS, counted, size_of
from chalicelib.indexing.formats.protobuf import (
    BYTES,
    VARINT,
    BadProtobuf,
    Field,
    Reader,
    signed,
    varint,
)
from chalicelib.indexing.formats.ranged import OverBudget, Ranged
from chalicelib.indexing.formats.windows import CutShort, Window
from weighbridge.contract.types import Facts, Port, Tensor

MAX_DEPTH = 8
"""Graphs within graphs."""
MAX_TENSORS = 100_000
MAX_FILES = 50

DTYPES = {
    1: "F32", 2: "U8", 3: "I8", 4: "U16", 5: "I16", 6: "I32", 7: "I64", 8: "TEXT", 9: "BOOL",
    10: "F16", 11: "F64", 12: "U32", 13: "U64", 14: "C64", 15: "C128", 16: "BF16", 17: "F8_E4M3",
    18: "F8_E4M3FNUZ", 19: "F8_E5M2", 20: "F8_E5M2FNUZ", 21: "U4", 22: "I4", 23: "F4", 24: "F8_E8M0",
    25: "U2", 26: "I2", 27: "F6_E2M3", 28: "F6_E3M2",
}  # fmt: skip
_NARROW = {"I8": "int8", "U8": "int8", "I4": "int4", "U4": "int4", "I2": "int2", "U2": "int2"}
_STANDARD = {
    "",
    "ai.onnx",
    "ai.onnx.ml",
    "ai.onnx.training",
    "ai.onnx.preview.training",
    "ai.onnx.preview",
}
# Fields of ModelProto that may follow ir_version: number and wire type.
_MODEL = {2: 2, 3: 2, 4: 2, 5: 0, 6: 2, 7: 2, 8: 2, 14: 2, 20: 2, 25: 2, 26: 2}


@dataclass
class _Found:
    """What was gathered on the way."""

    tensors: list[Tensor] = field(default_factory=list)
    initializers: set[str] = field(default_factory=set)
    inputs: list[Port] = field(default_factory=list)
    outputs: list[Port] = field(default_factory=list)
    nodes: int = 0
    custom: set[str] = field(default_factory=set)
    files: set[str] = field(default_factory=set)
    metadata: dict[str, str] = field(default_factory=dict)
    own: dict[str, str] = field(default_factory=dict)
    opsets: dict[str, int] = field(default_factory=dict)


def sniff(first: bytes, size: int) -> bool:
    """ir_version, then another field of a model, of which none reaches beyond the file."""
    try:
        tag, at = varint(first, 0)
        version, at = varint(first, at)
        if tag != 8 or not 1 <= version <= 99:
            return False
        graphs = 0
        while at < len(first):
            tag, at = varint(first, at)
            if _MODEL.get(tag >> 3) != tag & 7:
                return False
            value, at = varint(first, at)
            if tag & 7 == BYTES:
                at += value
                if tag == 0x12 and first[at - value : at - value + 1] == b"\n":
                    return False  # a SavedModel of TensorFlow: there field 2 is a message
            graphs += tag >> 3 == 7
    except BadProtobuf:
        return False
    return graphs > 0 and at <= size


def read(ranged: Ranged) -> Facts:
    """The facts of a model."""
    reader, found = Reader(Window(ranged)), _Found()
    problem = ""
    try:
        for one in reader.fields(0, ranged.size):
            _model(reader, one, found)
    except (BadProtobuf, CutShort, OverBudget) as error:
        problem = str(error)
    metadata = found.metadata | {"nodes": str(found.nodes)}
    for domain, version in sorted(found.opsets.items()):
        metadata[f"opset {domain or 'ai.onnx'}"] = str(version)
    if custom := sorted((set(found.opsets) | found.custom) - _STANDARD):
        metadata["custom domains"] = ", ".join(custom)
    if found.files:
        metadata["external data"] = ", ".join(sorted(found.files))
    dtypes = counted(found.tensors)
    return Facts(
        "onnx", parameters=sum(dtypes.values()), tensors=tuple(found.tensors),
        metadata=metadata | found.own, problem=problem, dtypes=dtypes,
        architecture=found.own.get("model_type") or found.own.get("architecture", ""),
        inputs=tuple(p for p in found.inputs if p.name not in found.initializers),
        outputs=tuple(found.outputs), quantisation=_quantisation(dtypes),
        findings=tuple(
            f"external data outside the folder: {name}" for name in sorted(found.files) if _outside(name)
        ),
    )  # fmt: skip


def _model(reader: Reader, one: Field, found: _Found) -> None:
    if one.number == 1 and one.wire == VARINT:
        found.metadata["ir_version"] = str(one.value)
    elif one.number in (2, 3, 4):
        name = ("producer_name", "producer_version", "domain")[one.number - 2]
        found.metadata[name] = reader.text(one, 200)
    elif one.number == 7:
        _graph(reader, one, found, 0)
    elif one.number == 8:
        domain, version = "", 0
        for part in reader.inside(one):
            if part.number == 1:
                domain = reader.text(part, 200)
            elif part.number == 2:
                version = signed(part.value)
        if len(found.opsets) < 50:
            found.opsets[domain] = version
    elif one.number == 14:
        key, value = _pair(reader, one)
        if len(found.own) < 90:
            found.own[key] = value


def _graph(reader: Reader, graph: Field, found: _Found, depth: int) -> None:
    if depth > MAX_DEPTH:
        raise BadProtobuf("its graphs are nested too deeply")
    for one in reader.inside(graph):
        if one.number == 1:
            _node(reader, one, found, depth)
        elif one.number == 5:
            _tensor(reader, one, found)
        elif depth == 0 and one.number == 2:
            found.metadata["graph"] = reader.text(one, 200)
        elif depth == 0 and one.number in (11, 12):
            ports = found.inputs if one.number == 11 else found.outputs
            if len(ports) < MAX_TENSORS:
                ports.append(_port(reader, one))


def _node(reader: Reader, node: Field, found: _Found, depth: int) -> None:
    """A node counts, names its domain, and may hold tensors and graphs."""
    found.nodes += 1
    output = ""
    for one in reader.inside(node):
        if one.number == 2 and not output:
            output = reader.text(one, 500)
        elif one.number == 7 and one.length and len(found.custom) < 50:
            found.custom.add(reader.text(one, 200))
        elif one.number == 5:
            for part in reader.inside(one):
                if part.number == 5 and part.wire == BYTES:
                    _tensor(reader, part, found, output)
                elif part.number in (6, 11) and part.wire == BYTES:
                    _graph(reader, part, found, depth + 1)


def _tensor(reader: Reader, tensor: Field, found: _Found, name: str = "") -> None:
    """Adds a tensor; `name` is for one that a node holds, which needs none of its own."""
    shape: list[int] = []
    dtype, offset, raw, location = "", 0, -1, ""
    own = not name
    for one in reader.inside(tensor):
        if one.number == 1:
            shape += reader.numbers(one)
        elif one.number == 2:
            dtype = DTYPES.get(one.value, f"type {one.value}"[:40])
        elif one.number == 8:
            name = (reader.text(one, 500) if own else "") or name
        elif one.number == 9 and one.wire == BYTES:
            offset, raw = one.value, one.length
        elif one.number == 13:
            key, value = _pair(reader, one)
            location = value if key == "location" else location
    if len(shape) > 64 or any(not 0 <= n < 2**62 for n in shape):
        raise BadProtobuf(f"the tensor {name[:100]!r} has an impossible shape")
    length = size_of(dtype, shape)
    if raw >= 0 and not location and dtype in BITS and raw != length:
        raise BadProtobuf(
            f"the tensor {name[:100]!r} has {raw} bytes, not the {length} of its shape"
        )
    if own:
        found.initializers.add(name)
    if location and len(found.files) < MAX_FILES:
        found.files.add(location)
    if len(found.tensors) >= MAX_TENSORS:
        raise BadProtobuf(f"it has more than {MAX_TENSORS} tensors")
    if own or prod(shape) > 1:
        # A node's single number is a setting, not a weight.
        found.tensors.append(Tensor(name, dtype, tuple(shape), length, offset))


def _port(reader: Reader, info: Field) -> Port:
    name, dtype, shape = "", "", list[str]()
    for one in reader.inside(info):
        if one.number == 1:
            name = reader.text(one, 500)
        elif one.number == 2:
            for kind in reader.inside(one):
                if kind.number in (1, 8):
                    dtype, shape = _tensor_type(reader, kind)
                else:
                    dtype = {4: "sequence", 5: "map", 7: "opaque", 9: "optional"}.get(
                        kind.number, dtype
                    )
    return Port(name, dtype, tuple(shape))


def _tensor_type(reader: Reader, kind: Field) -> tuple[str, list[str]]:
    dtype, shape = "", list[str]()
    for one in reader.inside(kind):
        if one.number == 1:
            dtype = DTYPES.get(one.value, f"type {one.value}"[:40])
        elif one.number == 2:
            for dimension in reader.inside(one):
                size = ""
                for part in reader.inside(dimension):
                    if part.number == 1 and part.wire == VARINT:
                        size = str(signed(part.value))
                    elif part.number == 2:
                        size = reader.text(part, 100)
                if len(shape) < 64:
                    shape.append(size)
    return dtype, shape


def _pair(reader: Reader, entry: Field) -> tuple[str, str]:
    key = value = ""
    for one in reader.inside(entry):
        if one.number == 1:
            key = reader.text(one, 200)
        elif one.number == 2:
            value = reader.text(one, 2000)
    return key, value


def _quantisation(dtypes: dict[str, int]) -> str:
    """What most parameters are, where that is narrow."""
    most = max(dtypes, key=lambda dtype: dtypes[dtype], default="")
    return _NARROW.get(most, "fp8" if most.startswith("F8_") else "")


def _outside(name: str) -> bool:
    return name.startswith(("/", "\\")) or ".." in name.replace("\\", "/").split("/") or ":" in name
