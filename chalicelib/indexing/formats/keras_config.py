"""A Keras model's configuration: its class, its inputs, and what in it runs code when it is loaded.

Keras builds objects from names in this JSON. A Lambda layer holds Python bytecode; names of other
modules, or of functions that Keras has for other uses, were ways to run code (CVE-2024-3660,
CVE-2025-1550, CVE-2025-8747).
"""

import builtins
from dataclasses import dataclass, field
from typing import Any

from chalicelib.indexing.formats.documents import text
from weighbridge.contract.types import Port, Verdict

MAX_NODES = 1_000_000
_CODE = {"Lambda", "__lambda__", "TorchModuleWrapper", "TFSMLayer"}
"""Classes that hold or load code."""
_OURS = ("keras", "keras_hub", "keras_nlp", "keras_cv", "tensorflow.keras", "tf_keras")
_FUNCTIONS = (
    "activations",
    "initializers",
    "losses",
    "metrics",
    "ops",
    "regularizers",
    "constraints",
)
_DTYPES = {
    "float32": "F32", "float16": "F16", "bfloat16": "BF16", "float64": "F64", "int8": "I8",
    "int16": "I16", "int32": "I32", "int64": "I64", "uint8": "U8", "bool": "BOOL", "string": "TEXT",
}  # fmt: skip


@dataclass
class Model:
    """What a configuration tells."""

    architecture: str = ""
    layers: int = 0
    inputs: list[Port] = field(default_factory=list)
    outputs: list[Port] = field(default_factory=list)
    findings: list[str] = field(default_factory=list)
    verdict: Verdict = "safe"


def understood(document: Any) -> Model:
    """What the parsed configuration says."""
    model = Model()
    if not isinstance(document, dict):
        return Model(verdict="unknown", findings=["the configuration is no JSON object"])
    model.architecture = text(document.get("class_name"))
    config = document.get("config")
    layers = config.get("layers") if isinstance(config, dict) else None
    if isinstance(layers, list):
        model.layers = len(layers)
        for layer in layers:
            _input(layer, model)
        names = config.get("output_layers") if isinstance(config, dict) else None
        for name in _leading(names):
            model.outputs.append(Port(name))
    _judge(document, model)
    return model


def _leading(names: object) -> list[str]:
    """Names of layers in `["name", 0, 0]`, a list of such, or a mapping to such."""
    if isinstance(names, dict):
        names = list(names.values())
    if not isinstance(names, list):
        return []
    if names and isinstance(names[0], str):
        names = [names]
    return [text(n[0]) for n in names[:64] if isinstance(n, list) and n and isinstance(n[0], str)]


def _input(layer: object, model: Model) -> None:
    if (
        not isinstance(layer, dict)
        or layer.get("class_name") != "InputLayer"
        or len(model.inputs) >= 64
    ):
        return
    config = layer.get("config")
    if isinstance(config, dict):
        shape = config.get("batch_shape", config.get("batch_input_shape"))
        shape = shape[:64] if isinstance(shape, list) else []
        dtype = text(config.get("dtype"))
        dims = tuple("" if type(n) is not int or abs(n) > 2**62 else str(n) for n in shape)
        model.inputs.append(Port(text(config.get("name")), _DTYPES.get(dtype, dtype), dims))


def _judge(document: Any, model: Model) -> None:
    """Walks all of the document, without recursion, for what names code."""
    found: dict[str, Verdict] = {}
    stack: list[Any] = [document]
    for _ in range(MAX_NODES):
        if not stack:
            break
        value = stack.pop()
        if isinstance(value, list):
            stack += [v for v in value if isinstance(v, dict | list)]
        else:
            _object(value, found)
            stack += [v for v in value.values() if isinstance(v, dict | list)]
    if stack:
        found["the configuration is too large to be judged"] = "unknown"
    model.findings = sorted(found)
    if found:
        model.verdict = "unsafe" if "unsafe" in found.values() else "unknown"


def _object(value: dict[str, Any], found: dict[str, Verdict]) -> None:
    """Judges one mapping that names a class, if it does."""
    kind, module, registered = (
        value.get("class_name"),
        value.get("module"),
        value.get("registered_name"),
    )
    if not isinstance(kind, str):
        return
    config = value.get("config")
    name = config.get("name") if isinstance(config, dict) else config
    if kind in _CODE:
        found[f"{kind} layer: {text(name)}"] = "unsafe"
    elif isinstance(module, str):
        if kind == "function":
            if not _harmless(module, name):
                found[f"function: {text(module)}.{text(name)}"] = "unsafe"
        elif module != "builtins" and not any(
            module == m or module.startswith(m + ".") for m in _OURS
        ):
            found[f"object of another module: {text(module)}.{text(kind)}"] = "unsafe"
    elif isinstance(registered, str) and ">" in registered:
        found[f"custom object: {text(registered)}"] = "unknown"


def _harmless(module: str, name: object) -> bool:
    """Whether a function is one of those that layers are configured with."""
    parts = [part for part in module.split(".") if part != "src"]
    if module == "builtins":
        return not hasattr(builtins, str(name))
    return parts[0] in _OURS and (len(parts) == 1 or parts[1] in _FUNCTIONS)
