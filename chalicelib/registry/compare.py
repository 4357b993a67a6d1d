"""What differs between two or more versions: metrics, params, attributes, tags, files, tensors,
provenance.

Tensors are told apart by name, dtype and shape, and by the fingerprints that their pushers claim, where
all sides that have the tensor have one.
"""

from collections.abc import Callable, Sequence
from typing import Any, Literal

from chalicelib.registry import facts, tensors, versions
from chalicelib.registry.stores import Stores
from chalicelib.registry.versions import VersionRecord
from weighbridge.contract import codec
from weighbridge.contract.errors import InvalidRequest
from weighbridge.contract.manifests import FileEntry
from weighbridge.contract.types import Comparison, Difference, Section, Tensor, VersionFacts

MOST = 6
Title = Literal["metrics", "params", "attributes", "tags", "files", "tensors", "provenance"]
Row = dict[str, Any]
Classify = Callable[[Sequence[Any]], str]


def compare(stores: Stores, sides: Sequence[VersionRecord]) -> Comparison:
    """The differences between 2 to 6 versions, in the order given."""
    if not 2 <= len(sides) <= MOST:
        raise InvalidRequest(f"compare takes 2 to {MOST} versions, not {len(sides)}")
    listed = [_files(stores, side) for side in sides]
    known = [
        facts.told(stores, side, files, side.version.claims)
        for side, files in zip(sides, listed, strict=True)
    ]
    shown = [side.version for side in sides]
    sections = (
        _section("metrics", [dict(v.metrics) for v in shown], _plain),
        _section("params", [dict(v.params) for v in shown], _plain),
        _section("attributes", [dict(v.attributes) for v in shown], _plain),
        tensors.section([_tensors(k) for k in known]),
        _section("files", [{f.path: _file(f) for f in files} for files in listed], _plain),
        _section("tags", [dict(v.tags) for v in shown], _plain),
        _section("provenance", [codec.encode(v.provenance) for v in shown], _plain),
    )
    return Comparison(tuple(s.reference for s in sides), tuple(shown), sections)


def _files(stores: Stores, side: VersionRecord) -> tuple[FileEntry, ...]:
    if not side.version.manifest:
        return ()
    return versions.files(stores, side.model.project_id, side.version.manifest)


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
