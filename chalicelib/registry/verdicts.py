"""What people ask of verdicts: why one is as it is, and to let something through all the same."""

from chalicelib.registry import checkpoints, facts, safety, versions
from chalicelib.registry.checkpoints import CheckpointRecord
from chalicelib.registry.stores import Stores
from chalicelib.registry.versions import VersionRecord
from weighbridge.contract.errors import Conflict, InvalidRequest, TooLarge
from weighbridge.contract.manifests import FileEntry
from weighbridge.contract.types import (
    Checkpoint,
    FileVerdict,
    ReleaseRequest,
    Safety,
    VerdictReport,
    Version,
)

MAX_COMMENT = 2000
LISTED = 100
READ = 10_000
"""Files whose facts one report reads."""
_WORST: tuple[Safety, ...] = ("unsafe", "unknown", "pending")


def of_version(stores: Stores, found: VersionRecord) -> VerdictReport:
    """The verdict on a version, and the files behind it."""
    version = found.version
    files = _files(stores, found.model.project_id, version.manifest)
    items = _items(stores, found.model.project_id, files)
    return VerdictReport(found.reference, version.state, version.verdict, items, len(files))


def of_checkpoint(stores: Stores, record: CheckpointRecord) -> VerdictReport:
    """The verdict on a checkpoint, and the files behind it."""
    project_id, point = record.version.model.project_id, record.checkpoint
    files = _files(stores, project_id, point.manifest)
    items = _items(stores, project_id, files)
    return VerdictReport(record.reference, point.state, point.verdict, items, len(files))


def _files(stores: Stores, project_id: str, manifest: str) -> tuple[FileEntry, ...]:
    return versions.files(stores, project_id, manifest) if manifest else ()


def _items(
    stores: Stores, project_id: str, files: tuple[FileEntry, ...]
) -> tuple[FileVerdict, ...]:
    found: dict[Safety, list[FileVerdict]] = {verdict: [] for verdict in _WORST}
    for start in range(0, min(len(files), READ), LISTED):
        part = files[start : start + LISTED]
        known = facts.summaries(stores, project_id, [entry.blob for entry in part])
        for entry in part:
            summary = known.get(entry.blob)
            if summary is None:
                found["pending"].append(FileVerdict(entry.path, "pending"))
            elif summary.verdict in ("unsafe", "unknown"):
                found[summary.verdict].append(
                    FileVerdict(
                        entry.path, summary.verdict, summary.format, summary.findings[:20],
                        summary.problem,
                    )
                )  # fmt: skip
    return tuple(item for verdict in _WORST for item in found[verdict][:LISTED])


def _comment(request: ReleaseRequest) -> str:
    text = request.comment.strip()
    if not text:
        raise InvalidRequest("say in `comment` why it is let through; the history keeps it")
    if len(text.encode()) > MAX_COMMENT:
        raise TooLarge(f"a comment holds {MAX_COMMENT} bytes at most", limit=MAX_COMMENT)
    return text


def release_version(
    stores: Stores, by: str, found: VersionRecord, request: ReleaseRequest
) -> Version:
    """Lets a version through although its verdict is not safe, in the name of `by`."""
    why = _comment(request)
    if found.version.state not in versions.COMMITTED:
        raise Conflict(f"{found.reference} is {found.version.state}; there is nothing to release")
    project_id = found.model.project_id
    safety.release(stores, by, project_id, found.holder, found.reference, why)
    return versions.numbered(stores, found.model, found.number).version


def release_checkpoint(
    stores: Stores, by: str, record: CheckpointRecord, request: ReleaseRequest
) -> Checkpoint:
    """Lets a checkpoint through although its verdict is not safe, in the name of `by`."""
    why = _comment(request)
    project_id = record.version.model.project_id
    safety.release(stores, by, project_id, record.holder, record.reference, why)
    return checkpoints.resolve(stores, record.version, record.selector).checkpoint
