"""The files that are pushed: random bytes, many small files, and a model of a published layout."""

import json
import math
import os
import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

MIB = 1024 * 1024
SMALL_FILES = 10_000
SMALL_SIZE = 1024
_SEED = 20260101


def random_file(file: Path, size: int) -> Path:
    """A file that no compression or deduplication can shorten."""
    with file.open("wb") as out:
        left = size
        while left:
            block = os.urandom(min(left, 8 * MIB))
            out.write(block)
            left -= len(block)
    return file


def change_byte(file: Path, at: int) -> None:
    """Flips one byte where it stands."""
    with file.open("r+b") as stream:
        stream.seek(at)
        [byte] = stream.read(1)
        stream.seek(at)
        stream.write(bytes([byte ^ 0xFF]))


def small_files(folder: Path) -> Path:
    """Ten thousand files of 1 KiB, all different."""
    folder.mkdir()
    for number in range(SMALL_FILES):
        (folder / f"{number:05d}.bin").write_bytes(os.urandom(SMALL_SIZE))
    return folder


@dataclass(frozen=True, slots=True)
class Tensor:
    """One float32 tensor; the same `seed` has the same bytes."""

    name: str
    shape: tuple[int, ...]
    seed: int

    @property
    def size(self) -> int:
        """Its bytes."""
        return 4 * math.prod(self.shape)


@dataclass(frozen=True, slots=True)
class Variant:
    """A changed model, and how many bytes a push of it may send."""

    tensors: tuple[Tensor, ...]
    bar: int
    formula: str


def gpt2_medium() -> tuple[Tensor, ...]:
    """Names and shapes of GPT-2 medium as it is published, norms, biases and masks included, in
    the order of their names as safetensors writes them."""
    wide = 1024
    shapes: dict[str, tuple[int, ...]] = {
        "wte.weight": (50257, wide), "wpe.weight": (1024, wide),
        "ln_f.weight": (wide,), "ln_f.bias": (wide,),
    }  # fmt: skip
    for layer in range(24):
        shapes |= {
            f"h.{layer}.{name}": shape
            for name, shape in {
                "ln_1.weight": (wide,), "ln_1.bias": (wide,),
                "attn.bias": (1, 1, 1024, 1024),
                "attn.c_attn.weight": (wide, 3 * wide), "attn.c_attn.bias": (3 * wide,),
                "attn.c_proj.weight": (wide, wide), "attn.c_proj.bias": (wide,),
                "ln_2.weight": (wide,), "ln_2.bias": (wide,),
                "mlp.c_fc.weight": (wide, 4 * wide), "mlp.c_fc.bias": (4 * wide,),
                "mlp.c_proj.weight": (4 * wide, wide), "mlp.c_proj.bias": (wide,),
            }.items()
        }  # fmt: skip
    return tuple(Tensor(name, shapes[name], seed) for seed, name in enumerate(sorted(shapes)))


def write_model(file: Path, tensors: tuple[Tensor, ...]) -> None:
    """Writes a safetensors file with the tensors in this order."""
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    at = 0
    for tensor in tensors:
        header[tensor.name] = {
            "dtype": "F32", "shape": list(tensor.shape), "data_offsets": [at, at + tensor.size],
        }  # fmt: skip
        at += tensor.size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with file.open("wb") as out:
        out.write(len(text).to_bytes(8, "little") + text)
        for tensor in tensors:
            out.write(random.Random(_SEED + tensor.seed).randbytes(tensor.size))


def head_only(base: tuple[Tensor, ...]) -> Variant:
    """The last norm and the output head, which GPT-2 ties to its token embedding, are new."""
    head = {"ln_f.weight", "ln_f.bias", "wte.weight"}
    new = [t for t in base if t.name in head]
    changed = tuple(replace(t, seed=t.seed + 10_000) if t.name in head else t for t in base)
    size = sum(t.size for t in new)
    return Variant(changed, size + 12 * MIB, f"{size} changed bytes + 12 MiB")


def renamed(base: tuple[Tensor, ...]) -> Variant:
    """Every name gets a prefix; no byte of a tensor changes."""
    tensors = tuple(replace(t, name=f"transformer.{t.name}") for t in base)
    return Variant(tensors, 12 * MIB, "12 MiB")


def reordered(base: tuple[Tensor, ...]) -> Variant:
    """The same tensors in a random order."""
    tensors = list(base)
    random.Random(_SEED).shuffle(tensors)
    few = [t.size < 10 * MIB for t in tensors]
    runs = sum(now and not before for before, now in zip([False, *few], few, strict=False))
    size = sum(t.size for t in tensors if t.size < 10 * MIB)
    formula = f"{size} bytes of tensors under 10 MiB + 5 MiB x {runs} runs of them"
    return Variant(tuple(tensors), size + 5 * MIB * runs, formula)


VARIANTS: dict[str, Callable[[tuple[Tensor, ...]], Variant]] = {
    "head-only": head_only,
    "renamed": renamed,
    "reordered": reordered,
}
