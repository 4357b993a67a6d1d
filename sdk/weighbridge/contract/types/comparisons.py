"""What differs between versions, as it travels."""

from dataclasses import dataclass
from typing import Any, Literal

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
    """Two or more versions side by side, differences only."""

    references: tuple[str, ...]
    versions: tuple[Version, ...]
    sections: tuple[Section, ...]
