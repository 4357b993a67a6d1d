"""Tensors grouped by block, with totals: `encoder.layer.0.…` becomes a tree that can be folded."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from math import prod

from chalicelib.catalogue import formats
from weighbridge.contract.types import Statistics, Tensor

MOST_ROWS = 700
_DEEPEST = 6
_DIGITS = re.compile(r"(\d{1,18})")


@dataclass(frozen=True, slots=True)
class Leaf:
    """One tensor below its block; `name` is the rest of its name."""

    name: str
    tensor: Tensor
    parameters: int


@dataclass(frozen=True, slots=True)
class Block:
    """A block with its totals. `leaves` is empty where the page would become too long."""

    name: str
    tensors: int
    parameters: int
    bytes: int
    dtypes: tuple[str, ...]
    blocks: tuple["Block", ...] = ()
    leaves: tuple[Leaf, ...] = ()


@dataclass(frozen=True, slots=True)
class Tree:
    """All tensors of a file; `shortened` says that single tensors or deep blocks are left out."""

    root: Block
    shortened: bool = False


@dataclass(slots=True)
class _Branch:
    leaves: list[tuple[str, Tensor]] = field(default_factory=list)
    branches: dict[str, "_Branch"] = field(default_factory=dict)


def parameters(tensor: Tensor) -> int:
    """How many numbers a tensor holds."""
    return prod(tensor.shape)


def figures(found: Statistics | None) -> str:
    """What is claimed of a tensor's numbers, in short; empty where nothing is."""
    if found is None:
        return ""
    said = []
    if found.mean is not None and found.std is not None:
        said.append(f"{formats.rough(found.mean)} ± {formats.rough(found.std)}")
    if found.min is not None and found.max is not None:
        said.append(f"{formats.rough(found.min)} to {formats.rough(found.max)}")
    said += [f"{formats.share(found.nan)} NaN"] if found.nan else []
    said += [f"{formats.share(found.inf)} infinite"] if found.inf else []
    text = ", ".join(said)
    return (
        f"{text} (of {formats.share(found.seen / found.count)} of the values)"
        if found.sampled
        else text
    )


def strange(found: Statistics | None) -> bool:
    """Whether there are numbers that are none."""
    return bool(found and (found.nan or found.inf))


def natural(text: str) -> tuple[tuple[int, int, str], ...]:
    """A sort key that puts `layer.10` behind `layer.9`."""
    return tuple(
        (0, int(part), "") if part.isascii() and part.isdigit() else (1, 0, part)
        for part in _DIGITS.split(text)
        if part
    )


def tree(tensors: Sequence[Tensor]) -> Tree:
    """The tensors as blocks; as deep and as complete as a page can bear."""
    for depth in (_DEEPEST, 3, 1):
        full = _block("", _grown(tensors, depth), leaves=True)
        if _rows(full) <= MOST_ROWS:
            return Tree(full)
        short = _block("", _grown(tensors, depth), leaves=False)
        if _rows(short) <= MOST_ROWS:
            return Tree(short, shortened=True)
    flat = _block("", _grown(tensors, 0), leaves=False)
    return Tree(flat, shortened=True)


def _grown(tensors: Iterable[Tensor], depth: int) -> _Branch:
    root = _Branch()
    for tensor in sorted(tensors, key=lambda t: natural(t.name)):
        *path, last = tensor.name.split(".", depth)
        branch = root
        for part in path:
            branch = branch.branches.setdefault(part, _Branch())
        branch.leaves.append((last, tensor))
    return root


def _block(name: str, branch: _Branch, *, leaves: bool) -> Block:
    blocks = []
    single = list(branch.leaves)
    for key, found in branch.branches.items():
        label, below = key, found
        while not below.leaves and len(below.branches) == 1:
            ((part, below),) = below.branches.items()
            label = f"{label}.{part}"
        if len(below.leaves) == 1 and not below.branches:  # a fold around one tensor helps nobody
            rest, tensor = below.leaves[0]
            single.append((f"{label}.{rest}", tensor))
        else:
            blocks.append(_block(label, below, leaves=leaves))
    kept = tuple(Leaf(rest, t, parameters(t)) for rest, t in single)
    dtypes = {t.tensor.dtype for t in kept} | {d for b in blocks for d in b.dtypes}
    return Block(
        name,
        len(kept) + sum(b.tensors for b in blocks),
        sum(leaf.parameters for leaf in kept) + sum(b.parameters for b in blocks),
        sum(leaf.tensor.bytes for leaf in kept) + sum(b.bytes for b in blocks),
        tuple(sorted(dtypes)),
        tuple(blocks),
        kept if leaves else (),
    )


def _rows(block: Block) -> int:
    return 1 + len(block.leaves) + sum(_rows(b) for b in block.blocks)
