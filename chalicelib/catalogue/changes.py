"""Outbox entries → what of the site they touch: models, their versions, checkpoints of these."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from weighbridge.contract.types import Event


@dataclass(frozen=True, slots=True)
class Change:
    """What an outbox entry says of pages: a model (empty: the project itself) and its versions.

    `kind` is the event's; `model_id` is needed where the model may be gone.
    """

    model: str = ""
    versions: tuple[int, ...] = ()
    kind: str = ""
    model_id: str = ""
    points: tuple[int, ...] = ()
    """The checkpoints, of the one version, that it is about."""

    @classmethod
    def of(cls, event: Event, versions: Iterable[int], model_id: str = "") -> "Change":
        """The change that an outbox entry carries."""
        found = model_id or event.details.get("model_id") or event.details.get("id") or ""
        return cls(event.model, tuple(versions), event.kind, str(found), _points(event))

    @property
    def small(self) -> bool:
        """Whether it is about checkpoints only, which lists of versions and models do not show."""
        return self.kind.removeprefix("~").startswith("checkpoint.")


def _points(event: Event) -> tuple[int, ...]:
    """The numbers of the checkpoints that an event is about."""
    if not event.kind.removeprefix("~").startswith("checkpoint."):
        return ()
    if "checkpoints" in event.details:
        return tuple(int(number) for number in event.details["checkpoints"])
    number = event.subject.rpartition(":")[2]
    return (int(number),) if number.isdigit() else ()


@dataclass(slots=True)
class Work:
    """What the changes to one model come to."""

    versions: set[int] = field(default_factory=set)
    points: dict[int, set[int]] = field(default_factory=dict)
    """Checkpoints by their version."""
    ids: set[str] = field(default_factory=set)
    deleted: bool = False
    listed: bool = False
    """Whether the model or lists of versions changed, not only checkpoints."""


def gathered(changes: Iterable[Change]) -> tuple[dict[str, Work], bool]:
    """What there is to do by model, and whether the project's own page shows any of it."""
    work: dict[str, Work] = {}
    wider = False
    for change in changes:
        wider = wider or not change.small
        if not change.model:
            continue
        todo = work.setdefault(change.model, Work())
        todo.versions.update(change.versions)
        todo.listed = todo.listed or not change.small
        if change.points:
            for number in change.versions:
                todo.points.setdefault(number, set()).update(change.points)
        if change.model_id:
            todo.ids.add(change.model_id)
        todo.deleted = todo.deleted or change.kind == "model.deleted"
    return work, wider
