"""Checkpoints from the registry back into the folders that FATE looks for, the marker last."""

import secrets
import shutil
from collections.abc import Callable
from pathlib import Path

from weighbridge.contract import federated, references, types
from weighbridge.contract.errors import (
    AlreadyExists,
    InvalidManifest,
    InvalidName,
    NotFound,
    RegistryError,
)
from weighbridge.contract.references import CheckpointSelector, Reference, VersionSelector
from weighbridge.fate import layout, markers
from weighbridge.fate.reports import StepReport
from weighbridge.fate.steps import ENDING
from weighbridge.registry import Registry
from weighbridge.sources import PathLike

DRAFT = ".restore-"
"""How the folders begin in which a checkpoint is put together: FATE looks at none without `#`."""
Told = Callable[[StepReport], object]


def restore_checkpoints(
    registry: Registry,
    ref: str,
    folder: PathLike,
    *,
    component: str = "",
    last: bool = False,
    told: Told | None = None,
) -> tuple[Path, tuple[StepReport, ...]]:
    """Writes the checkpoints of a version (`PROJECT/MODEL@=LABEL`) back, byte for byte; answers the folder
    that holds them, and what became of each.

    `folder` is a model cache, or the folder of that party model or version, or one named `checkpoint`.
    The newest is written first, so that a training can go on from it at once. Each is put together
    beside its place and appears with its marker as the last file. One that is there and equal is left
    alone; a complete one that differs is an error, never overwritten. `component` and `last` limit what
    is written to one component, and to the highest step of each.
    """
    markers.yaml_needed()
    parsed = references.parse(ref)
    if parsed.version is None or parsed.checkpoint is not None:
        raise InvalidName(f"{ref!r} names no version; write PROJECT/MODEL@=LABEL")
    version = registry.client.version(parsed.project, parsed.model, parsed.version)
    target = _target(Path(folder).absolute(), version)
    at = Reference(parsed.project, parsed.model, VersionSelector("number", str(version.number)))
    points = list(registry.checkpoints(str(at), component))
    points.sort(key=lambda point: (point.step, point.number), reverse=True)
    if last:
        newest: dict[str, types.Checkpoint] = {}
        for point in points:
            newest.setdefault(point.component, point)
        points = list(newest.values())
    found = []
    for point in points:
        report = _one(registry, at, point, target)
        found.append(report)
        if told is not None:
            told(report)
    return target, tuple(found)


def _target(folder: Path, version: types.Version) -> Path:
    """The folder `checkpoint` that is meant."""
    if folder.name == layout.CHECKPOINTS:
        return folder
    if federated.parse(folder.parent.name) is not None:
        if (folder.parent.name, folder.name) != (version.model, version.label):
            raise InvalidName(
                f"{folder} is the folder of another version than {version.model}/{version.label}"
            )
        return folder / layout.CHECKPOINTS
    if federated.parse(version.model) is None or not version.label:
        raise InvalidName(
            f"{version.project}/{version.model}@{version.number} is no party's model with a label, so "
            "it has no place in a model cache: name a folder called `checkpoint`"
        )
    if federated.parse(folder.name) is not None:
        if folder.name != version.model:
            raise InvalidName(f"{folder} is the folder of another party's model")
        return folder / version.label / layout.CHECKPOINTS
    if "/" in version.label or version.label in (".", ".."):
        raise InvalidName(f"the label {version.label!r} can be no folder's name")
    inner = folder / layout.CACHE
    return (
        (inner if inner.is_dir() else folder) / version.model / version.label / layout.CHECKPOINTS
    )


def _one(registry: Registry, at: Reference, point: types.Checkpoint, target: Path) -> StepReport:
    key = (point.component, point.step, point.name)
    name = markers.folder_name(point.step, point.name)
    folder = target / (point.component or "-") / name
    try:
        if point.component in (".", ".."):
            raise InvalidName(f"the component {point.component!r} can be no folder's name")
        return _placed(registry, at, point, folder)
    except ENDING:
        raise
    except NotFound:
        return StepReport(*key, "evicted", f"{name} was evicted before it was fetched")
    except RegistryError as error:
        return StepReport(*key, "failed", f"{point.component or '-'}/{name}: {error.message}")
    except OSError as error:
        return StepReport(*key, "failed", f"{point.component or '-'}/{name}: {error}")


def _placed(registry: Registry, at: Reference, point: types.Checkpoint, folder: Path) -> StepReport:
    key = (point.component, point.step, point.name)
    reference = str(
        Reference(at.project, at.model, at.version, CheckpointSelector("number", str(point.number)))
    )
    entries = {entry.path: entry for entry in registry.files(reference)}
    if markers.MARKER not in entries or any("/" in path for path in entries):
        raise InvalidManifest(f"{reference} is no checkpoint of FATE: it has no {markers.MARKER}")
    if (folder / markers.MARKER).exists():
        local = markers.check(folder, point.step, point.name)
        alike = {name: (d.size, d.sha256) for name, d in local.items()}
        if alike == {name: (e.size, e.sha256) for name, e in entries.items()}:
            return StepReport(*key, "same")
        raise AlreadyExists(f"{folder} is complete and differs from {reference}; it is left alone")
    folder.parent.mkdir(parents=True, exist_ok=True)
    for old in folder.parent.glob(f"{DRAFT}*"):  # of a restore that was killed
        shutil.rmtree(old, ignore_errors=True)
    draft = folder.parent / f"{DRAFT}{secrets.token_hex(8)}"
    try:
        # Copied, not linked from the cache: the training may write over them.
        registry.pull(reference, draft, link="copy")
        markers.check(draft, point.step, point.name)
        folder.mkdir(exist_ok=True)
        for path in sorted(entries, key=lambda path: path == markers.MARKER):
            (draft / path).replace(folder / path)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return StepReport(*key, "restored")
