"""Staged files: announced under a version, by whoever wrote them, for a checkpoint that another commits.

Workers of one run store their files and announce each by its name; one of them asks for the names and
commits. Nothing of it is visible. What no checkpoint binds is freed after a grace period, the lease.
"""

from collections.abc import Sequence

from chalicelib.registry import blobs, keys, uploads
from chalicelib.registry.ports import Absent, Equal, Item, Present, Put, Update
from chalicelib.registry.stores import Stores
from chalicelib.registry.versions import VersionRecord
from weighbridge.contract import codec, manifests
from weighbridge.contract.errors import (
    AlreadyExists,
    Conflict,
    InvalidManifest,
    TooLarge,
    Unavailable,
)
from weighbridge.contract.manifests import FileEntry
from weighbridge.contract.types import (
    Checkpoint,
    CheckpointCommit,
    PlanRequest,
    Staged,
    StageRequest,
    WantedBlob,
)

MOST = 1000
RACES = 5
LASTING = 10**12
"""When a bound file's time is over: never."""
_BOUND = "bound"


def stage(stores: Stores, by: str, found: VersionRecord, request: StageRequest) -> Staged:
    """Announces files whose bytes are stored, says of the others how to store them, and answers those
    that were announced under the `names` asked for."""
    for count in (len(request.files), len(request.names)):
        if count > MOST:
            raise TooLarge(f"{count} files in one request; {MOST} at most", limit=MOST)
    project_id = found.model.project_id
    files = manifests.checked(request.files)
    missing = {}
    if files or request.done:
        want = tuple(WantedBlob(blob) for blob in dict.fromkeys(e.blob for e in files))
        plan = uploads.plan(stores, by, found.model.project, PlanRequest(want, request.done))
        missing = {item.blob: item for item in plan.blobs if item.action != "have"}
    stored = [entry for entry in files if entry.blob not in missing]
    if stored:
        there = blobs.live(stores, project_id, [entry.blob for entry in stored])
        # The whole grace period from now on, however old the blob is.
        if gone := blobs.lease(stores, project_id, there, stores.lease_seconds - 60):
            raise Unavailable(f"{sorted(gone)[0]} is being collected; try again")
        _announce(stores, found, stored)
    return Staged(tuple(_announced(stores, found, request.names).values()), tuple(missing.values()))


def _announce(stores: Stores, found: VersionRecord, files: Sequence[FileEntry]) -> None:
    pk = keys.of_checkpoints(found.model.id, found.number)
    left = {keys.staged(pk, entry.path): entry for entry in files}
    for _ in range(RACES):
        there = stores.table.get_many(left)
        for key, item in there.items():
            if item.attrs["state"] != _BOUND:
                continue
            entry = left.pop(key)
            if item.doc["blob"] != entry.blob:
                raise AlreadyExists(
                    f"{entry.path} is part of a checkpoint of {found.reference} already, with other "
                    "content; choose another name",
                    path=entry.path,
                )
        now = int(stores.now())
        attrs: dict[str, str | int] = {"state": "staged", "ttl": now + stores.lease_seconds}
        puts = []
        for key, entry in left.items():
            condition = (Equal("state", "staged"),) if key in there else (Absent(),)
            puts.append(Put(Item(key, attrs, codec.encode(entry)), condition))
        refused = stores.table.write_each(puts)
        left = {p.key: left[p.key] for p, no in zip(puts, refused, strict=True) if no is not None}
        if not left:
            return
    raise Unavailable("others announce the same names at this moment; try again")


def _announced(stores: Stores, found: VersionRecord, names: Sequence[str]) -> dict[str, FileEntry]:
    pk = keys.of_checkpoints(found.model.id, found.number)
    wanted = {keys.staged(pk, name): name for name in names}
    items = stores.table.get_many(wanted) if wanted else {}
    now = stores.now()
    return {
        name: codec.decode(FileEntry, dict(items[key].doc))
        for key, name in wanted.items()
        if key in items and int(items[key].attrs.get("ttl", LASTING)) >= now
    }


def check(stores: Stores, found: VersionRecord, request: CheckpointCommit) -> None:
    """Refuses a commit that names staged files which are not there, or are others."""
    if not request.staged:
        return
    if len(request.staged) > MOST:
        raise TooLarge(f"{len(request.staged)} staged files; {MOST} at most", limit=MOST)
    given = {entry.path: entry for entry in request.files}
    there = _announced(stores, found, request.staged)
    for name in request.staged:
        if name not in there:
            raise InvalidManifest(
                f"{name} was not staged under {found.reference}, or its time is over; stage it again",
                path=name,
            )
        if given.get(name) != there[name]:
            raise InvalidManifest(f"{name} is not the file that was staged", path=name)


def bind(stores: Stores, found: VersionRecord, request: CheckpointCommit) -> None:
    """After a commit: what it took is its own, and its names are never staged with other bytes."""
    if not request.staged:
        return
    pk = keys.of_checkpoints(found.model.id, found.number)
    bound = [
        Update(
            keys.staged(pk, name), set={"state": _BOUND}, remove=("ttl",), condition=(Present(),)
        )
        for name in dict.fromkeys(request.staged)
    ]
    stores.table.write_each(bound)


def refuse_number(found: VersionRecord, expected: int, last: int) -> None:
    """Refuses a commit whose expected number is not the next."""
    if not expected or expected == last + 1:
        return
    if expected <= last:
        raise AlreadyExists(
            f"{found.reference} has a checkpoint {expected} already (the last is {last}); look, then "
            "decide",
            number=expected, last=last,
        )  # fmt: skip
    raise Conflict(
        f"the next checkpoint of {found.reference} is {last + 1}, not {expected}: that would leave a "
        "gap",
        number=expected, last=last,
    )  # fmt: skip


def refuse_other(found: VersionRecord, expected: int, there: Checkpoint) -> Checkpoint:
    """The checkpoint that is there with equal content, unless another number was expected."""
    if expected and there.number != expected:
        raise AlreadyExists(
            f"{found.reference} holds this content as checkpoint {there.number}, not {expected}",
            number=there.number,
        )
    return there
