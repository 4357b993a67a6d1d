"""Pages and their files travel packed, as the CDN sends them on AWS: a page of 300 kB is then one of 30.

WSGI middleware around the front. Answers of the API to programs are left as they are.
"""

import gzip
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

LEAST = 1024
LEVEL = 5
PAGES = frozenset({"text/html", "text/css", "text/javascript", "image/svg+xml"})
"""Packed wherever they come from; documents only beside pages, where no program expects them plain."""
DOCUMENT = "application/json"


@dataclass(frozen=True, slots=True)
class Packing:
    """Packs what is worth it for those who take it."""

    application: "WSGIApplication"

    def __call__(
        self, environ: "WSGIEnvironment", start_response: "StartResponse"
    ) -> Iterable[bytes]:
        """Answers one request."""
        if environ["REQUEST_METHOD"] != "GET" or not _taken(
            environ.get("HTTP_ACCEPT_ENCODING", "")
        ):
            return self.application(environ, start_response)
        begun: list[tuple[str, list[tuple[str, str]]]] = []
        whole = False

        def start(
            status: str, headers: list[tuple[str, str]], exc_info: Any = None
        ) -> Callable[[bytes], object]:
            begun[:] = [(status, headers)]
            if whole:  # a body that begins after its first block was asked for is not held back
                return start_response(status, headers)
            return _no_writing

        body = self.application(environ, start)
        whole = True
        if not begun:
            return body
        status, headers = begun[0]
        if isinstance(body, list) and status.startswith("200") and _packable(environ, headers):
            data = b"".join(body)
            if len(data) >= LEAST:
                packed = gzip.compress(data, LEVEL, mtime=0)
                start_response(status, _packed(headers, len(packed)))
                return [packed]
        start_response(status, headers)
        return body


def _no_writing(_data: bytes) -> object:
    raise TypeError("answers are returned, not written")


def _taken(accepted: str) -> bool:
    """Whether the reader takes gzip."""
    for part in accepted.split(","):
        name, _, quality = part.partition(";")
        if name.strip().lower() == "gzip":
            return quality.replace(" ", "") not in ("q=0", "q=0.0", "q=0.00", "q=0.000")
    return False


def _packable(environ: "WSGIEnvironment", headers: list[tuple[str, str]]) -> bool:
    found = {name.lower(): value for name, value in headers}
    kind = found.get("content-type", "").partition(";")[0].strip()
    below = str(environ.get("PATH_INFO", "")).startswith(("/p/", "/static/"))
    return "content-encoding" not in found and (kind in PAGES or (kind == DOCUMENT and below))


def _packed(headers: list[tuple[str, str]], size: int) -> list[tuple[str, str]]:
    """The headers of the packed answer. Its ETag is weak, because its bytes are not those of the file."""
    kept = []
    for name, value in headers:
        if name.lower() == "etag" and not value.startswith("W/"):
            value = f"W/{value}"
        if name.lower() != "content-length":
            kept.append((name, value))
    more = [
        ("Content-Encoding", "gzip"),
        ("Content-Length", str(size)),
        ("Vary", "Accept-Encoding"),
    ]
    return [*kept, *more]
