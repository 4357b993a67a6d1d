"""What an import, a sync or a restore did, model by model."""

from dataclasses import dataclass
from typing import Literal

StepOutcome = Literal["pushed", "same", "failed", "unfinished", "evicted", "restored"]
TreeOutcome = Literal["published", "same", "open", "failed"]


@dataclass(frozen=True, slots=True)
class StepReport:
    """One checkpoint. `unfinished` ones have no marker: FATE does not see them either. `evicted` ones
    are older than those that `max_to_keep` keeps, and are not sent."""

    component: str
    step: int
    name: str
    outcome: StepOutcome
    problem: str = ""
    sent_bytes: int = 0


@dataclass(frozen=True, slots=True)
class TreeReport:
    """One version of one party. `reference` is empty while the registry has none. A dry run says what
    would be done."""

    model: str
    label: str
    outcome: TreeOutcome
    reference: str = ""
    files: int = 0
    size: int = 0
    sent_bytes: int = 0
    steps: tuple[StepReport, ...] = ()
    problems: tuple[str, ...] = ()
    state: str = ""

    @property
    def ok(self) -> bool:
        """Whether nothing of it failed."""
        return not self.problems and all(step.outcome != "failed" for step in self.steps)

    def counted(self, outcome: StepOutcome) -> int:
        """How many checkpoints ended so."""
        return sum(step.outcome == outcome for step in self.steps)


@dataclass(frozen=True, slots=True)
class ImportReport:
    """A whole cache. `problems` are folders that hold no party model."""

    trees: tuple[TreeReport, ...]
    problems: tuple[str, ...] = ()
    dry_run: bool = False

    @property
    def ok(self) -> bool:
        """Whether nothing failed."""
        return not self.problems and all(tree.ok for tree in self.trees)


@dataclass(frozen=True, slots=True)
class SyncReport:
    """What one look at the trees of a worker did."""

    trees: tuple[TreeReport, ...]
    problems: tuple[str, ...] = ()
    dry_run: bool = False

    @property
    def ok(self) -> bool:
        """Whether nothing failed."""
        return not self.problems and all(tree.ok for tree in self.trees)

    @property
    def published(self) -> bool:
        """Whether all of them are published, so that nothing is left to wait for."""
        done = ("published", "same")
        return bool(self.trees) and all(tree.outcome in done for tree in self.trees)
