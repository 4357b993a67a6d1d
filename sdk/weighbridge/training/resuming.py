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


def fetch(
    registry: Registry, version: types.Version, component: str, to: Path
) -> tuple[Resumed, types.Checkpoint] | None:
    """Pulls the last checkpoint of that component into a folder; None if there is none."""
    reference = f"{version.project}/{version.model}@{version.number}"
    found = registry.resume(reference, component or "-", to)
    if found is None:
        return None
    last = found.checkpoint
    resumed = Resumed(
        path=found.folder,
        step=found.step,
        number=last.number,
        reference=found.reference,
        metrics=dict(last.metrics),
        tags=dict(last.tags),
        published=version.state == "ready",
    )
    return resumed, last
