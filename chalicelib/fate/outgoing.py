"""A party's model as an archive: the tree that FATE 1.x packs, checkpoints and description included."""

import json
from collections.abc import Iterator

from chalicelib.archives import packing
from chalicelib.archives.packing import Archive, Member
from chalicelib.fate import layout
from chalicelib.fate.layout import Step
from chalicelib.fate.shards import Shard, contents
from chalicelib.registry import checkpoints, versions
from chalicelib.registry.stores import Stores
from weighbridge.contract.types import Checkpoint

_PAGE = 500


def filename(shard: Shard) -> str:
    """The name of the archive as FATE gives it."""
    return f"{shard.party.name}_{shard.model_version}.zip"


def points(
    stores: Stores, shard: Shard, component: str | None = None
) -> Iterator[tuple[Step, Checkpoint]]:
    """The checkpoints of a version, or of one component, by component and step."""
    page: str | None = None
    while True:
        found = checkpoints.listing(
            stores, shard.found, component=component, order="step", limit=_PAGE, page=page
        )
        for point in found.items:
            yield Step(point.component, point.step, point.name), point
        page = found.next
        if page is None:
            return


def members(stores: Stores, shard: Shard) -> list[Member]:
    """The members of the archive: always the same for the same version and checkpoints."""
    files = contents(stores, shard)
    found = [packing.of_file(files[path]) for path in sorted(files)]
    for step, point in points(stores, shard):
        entries = versions.files(stores, shard.project_id, point.manifest)
        found += [packing.of_file(entry, step.folder + entry.path) for entry in entries]
    found.append(packing.of_data(layout.DESCRIPTION, _description(shard)))
    return found


def _description(shard: Shard) -> bytes:
    """`import_model.json`: what `flow model import -c` needs to take the archive in again."""
    party = shard.party
    told = {
        "role": party.role,
        "party_id": int(party.party_id) if party.party_id.isdigit() else party.party_id,
        "model_id": party.model_id, "model_version": shard.model_version,
        "file": filename(shard), "force_update": False,
    }  # fmt: skip
    return json.dumps(told, indent=4).encode()


def pack(stores: Stores, shard: Shard) -> Archive:
    """The archive, made now or found where it was made before."""
    return packing.assemble(stores, shard.project_id, members(stores, shard))
