"""Versions, as they travel."""

from dataclasses import dataclass, field
from typing import Any, Literal

from weighbridge.contract.manifests import FileEntry
from weighbridge.contract.types.claims import Claims, ClaimsSummary
from weighbridge.contract.types.facts import Safety
from weighbridge.contract.types.retention import Retention

VersionState = Literal["open", "checking", "blocked", "ready", "aborted", "deleted"]
"""`checking` and `blocked` only where the project's safety policy is `block`: committed, and held back
until the verdict is there, or because of it."""
ApprovalState = Literal["pending", "approved", "rejected"]


@dataclass(frozen=True, slots=True)
class Approval:
    """Whether a release owner has signed a version off."""

    state: ApprovalState = "pending"
    by: str = ""
    at: str = ""
    comment: str = ""


@dataclass(frozen=True, slots=True)
class Release:
    """Who let a version or checkpoint through although its verdict is not safe; empty: nobody."""

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
class Package:
    """The one ZIP file of a version. `id` is what clients of edge registries know the version by.

    Of a version without files, `uri` says where its bytes lie outside this registry; `blob` and
    `sha256` are empty then, `size` is 0.
    """

    id: str
    path: str
    size: int
    blob: str
    sha256: str
    uri: str = ""


@dataclass(frozen=True, slots=True)
class Version:
    """One version of a model. `parents` are references (`project/model@3`), `size` is all files'.

    `source` is the checkpoint that it was promoted from (`project/model@3:12`), which may be gone.
    `package` is there if exactly one of its files is a ZIP file, or if it was registered by address.
    `formats` are those of its files (the first 16 by name), once all were looked at.
    """

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
    claims: ClaimsSummary | None = None
    verdict: Safety = "pending"
    formats: tuple[str, ...] = ()
    release: Release = field(default_factory=Release)
    source: str = ""
    package: Package | None = None


@dataclass(frozen=True, slots=True)
class VersionPage:
    """Versions, newest first unless asked otherwise."""

    items: tuple[Version, ...]
    next: str | None = None


@dataclass(frozen=True, slots=True)
class NewVersion:
    """Opens a version. The same `key` asked twice opens one version (idempotency).

    `retention` is for its checkpoints, instead of the model's. With `create`, a model and a project that
    are missing are made.
    """

    key: str
    label: str = ""
    retention: Retention | None = None
    create: bool = False


@dataclass(frozen=True, slots=True)
class FilePage:
    """Files added to an open version ahead of its commit: 10,000 at most per request."""

    files: tuple[FileEntry, ...]


@dataclass(frozen=True, slots=True)
class VersionCommit:
    """Publishes an open version.

    `files` are all its files when they are 1,000 or fewer; else they were added page by page, and
    `manifest` alone is given. `manifest` is the digest of the canonical manifest in both cases.
    `claims` are what the pusher says of the tensors. `package` is the id under which its ZIP file is to
    be known to clients of edge registries; one is made up if it is empty.
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
    claims: Claims | None = None
    package: str = ""


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
class ReleaseRequest:
    """Lets something through that its verdict holds back. `comment` says why, and is kept."""

    comment: str


@dataclass(frozen=True, slots=True)
class Deleted:
    """What a deletion did. `bytes` become free unless something else holds the same blobs."""

    deleted: str
    bytes: int = 0
