"""TensorFlow's saved_model.pb: tags, signatures, variables, and the operators that touch files or run
Python (saved_model.proto, meta_graph.proto, saved_object_graph.proto)."""

from dataclasses import dataclass, field

from chalicelib.indexing.formats.documents import BadDocument, parsed, text
from chalicelib.indexing.formats.dtypes import counted, size_of
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
from weighbridge.contract.types import Facts, Port, Tensor, Verdict

DTYPES = {
    1: "F32", 2: "F64", 3: "I32", 4: "U8", 5: "I16", 6: "I8", 7: "TEXT", 8: "C64", 9: "I64",
    10: "BOOL", 11: "QI8", 12: "QU8", 13: "QI32", 14: "BF16", 15: "QI16", 16: "QU16", 17: "U16",
    18: "C128", 19: "F16", 20: "RESOURCE", 21: "VARIANT", 22: "U32", 23: "U64", 24: "F8_E5M2",
    25: "F8_E4M3", 29: "I4", 30: "U4", 31: "I2", 32: "U2",
}  # fmt: skip
UNSAFE = {"ReadFile", "WriteFile", "PyFunc", "PyFuncStateless", "EagerPyFunc", "MatchingFiles"}
"""Operators that read or write files of the author's choice, or call Python."""
MAX_SIGNATURES = 50
MAX_TENSORS = 100_000
_SERVING = "serving_default"


@dataclass
class _Found:
    tags: list[str] = field(default_factory=list)
    signatures: dict[str, tuple[list[Port], list[Port]]] = field(default_factory=dict)
    tensors: list[Tensor] = field(default_factory=list)
    metadata: dict[str, str] = field(default_factory=dict)
    unsafe: set[str] = field(default_factory=set)
    nodes: int = 0
    architecture: str = ""


def sniff(first: bytes, size: int) -> bool:
    """Schema version 1, then a graph that begins with its meta information and fits the file."""
    if first[:3] != b"\x08\x01\x12":
        return False
    try:
        length, at = varint(first, 3)
    except BadProtobuf:
        return False
    return first[at : at + 1] == b"\n" and at + length <= size


def read(ranged: Ranged) -> Facts:
    """The facts of a SavedModel's graph file; its weights are in files of their own."""
    reader, found = Reader(Window(ranged)), _Found()
    problem = ""
    try:
        for one in reader.fields(0, ranged.size):
            if one.number == 2:
                _graph(reader, one, found)
    except (BadProtobuf, CutShort, OverBudget) as error:
        problem = str(error)
    verdict: Verdict = "unsafe" if found.unsafe else "unknown" if problem else "safe"
    metadata = found.metadata | {"tags": ", ".join(found.tags), "nodes": str(found.nodes)}
    if found.signatures:
        metadata["signatures"] = ", ".join(sorted(found.signatures))
    main = _SERVING if _SERVING in found.signatures else next(iter(found.signatures), "")
    inputs, outputs = found.signatures.get(main, ([], []))
    dtypes = counted(found.tensors)
    return Facts(
        "tensorflow savedmodel", parameters=sum(dtypes.values()), tensors=tuple(found.tensors),
        metadata=metadata, problem=problem, dtypes=dtypes, architecture=found.architecture,
        inputs=tuple(inputs), outputs=tuple(outputs), verdict=verdict,
        findings=tuple(f"operator {op}" for op in sorted(found.unsafe)),
    )  # fmt: skip


def _graph(reader: Reader, graph: Field, found: _Found) -> None:
    for one in reader.inside(graph):
        if one.number == 1:
            for part in reader.inside(one):
                if part.number == 4 and len(found.tags) < 50:
                    found.tags.append(reader.text(part, 100))
                elif part.number == 5:
                    found.metadata["tensorflow_version"] = reader.text(part, 100)
        elif one.number == 2:
            for part in reader.inside(one):
                if part.number == 1:
                    _node(reader, part, found)
                elif part.number == 2:
                    _library(reader, part, found)
        elif one.number == 5:
            _signature(reader, one, found)
        elif one.number == 7:
            for part in reader.inside(one):
                if part.number == 1:
                    _object(reader, part, found)


def _library(reader: Reader, library: Field, found: _Found) -> None:
    for function in reader.inside(library):
        if function.number == 1:
            for part in reader.inside(function):
                if part.number == 3:
                    _node(reader, part, found)


def _node(reader: Reader, node: Field, found: _Found) -> None:
    found.nodes += 1
    for one in reader.inside(node):
        if one.number == 2 and one.length <= 32:
            operator = reader.text(one, 32)
            if operator in UNSAFE:
                found.unsafe.add(operator)


def _signature(reader: Reader, entry: Field, found: _Found) -> None:
    name, inputs, outputs = "", list[Port](), list[Port]()
    for one in reader.inside(entry):
        if one.number == 1:
            name = reader.text(one, 200)
        elif one.number == 2:
            for part in reader.inside(one):
                if part.number in (1, 2):
                    ports = inputs if part.number == 1 else outputs
                    if len(ports) < 1000:
                        ports.append(_port(reader, part))
    if len(found.signatures) < MAX_SIGNATURES and not name.startswith("__saved_model_init"):
        found.signatures[name] = inputs, outputs


def _port(reader: Reader, entry: Field) -> Port:
    name, dtype, shape = "", "", list[str]()
    for one in reader.inside(entry):
        if one.number == 1:
            name = reader.text(one, 200)
        elif one.number == 2:
            for part in reader.inside(one):
                if part.number == 2:
                    dtype = DTYPES.get(part.value, f"type {part.value}"[:40])
                elif part.number == 3:
                    shape = [str(n) if n >= 0 else "" for n in shape_of(reader, part)]
    return Port(name, dtype, tuple(shape))


def shape_of(reader: Reader, field: Field) -> list[int]:
    """The dimensions of a TensorShapeProto; -1 where one is not fixed."""
    shape: list[int] = []
    for one in reader.inside(field):
        if one.number == 2 and len(shape) < 64:
            size = 0
            for part in reader.inside(one):
                if part.number == 1 and part.wire == VARINT:
                    size = signed(part.value)
            shape.append(max(size, -1))
    return shape


def _object(reader: Reader, entry: Field, found: _Found) -> None:
    """A variable, or a Keras layer that says what it is."""
    for one in reader.inside(entry):
        if one.number == 4 and not found.architecture and one.wire == BYTES:
            found.architecture = _keras_class(reader, one)
        elif one.number == 7:
            name, dtype, shape = "", "", list[int]()
            for part in reader.inside(one):
                if part.number == 1 and part.wire == VARINT:
                    dtype = DTYPES.get(part.value, f"type {part.value}"[:40])
                elif part.number == 2:
                    shape = shape_of(reader, part)
                elif part.number == 6:
                    name = reader.text(part, 500)
            if len(found.tensors) >= MAX_TENSORS:
                raise BadProtobuf(f"it has more than {MAX_TENSORS} variables")
            if all(n >= 0 for n in shape):
                found.tensors.append(Tensor(name, dtype, tuple(shape), size_of(dtype, shape)))


def _keras_class(reader: Reader, user: Field) -> str:
    """The class of a Keras model, which it keeps in JSON beside the object."""
    kind, metadata = "", b""
    for one in reader.inside(user):
        if one.number == 1:
            kind = reader.text(one, 100)
        elif one.number == 3:
            metadata = reader.data(one, 1024 * 1024)
    if kind not in ("_tf_keras_model", "_tf_keras_network", "_tf_keras_sequential") or not metadata:
        return ""
    try:
        document = parsed(metadata)
    except BadDocument:
        return ""
    return text(document.get("class_name")) if isinstance(document, dict) else ""
