"""Archives between the registry and a second store. Runs in the archive worker.

What comes from a store is first copied, as it is, into an archive of our own, and checked there: nothing
of the registry changes before all of it has arrived and is what was promised.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from chalicelib.archives import packing, streams
from chalicelib.archives.packing import Archive
from chalicelib.engines import addresses
from chalicelib.engines.addresses import Address
from chalicelib.engines.ports import Engine, Place
from chalicelib.registry.jobs import Job
from chalicelib.registry.ports import Blobs
from chalicelib.registry.stores import Stores
from chalicelib.settings import settings
from weighbridge.contract.errors import IntegrityError, NotFound, Unavailable, Unsupported

Refreshed = Literal["stored", "restored", "same", "absent"]


def given(address: Address) -> tuple[dict[str, Any], dict[str, str]]:
    """An address as a job takes it: what goes into its `args`, and into its `secrets`."""
    return address.public(), {} if address.configured else dict(address.secrets)


def configured() -> addresses.Config:
    """The store that the server's settings name, and whether models are kept in step with it."""
    return addresses.read(settings().fate_store)


def of_job(job: Job, args: Mapping[str, Any]) -> Address:
    """The reverse of `given`, in the worker."""
    if not args.get("configured"):
        return addresses.parse({**args, **job.secrets})
    address = configured().address
    if address is None:
        raise Unsupported("this server has no model store: WEIGHBRIDGE_FATE_STORE is not set")
    return address


@contextmanager
def opened(address: Address) -> Iterator[Engine]:
    """The store at an address, until the block ends."""
    engine = _connected(address, addresses.resolved(address, _secret))
    try:
        yield engine
    finally:
        engine.close()


def _connected(address: Address, secrets: Mapping[str, str]) -> Engine:
    try:
        if address.storage == "mysql":
            from chalicelib.engines.mysql import MySqlEngine

            return MySqlEngine(address, secrets)
        if address.storage == "redis":
            from chalicelib.engines.redis_store import RedisEngine

            return RedisEngine(address, secrets)
    except ImportError:
        raise Unsupported(
            f"the library for {address.storage} is not installed: pip install "
            f"'weighbridge[{address.storage}]'"
        ) from None
    if address.storage == "directory":
        from chalicelib.engines.directories import DirectoryEngine, confined

        path, root = str(address.options["path"]), settings().fate_store_root
        # Whoever configures the server may name any folder; requests stay below the root.
        trusted = address.configured and not root
        return DirectoryEngine(Path(path).resolve() if trusted else confined(path, root))
    from chalicelib.engines.objects import ObjectEngine

    return ObjectEngine(address, secrets)


def _secret(identifier: str) -> str:
    from chalicelib.storage.secrets_manager import secret

    return secret(identifier, settings().region)


@dataclass(frozen=True, slots=True)
class _Object:
    """An archive of ours as what a store takes; its bytes are checked on the way."""

    blobs: Blobs
    archive: Archive

    @property
    def size(self) -> int:
        return self.archive.size

    def blocks(self) -> Iterator[bytes]:
        digest = hashlib.sha256()
        for block in streams.read(self.blobs, streams.spans(self.archive.key, self.size)):
            digest.update(block)
            yield block
        if digest.hexdigest() != self.archive.sha256:
            raise IntegrityError("the archive is not what it was when it was made; try again")


def store(
    stores: Stores, engine: Engine, place: Place, archive: Archive, *, force: bool = False
) -> None:
    """Copies an archive into a store. `AlreadyExists` if it has one of that name, unless forced."""
    engine.put(place, _Object(stores.blobs, archive), force=force)


def restore(
    stores: Stores, project_id: str, engine: Engine, place: Place, *, sha256: str = ""
) -> Archive:
    """Copies an archive out of a store into the artifact bucket, where it stays for a day.

    `IntegrityError` if it is not the one whose `sha256` was given; then nothing is left.
    """
    blocks = engine.get(place)
    key, until = packing.new_object(stores, project_id)
    with streams.ObjectWriter(stores.blobs, key, packing.MAX_SIZE) as writer:
        for block in blocks:
            writer.write(block)
        if sha256 and writer.sha256 != sha256.lower():
            raise IntegrityError(
                f"what the store holds of {place} has the sha256 {writer.sha256}, not {sha256[:64]}",
                sha256=writer.sha256,
            )
        if not writer.size:
            raise IntegrityError(f"what the store holds of {place} is empty")
        size, found = writer.size, writer.sha256
    return Archive(key, size, found, until)


def refresh(
    stores: Stores,
    project_id: str,
    engine: Engine,
    place: Place,
    ours: Callable[[], Archive] | None,
) -> tuple[Refreshed, Archive | None]:
    """What `enable_model_store` means at load: what the store lacks is stored, what we lack is fetched.

    `ours` makes our archive, or is None where we have no such model. With `restored`, the archive that
    is answered is to be unpacked by the caller.
    """
    there = engine.exists(place)
    if ours is not None:
        if there:
            return "same", None
        archive = ours()
        store(stores, engine, place, archive)
        return "stored", archive
    if not there:
        return "absent", None
    try:
        return "restored", restore(stores, project_id, engine, place)
    except NotFound:
        raise Unavailable(f"{place} went from the store while it was fetched") from None
