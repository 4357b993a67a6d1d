"""Pulling: which files a reference means, proved by their manifest, and where to get them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from weighbridge import config
from weighbridge.client import Client
from weighbridge.contract import manifests, references, types
from weighbridge.contract.errors import HeldBack, IntegrityError, NotFound
from weighbridge.contract.manifests import FileEntry
from weighbridge.contract.references import CheckpointSelector, Reference, VersionSelector
from weighbridge.results import PullResult
from weighbridge.transfer.cache import Cache
from weighbridge.transfer.clone import Link
from weighbridge.transfer.download import Downloader
from weighbridge.transfer.progress import Watcher, watching
from weighbridge.writing import Clock


@dataclass(frozen=True, slots=True)
class Choice:
    """Which files: those that match a pattern (all, without any) and none of the excluded."""

    patterns: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()

    def of(self, entries: Sequence[FileEntry], chosen: Reference) -> tuple[FileEntry, ...]:
        """The wanted ones; `NotFound` if the patterns leave none."""
        wanted = tuple(entry for entry in entries if self._wants(entry.path))
        if wanted or not (self.patterns or self.exclude):
            return wanted
        but = f", {', '.join(self.exclude)} excluded" if self.exclude else ""
        raise NotFound(f"no file of {chosen} matches {', '.join(self.patterns) or '*'}{but}")

    def _wants(self, path: str) -> bool:
        if any(fnmatchcase(path, pattern) for pattern in self.exclude):
            return False
        return not self.patterns or any(fnmatchcase(path, pattern) for pattern in self.patterns)


def pull(
    client: Client,
    chosen: Reference,
    manifest: str,
    folder: Path | None,
    choice: Choice,
    *,
    force: bool,
    progress: Watcher | None,
    clock: Clock,
    link: Link = "auto",
    verify: str | None = None,
) -> PullResult:
    """See `Registry.pull`; `chosen` names version and checkpoint by number."""
    cache, proof = local_cache(link), config.verify(verify)
    found, manifest = files(client, chosen, manifest, cache)
    wanted = choice.of(found, chosen)
    number, checkpoint = numbers(chosen)
    if folder is None:
        folder = Path(f"{chosen.model}-{number}" + (f"-{checkpoint}" if checkpoint else ""))
    received = Downloader(
        signer(client, chosen), client.pool, watching(progress), cache, proof
    ).fetch(wanted, folder, force=force, label=str(chosen))
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


def local_cache(link: Link = "auto") -> Cache:
    """The cache of this machine, as it is configured."""
    return Cache(config.cache_folder(), config.cache_limit(), link)


def resolve(client: Client, wanted: Reference) -> tuple[Reference, str]:
    """`wanted` with numbers, and the digest of its manifest where that had to be asked for."""
    selector, checkpoint = wanted.version or references.LATEST, wanted.checkpoint
    at = (wanted.project, wanted.model, selector)
    if checkpoint is not None:
        if selector.kind == "number" and checkpoint.kind == "number":
            return wanted, ""
        found = client.checkpoint(*at, checkpoint)
        _refuse_held(found.state, wanted)
        number, manifest = found.version, found.manifest
        checkpoint = CheckpointSelector("number", str(found.number))
    elif selector.kind == "number":
        return wanted, ""
    else:
        version = client.version(*at)
        _refuse_held(version.state, wanted)
        number, manifest = version.number, version.manifest
    chosen = VersionSelector("number", str(number))
    return Reference(wanted.project, wanted.model, chosen, checkpoint), manifest


def files(
    client: Client, chosen: Reference, manifest: str = "", cache: Cache | None = None
) -> tuple[tuple[FileEntry, ...], str]:
    """The files and the digest of the manifest, which all files together must yield. What the cache
    knows of that manifest is not asked for."""
    version, number = numbers(chosen)
    at = (chosen.project, chosen.model, version)
    found: list[FileEntry] = []
    page = None
    while True:
        if manifest and cache is not None and (known := cache.manifest(manifest)) is not None:
            return known, manifest
        part = (
            client.checkpoint_files(*at, number, page=page)
            if number
            else client.version_files(*at, page=page)
        )
        _refuse_held(part.held, chosen)
        found += part.items
        manifest, page = part.manifest or manifest, part.next
        if not page:
            break
    entries = manifests.checked(found)
    if manifest and manifests.digest(entries) != manifest:
        raise IntegrityError(f"the list of files of {chosen} is not what its manifest says")
    if manifest and cache is not None:
        cache.keep_manifest(manifest, entries)
    return entries, manifest


def _refuse_held(state: str, chosen: Reference) -> None:
    if state in ("checking", "blocked"):
        raise HeldBack(
            f"{chosen} is {state}: the project's safety policy holds its files back; "
            f"`weighbridge verdict {chosen}` says why",
            state=state,
        )


def numbers(chosen: Reference) -> tuple[int, int]:
    """The numbers of the version and of the checkpoint (0: none)."""
    version = chosen.version.number if chosen.version else 0
    return version, chosen.checkpoint.number if chosen.checkpoint else 0


def signer(client: Client, chosen: Reference) -> Callable[[Sequence[str]], types.Downloads]:
    version, number = numbers(chosen)
    at = (chosen.project, chosen.model, version)

    def sign(blobs: Sequence[str]) -> types.Downloads:
        if number:
            return client.checkpoint_downloads(*at, number, blobs)
        return client.version_downloads(*at, blobs)

    return sign
