"""How much of a project is used, and whether its quota leaves room for more.

Bytes are those of stored blobs, each once: they are checked before anything is signed, and counted when
the store has verified them. Versions count from their opening to their end, models as long as they are.
"""

from chalicelib.registry import keys, projects
from chalicelib.registry.ports import ConditionFailed, Item, Less, Present, Update
from chalicelib.registry.projects import ProjectRecord
from chalicelib.registry.stores import Stores
from weighbridge.contract.errors import TooLarge
from weighbridge.contract.types import Project, ProjectUsage

KINDS = ("bytes", "versions", "models")
MOST_SHOWN = 1000


def of_project(stores: Stores, name: str) -> ProjectUsage:
    """What is used of a project."""
    record = projects.find(stores, name)
    found = {kind: _used(stores, record.id, kind) for kind in KINDS}
    quota = record.project.quota
    return ProjectUsage(quota=quota, open_uploads=open_uploads(stores, record.id), **found)


def stored(stores: Stores, project_id: str) -> tuple[int, int]:
    """Bytes of all blobs of a project, and its versions; one read."""
    wanted = [keys.usage(project_id, kind) for kind in ("bytes", "versions")]
    found = stores.table.get_many(wanted)
    size, versions = (_count(found.get(key)) for key in wanted)
    return size, versions


def open_uploads(stores: Stores, project_id: str) -> int:
    """How many multipart uploads are open, up to 1,000; what was left for long does not count."""
    low, high = keys.prefix(keys.upload(project_id, "").sk)
    page = stores.table.query(keys.upload(project_id, "").pk, low, high, limit=MOST_SHOWN)
    # An upload lives for twice the time after which its parts are swept.
    fresh = int(stores.now()) + stores.stale_seconds
    return sum(int(item.attrs.get("ttl", 0)) >= fresh for item in page.items)


def require_upload(stores: Stores, project_id: str) -> None:
    """`TooLarge` where too many uploads are open already."""
    if open_uploads(stores, project_id) >= stores.open_uploads:
        raise TooLarge(
            f"{stores.open_uploads} uploads are open in this project: complete or abort some; what is left "
            f"alone ends after {stores.stale_seconds // 86400} days",
            limit=stores.open_uploads,
        )


def require_bytes(
    stores: Stores, project_id: str, size: int, record: ProjectRecord | None = None
) -> None:
    """`TooLarge` unless the project has room for `size` more bytes. Uploads that run at the same time may
    exceed it together."""
    project = record.project if record is not None else projects.by_id(stores, project_id)
    if project is None or not project.quota.bytes:
        return
    used = _used(stores, project_id, "bytes")
    if used + size > project.quota.bytes:
        raise _full(project, "bytes", used, project.quota.bytes, size)


def add_bytes(stores: Stores, project_id: str, size: int) -> None:
    """Counts what was stored."""
    if size:
        stores.table.write(Update(keys.usage(project_id, "bytes"), add={"n": size}))


def freed_bytes(stores: Stores, project_id: str, size: int) -> None:
    """Counts what was freed, of a project that is still counted."""
    try:
        key = keys.usage(project_id, "bytes")
        stores.table.write(Update(key, add={"n": -size}, condition=(Present(),)))
    except ConditionFailed:
        return


def add_version(stores: Stores, record: ProjectRecord) -> None:
    """Counts a version that is about to be opened, or `TooLarge`."""
    key, most = keys.usage(record.id, "versions"), record.project.quota.versions
    try:
        room = (Less("n", most),) if most else ()
        stores.table.write(Update(key, add={"n": 1}, condition=room))
    except ConditionFailed as failed:
        if failed.existing is not None:
            used = int(failed.existing.attrs["n"])
            raise _full(record.project, "versions", used, most, 1) from None
        stores.table.write(Update(key, add={"n": 1}))


def less(project_id: str, kind: str) -> Update:
    """The write that counts one version or model less."""
    return Update(keys.usage(project_id, kind), add={"n": -1})


def more_models(stores: Stores, record: ProjectRecord) -> Update:
    """The write that counts one model more, or `TooLarge`; its condition fails if others are faster."""
    key, most = keys.usage(record.id, "models"), record.project.quota.models
    if not most or stores.table.get(key) is None:
        return Update(key, add={"n": 1})
    used = _used(stores, record.id, "models")
    if used >= most:
        raise _full(record.project, "models", used, most, 1)
    return Update(key, add={"n": 1}, condition=(Less("n", most),))


def _used(stores: Stores, project_id: str, kind: str) -> int:
    return _count(stores.table.get(keys.usage(project_id, kind)))


def _count(item: Item | None) -> int:
    return max(0, int(item.attrs["n"])) if item is not None else 0


def _full(project: Project, kind: str, used: int, most: int, more: int) -> TooLarge:
    later = " (their bytes are free a day later)" if kind == "bytes" else ""
    return TooLarge(
        f"the project {project.name} has a quota of {most:,} {kind}: {used:,} are used, and this takes "
        f"{more:,} more. Delete what is not needed{later}, or have an administrator raise it: "
        f"`weighbridge project set {project.name} --quota-{kind} N`",
        limit=most, used=used, needed=more, quota=kind,
    )  # fmt: skip
