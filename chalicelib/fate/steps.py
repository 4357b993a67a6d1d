"""Checkpoints of FATE 1.x: found by component, index or name, and verified by the marker beside them."""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from chalicelib.archives import streams
from chalicelib.fate import layout, shards
from chalicelib.fate.layout import Marked, Step
from chalicelib.fate.outgoing import points
from chalicelib.fate.shards import Shard
from chalicelib.registry import blobs, versions
from chalicelib.registry.stores import Stores
from weighbridge.contract.errors import IntegrityError, InvalidRequest, NotFound, TooLarge
from weighbridge.contract.manifests import FileEntry
from weighbridge.contract.types import Checkpoint

MAX_HASHED = 512 * 1024**2
Files = Mapping[str, FileEntry]


@dataclass(frozen=True, slots=True)
class Chosen:
    """Which checkpoint of a component is meant: that of an index, else the last of a name."""

    index: int | None
    name: str = ""

    def __str__(self) -> str:
        return f"step_name {self.name!r}" if self.index is None else f"step_index {self.index}"


def choice(fields: Mapping[str, Any]) -> Chosen:
    """What `step_index` (anything that converts to a whole number) or `step_name` means; the index
    wins."""
    value, name = fields.get("step_index"), fields.get("step_name")
    if value is None:
        if not isinstance(name, str) or not name:
            raise InvalidRequest("give step_index or step_name")
        return Chosen(None, name)
    try:
        return Chosen(int(value))
    except (TypeError, ValueError, OverflowError):
        raise InvalidRequest(
            f"step_index must be a whole number, not {str(value)[:40]!r}"
        ) from None


def marker(
    stores: Stores, shard: Shard, step: Step, point: Checkpoint
) -> tuple[Marked, Files] | None:
    """What a checkpoint's marker says, and its files by name; None if it was not saved as FATE does."""
    entries = versions.files(stores, shard.project_id, point.manifest)
    held = {entry.path: entry for entry in entries}
    if layout.MARKER not in held:
        return None
    data = shards.data(stores, shard.project_id, held[layout.MARKER])
    return layout.read_marker(data, step), held


def listing(stores: Stores, shard: Shard, component: str) -> Iterator[Marked]:
    """The checkpoints of a component that have a marker, by step."""
    for step, point in points(stores, shard, component):
        found = marker(stores, shard, step, point)
        if found is not None:
            yield found[0]


def find(stores: Stores, shard: Shard, component: str, chosen: Chosen) -> tuple[Marked, Files]:
    """The checkpoint that is meant; of several with the same name the one with the highest index."""
    matching = [
        (step, point)
        for step, point in points(stores, shard, component)
        if (step.name == chosen.name if chosen.index is None else step.index == chosen.index)
    ]
    for step, point in reversed(matching):
        found = marker(stores, shard, step, point)
        if found is not None:
            return found
    raise NotFound(f"{component} has no checkpoint with {chosen}")


def buffers_of(
    stores: Stores, shard: Shard, component: str, chosen: Chosen
) -> tuple[Marked, Files]:
    """The same, after every buffer was held against the SHA-1 that the marker gives."""
    marked, held = find(stores, shard, component, chosen)
    for name, (sha1, _) in marked.models.items():
        entry = held.get(f"{name}.pb")
        if entry is None:
            raise NotFound(f"{marked.step.folder}{name}.pb is missing")
        if _sha1(stores, shard.project_id, entry) != sha1:
            raise differs(marked.step, name)
    return marked, held


def differs(step: Step, name: str) -> IntegrityError:
    """A buffer is not the one its marker names."""
    return IntegrityError(
        f"{step.folder}{name}.pb does not have the SHA-1 that {layout.MARKER} gives"
    )


def _sha1(stores: Stores, project_id: str, entry: FileEntry) -> str:
    if entry.size > MAX_HASHED:
        raise TooLarge(f"{entry.path} has {entry.size} bytes; {MAX_HASHED} can be verified")
    key = blobs.object_keys(stores, project_id, [entry.blob])[entry.blob]
    digest = hashlib.sha1(usedforsecurity=False)
    for block in streams.read(stores.blobs, streams.spans(key, entry.size)):
        digest.update(block)
    return digest.hexdigest()
