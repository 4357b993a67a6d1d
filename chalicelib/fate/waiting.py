"""Archives that were uploaded for a restore: they count before those of a second store."""

import hashlib

from chalicelib.archives import streams
from chalicelib.archives.packing import Archive
from chalicelib.engines.ports import Place
from chalicelib.registry import parking
from chalicelib.registry.stores import Stores
from weighbridge.contract.errors import IntegrityError


def there(stores: Stores, project_id: str, place: Place) -> bool:
    """Whether an archive waits for that party's version."""
    return parking.find(stores, project_id, place.party_model_id, place.model_version) is not None


def archive(stores: Stores, project_id: str, place: Place, *, sha256: str = "") -> Archive | None:
    """The archive that waits, read once for its SHA-256; None without one. `IntegrityError` if it is
    not the one whose `sha256` was given."""
    found = parking.find(stores, project_id, place.party_model_id, place.model_version)
    if found is None:
        return None
    key = parking.object_key(stores, project_id, found)
    digest = hashlib.sha256()
    for block in streams.read(stores.blobs, streams.spans(key, found.size)):
        digest.update(block)
    if sha256 and digest.hexdigest() != sha256.lower():
        raise IntegrityError(
            f"the archive that was uploaded has the sha256 {digest.hexdigest()}, not {sha256[:64]}",
            sha256=digest.hexdigest(),
        )
    return Archive(key, found.size, digest.hexdigest(), found.until)
