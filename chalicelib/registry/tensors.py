"""What differs between the tensors of two or more versions: the tensors section of a comparison."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from weighbridge.contract import codec
from weighbridge.contract.types import Difference, Section, Tensor

FULL = 2000
"""Differences up to this number show the statistics of their tensors."""
Side = Mapping[str, Tensor]
Found = Sequence[Tensor | None]


def section(sides: Sequence[Side]) -> Section:
    """The tensors that are not the same on all sides, in the order of the first sides' files."""
    order = list(dict.fromkeys(name for side in sides for name in side))
    rows = {name: [side.get(name) for side in sides] for name in order}
    changes = {name: word for name, found in rows.items() if (word := _change(found))}
    same = len(order) - len(changes)
    for old, new in list(_renamed(rows, changes)):
        rows[new] = [a or b for a, b in zip(rows[old], rows[new], strict=True)]
        changes[new] = "renamed"
        del changes[old]
    full = len(changes) <= FULL
    differences = tuple(
        Difference(
            name, tuple(_shown(t, changes[name], full=full) for t in rows[name]), changes[name]
        )
        for name in order
        if name in changes
    )
    return Section("tensors", differences, same)


def _change(found: Found) -> str:
    """What happened to a tensor; empty if it is the same, as far as it is known."""
    there = [tensor for tensor in found if tensor is not None]
    if len(there) < len(found):
        return "added" if found[0] is None else "removed" if found[-1] is None else "changed"
    if len({tensor.shape for tensor in there}) > 1:
        return "reshaped"
    if len({tensor.dtype for tensor in there}) > 1:
        return "retyped"
    if len({tensor.bytes for tensor in there}) > 1 or not _same_bytes(there):
        return "changed"
    return ""


def _same_bytes(there: Sequence[Tensor]) -> bool:
    """False where fingerprints tell; a side without one tells nothing."""
    prints = {tensor.fingerprint for tensor in there}
    return "" in prints or len(prints) == 1


def _renamed(rows: Mapping[str, Found], changes: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Pairs of old and new name: one stands where the other is absent, with the same fingerprint.

    Several tensors may be alike (biases of nothing but zeros): they are paired in their order, and
    only if there are as many of the old as of the new.
    """
    groups: defaultdict[tuple[Any, ...], list[str]] = defaultdict(list)
    for name in changes:
        mask = tuple(tensor is not None for tensor in rows[name])
        alike = {(t.fingerprint, t.dtype, t.shape) for t in rows[name] if t is not None}
        fingerprint, dtype, shape = min(alike)
        if len(alike) == 1 and fingerprint and 0 not in shape and not all(mask):
            groups[mask, fingerprint, dtype, shape].append(name)
    for (mask, *content), olds in groups.items():
        news = groups.get((tuple(not there for there in mask), *content), [])
        if mask[0] and len(olds) == len(news):
            yield from zip(olds, news, strict=True)


def _shown(tensor: Tensor | None, change: str, *, full: bool) -> dict[str, Any] | None:
    if tensor is None:
        return None
    shown: dict[str, Any] = {
        "dtype": tensor.dtype, "shape": list(tensor.shape), "bytes": tensor.bytes,
    }  # fmt: skip
    if tensor.fingerprint:
        shown["fingerprint"] = tensor.fingerprint
    if full and tensor.statistics:
        shown["statistics"] = codec.encode(tensor.statistics)
    if change == "renamed":
        shown["name"] = tensor.name
    return shown
