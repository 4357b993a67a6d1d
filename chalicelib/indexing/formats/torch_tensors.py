"""The tensor table of a torch object: names, dtypes and shapes from the stand-ins of its pickle."""

from collections import Counter
from math import prod

from chalicelib.indexing.formats.pickled import checks, streams
from chalicelib.indexing.formats.pickled.machine import Notes
from chalicelib.indexing.formats.pickled.values import Call, Dict, Import, Stored, Value
from weighbridge.contract.types import Facts, Tensor

MAX_TENSORS = 100_000
MAX_NODES = 200_000
MAX_DEPTH = 50
TENSORS = frozenset(
    {"_rebuild_tensor", "_rebuild_tensor_v2", "_rebuild_tensor_v3", "_rebuild_qtensor"}
)
WRAPPERS = frozenset({"_rebuild_parameter", "_rebuild_parameter_with_state"})
DTYPES: dict[str, tuple[str, int]] = {
    "float64": ("F64", 8), "float32": ("F32", 4), "float16": ("F16", 2), "bfloat16": ("BF16", 2),
    "int64": ("I64", 8), "int32": ("I32", 4), "int16": ("I16", 2), "int8": ("I8", 1),
    "uint64": ("U64", 8), "uint32": ("U32", 4), "uint16": ("U16", 2), "uint8": ("U8", 1),
    "bool": ("BOOL", 1), "complex64": ("C64", 8), "complex128": ("C128", 16),
    "float8_e4m3fn": ("F8_E4M3", 1), "float8_e5m2": ("F8_E5M2", 1), "float8_e8m0fnu": ("F8_E8M0", 1),
}  # fmt: skip


def facts(kind: str, root: Value, notes: Notes, metadata: dict[str, str]) -> Facts:
    """The facts of a torch file whose object is `root`."""
    found, complete = tensors(root)
    dtypes: Counter[str] = Counter()
    seen: set[tuple[str, int, int, tuple[int, ...]]] = set()
    for tensor, key in found:
        place = (key, tensor.offset, tensor.bytes, tensor.shape)
        if key and place in seen:
            continue  # a tied tensor: the same numbers under two names
        seen.add(place)
        dtypes[tensor.dtype] += prod(tensor.shape)
    return Facts(
        kind, parameters=dtypes.total(), tensors=tuple(tensor for tensor, _ in found),
        metadata=metadata, dtypes=dict(sorted(dtypes.items())), verdict=notes.verdict,
        findings=notes.sorted(),
        problem="" if complete else "the tensor table is too large: only its beginning is here",
    )  # fmt: skip


def tensors(root: Value) -> tuple[list[tuple[Tensor, str]], bool]:
    """Every tensor under `root` with its storage's key, by dotted name; whether these are all."""
    found: list[tuple[Tensor, str]] = []
    nodes, seen = 0, set[int]()
    todo: list[tuple[str, Value, int]] = [("", root, 0)]
    while todo:
        name, value, depth = todo.pop()
        nodes += 1
        if nodes > MAX_NODES or len(found) >= MAX_TENSORS:
            return found, False
        tensor = _tensor(name, value)
        if tensor is not None:
            found.append(tensor)
        elif depth < MAX_DEPTH and id(value) not in seen:  # once: it may contain itself
            seen.add(id(value))
            steps = _within(value)[: MAX_NODES - nodes + 1]
            todo += [
                (_dotted(name, key), inner, depth + 1)
                for key, inner in reversed(steps)
                if isinstance(inner, Call | Dict | list | tuple)
            ]
    return found, True


def _dotted(name: str, key: Value) -> str:
    """A name below another."""
    text = key[:200] if isinstance(key, str) else str(key) if type(key) is int else "?"
    return f"{name}.{text}"[:300] if name else text


def _within(value: Value) -> list[tuple[Value, Value]]:
    """What a container holds, by key."""
    if isinstance(value, Dict):
        return value.pairs
    if isinstance(value, list | tuple):
        return list(enumerate(value))
    if isinstance(value, Call):
        pairs = [pair for pair in (*value.items, *_given(value)) if _is_pair(pair)]
        if isinstance(value.state, Dict):  # an object's attributes, as of a module saved whole
            pairs += [pair for pair in value.state.pairs if pair[0] != "_metadata"]
        return _flat([(key, inner) for key, inner in pairs])
    return []


def _given(value: Call) -> list[Value]:
    """The pairs that a mapping is made of, as Python 2 wrote them."""
    given = value.arguments
    mapping = checks.names(value.function) in checks.MAPPINGS and isinstance(given, tuple) and given
    return given[0] if mapping and isinstance(given[0], list) else []


def _is_pair(value: Value) -> bool:
    """Whether a value is a key and what is under it."""
    return isinstance(value, tuple | list) and len(value) == 2


def _flat(pairs: list[tuple[Value, Value]]) -> list[tuple[Value, Value]]:
    """A module's `_parameters`, `_buffers` and `_modules` lie side by side in a state_dict."""
    flat: list[tuple[Value, Value]] = []
    for key, value in pairs:
        inner = key in ("_parameters", "_buffers", "_modules") if isinstance(key, str) else False
        flat += _within(value) if inner and isinstance(value, Call | Dict) else [(key, value)]
    return flat


def _tensor(name: str, value: Value) -> tuple[Tensor, str] | None:
    """The tensor that a rebuild call makes, with the key of its storage."""
    for _ in range(4):  # a parameter of a subclass of a tensor
        if not isinstance(value, Call) or not isinstance(value.arguments, tuple):
            return None
        module, function = checks.names(value.function)
        given = value.arguments
        if module == "torch._utils" and function in WRAPPERS and given:
            value = given[0]
        elif (module, function) == ("torch._tensor", "_rebuild_from_type_v2") and len(given) == 4:
            value = Call(given[0], given[2])
        else:
            break
    if module != "torch._utils":
        return None
    if (
        function == "_rebuild_meta_tensor_no_storage"
        and len(given) >= 2
        and _shape(given[1]) is not None
    ):
        dtype, _ = DTYPES.get(_name(given[0]), ("?", 0))
        return Tensor(name, dtype, _shape(given[1]) or (), 0), ""
    if function not in TENSORS or len(given) < 3 or not isinstance(given[0], Stored):
        return None
    shape = _shape(given[2])
    id = given[0].id
    if shape is None or type(given[1]) is not int or not isinstance(id, tuple) or len(id) < 5:
        return None
    dtype, each = streams.STORAGES.get(_name(id[1]), ("?", 0))
    if function == "_rebuild_tensor_v3" and len(given) > 6:
        dtype, each = DTYPES.get(_name(given[6]), (dtype, each))
    return Tensor(name, dtype, shape, prod(shape) * each, given[1] * each), str(id[2])


def _name(value: Value) -> str:
    """The name of an import."""
    return value.name if isinstance(value, Import) else ""


def _shape(value: Value) -> tuple[int, ...] | None:
    """A shape of reasonable numbers."""
    if isinstance(value, Call) and checks.names(value.function) == ("torch", "Size"):
        value = (
            value.arguments[0] if isinstance(value.arguments, tuple) and value.arguments else None
        )
    if not isinstance(value, tuple) or len(value) > 64:
        return None
    return value if all(type(n) is int and 0 <= n < 2**62 for n in value) else None
