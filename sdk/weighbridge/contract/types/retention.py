"""Which checkpoints are kept, as it travels."""

from dataclasses import dataclass, field
from typing import Literal

Mode = Literal["max", "min"]
RetentionSource = Literal["version", "model", "none"]


@dataclass(frozen=True, slots=True)
class KeepBest:
    """Keeps the `count` best checkpoints of each component by a metric."""

    metric: str
    mode: Mode
    count: int = 1


@dataclass(frozen=True, slots=True)
class Retention:
    """Which checkpoints a version keeps: those that any rule keeps. Without a rule it keeps all.

    Rules go by component. `keep_last` is a number of checkpoints, `keep_every` keeps steps that it
    divides, `max_age` (seconds) keeps what is younger. Kept whatever the rules say: the last
    checkpoint of each component, the best by the model's main metric, and what is pinned.
    """

    keep_last: int = 0
    keep_best: tuple[KeepBest, ...] = ()
    keep_every: int = 0
    max_age: int = 0


@dataclass(frozen=True, slots=True)
class RetentionState:
    """The retention in force, and who says so: the version itself, its model, or nobody."""

    retention: Retention = field(default_factory=Retention)
    source: RetentionSource = "none"


@dataclass(frozen=True, slots=True)
class PruneRequest:
    """Applies the retention to the next checkpoints by number; `page` is the `next` of the answer
    before. A dry run only says what would be done."""

    dry_run: bool = False
    page: str | None = None


@dataclass(frozen=True, slots=True)
class Judged:
    """What retention says of one checkpoint, and why."""

    number: int
    component: str
    step: int
    size: int
    keep: bool
    reason: str


@dataclass(frozen=True, slots=True)
class Pruned:
    """What one call looked at. `freed_bytes` counts the blobs that nothing else refers to; they are
    deleted by the next sweeps. `shared_bytes` stay, because other checkpoints or versions hold them."""

    items: tuple[Judged, ...]
    evicted: int = 0
    freed_blobs: int = 0
    freed_bytes: int = 0
    shared_bytes: int = 0
    dry_run: bool = False
    next: str | None = None
