"""Reading bytes: file lists by page and presigned GETs."""

from chalicelib.registry import blobs, keys, paging, uploads, versions
from chalicelib.registry.stores import Stores
from weighbridge.contract import digests
from weighbridge.contract.errors import InvalidRequest, TooLarge
from weighbridge.contract.types import (
    Download,
    DownloadRequest,
    Downloads,
    FileList,
    SignedRequest,
)


def files(
    stores: Stores,
    project_id: str,
    manifest: str,
    *,
    limit: int,
    page: str | None,
    state: str = "ready",
) -> FileList:
    """The files of a manifest by path; of what is in that state. An open version has none yet."""
    if not manifest:
        return FileList(())
    entries = versions.files(stores, project_id, manifest)
    query = f"files/{manifest}"
    after = paging.after(query, page)
    rest = [e for e in entries if after is None or e.path > after]
    shown = rest[: paging.limit(limit)]
    following = paging.token(query, shown[-1].path) if len(rest) > len(shown) else None
    held = state if state in ("checking", "blocked") else ""
    size = sum(e.size for e in entries)
    return FileList(tuple(shown), following, manifest, len(entries), size, held)


def sign(stores: Stores, project_id: str, manifest: str, request: DownloadRequest) -> Downloads:
    """A presigned GET per blob asked for, and of its part list where it has one; each blob must be
    one that the manifest lists."""
    if len(request.blobs) > uploads.MAX_BATCH:
        raise TooLarge(f"{len(request.blobs)} blobs in one request; {uploads.MAX_BATCH} at most")
    listed = {e.blob for e in versions.files(stores, project_id, manifest)} if manifest else set()
    for blob in request.blobs:
        if blob not in listed:
            raise InvalidRequest(f"{blob[:120]!r} is no blob of these files")
    found = blobs.present(stores, project_id, request.blobs)

    def get(key: str) -> SignedRequest:
        return uploads.signed_request(stores.blobs.sign_get(key, stores.sign_seconds))

    items = []
    for blob in request.blobs:
        doc = found[blob].doc
        listed_at = keys.parts_object(project_id, blob) if doc.get("listed") else ""
        whole = get(str(doc["key"]))
        size = digests.parse_blob(blob).size
        items.append(Download(blob, size, whole, get(listed_at) if listed_at else None))
    return Downloads(tuple(items))
