"""A comparison made from the sample registry, section by section."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Literal

from chalicelib.catalogue.views import CompareView
from tests.catalogue.catalogue_world import FakeSource
from weighbridge.contract import codec
from weighbridge.contract.manifests import FileEntry
from weighbridge.contract.types import Comparison, Difference, Section, Version, Who

Title = Literal["metrics", "params", "tags", "files", "tensors", "provenance"]


def _plain(values: Sequence[Any]) -> str:
    if values[0] is None:
        return "added"
    return "removed" if values[-1] is None else "changed"


def _tensor(values: Sequence[Any]) -> str:
    if None in values:
        return _plain(values)
    if any(v["shape"] != values[0]["shape"] for v in values):
        return "reshaped"
    return "retyped" if any(v["dtype"] != values[0]["dtype"] for v in values) else "changed"


def _section(
    title: Title, sides: Sequence[dict[str, Any]], classify: Callable[[Sequence[Any]], str]
) -> Section:
    order = list(dict.fromkeys(name for side in sides for name in side))
    found = []
    for name in order:
        values = tuple(side.get(name) for side in sides)
        if any(value != values[0] for value in values):
            found.append(Difference(name, values, classify(values)))
    return Section(title, tuple(found), len(order) - len(found))


def comparison(source: FakeSource, project_id: str, versions: Sequence[Version]) -> Comparison:
    """The differences as the registry would tell them."""
    facts = [source.facts(project_id, v) for v in versions]
    tensors = [
        {
            t.name: {
                "dtype": t.dtype, "shape": list(t.shape), "bytes": t.bytes,
                **({"fingerprint": t.fingerprint} if t.fingerprint else {}),
            }
            for file in known.items if file.facts for t in file.facts.tensors
        }
        for known in facts
    ]  # fmt: skip
    files = [{f.path: {"sha256": f.sha256, "size": f.size} for f in k.items} for k in facts]
    return Comparison(
        tuple(f"{v.project}/{v.model}@{v.number}" for v in versions),
        tuple(versions),
        (
            _section("metrics", [dict(v.metrics) for v in versions], _plain),
            _section("params", [dict(v.params) for v in versions], _plain),
            _section("tensors", tensors, _tensor),
            _section("files", files, _plain),
            _section("tags", [dict(v.tags) for v in versions], _plain),
            _section("provenance", [codec.encode(v.provenance) for v in versions], _plain),
        ),
    )


def compared(source: FakeSource, project_id: str, model: str, *numbers: int) -> CompareView:
    """The view of a comparison, with all that is the same."""
    found = source.model_list[project_id, model]
    versions = [source.version(project_id, found, n) for n in numbers]
    known = [v for v in versions if v is not None]
    facts = tuple(source.facts(project_id, v) for v in known)
    return CompareView(
        comparison(source, project_id, known),
        (found,),
        facts,
        tuple(
            tuple(FileEntry(f.path, f.size, f.sha256, f.blob) for f in side.items) for side in facts
        ),
        Who("ada", ()),
    )


def mixed(source: FakeSource, *sides: int) -> CompareView:
    """A view of versions (a number) and checkpoints of version 8 (a number of theirs, negative)."""
    view = compared(source, "p1", "digits", *(8 if side < 0 else side for side in sides))
    known = {c.number: c for c in source.checkpoint_list["p1", "digits", 8]}
    points = tuple(known.get(-side) for side in sides)
    rows = tuple(source.checkpoints("p1", version, 1000) for version in view.comparison.versions)
    return replace(view, comparison=replace(view.comparison, checkpoints=points), series=rows)
