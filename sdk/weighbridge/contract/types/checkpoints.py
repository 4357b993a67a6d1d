"""Checkpoints, as they travel."""

from dataclasses import dataclass, field
from typing import Literal

from weighbridge.contract.manifests import FileEntry
from weighbridge.contract.types.claims import Claims, ClaimsSummary
from weighbridge.contract.types.facts import Safety
from weighbridge.contract.types.transfers import BlobPlan, Downloads, FileList, PutDone
from weighbridge.contract.types.versions import Release, Version

CheckpointState = Literal["ready", "checking", "blocked"]


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A numbered, immutable set of files under a version; identity is (component, step, name).

    Retention never evicts one that is `pinned`. `formats` are those of its files (the first 16 by
    name), once all were looked at.
    """

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
    claims: ClaimsSummary | None = None
    state: CheckpointState = "ready"
    verdict: Safety = "pending"
    formats: tuple[str, ...] = ()
    release: Release = field(default_factory=Release)
    pinned: bool = False


@dataclass(frozen=True, slots=True)
class CheckpointPage:
    """Checkpoints of a version. A filtered page may be short, even empty, while `next` goes on."""

    items: tuple[Checkpoint, ...]
    next: str | None = None


@dataclass(frozen=True, slots=True)
class CheckpointCommit:
    """Publishes a checkpoint whose blobs are stored. Committing equal content twice is one checkpoint.

    With `expected` it gets that number or none: a number that is taken or would leave a gap is
    refused. `staged` are those of the files that were announced before (`StageRequest`).
    """

    manifest: str
    files: tuple[FileEntry, ...]
    step: int
    component: str = ""
    name: str = ""
    metrics: dict[str, float] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    claims: Claims | None = None
    expected: int = 0
    staged: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class StageRequest:
    """Announces files for a checkpoint that another may commit, and reports PUTs that are `done`.

    `names` asks for files that were announced before, by whomever. 1,000 at most of each.
    """

    files: tuple[FileEntry, ...] = ()
    done: tuple[PutDone, ...] = ()
    names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Staged:
    """`files` are those asked for by name that are there. `missing` says for each blob that is not
    stored yet how to store it: send it, then announce its file again."""

    files: tuple[FileEntry, ...] = ()
    missing: tuple[BlobPlan, ...] = ()


@dataclass(frozen=True, slots=True)
class Bundle:
    """All that reading needs in one answer: what it is, its files, and a signed download per blob.

    Of more than 1,000 files the first are here, and `files.next` goes on.
    """

    version: Version
    files: FileList
    downloads: Downloads
    checkpoint: Checkpoint | None = None


@dataclass(frozen=True, slots=True)
class Promotion:
    """Makes a version of a checkpoint's files. The same `key` asked twice makes one version."""

    key: str
    label: str = ""
    description: str = ""
    tags: dict[str, str] = field(default_factory=dict)
