"""Safetensors: the tensor table, the parameter counts and the metadata (format: contract/safetensors)."""

from collections import Counter
from math import prod

from chalicelib.indexing.formats.ranged import Ranged
from weighbridge.contract import safetensors
from weighbridge.contract.errors import IntegrityError
from weighbridge.contract.types import Facts

MAX_METADATA = 100


def sniff(first: bytes, size: int) -> bool:
    """8 bytes of a plausible header length, then a JSON object."""
    length = int.from_bytes(first[:8], "little")
    return size >= 10 and first[8:9] == b"{" and (length <= 2**40 or first[8:10] == b'{"')


def read(ranged: Ranged) -> Facts:
    """The facts of a safetensors file, from its header alone."""
    try:
        header = safetensors.read(ranged.read, ranged.size)
    except IntegrityError as error:
        return Facts("safetensors", problem=error.message)
    metadata = {k[:200]: v[:2000] for k, v in list(header.metadata.items())[:MAX_METADATA]}
    dtypes: Counter[str] = Counter()
    for tensor in header.tensors:
        dtypes[tensor.dtype] += prod(tensor.shape)
    return Facts(
        "safetensors", parameters=dtypes.total(), tensors=header.tensors, metadata=metadata,
        dtypes=dict(sorted(dtypes.items())),
    )  # fmt: skip
