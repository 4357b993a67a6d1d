"""All that reading a version or checkpoint needs, in one answer."""

from chalicelib.registry import downloads, safety
from chalicelib.registry.checkpoints import CheckpointRecord
from chalicelib.registry.stores import Stores
from chalicelib.registry.versions import VersionRecord
from weighbridge.contract.types import Bundle, DownloadRequest

MOST = 1000


def of_version(stores: Stores, found: VersionRecord) -> Bundle:
    """A version with its files and where to fetch them."""
    version = found.version
    safety.refuse_held(found.reference, version.state, version.verdict)
    return _bundle(stores, found, version.manifest, None)


def of_checkpoint(stores: Stores, record: CheckpointRecord) -> Bundle:
    """A checkpoint with its files and where to fetch them."""
    point = record.checkpoint
    safety.refuse_held(record.reference, point.state, point.verdict)
    return _bundle(stores, record.version, point.manifest, record)


def _bundle(
    stores: Stores, found: VersionRecord, manifest: str, record: CheckpointRecord | None
) -> Bundle:
    project_id = found.model.project_id
    files = downloads.files(stores, project_id, manifest, limit=MOST, page=None)
    blobs = tuple(dict.fromkeys(entry.blob for entry in files.items))
    signed = downloads.sign(stores, project_id, manifest, DownloadRequest(blobs))
    return Bundle(found.version, files, signed, record.checkpoint if record else None)
