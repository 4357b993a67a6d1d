"""OpenVINO's IR: the `.xml` beside the weights (docs.openvino.ai, OpenVINO IR format).

Read as a stream: no document type, no entities, limits on size, elements and depth.
"""

from collections import Counter
from dataclasses import dataclass, field
from math import prod
from xml.parsers import expat

from chalicelib.indexing.formats.dtypes import counted
from chalicelib.indexing.formats.ranged import FIRST, Ranged
from weighbridge.contract.types import Facts, Port, Tensor

MAX_FILE = 32 * 1024 * 1024
MAX_ELEMENTS = 400_000
MAX_DEPTH = 64
MAX_TENSORS = 100_000
_CHUNK = 1024 * 1024

DTYPES = {
    "f32": "F32", "f16": "F16", "bf16": "BF16", "f64": "F64", "i64": "I64", "i32": "I32",
    "i16": "I16", "i8": "I8", "i4": "I4", "u64": "U64", "u32": "U32", "u16": "U16", "u8": "U8",
    "u4": "U4", "boolean": "BOOL", "f8e4m3": "F8_E4M3", "f8e5m2": "F8_E5M2", "f4e2m1": "F4",
    "f8e8m0": "F8_E8M0", "string": "TEXT", "i2": "I2", "u2": "U2",
}  # fmt: skip
"""Element types; those without an entry keep their name in capitals, such as NF4."""
_PRECISIONS = {"FP32": "F32", "FP16": "F16", "FP64": "F64", "BOOL": "BOOL"}
_NARROW = {"I8": "int8", "U8": "int8", "I4": "int4", "U4": "int4", "NF4": "nf4", "F8_E4M3": "fp8"}


class BadModel(Exception):
    """No IR, or one beyond the limits of this module."""


def sniff(first: bytes, size: int) -> bool:
    """XML whose root is a net with a name."""
    start = first[:4096].removeprefix(b"\xef\xbb\xbf").lstrip()
    if not start.startswith((b"<?xml", b"<net ")):
        return False
    at = start.find(b"<net ")
    return (
        at >= 0 and b"<" not in start[start.find(b"?>") + 2 if start.startswith(b"<?") else 0 : at]
    )


def read(ranged: Ranged) -> Facts:
    """The facts of a model's topology; its weights are in the `.bin` beside it."""
    walk = _Walk()
    problem = ""
    try:
        if ranged.size > MAX_FILE:
            raise BadModel(f"it has {ranged.size} bytes; {MAX_FILE} at most")
        walk.parse(ranged)
    except BadModel as error:
        problem = str(error)
    except expat.ExpatError as error:
        problem = f"it is no XML: {error}"
    layers = sum(walk.kinds.values())
    metadata = walk.metadata | {"layers": str(layers)}
    dtypes = counted(walk.tensors)
    floats = {name: n for name, n in dtypes.items() if name in ("F32", "F16", "BF16", "F64")}
    if floats:
        metadata["precision"] = max(floats, key=lambda name: floats[name])
    return Facts(
        "openvino ir", parameters=sum(dtypes.values()), tensors=tuple(walk.tensors),
        metadata=metadata, problem=problem, dtypes=dtypes, inputs=tuple(walk.inputs),
        outputs=tuple(walk.outputs()), quantisation=walk.compression or _quantisation(dtypes),
    )  # fmt: skip


def _quantisation(dtypes: dict[str, int]) -> str:
    most = max(dtypes, key=lambda dtype: dtypes[dtype], default="")
    return _NARROW.get(most, "")


def _dtype(name: str) -> str:
    return DTYPES.get(name, name.upper()[:40])


@dataclass
class _Walk:
    """What the elements tell, gathered while they pass."""

    metadata: dict[str, str] = field(default_factory=dict)
    kinds: Counter[str] = field(default_factory=Counter)
    tensors: list[Tensor] = field(default_factory=list)
    inputs: list[Port] = field(default_factory=list)
    compression: str = ""
    _path: list[str] = field(default_factory=list)
    _elements: int = 0
    _layer: dict[str, str] = field(default_factory=dict)
    _port: dict[str, str] = field(default_factory=dict)
    _dims: list[str] = field(default_factory=list)
    _text: str = ""
    _names: dict[tuple[str, str], str] = field(default_factory=dict)
    _results: dict[str, Port] = field(default_factory=dict)
    _sources: dict[str, tuple[str, str]] = field(default_factory=dict)

    def parse(self, ranged: Ranged) -> None:
        """Feeds the file to the parser, which stops at the first thing that should not be there."""
        parser = expat.ParserCreate()
        parser.StartDoctypeDeclHandler = self._doctype
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._data
        at = 0
        while at < ranged.size:
            # The beginning was read already; the rest comes in large pieces.
            data = ranged.read(at, min(FIRST if at == 0 else _CHUNK, ranged.size - at))
            if not data:
                raise BadModel("it is cut short")
            at += len(data)
            parser.Parse(data, at >= ranged.size)

    def outputs(self) -> list[Port]:
        """Ports of the results, named as the tensors that they take."""
        found = []
        for layer, port in self._results.items():
            name = self._names.get(self._sources.get(layer, ("", "")), "") or port.name
            found.append(Port(name, port.dtype, port.shape))
        return found

    def _doctype(self, *_: object) -> None:
        raise BadModel("it declares a document type, which no model needs")

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        self._elements += 1
        if self._elements > MAX_ELEMENTS or len(self._path) >= MAX_DEPTH:
            raise BadModel(f"it has more than {MAX_ELEMENTS} elements, or is nested too deeply")
        self._path.append(tag)
        path = self._path
        if len(path) == 1:
            if tag != "net":
                raise BadModel("its root is no net")
            self.metadata |= {"name": attributes.get("name", "")[:200]}
            self.metadata["ir_version"] = attributes.get("version", "")[:20]
        elif tag == "layer":
            self.kinds[attributes.get("type", "")[:100]] += 1
            self._layer = attributes if len(path) == 3 else {"type": attributes.get("type", "")}
        elif tag == "data" and self._layer.get("type") == "Const" and path[-2] == "layer":
            self._const(attributes)
        elif tag == "port":
            self._port, self._dims = attributes, []
        elif tag == "dim":
            self._text = ""
        elif tag == "edge" and path == ["net", "edges", "edge"]:
            self._sources[attributes.get("to-layer", "")] = (
                attributes.get("from-layer", ""), attributes.get("from-port", ""),
            )  # fmt: skip
        elif tag == "mode" and path[-2] == "weight_compression":
            self.compression = attributes.get("value", "")[:100]
        elif tag == "Runtime_version":
            self.metadata["runtime"] = attributes.get("value", "")[:200]

    def _data(self, text: str) -> None:
        if self._path[-1:] == ["dim"]:
            self._text = (self._text + text)[:40]

    def _end(self, tag: str) -> None:
        if tag == "dim" and len(self._dims) < 64:
            self._dims.append("" if self._text.strip() == "-1" else self._text.strip())
        elif tag == "port" and self._path == ["net", "layers", "layer", self._path[-2], "port"]:
            self._ported(self._path[-2])
        self._path.pop()

    def _ported(self, side: str) -> None:
        layer = self._layer.get("id", "")
        names = self._port.get("names", "").replace("\\,", "\0").split(",")[0].replace("\0", ",")
        precision = self._port.get("precision", "")
        dtype = _PRECISIONS.get(precision, precision)[:40]
        if side == "output":
            self._names[layer, self._port.get("id", "")] = names[:500]
        if side == "output" and self._layer.get("type") == "Parameter":
            name = names or self._layer.get("name", "")
            self.inputs.append(Port(name[:500], dtype, tuple(self._dims)))
        elif side == "input" and self._layer.get("type") == "Result":
            self._results[layer] = Port(self._layer.get("name", "")[:500], dtype, tuple(self._dims))

    def _const(self, attributes: dict[str, str]) -> None:
        name = self._layer.get("name", "")[:500]
        if len(self.tensors) >= MAX_TENSORS:
            raise BadModel(f"it has more than {MAX_TENSORS} constants")
        try:
            shape = tuple(_whole(n) for n in attributes.get("shape", "").split(",") if n.strip())
            length, offset = (
                _whole(attributes.get("size", "0")),
                _whole(attributes.get("offset", "0")),
            )
        except ValueError:
            raise BadModel(f"the constant {name[:100]!r} has an impossible shape or size") from None
        if len(shape) > 64 or prod(shape) >= 2**62:
            raise BadModel(f"the constant {name[:100]!r} has an impossible shape or size")
        dtype = _dtype(attributes.get("element_type", ""))
        self.tensors.append(Tensor(name, dtype, shape, length, offset))


def _whole(text: str) -> int:
    if not 1 <= len(text.strip()) <= 19 or not text.strip().isascii():
        raise ValueError(text[:40])
    value = int(text)
    if not 0 <= value < 2**62:
        raise ValueError(text[:40])
    return value
