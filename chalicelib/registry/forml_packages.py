"""ForML packages (`.4ml`) in a version: what they say of themselves must be what was announced.

The manifest is read by ranges and as literals, never imported, before the version becomes visible.
"""

from collections.abc import Sequence

from chalicelib.registry import blobs
from chalicelib.registry.models import ModelRecord
from chalicelib.registry.stores import Stores
from weighbridge.contract import pep440
from weighbridge.contract.errors import IntegrityError, InvalidName, Unsupported
from weighbridge.contract.manifests import FileEntry

SUFFIX = ".4ml"
MOST = 16
"""Packages that one commit looks into."""


def check(stores: Stores, record: ModelRecord, label: str, files: Sequence[FileEntry]) -> None:
    """Refuses a package that is damaged, hostile, or of another release. Where labels are ordered,
    its name must be the model's and its version must equal the label."""
    found = [entry for entry in files if entry.path.lower().endswith(SUFFIX)]
    if not found:
        return
    if stores.inspect is None:
        raise Unsupported(f"this server cannot look into {found[0].path}")
    if len(found) > MOST:
        raise IntegrityError(f"{len(found)} packages in one version; {MOST} at most", limit=MOST)
    objects = blobs.object_keys(stores, record.project_id, [entry.blob for entry in found])
    for entry in found:
        key = objects[entry.blob]

        def fetch(start: int, length: int, key: str = key) -> bytes:
            return stores.blobs.read(key, start, length)

        package = stores.inspect(fetch, entry.size)
        if package.problem:
            raise _refused(entry, package.problem)
        if record.model.settings.label_order == "none":
            continue
        if package.name != record.model.name:
            raise _refused(entry, f"its manifest names {package.name!r}, not {record.model.name!r}")
        try:
            same = pep440.parse(package.version) == pep440.parse(label)
        except InvalidName as error:
            raise _refused(entry, error.message) from None
        if not same:
            raise _refused(entry, f"its manifest says {package.version!r}, not {label!r}")


def _refused(entry: FileEntry, problem: str) -> IntegrityError:
    return IntegrityError(f"{entry.path}: {problem}", path=entry.path)
