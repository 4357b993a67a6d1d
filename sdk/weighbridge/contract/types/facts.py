"""What indexing found in files, as it travels."""

from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True, slots=True)
class Statistics:
    """What the numbers of a tensor are like, as its pusher claims.

    `seen` of `count` numbers were looked at: fewer where looking at all would have kept the transfer
    waiting. `min`, `max`, `mean` and `std` (of the population) are those of the finite numbers among
    them, absent where there are none or where the figure is beyond a double. `nan` and `inf` are
    shares of what was seen.
    """

    count: int
    seen: int
    min: float | None = None
    max: float | None = None
    mean: float | None = None
    std: float | None = None
    nan: float = 0.0
    inf: float = 0.0

    @property
    def sampled(self) -> bool:
        """Whether some numbers were not looked at."""
        return self.seen < self.count


@dataclass(frozen=True, slots=True)
class Tensor:
    """One tensor as its file's header names it. `offset` and `bytes` are within the data section.

    `fingerprint` (XXH3-128 of its bytes, hex) and `statistics` are not of the header: they are what
    the pusher of a version or checkpoint claims, shown beside it.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    bytes: int
    offset: int = 0
    fingerprint: str = ""
    statistics: Statistics | None = None


Verdict = Literal["", "safe", "unsafe", "unknown"]
"""Whether loading a file can execute code of its author's choice; empty where its format cannot."""


Safety = Literal["pending", "safe", "unknown", "unsafe"]
"""The worst verdict among the files of a version or checkpoint. A file whose format cannot execute
code counts as safe; `pending` until every file was looked at."""


@dataclass(frozen=True, slots=True)
class Port:
    """An input or output of a model. A dimension is a number, a name, or empty if it is not fixed."""

    name: str
    dtype: str = ""
    shape: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Facts:
    """What indexing found in one blob, from its headers alone; every text is as the file claims it.

    `format` is `file` where nothing more is known; `problem` says why a file of a known format could
    not be understood. `indexer` is the version that looked, `requests` and `read_bytes` what it fetched.
    `dtypes` counts parameters by dtype. `architecture` is the kind of model (`BertModel`, `lora`,
    `gbtree`), `quantisation` method and width, `base_model` what an adapter or fine-tune names as its
    base; `inputs` and `outputs` are what the model takes and gives. `verdict` says whether loading can
    run code of the author's choice (empty: the format cannot), `findings` what that rests on: types,
    imports, names that lead out of an archive. `metadata` has a hundred entries at most.
    """

    format: str
    indexer: int = 1
    parameters: int = 0
    tensors: tuple[Tensor, ...] = ()
    metadata: dict[str, str] = field(default_factory=dict)
    problem: str = ""
    read_bytes: int = 0
    requests: int = 0
    dtypes: dict[str, int] = field(default_factory=dict)
    architecture: str = ""
    inputs: tuple[Port, ...] = ()
    outputs: tuple[Port, ...] = ()
    quantisation: str = ""
    base_model: str = ""
    verdict: Verdict = ""
    findings: tuple[str, ...] = ()


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


@dataclass(frozen=True, slots=True)
class FileVerdict:
    """Why a file is not simply safe: its verdict (`pending`: not looked at yet) and what it rests on."""

    path: str
    verdict: Safety
    format: str = ""
    findings: tuple[str, ...] = ()
    problem: str = ""


@dataclass(frozen=True, slots=True)
class ReindexRequest:
    """Has stored files looked at again: of a project, a model or a version (`version` 0: all).

    Only those that an older indexer looked at, or none, unless `everything`.
    """

    model: str = ""
    version: int = 0
    everything: bool = False
    dry_run: bool = False


@dataclass(frozen=True, slots=True)
class ReindexJob:
    """How far a reindexing job came. `looked` counts files, `indexed` those that were (in a dry run:
    would be) looked at again, `failed` those that the store did not give."""

    project: str
    model: str = ""
    version: int = 0
    everything: bool = False
    dry_run: bool = False
    state: Literal["running", "done"] = "running"
    looked: int = 0
    indexed: int = 0
    failed: int = 0
    started: str = ""
    updated: str = ""
    started_by: str = ""


@dataclass(frozen=True, slots=True)
class VerdictReport:
    """The verdict of a version or checkpoint, and the files that are not safe (the first 100 of
    each verdict, the worst first)."""

    reference: str
    state: str
    verdict: Safety
    items: tuple[FileVerdict, ...] = ()
    files: int = 0
