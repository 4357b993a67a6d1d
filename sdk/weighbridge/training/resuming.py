"""Where a run of a label stood: its version, and its last complete checkpoint."""

from dataclasses import dataclass
from pathlib import Path

from weighbridge.contract import types
from weighbridge.contract.errors import Gone, NotFound
from weighbridge.contract.references import Reference, VersionSelector
from weighbridge.registry import Registry


@dataclass(frozen=True, slots=True)
class Resumed:
    """The files of a checkpoint, verified, under `path`. `published`: its version is ready already,
    so this run has nothing left to train."""

    path: Path
    step: int
    number: int
    reference: str
    metrics: dict[str, float]
    tags: dict[str, str]
    published: bool


def labelled(registry: Registry, model: Reference, label: str) -> types.Version | None:
    """The open or ready version with that label."""
    selector = VersionSelector("label", label)
    try:
        return registry.client.version(model.project, model.model, selector)
    except (Gone, NotFound):
        return None


def last(registry: Registry, version: types.Version, component: str) -> types.Checkpoint | None:
    """The checkpoint of that component that was published last."""
    selector = VersionSelector("number", str(version.number))
    found = registry.client.iter_checkpoints(version.project, version.model, selector, component)
    return next((one for one in found if one.component == component), None)


def fetch(
    registry: Registry, version: types.Version, checkpoint: types.Checkpoint, to: Path
) -> Resumed:
    """Pulls a checkpoint into a folder."""
    reference = f"{version.project}/{version.model}@{version.number}:{checkpoint.number}"
    registry.pull(reference, to=to, force=True)
    return Resumed(
        path=to,
        step=checkpoint.step,
        number=checkpoint.number,
        reference=reference,
        metrics=dict(checkpoint.metrics),
        tags=dict(checkpoint.tags),
        published=version.state == "ready",
    )
