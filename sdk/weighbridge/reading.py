"""Pulling: which files a reference means, proved by their manifest, and where to get them."""

from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from weighbridge.client import Client
from weighbridge.contract import manifests, types
from weighbridge.contract.errors import IntegrityError, NotFound
from weighbridge.contract.manifests import FileEntry
from weighbridge.contract.references import Reference
from weighbridge.results import PullResult
from weighbridge.transfer.download import Downloader
from weighbridge.transfer.progress import Progress
from weighbridge.writing import Clock


def pull(
    client: Client,
    chosen: Reference,
    folder: Path | None,
    patterns: Sequence[str],
    *,
    force: bool,
    progress: Progress | None,
    clock: Clock,
) -> PullResult:
    """See `Registry.pull`; `chosen` names version and checkpoint by number."""
    wanted, manifest = files(client, chosen, patterns)
    number, checkpoint = numbers(chosen)
    if folder is None:
        folder = Path(f"{chosen.model}-{number}" + (f"-{checkpoint}" if checkpoint else ""))
    received = Downloader(_signer(client, chosen), client.pool, progress).fetch(
        wanted, folder, force=force, label=str(chosen)
    )
    return PullResult(
        reference=str(chosen),
        version=number,
        checkpoint=checkpoint,
        folder=folder,
        files=wanted,
        received_bytes=received.received_bytes,
        reused_bytes=received.reused_bytes,
        seconds=clock.seconds(),
        requests=clock.requests(),
        manifest=manifest,
    )


def files(
    client: Client, chosen: Reference, patterns: Sequence[str] = ()
) -> tuple[tuple[FileEntry, ...], str]:
    """The wanted files and the digest of the manifest, which all files together must yield."""
    version, number = numbers(chosen)
    at = (chosen.project, chosen.model, version)
    found: list[FileEntry] = []
    manifest, page = "", None
    while True:
        part = (
            client.checkpoint_files(*at, number, page=page)
            if number
            else client.version_files(*at, page=page)
        )
        found += part.items
        manifest, page = part.manifest or manifest, part.next
        if not page:
            break
    entries = manifests.checked(found)
    if manifest and manifests.digest(entries) != manifest:
        raise IntegrityError(f"the list of files of {chosen} is not what its manifest says")
    wanted = tuple(
        entry
        for entry in entries
        if not patterns or any(fnmatchcase(entry.path, pattern) for pattern in patterns)
    )
    if patterns and not wanted:
        raise NotFound(f"no file of {chosen} matches {', '.join(patterns)}")
    return wanted, manifest


def numbers(chosen: Reference) -> tuple[int, int]:
    """The numbers of the version and of the checkpoint (0: none)."""
    version = chosen.version.number if chosen.version else 0
    return version, chosen.checkpoint.number if chosen.checkpoint else 0


def _signer(client: Client, chosen: Reference) -> Callable[[Sequence[str]], types.Downloads]:
    version, number = numbers(chosen)
    at = (chosen.project, chosen.model, version)

    def sign(blobs: Sequence[str]) -> types.Downloads:
        if number:
            return client.checkpoint_downloads(*at, number, blobs)
        return client.version_downloads(*at, blobs)

    return sign
