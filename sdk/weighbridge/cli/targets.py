"""What a command's REF means: a project, a model, a version or a checkpoint."""

from weighbridge.contract import names, references
from weighbridge.contract.errors import Conflict, HeldBack, InvalidName
from weighbridge.contract.references import LATEST, CheckpointSelector, Reference, VersionSelector
from weighbridge.contract.types import Version

LAST = CheckpointSelector("last")


def anything(text: str) -> str | Reference:
    """A project's name (no slash in it), or a reference."""
    if "/" not in text.rstrip("/"):
        return names.project_name(text.rstrip("/"))
    return references.parse(text)


def model(text: str) -> Reference:
    """A model: PROJECT/MODEL and nothing more."""
    ref = references.parse(text)
    if ref.version is not None or ref.checkpoint is not None:
        raise InvalidName(f"{text!r} names more than a model; write PROJECT/MODEL")
    return ref


def version(text: str) -> Reference:
    """A version that is named: PROJECT/MODEL@VERSION, no checkpoint."""
    ref = references.parse(text)
    if ref.version is None or ref.checkpoint is not None:
        raise InvalidName(f"{text!r} names no version; write PROJECT/MODEL@VERSION")
    return ref


def versioned(text: str) -> Reference:
    """A version (the latest unless named), no checkpoint."""
    ref = references.parse(text)
    if ref.checkpoint is not None:
        raise InvalidName(f"{text!r} names a checkpoint; write PROJECT/MODEL[@VERSION]")
    return Reference(ref.project, ref.model, ref.version or LATEST)


def pinpointed(text: str) -> Reference:
    """A version (the latest unless named), or a checkpoint."""
    ref = references.parse(text)
    return Reference(ref.project, ref.model, ref.version or LATEST, ref.checkpoint)


def checkpoint(text: str) -> Reference:
    """A checkpoint: the last unless named, of the latest version unless named."""
    ref = references.parse(text)
    return Reference(ref.project, ref.model, ref.version or LATEST, ref.checkpoint or LAST)


def selector(ref: Reference) -> VersionSelector:
    """The version that a reference means; without `@` the latest."""
    return ref.version or LATEST


def ready(found: Version) -> Version:
    """`found` if it is published, else the `Conflict` that a change of it would meet."""
    if found.state != "ready":
        name = numbered(found.project, found.model, found.number)
        if found.state in ("checking", "blocked"):
            raise HeldBack(f"{name} is {found.state}: its safety verdict is {found.verdict}")
        raise Conflict(f"{name} is {found.state}, not ready")
    return found


def numbered(project: str, model_name: str, number: int, checkpoint_number: int = 0) -> str:
    """`project/model@3`, or `project/model@3:12`."""
    return str(
        Reference(
            names.project_name(project),
            names.model_name(model_name),
            VersionSelector("number", str(number)),
            CheckpointSelector("number", str(checkpoint_number)) if checkpoint_number else None,
        )
    )
