"""The objects that travel over `/api`: what the server answers with and what it accepts.

Times are ISO 8601 in UTC with milliseconds (`2026-11-21T09:10:11.123Z`); sizes are bytes.
"""

from dataclasses import dataclass, field
from typing import Any, Literal

from weighbridge.contract.manifests import FileEntry

VersionState = Literal["open", "ready", "aborted", "deleted"]
ApprovalState = Literal["pending", "approved", "rejected"]
Verb = Literal["read", "write", "alias", "approve", "delete", "admin"]
Direction = Literal["max", "min"]

VERBS: tuple[Verb, ...] = ("read", "write", "alias", "approve", "delete", "admin")


# Projects and models


@dataclass(frozen=True, slots=True)
class Project:
    """A boundary of access and of deduplication."""

    name: str
    description: str = ""
    inbox: bool = False
    created: str = ""
    created_by: str = ""


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


@dataclass(frozen=True, slots=True)
class ModelSettings:
    """How a model's versions are judged.

    `main_metric` is what `:best` uses; `directions` says per metric whether larger (`max`) or
    smaller (`min`) is better; `protected_aliases` are patterns (`prod*`) whose move needs an
    approved version.
    """

    main_metric: str = ""
    directions: dict[str, Direction] = field(default_factory=dict)
    protected_aliases: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Model:
    """A named series of versions. `aliases` maps each alias to a version number."""

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


@dataclass(frozen=True, slots=True)
class ModelChanges:
    """What may be changed of a model; absent fields stay. `tags` with an empty value are removed."""

    description: str | None = None
    tags: dict[str, str] | None = None
    settings: ModelSettings | None = None


@dataclass(frozen=True, slots=True)
class Card:
    """A model card in Markdown."""

    text: str


# Versions


@dataclass(frozen=True, slots=True)
class Approval:
    """Whether a release owner has signed a version off."""

    state: ApprovalState = "pending"
    by: str = ""
    at: str = ""
    comment: str = ""


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where a version comes from, as its pusher tells."""

    git_commit: str = ""
    git_dirty: bool = False
    command: str = ""
    framework: str = ""
    hardware: str = ""
    python: str = ""
    datasets: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Version:
    """One version of a model. `parents` are references (`project/model@3`), `size` is all files'."""

    project: str
    model: str
    number: int
    state: VersionState
    label: str = ""
    description: str = ""
    aliases: tuple[str, ...] = ()
    approval: Approval = field(default_factory=Approval)
    metrics: dict[str, float] = field(default_factory=dict)
    params: dict[str, Any] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    attributes: dict[str, Any] = field(default_factory=dict)
    provenance: Provenance = field(default_factory=Provenance)
    parents: tuple[str, ...] = ()
    manifest: str = ""
    files: int = 0
    size: int = 0
    created: str = ""
    created_by: str = ""
    published: str = ""
    revision: int = 0


@dataclass(frozen=True, slots=True)
class VersionPage:
    """Versions, newest first unless asked otherwise."""

    items: tuple[Version, ...]
    next: str | None = None


@dataclass(frozen=True, slots=True)
class NewVersion:
    """Opens a version. The same `key` asked twice opens one version (idempotency)."""

    key: str
    label: str = ""


@dataclass(frozen=True, slots=True)
class FilePage:
    """Files added to an open version ahead of its commit: 1,000 at most per request."""

    files: tuple[FileEntry, ...]


@dataclass(frozen=True, slots=True)
class VersionCommit:
    """Publishes an open version.

    `files` are all its files when they are 1,000 or fewer; else they were added page by page, and
    `manifest` alone is given. `manifest` is the digest of the canonical manifest in both cases.
    """

    manifest: str
    files: tuple[FileEntry, ...] = ()
    description: str = ""
    metrics: dict[str, float] = field(default_factory=dict)
    params: dict[str, Any] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    attributes: dict[str, Any] = field(default_factory=dict)
    provenance: Provenance = field(default_factory=Provenance)
    parents: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class VersionChanges:
    """What may be changed of a ready version; its files never. An empty tag value removes the tag."""

    description: str | None = None
    tags: dict[str, str] | None = None
    metrics: dict[str, float] | None = None
    params: dict[str, Any] | None = None
    attributes: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class ApprovalChange:
    """Signs a version off, or not."""

    state: ApprovalState
    comment: str = ""


@dataclass(frozen=True, slots=True)
class Deleted:
    """What a deletion did. `bytes` become free unless something else holds the same blobs."""

    deleted: str
    bytes: int = 0


# Checkpoints


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A numbered, immutable set of files under a version; identity is (component, step, name)."""

    project: str
    model: str
    version: int
    number: int
    component: str = ""
    step: int = 0
    name: str = ""
    metrics: dict[str, float] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    manifest: str = ""
    files: int = 0
    size: int = 0
    created: str = ""
    created_by: str = ""


@dataclass(frozen=True, slots=True)
class CheckpointPage:
    """Checkpoints of a version."""

    items: tuple[Checkpoint, ...]
    next: str | None = None


@dataclass(frozen=True, slots=True)
class CheckpointCommit:
    """Publishes a checkpoint whose blobs are stored. Committing equal content twice is one checkpoint."""

    manifest: str
    files: tuple[FileEntry, ...]
    step: int
    component: str = ""
    name: str = ""
    metrics: dict[str, float] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)


# Aliases and history


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


# Moving bytes


@dataclass(frozen=True, slots=True)
class WantedBlob:
    """A blob the client wants to be there."""

    blob: str


@dataclass(frozen=True, slots=True)
class PutDone:
    """A single PUT that the client carried out; `key` as the plan gave it."""

    blob: str
    key: str


@dataclass(frozen=True, slots=True)
class PlanRequest:
    """Up to 1,000 blobs wanted, and up to 1,000 PUTs done since the last plan."""

    want: tuple[WantedBlob, ...] = ()
    done: tuple[PutDone, ...] = ()


@dataclass(frozen=True, slots=True)
class SignedRequest:
    """A request for the client to send as it is: exactly these headers, before `expires`."""

    method: str
    url: str
    headers: dict[str, str]
    expires: str = ""


@dataclass(frozen=True, slots=True)
class BlobPlan:
    """What to do for one wanted blob.

    `have`: nothing, it is there. `put`: send `request`, then report `key` as done. `multipart`:
    ask for part URLs under `upload`, send them, then complete.
    """

    blob: str
    action: Literal["have", "put", "multipart"]
    key: str = ""
    upload: str = ""
    request: SignedRequest | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """Answers each wanted blob, in order; every `done` of the request was verified."""

    blobs: tuple[BlobPlan, ...]


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a multipart upload: its number from 1, its bytes' SHA-256 (hex), its size."""

    number: int
    sha256: str
    size: int


@dataclass(frozen=True, slots=True)
class PartsRequest:
    """Parts to sign: 1,000 at most per request."""

    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class PartPlan:
    """`request` to send for this part; none if the store already holds exactly these bytes."""

    number: int
    request: SignedRequest | None = None


@dataclass(frozen=True, slots=True)
class PartsPlan:
    """One answer per part asked for."""

    parts: tuple[PartPlan, ...]


@dataclass(frozen=True, slots=True)
class UploadComplete:
    """Asks to complete a multipart upload; the store's own list of parts must yield `blob`."""

    blob: str


@dataclass(frozen=True, slots=True)
class Stored:
    """A blob is stored and verified."""

    blob: str
    size: int


@dataclass(frozen=True, slots=True)
class FileList:
    """Files of a version or checkpoint, by path."""

    items: tuple[FileEntry, ...]
    next: str | None = None
    manifest: str = ""
    total: int = 0
    size: int = 0


@dataclass(frozen=True, slots=True)
class DownloadRequest:
    """Blobs of a version or checkpoint to sign for reading: 1,000 at most per request."""

    blobs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Download:
    """A presigned GET of one blob; ranges may be asked with it."""

    blob: str
    size: int
    request: SignedRequest


@dataclass(frozen=True, slots=True)
class Downloads:
    """One per blob asked for, in order."""

    items: tuple[Download, ...]


# Facts


@dataclass(frozen=True, slots=True)
class Tensor:
    """One tensor as its file's header names it. `offset` and `bytes` are within the data section."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    bytes: int
    offset: int = 0
    fingerprint: str = ""


@dataclass(frozen=True, slots=True)
class Facts:
    """What indexing found in one blob. `format` is `file` where nothing more is known.

    `problem` says why a file of a known format could not be understood.
    """

    format: str
    indexer: int = 1
    parameters: int = 0
    tensors: tuple[Tensor, ...] = ()
    metadata: dict[str, str] = field(default_factory=dict)
    problem: str = ""
    read_bytes: int = 0
    requests: int = 0


@dataclass(frozen=True, slots=True)
class FileFacts:
    """A file with what is known of it; `facts` is absent until it was indexed."""

    path: str
    size: int
    sha256: str
    blob: str
    facts: Facts | None = None


@dataclass(frozen=True, slots=True)
class VersionFacts:
    """The files of a version or checkpoint with their facts (the first 1,000 files)."""

    items: tuple[FileFacts, ...]
    complete: bool = True


# Compare


@dataclass(frozen=True, slots=True)
class Difference:
    """One row of a comparison: a value per side (absent: None); `change` classifies it."""

    name: str
    values: tuple[Any, ...]
    change: str = ""


@dataclass(frozen=True, slots=True)
class Section:
    """The differences of one aspect, and how many rows were equal on all sides."""

    title: Literal["metrics", "params", "tags", "files", "tensors", "provenance"]
    differences: tuple[Difference, ...]
    same: int = 0


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two or more versions side by side, differences only."""

    references: tuple[str, ...]
    versions: tuple[Version, ...]
    sections: tuple[Section, ...]


# Access


@dataclass(frozen=True, slots=True)
class Scope:
    """What a token may do: verbs on projects, models and aliases that match the patterns.

    Patterns are shell-style (`team-*`). `read` is granted per project: its model pattern must be `*`.
    """

    verbs: tuple[Verb, ...]
    project: str = "*"
    model: str = "*"
    alias: str = "*"


@dataclass(frozen=True, slots=True)
class Token:
    """A token as it may be shown: never with its secret."""

    id: str
    name: str
    scopes: tuple[Scope, ...]
    created: str = ""
    created_by: str = ""
    expires: str = ""
    last_used: str = ""


@dataclass(frozen=True, slots=True)
class TokenPage:
    """Tokens by id."""

    items: tuple[Token, ...]
    next: str | None = None


@dataclass(frozen=True, slots=True)
class NewToken:
    """Body of the request that makes a token. `days` 0 means that it does not expire."""

    name: str
    scopes: tuple[Scope, ...]
    days: int = 90


@dataclass(frozen=True, slots=True)
class IssuedToken:
    """A new token with its secret text, which is shown this once."""

    token: Token
    secret: str


@dataclass(frozen=True, slots=True)
class Who:
    """Who the caller is."""

    principal: str
    scopes: tuple[Scope, ...]
    expires: str = ""


@dataclass(frozen=True, slots=True)
class InboxGrant:
    """Credentials that can only put objects under one project's inbox."""

    project: str
    bucket: str
    prefix: str
    endpoint: str
    region: str
    access_key: str
    secret_key: str
    session_token: str = ""
    expires: str = ""


@dataclass(frozen=True, slots=True)
class Ticket:
    """A one-time sign-in link for a browser."""

    url: str
    expires: str


@dataclass(frozen=True, slots=True)
class Health:
    """Whether the server can reach its stores."""

    status: Literal["ok", "degraded"]
    version: str
    time: str
    catalog: str = ""
    blobs: str = ""


@dataclass(frozen=True, slots=True)
class InboxRequest:
    """Asks for inbox credentials that live for some days."""

    days: int = 7


@dataclass(frozen=True, slots=True)
class Nothing:
    """An empty body."""
