"""Safetensors: the tensor table, the parameter counts and the metadata (format: contract/safetensors)."""

from collections.abc import Iterable

from chalicelib.indexing.formats.documents import BadDocument, check
from chalicelib.indexing.formats.dtypes import counted
from chalicelib.indexing.formats.huggingface import lora
from chalicelib.indexing.formats.ranged import FIRST, Ranged
from weighbridge.contract import safetensors
from weighbridge.contract.errors import IntegrityError
from weighbridge.contract.types import Facts, Tensor

MAX_METADATA = 100
MAX_HEADER = 16 * 1024 * 1024
"""Less than the library allows: some 100,000 tensors fill it, and parsing it takes memory."""

# Keys that writers use: our own and the hub's, Stability's ModelSpec, kohya's trainers, diffusers.
_ARCHITECTURE = (
    "architecture", "general.architecture", "model_type", "modelspec.architecture",
    "ss_base_model_version", "_class_name",
)  # fmt: skip
_BASE_MODEL = ("base_model", "base_model_name_or_path", "ss_sd_model_name", "modelspec.base_model")
_QUANTISATION = ("quantization", "quantisation", "quant_method", "ss_quantization")

# Endings of tensor names that a method leaves, the more particular first.
_TRACES = (
    (".quant_state.bitsandbytes__nf4", "bitsandbytes-nf4"),
    (".quant_state.bitsandbytes__fp4", "bitsandbytes-fp4"),
    (".SCB", "bitsandbytes-int8"),
    (".g_idx", "gptq"),
    (".qzeros", "awq"),
    (".weight_packed", "compressed-tensors"),
    (".weight_scale_inv", "fp8"),
)
_NARROW = {"F8_E4M3": "fp8", "F8_E5M2": "fp8", "F4": "fp4", "F6_E2M3": "fp6", "F6_E3M2": "fp6"}


def sniff(first: bytes, size: int) -> bool:
    """8 bytes of a plausible header length, then a JSON object."""
    length = int.from_bytes(first[:8], "little")
    damaged = first[8:10] == b'{"' and first[:1] != b"{"  # and no JSON with a short first name
    return size >= 10 and first[8:9] == b"{" and (length <= 2**40 or damaged)


def read(ranged: Ranged) -> Facts:
    """The facts of a safetensors file, from its header alone."""
    length = int.from_bytes(ranged.read(0, 8), "little")
    try:
        if MAX_HEADER < length <= min(safetensors.MAX_HEADER, ranged.size - 8):
            raise BadDocument(f"its header has {length} bytes; {MAX_HEADER} at most are indexed")
        if length <= min(MAX_HEADER, ranged.size - 8):
            head = ranged.read(8, min(length, FIRST - 8))
            head += ranged.read(8 + len(head), length - len(head)) if length > len(head) else b""
            check(head)
            if len(head) != length:
                raise BadDocument("it is cut short")
            header = safetensors.parse(head, ranged.size - 8 - length)
        else:
            header = safetensors.read(ranged.read, ranged.size)
    except IntegrityError as error:
        return Facts("safetensors", problem=error.message)
    except BadDocument as error:
        return Facts("safetensors", problem=str(error))
    metadata = {k[:200]: v[:2000] for k, v in list(header.metadata.items())[:MAX_METADATA]}
    dtypes = counted(header.tensors)
    return Facts(
        "safetensors", parameters=sum(dtypes.values()), tensors=header.tensors, metadata=metadata,
        dtypes=dtypes, 
        architecture=_first(header.metadata, _ARCHITECTURE) or lora(t.name for t in header.tensors),
       
        quantisation=_first(header.metadata, _QUANTISATION) or _traces(header.tensors),
        base_model=_first(header.metadata, _BASE_MODEL),
    )  # fmt: skip


def _first(metadata: dict[str, str], keys: Iterable[str]) -> str:
    """The first of these keys that says anything, unless it holds a whole document."""
    for key in keys:
        value = metadata.get(key, "")
        if value and value != "None" and not value.startswith(("{", "[")):
            return value[:200]
    return ""


def _traces(tensors: tuple[Tensor, ...]) -> str:
    """The method whose traces the tensors' names and dtypes bear; empty for plain weights."""
    for ending, method in _TRACES:
        if any(t.name.endswith(ending) for t in tensors):
            return method
    narrow = {_NARROW[t.dtype] for t in tensors if t.dtype in _NARROW}
    return min(narrow, default="")
