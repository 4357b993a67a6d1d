"""What differs between two or more versions and checkpoints: metrics, params, attributes, tags, files,
tensors, provenance.

Tensors are told apart by name, dtype and shape, and by the fingerprints that their pushers claim, where
all sides that have the tensor have one.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from chalicelib.registry import checkpoints, facts, tensors, versions
from chalicelib.registry.stores import Stores
from chalicelib.registry.versions import VersionRecord
from weighbridge.contract import codec, references
from weighbridge.contract.errors import InvalidRequest
from weighbridge.contract.manifests import FileEntry
from weighbridge.contract.references import Reference
from weighbridge.contract.types import (
    Checkpoint,
    Comparison,
    Difference,
    Section,
    Tensor,
    VersionFacts,
)

MOST = 6
Title = Literal["metrics", "params", "attributes", "tags", "files", "tensors", "provenance"]
Row = dict[str, Any]
Classify = Callable[[Sequence[Any]], str]


@dataclass(frozen=True, slots=True)
class Side:
    """A version to compare, or a checkpoint of it."""

    version: VersionRecord
    checkpoint: Checkpoint | None = None

    @property
    def reference(self) -> str:
        """`project/model@7` or `project/model@7:12`."""
        point = self.checkpoint
        return f"{self.version.reference}:{point.number}" if point else self.version.reference

    @property
    def order(self) -> tuple[str, int, int]:
        """Sorts sides by model and number, a version before its checkpoints."""
        point = self.checkpoint
        return self.version.model.name, self.version.number, point.number if point else 0


def resolve(stores: Stores, reference: Reference) -> Side:
    """The version (the latest, if none is named) or checkpoint that a reference means."""
    selector = reference.version or references.LATEST
    found = versions.resolve(stores, reference.project, reference.model, selector)
    if reference.checkpoint is None:
        return Side(found)
    return Side(found, checkpoints.resolve(stores, found, reference.checkpoint).checkpoint)


def files(stores: Stores, side: Side) -> tuple[FileEntry, ...]:
    """The files of a side."""
    manifest = (side.checkpoint or side.version.version).manifest
    return versions.files(stores, side.version.model.project_id, manifest) if manifest else ()


def told(stores: Stores, side: Side, listed: Sequence[FileEntry]) -> VersionFacts:
    """What is known and claimed of the files of a side."""
    claimed = (side.checkpoint or side.version.version).claims
    return facts.told(stores, side.version, listed, claimed)


def compare(stores: Stores, sides: Sequence[Side]) -> Comparison:
    """The differences between 2 to 6 versions and checkpoints, in the order given."""
    check_count(len(sides))
    listed = [files(stores, side) for side in sides]
    known = [told(stores, side, found) for side, found in zip(sides, listed, strict=True)]
    shown = [side.version.version for side in sides]
    own = [side.checkpoint or side.version.version for side in sides]
    sections = (
        _section("metrics", [dict(v.metrics) for v in own], _plain),
        _section("params", [dict(v.params) for v in shown], _plain),
        _section("attributes", [dict(v.attributes) for v in shown], _plain),
        tensors.section([_tensors(k) for k in known]),
        _section("files", [{f.path: _file(f) for f in found} for found in listed], _plain),
        _section("tags", [dict(v.tags) for v in own], _plain),
        _section("provenance", [codec.encode(v.provenance) for v in shown], _plain),
    )
    points = tuple(side.checkpoint for side in sides)
    return Comparison(
        tuple(s.reference for s in sides), tuple(shown), sections, points if any(points) else ()
    )


def check_count(number: int) -> None:
    """Refuses more or fewer sides than can be compared."""
    if not 2 <= number <= MOST:
        raise InvalidRequest(f"compare takes 2 to {MOST} versions or checkpoints, not {number}")


def _file(entry: FileEntry) -> Row:
    return {"sha256": entry.sha256, "size": entry.size}


def _tensors(known: VersionFacts) -> dict[str, Tensor]:
    """Tensors by name; a name that several files use carries its file's path."""
    found: dict[str, Tensor] = {}
    for file in known.items:
        for tensor in file.facts.tensors if file.facts else ():
            name = tensor.name if tensor.name not in found else f"{file.path}: {tensor.name}"
            found[name] = tensor
    return found


def _plain(values: Sequence[Any]) -> str:
    if values[0] is None:
        return "added"
    return "removed" if values[-1] is None else "changed"


def _section(title: Title, sides: Sequence[Row], classify: Classify) -> Section:
    order = list(dict.fromkeys(name for side in sides for name in side))
    different: list[Difference] = []
    for name in order:
        values = tuple(side.get(name) for side in sides)
        if any(value != values[0] for value in values):
            different.append(Difference(name, values, classify(values)))
    return Section(title, tuple(different), len(order) - len(different))
