"""What each kind of page shows: contract values, gathered by whoever reads the registry.

A view is data only. `pages.py` and `comparing.py` turn views into pages; nothing here knows
storage, HTTP or templates.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from weighbridge.contract.manifests import FileEntry
from weighbridge.contract.types import (
    AliasMove,
    Checkpoint,
    Comparison,
    Event,
    FederatedVersion,
    Model,
    Project,
    Provider,
    Version,
    VersionFacts,
    Who,
)

RANGE = 100
"""Numbers per range page, of versions and of checkpoints: a new one touches one of them, however many
there are."""
RECENT = 50
"""Versions that a model's own page lists."""
SERIES = 200
"""Points of the main metric that a model's page draws."""
SPARK = 20
"""Points of the main metric that a project's page draws per model."""
LISTED_MODELS = 500
"""Models that a project's page names; more are found by search or the command line."""
DETAILED_MODELS = 100
"""Models of which a project's page tells more than their name, the first ones by name."""
NO_FACTS = VersionFacts(())
LISTED_SHARDS = 200
"""Parties' versions that a federated model's page lists, those of the highest labels."""
LISTED_PROVIDERS = 100
"""Providers that a project's page of them lists; `weighbridge providers ls` lists them all."""
LISTED_CHECKPOINTS = 1000
"""Checkpoints that a series page lists and draws, the newest."""

COMPARED_CHECKPOINTS = 1000
"""Checkpoints per version that a compare page draws, the newest."""


@dataclass(frozen=True, slots=True)
class ProjectSummary:
    """A project on the home page; with `more` there are more than `models`. `bytes` are those of all its
    blobs, each once."""

    project: Project
    models: int = 0
    more: bool = False
    updated: str = ""
    versions: int = 0
    bytes: int = 0


@dataclass(frozen=True, slots=True)
class HomeView:
    """What one principal may see of the registry. `recent` are events of those projects."""

    who: Who | None
    projects: tuple[ProjectSummary, ...]
    recent: tuple[tuple[str, Event], ...] = ()
    """Pairs of project name and event, newest first."""


@dataclass(frozen=True, slots=True)
class ActivityView:
    """What happened in the projects that one principal may read, or in `chosen` of them.

    `older` is the address of what came before; empty at the end.
    """

    who: Who | None
    events: tuple[tuple[str, Event], ...] = ()
    projects: tuple[str, ...] = ()
    chosen: str = ""
    older: str = ""
    newest: bool = True


@dataclass(frozen=True, slots=True)
class SearchHit:
    """A model (number 0) or version that was found. `said` is what its index document says of it,
    `metrics` those to show: the ones asked for first."""

    path: str
    project: str
    model: str
    number: int
    said: Mapping[str, Any]
    metrics: tuple[tuple[str, Any], ...] = ()


@dataclass(frozen=True, slots=True)
class ModelRow:
    """A model in its project's table. `series` is its main metric, oldest first."""

    model: Model
    latest: Version | None = None
    versions: int | None = None
    series: tuple[tuple[int, float], ...] = ()


@dataclass(frozen=True, slots=True)
class ProjectView:
    """A project with its first `LISTED_MODELS` models by name; `more`: there are others. Of those beyond
    `DETAILED_MODELS` the rows tell nothing but the model."""

    project: Project
    rows: tuple[ModelRow, ...] = ()
    more: bool = False
    providers: bool = False
    """Whether it has providers, and so a page of them."""


@dataclass(frozen=True, slots=True)
class ProvidersView:
    """The providers of a project by name, `LISTED_PROVIDERS` at most; `more`: there are others."""

    project: str
    providers: tuple[Provider, ...] = ()
    more: bool = False


@dataclass(frozen=True, slots=True)
class ModelView:
    """A model with its newest versions, its alias history and what is in progress.

    `versions` are ready ones, newest first, `RECENT` at most; `highest` is the highest number among
    all ready ones (0: none), `count` how many there are (None: not counted). `series` is the main
    metric, oldest first.
    """

    model: Model
    card: str = ""
    versions: tuple[Version, ...] = ()
    count: int | None = None
    highest: int = 0
    moves: tuple[AliasMove, ...] = ()
    open: tuple[Version, ...] = ()
    series: tuple[tuple[int, float], ...] = ()
    labelled: bool = False
    """Whether one of its newest versions has a label: a party's model then has a federated page."""


@dataclass(frozen=True, slots=True)
class RangeView:
    """The ready versions with `first <= number <= last`, newest first."""

    model: Model
    first: int
    last: int
    versions: tuple[Version, ...] = ()


@dataclass(frozen=True, slots=True)
class VersionView:
    """One version, ready or open. `checkpoints` are the newest ones, by number, oldest first.

    `moves` are the alias moves to or from this version, newest first; `children` are references
    of versions that name this one as their parent.
    """

    version: Version
    model: Model
    facts: VersionFacts = NO_FACTS
    checkpoints: tuple[Checkpoint, ...] = ()
    checkpoint_count: int = 0
    moves: tuple[AliasMove, ...] = ()
    children: tuple[str, ...] = ()

    @property
    def highest(self) -> int:
        """The highest number of its checkpoints; 0 without any."""
        return self.checkpoints[-1].number if self.checkpoints else 0


@dataclass(frozen=True, slots=True)
class CheckpointsView:
    """The newest `LISTED_CHECKPOINTS` of a version, oldest first; `count` is of all."""

    version: Version
    model: Model
    checkpoints: tuple[Checkpoint, ...] = ()
    count: int = 0


@dataclass(frozen=True, slots=True)
class PointRangeView:
    """The checkpoints of a version with `first <= number <= last`, oldest first."""

    version: Version
    model: Model
    first: int
    last: int
    checkpoints: tuple[Checkpoint, ...] = ()


@dataclass(frozen=True, slots=True)
class PointView:
    """One checkpoint that is ready, and the numbers of those before and after it (0: none)."""

    version: Version
    model: Model
    checkpoint: Checkpoint
    facts: VersionFacts = NO_FACTS
    before: int = 0
    after: int = 0


@dataclass(frozen=True, slots=True)
class FederatedPart:
    """What one party holds of a federated version."""

    role: str
    party_id: str
    model: Model
    version: Version


@dataclass(frozen=True, slots=True)
class FederatedRow:
    """One federated version: what is told of it, and the parts that are there."""

    version: FederatedVersion
    parts: tuple[FederatedPart, ...]


@dataclass(frozen=True, slots=True)
class FederatedView:
    """A federated model with its versions, the highest label first; `more`: there may be others."""

    project: str
    model_id: str
    rows: tuple[FederatedRow, ...]
    more: bool = False


@dataclass(frozen=True, slots=True)
class CompareView:
    """Versions and checkpoints side by side. `models` (for directions and main metrics) in the order of
    the sides.

    With `everything` the page also shows what is the same: of files and tensors as far as `facts` and
    `files`, per side, tell it.
    """

    comparison: Comparison
    models: tuple[Model, ...] = ()
    facts: tuple[VersionFacts, ...] = ()
    files: tuple[tuple[FileEntry, ...], ...] = ()
    who: Who | None = None
    everything: bool = False
    series: tuple[tuple[Checkpoint, ...], ...] = ()
    """Per side, checkpoints of its version by number: their curves are drawn over each other."""


@dataclass(frozen=True, slots=True)
class SearchView:
    """What a search found. `models` and `versions` are entries of index documents with the project's
    name, best first, of `total`; `unread` index documents were left out.

    `indexes` are pairs of a project and its shards, from which scripts search by themselves.
    """

    who: Who | None
    text: str = ""
    problem: str = ""
    hits: tuple[SearchHit, ...] = ()
    total: int = 0
    unread: int = 0
    indexes: tuple[tuple[str, str], ...] = ()
    more: bool = False
    """Whether there are projects beyond those searched."""
    static: bool = False
    """Whether nobody answers here: the page is part of a site of files."""
    thorough: bool = False
    """Whether as much was read as the budget allows, and not only the newest versions."""


@dataclass(frozen=True, slots=True)
class SignInView:
    """The sign-in form. `next` is the page to go to; `problem` says why the last attempt failed."""

    next: str = "/"
    problem: str = ""


@dataclass(frozen=True, slots=True)
class ErrorView:
    """A page that cannot be shown. `hint` says what to do."""

    status: int
    title: str = ""
    message: str = ""
    hint: str = ""
    who: Who | None = None
