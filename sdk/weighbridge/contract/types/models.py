"""Projects and models, as they travel."""

from dataclasses import dataclass, field
from typing import Any, Literal

from weighbridge.contract.types.retention import Retention

Direction = Literal["max", "min"]
LabelOrder = Literal["none", "pep440"]
SafetyPolicy = Literal["warn", "block"]
"""What becomes of files that can execute code when they are loaded: `warn` shows it, `block` holds
back whatever is not known to be safe."""


@dataclass(frozen=True, slots=True)
class Quota:
    """How much a project may hold; 0 means as much as it likes."""

    bytes: int = 0
    versions: int = 0
    models: int = 0


@dataclass(frozen=True, slots=True)
class ProjectUsage:
    """How much a project holds: bytes of its stored blobs (each once, deleted ones until they are freed),
    versions that are not ended, models; uploads that are open, 1,000 being as many as are counted."""

    bytes: int = 0
    versions: int = 0
    models: int = 0
    open_uploads: int = 0
    quota: Quota = field(default_factory=Quota)


@dataclass(frozen=True, slots=True)
class Project:
    """A boundary of access and of deduplication."""

    name: str
    description: str = ""
    inbox: bool = False
    created: str = ""
    created_by: str = ""
    safety: SafetyPolicy = "warn"
    quota: Quota = field(default_factory=Quota)


@dataclass(frozen=True, slots=True)
class ProjectPage:
    """Projects by name; `next` continues the list."""

    items: tuple[Project, ...]
    next: str | None = None


@dataclass(frozen=True, slots=True)
class NewProject:
    """Body of the request that creates a project."""

    name: str
    description: str = ""


@dataclass(frozen=True, slots=True)
class ProjectChanges:
    """What may be changed of a project; absent fields stay."""

    description: str | None = None
    inbox: bool | None = None
    safety: SafetyPolicy | None = None
    quota: Quota | None = None


@dataclass(frozen=True, slots=True)
class ModelSettings:
    """How a model's versions are judged.

    `main_metric` is what `:best` uses; `directions` says per metric whether larger (`max`) or
    smaller (`min`) is better; `protected_aliases` are patterns (`prod*`) whose move needs a version
    that is approved and whose verdict is safe (or that was released); `retention` says which
    checkpoints its versions keep; `label_order` `pep440` says that labels are versions, each published
    one strictly greater than all before it (docs/how-to/labels.md).
    """

    main_metric: str = ""
    directions: dict[str, Direction] = field(default_factory=dict)
    protected_aliases: tuple[str, ...] = ()
    retention: Retention = field(default_factory=Retention)
    label_order: LabelOrder = "none"


@dataclass(frozen=True, slots=True)
class Model:
    """A named series of versions. `aliases` maps each alias to a version number; `attributes` are typed
    facts about all of them.

    `greatest` is the greatest label that was published, where the model orders its labels.
    """

    project: str
    name: str
    id: str = ""
    description: str = ""
    tags: dict[str, str] = field(default_factory=dict)
    settings: ModelSettings = field(default_factory=ModelSettings)
    aliases: dict[str, int] = field(default_factory=dict)
    created: str = ""
    created_by: str = ""
    revision: int = 0
    greatest: str = ""
    attributes: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ModelPage:
    """Models of a project by name."""

    items: tuple[Model, ...]
    next: str | None = None


@dataclass(frozen=True, slots=True)
class NewModel:
    """Body of the request that creates a model."""

    name: str
    description: str = ""
    tags: dict[str, str] = field(default_factory=dict)
    settings: ModelSettings = field(default_factory=ModelSettings)
    attributes: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ModelChanges:
    """What may be changed of a model; absent fields stay. `tags` with an empty value are removed, of
    `attributes` those given replace those of their name."""

    description: str | None = None
    tags: dict[str, str] | None = None
    settings: ModelSettings | None = None
    attributes: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Card:
    """A model card in Markdown."""

    text: str
