"""GGUF: the keys and the tensor table (layout: contract/gguf). Vocabularies are counted, not kept."""

from collections import Counter
from math import prod

from chalicelib.indexing.formats.dtypes import counted
from chalicelib.indexing.formats.ranged import FIRST, Ranged
from weighbridge.contract import gguf
from weighbridge.contract.errors import IntegrityError
from weighbridge.contract.types import Facts, Tensor

MAX_TENSORS = 100_000
MAX_TEXT = 500

# llama.cpp's names of general.file_type: what most tensors are.
FILE_TYPES = {
    0: "F32", 1: "F16", 2: "Q4_0", 3: "Q4_1", 7: "Q8_0", 8: "Q5_0", 9: "Q5_1", 10: "Q2_K",
    11: "Q3_K_S", 12: "Q3_K_M", 13: "Q3_K_L", 14: "Q4_K_S", 15: "Q4_K_M", 16: "Q5_K_S",
    17: "Q5_K_M", 18: "Q6_K", 19: "IQ2_XXS", 20: "IQ2_XS", 21: "Q2_K_S", 22: "IQ3_XS",
    23: "IQ3_XXS", 24: "IQ1_S", 25: "IQ4_NL", 26: "IQ3_S", 27: "IQ3_M", 28: "IQ2_S", 29: "IQ2_M",
    30: "IQ4_XS", 31: "IQ1_M", 32: "BF16", 36: "TQ1_0", 37: "TQ2_0", 38: "MXFP4_MOE", 39: "NVFP4",
    40: "Q1_0",
}  # fmt: skip


def sniff(first: bytes, size: int) -> bool:
    """The magic number."""
    return first[:4] == gguf.MAGIC


def read(ranged: Ranged) -> Facts:
    """The facts of a GGUF file, from its header alone."""
    try:
        header = gguf.header(_without_again(ranged), ranged.size, most=MAX_TENSORS)
        tensors = _tensors(header, ranged.size)
    except IntegrityError as error:
        return Facts("gguf", problem=error.message)
    metadata = {"gguf.version": str(header.version)}
    if header.big_endian:
        metadata["gguf.endian"] = "big"
    metadata |= {key[:200]: _shown(value) for key, value in header.keys.items()}
    dtypes = counted(tensors)
    return Facts(
        "gguf", parameters=sum(dtypes.values()), tensors=tensors, metadata=metadata, dtypes=dtypes,
        architecture=metadata.get("general.architecture", ""),
        quantisation=_quantisation(header, dtypes),
        base_model=metadata.get("general.base_model.0.repo_url")
        or metadata.get("general.base_model.0.name", ""),
    )  # fmt: skip


def _without_again(ranged: Ranged) -> gguf.ReadRange:
    """Reads that end where the file's beginning, which was fetched already, ends."""

    def read(start: int, length: int) -> bytes:
        return ranged.read(start, min(length, FIRST - start) if start < FIRST else length)

    return read


def _tensors(header: gguf.Header, size: int) -> tuple[Tensor, ...]:
    """The table with the sizes that the types make, which must fit the file and not overlap."""
    found, names, data_size = [], set[str](), size - header.data_start
    for entry in header.tensors:
        name = entry.name.decode("utf-8", "replace")
        if name in names:
            raise IntegrityError(f"the tensor {name[:100]!r} stands twice")
        names.add(name)
        # ggml has the fastest dimension first; everybody else has it last.
        shape = tuple(reversed(entry.shape))
        dtype, elements, width = gguf.TYPES.get(entry.kind, (f"type {entry.kind}", 0, 0))
        if elements and entry.shape and entry.shape[0] % elements:
            raise IntegrityError(f"the tensor {name[:100]!r} does not fill blocks of {elements}")
        length = prod(shape) // elements * width if elements else 0
        if entry.offset + length > max(data_size, 0):
            raise IntegrityError(f"truncated: the tensor {name[:100]!r} reaches beyond the file")
        found.append(Tensor(name, dtype, shape, length, entry.offset))
    end = 0
    for tensor in sorted(found, key=lambda t: (t.offset, t.bytes)):
        if tensor.offset < end:
            raise IntegrityError(f"the tensor {tensor.name[:100]!r} overlaps another")
        end = tensor.offset + tensor.bytes
    return tuple(found)


def _shown(value: gguf.Value) -> str:
    if isinstance(value, gguf.Array):
        return f"{value.length} values ({value.kind})"
    if isinstance(value, bool):
        return "true" if value else "false"
    return value[:MAX_TEXT] if isinstance(value, str) else str(value)


def _quantisation(header: gguf.Header, dtypes: dict[str, int]) -> str:
    """What the file says of itself, else what most of its parameters are, if that is quantised."""
    kind = header.keys.get("general.file_type")
    if isinstance(kind, int) and not isinstance(kind, bool) and kind in FILE_TYPES:
        return FILE_TYPES[kind]
    blocks = {name for name, elements, _ in gguf.TYPES.values() if elements > 1}
    most = Counter(dtypes).most_common(1)
    return most[0][0] if most and most[0][0] in blocks else ""
