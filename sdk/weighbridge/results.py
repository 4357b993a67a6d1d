"""What a push or a pull answers with."""

from dataclasses import dataclass
from pathlib import Path

from weighbridge.contract.manifests import FileEntry
from weighbridge.contract.types import Checkpoint, Safety, Tensor


@dataclass(frozen=True, slots=True)
class PushResult:
    """A version or checkpoint that was published (or, for a dry run, would be).

    `sent_bytes` is what went over the wire, repeats included; `reused_bytes` is what did not have
    to be sent. `version` is 0 in a dry run, `checkpoint` 0 unless a checkpoint was pushed.
    `requests` counts all HTTP requests, `parts_sent` those that carried file content. `warnings`
    name what was seen in tensors and should not be there (NaN, infinite values); `sampled` counts
    tensors whose statistics are of a part of their numbers. `state` is `ready`, or `checking` or
    `blocked` where the project's safety policy holds it back; `verdict` is `pending` until every
    file was looked at.
    """

    reference: str
    version: int
    sent_bytes: int
    reused_bytes: int
    files: int
    seconds: float
    requests: int
    parts_sent: int
    manifest: str
    checkpoint: int = 0
    entries: tuple[FileEntry, ...] = ()
    dry_run: bool = False
    warnings: tuple[str, ...] = ()
    sampled: int = 0
    state: str = ""
    verdict: Safety = "pending"


@dataclass(frozen=True, slots=True)
class PullResult:
    """Files that are now under `folder`, verified. `reused_bytes` were there already."""

    reference: str
    version: int
    folder: Path
    files: tuple[FileEntry, ...]
    received_bytes: int
    reused_bytes: int
    seconds: float
    requests: int
    manifest: str
    checkpoint: int = 0


@dataclass(frozen=True, slots=True)
class Resumed:
    """Where a training goes on: the last complete checkpoint, its files pulled and verified."""

    reference: str
    step: int
    checkpoint: Checkpoint
    pulled: PullResult

    @property
    def metrics(self) -> dict[str, float]:
        """The checkpoint's metrics."""
        return self.checkpoint.metrics

    @property
    def folder(self) -> Path:
        """Where the files are."""
        return self.pulled.folder

    @property
    def files(self) -> tuple[Path, ...]:
        """The files."""
        return tuple(self.folder / file.path for file in self.pulled.files)


@dataclass(frozen=True, slots=True)
class TensorData:
    """One tensor: its bytes as the file holds them (row by row, little-endian), and what they are.

    `verified` says whether parts with known digests cover the bytes; if not, only the connection
    vouches for them. `bytes(tensor)` is `tensor.data`.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    data: bytes
    file: str
    verified: bool

    def __bytes__(self) -> bytes:
        return self.data


@dataclass(frozen=True, slots=True)
class TensorsResult:
    """A safetensors file at `path` that holds the wanted tensors (`verified`: see `TensorData`)."""

    reference: str
    path: Path
    tensors: tuple[Tensor, ...]
    size: int
    received_bytes: int
    verified: bool
    seconds: float
    requests: int
