"""The index of a model in shards, `*.safetensors.index.json` or `*.bin.index.json`: which tensor is
in which file. Layout: `{"metadata": {"total_size": N}, "weight_map": {tensor: file}}`."""

import re

from chalicelib.indexing.formats.documents import MAX_DOCUMENT, BadDocument, parsed, text
from chalicelib.indexing.formats.ranged import FIRST, Ranged
from weighbridge.contract.types import Facts, Tensor

MAX_SHARDS = 90
"""Shards that the facts name; more are counted."""
_WEIGHT_MAP = re.compile(rb'"weight_map"\s*:\s*\{')


def sniff(first: bytes, size: int) -> bool:
    """A JSON object that has a weight map."""
    return first.lstrip()[:1] == b"{" and _WEIGHT_MAP.search(first) is not None


def read(ranged: Ranged) -> Facts:
    """The names of the tensors and of the shards; what is in a tensor, its shard says."""
    if ranged.size > MAX_DOCUMENT:
        return Facts("sharded index", problem=f"it has {ranged.size} bytes; {MAX_DOCUMENT} at most")
    first = ranged.read(0, min(FIRST, ranged.size))
    try:
        document = parsed(first + ranged.read(len(first), ranged.size - len(first)))
    except BadDocument as error:
        return Facts("sharded index", problem=str(error))
    weights = document.get("weight_map") if isinstance(document, dict) else None
    if not isinstance(weights, dict) or not all(isinstance(v, str) for v in weights.values()):
        return Facts("sharded index", problem="its weight_map must map names to files")
    shards: dict[str, int] = {}
    for shard in weights.values():
        shards[shard] = shards.get(shard, 0) + 1
    stated = document.get("metadata")
    stated = stated if isinstance(stated, dict) else {}
    metadata = {"shards": str(len(shards)), "tensors": str(len(weights))}
    for key in ("total_size", "total_parameters"):
        if _whole(stated.get(key)):
            metadata[key] = str(int(stated[key]))
    metadata |= {f"shard {name}": f"{n} tensors" for name, n in sorted(shards.items())[:MAX_SHARDS]}
    pickled = not all(name.endswith(".safetensors") for name in shards)
    outside = sorted(
        name for name in shards if "/" in name or "\\" in name or name in ("", ".", "..")
    )
    return Facts(
        "sharded index", metadata=metadata,
        parameters=int(stated["total_parameters"]) if "total_parameters" in metadata else 0,
        tensors=tuple(Tensor(name, "", (), 0) for name in weights),
        architecture=text(stated.get("model_type")),
        findings=tuple(f"shard outside the folder: {name}" for name in outside)
        + (("shards that are no safetensors",) if pickled else ()),
    )  # fmt: skip


def _whole(value: object) -> bool:
    """A count; some writers leave a float."""
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 2**62
