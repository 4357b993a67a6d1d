"""Aliases and history, as they travel."""

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class AliasTarget:
    """Moves an alias to a version (any selector). With `expected`, only from that number (0: new)."""

    version: str
    expected: int | None = None


@dataclass(frozen=True, slots=True)
class AliasMove:
    """One move of an alias. `version` 0 means that it was removed."""

    alias: str
    version: int
    previous: int = 0
    at: str = ""
    by: str = ""


@dataclass(frozen=True, slots=True)
class AliasHistory:
    """The moves of an alias, newest first."""

    items: tuple[AliasMove, ...]
    next: str | None = None


@dataclass(frozen=True, slots=True)
class Event:
    """One line of a project's history, such as `version.published` of `model@3`."""

    id: str
    at: str
    kind: str
    by: str
    model: str = ""
    subject: str = ""
    details: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class EventPage:
    """Events, newest first."""

    items: tuple[Event, ...]
    next: str | None = None
