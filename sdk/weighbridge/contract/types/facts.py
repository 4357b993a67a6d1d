"""What indexing found in files, as it travels."""

from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True, slots=True)
class Tensor:
    """One tensor as its file's header names it. `offset` and `bytes` are within the data section."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    bytes: int
    offset: int = 0
    fingerprint: str = ""


Verdict = Literal["", "safe", "unsafe", "unknown"]
"""Whether loading a file can execute code of its author's choice; empty where its format cannot."""


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
