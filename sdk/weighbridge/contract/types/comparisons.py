"""What differs between versions, as it travels."""

from dataclasses import dataclass
from typing import Any, Literal

from weighbridge.contract.types.checkpoints import Checkpoint
from weighbridge.contract.types.versions import Version


@dataclass(frozen=True, slots=True)
class Difference:
    """One row of a comparison: a value per side (absent: None); `change` classifies it."""

    name: str
    values: tuple[Any, ...]
    change: str = ""


@dataclass(frozen=True, slots=True)
class Section:
    """The differences of one aspect, and how many rows were equal on all sides."""

    title: Literal["metrics", "params", "attributes", "tags", "files", "tensors", "provenance"]
    differences: tuple[Difference, ...]
    same: int = 0


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two or more versions and checkpoints side by side, differences only.

    `versions` are the sides, or what they are checkpoints of; `checkpoints`, per side, None where the
    side is a version, is empty where all are. Metrics, tags, files and tensors are the checkpoint's;
    params, attributes and provenance its version's.
    """

    references: tuple[str, ...]
    versions: tuple[Version, ...]
    sections: tuple[Section, ...]
    checkpoints: tuple[Checkpoint | None, ...] = ()
