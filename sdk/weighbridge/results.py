"""What a push or a pull answers with."""

from dataclasses import dataclass
from pathlib import Path

from weighbridge.contract.manifests import FileEntry


@dataclass(frozen=True, slots=True)
class PushResult:
    """A version or checkpoint that was published (or, for a dry run, would be).

    `sent_bytes` is what went over the wire, repeats included; `reused_bytes` is what did not have
    to be sent. `version` is 0 in a dry run, `checkpoint` 0 unless a checkpoint was pushed.
    `requests` counts all HTTP requests, `parts_sent` those that carried file content.
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
