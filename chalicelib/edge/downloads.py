"""How a package reaches an edge client: in the answer, through the server before us, or by a redirect."""

from collections.abc import Mapping

from chalice.app import Response

from chalicelib.edge.answers import TEXT, words
from chalicelib.registry import blobs, safety
from chalicelib.registry.packages import PackageRecord
from chalicelib.registry.stores import Stores
from chalicelib.settings import settings

ZIP, OTHER = "application/zip", "application/octet-stream"
INLINE = 4_000_000
"""Bytes that a function can answer with; more is redirected."""
SEND = "X-Weighbridge-Send"
"""Tells the server before us the length, type and key of the object of the artifact bucket that it shall
answer with. It passes the header on to nobody."""


def package(
    stores: Stores, project_id: str, found: PackageRecord, kind: str, accept: str
) -> Response:
    """The answer that brings the bytes of a package."""
    version, own = found.version, found.package
    reference = f"{version.project}/{version.model}@{version.number}"
    safety.refuse_held(reference, version.state, version.verdict)
    if own.uri:
        return _outside(own.uri)
    key = blobs.object_keys(stores, project_id, [own.blob])[own.blob]
    name = own.path.rpartition("/")[2]
    if not _inline(own.size, accept):
        signed = stores.blobs.sign_get(key, stores.sign_seconds, name, kind)
        return _answer("", 307, TEXT, {"Location": signed.url})
    named = {"Content-Disposition": disposition(name)}
    if settings().long_bodies:
        return _answer("", 200, TEXT, {**named, SEND: f"{own.size} {kind} {key}"})
    return _answer(stores.blobs.read(key), 200, kind, named)


def _outside(uri: str) -> Response:
    """Bytes that were never here: whoever registered them said where they lie."""
    if uri.startswith(("http://", "https://")) and uri.isascii() and uri.isprintable():
        return _answer("", 307, TEXT, {"Location": uri})
    raise words(404, f"The package was registered by its address, and lies there: {uri[:2000]}")


def _answer(body: str | bytes, status: int, kind: str, more: Mapping[str, str]) -> Response:
    headers: dict[str, str | list[str]] = {
        "Content-Type": kind,
        "Cache-Control": "no-store",
        **more,
    }
    return Response(body=body, status_code=status, headers=headers)


def _inline(size: int, accept: str) -> bool:
    wanted = settings().edge_download
    if wanted == "redirect":
        return False
    if settings().long_bodies:
        return wanted == "inline" or size < INLINE
    # A gateway decodes a binary answer only if the first type asked for is a binary one, and hands out
    # base64 otherwise.
    first = accept.partition(",")[0].partition(";")[0].strip().lower()
    return size < INLINE and first in (ZIP, OTHER)


def disposition(name: str) -> str:
    """A header that offers a file under this name."""
    plain = "".join(c if c.isascii() and c.isprintable() and c not in '"\\%' else "_" for c in name)
    return f'attachment; filename="{plain}"'
