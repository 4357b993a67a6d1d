"""What stands before the API on one machine: refuses foreign pages, serves the rendered site.

Does here what the CDN and its edge function do on AWS. Knows neither Chalice nor the registry.
"""

import hashlib
import io
import logging
import mimetypes
import re
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from chalicelib.api import cookie
from chalicelib.catalogue.render import HEADERS, PAGES, STATIC
from chalicelib.registry.ports import Head
from infra.embedded.wsgi import MAX_REQUEST, Answer, problem, raw_target, status_line
from weighbridge.contract import errors, origins

if TYPE_CHECKING:
    from _typeshed.wsgi import InputStream, StartResponse, WSGIApplication, WSGIEnvironment

_log = logging.getLogger("weighbridge.front")

SECURITY_HEADERS = tuple(HEADERS.items())
_MISSING = (
    b"<!doctype html><html lang=en><title>Not found</title>"
    b"<h1>Not found</h1><p>There is no such page. <a href=/>Home</a></p>"
)
_DRAIN = 64 * 1024 * 1024


class Site(Protocol):
    """The store of rendered pages, as far as serving them needs it."""

    def head(self, key: str) -> Head:
        """Raises `NotFound`."""

    def read(self, key: str, start: int = 0, length: int | None = None, etag: str = "") -> bytes:
        """The object's bytes."""


@dataclass(frozen=True, slots=True)
class Front:
    """WSGI middleware around the API."""

    api: "WSGIApplication"
    doors: origins.Doors
    static: Path
    site: Site
    keys: cookie.Keys
    secure: bool = False
    """Whether browsers reach us by HTTPS, which decides the cookie's name."""
    open_pages: bool = False
    """Pages need no cookie (`--anonymous`)."""
    now: Callable[[], float] = time.time
    streams: Callable[["WSGIEnvironment"], bool] = lambda environ: False
    """Which requests the API takes without having their bodies in memory."""
    missing: Callable[[], bytes] = lambda: _MISSING
    """The page for an address where there is none, or none for this reader."""

    def __call__(
        self, environ: "WSGIEnvironment", start_response: "StartResponse"
    ) -> Iterable[bytes]:
        """Answers one request; every answer carries the security headers, none allows CORS."""

        def start(status: str, headers: list[tuple[str, str]], exc_info: object = None) -> object:
            return start_response(status, _guarded(headers))

        answer = self._before(environ)
        if answer is None:
            try:
                return self.api(environ, start)  # type: ignore[arg-type]
            except Exception:
                _log.exception("the API failed at %s", environ.get("PATH_INFO"))
                answer = problem(errors.RegistryError("the server failed; its log says why"))
        status, headers, data = answer
        start(status_line(status), [*headers, ("Content-Length", str(len(data)))])
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [data]

    def _before(self, environ: "WSGIEnvironment") -> Answer | None:
        """The answer to all that is not for the API."""
        streamed = self.streams(environ)
        whole = streamed or _take_body(environ)
        method = environ["REQUEST_METHOD"]

        def header(name: str) -> str:
            return str(environ.get("HTTP_" + name.upper().replace("-", "_"), ""))

        refused = origins.refusal(self.doors, method, header)
        if refused is not None:
            if streamed and not _take_body(environ):
                return problem(errors.TooLarge(refused.message))  # which ends the connection
            return problem(errors.Forbidden(refused.message), refused.status)
        if not whole:
            message = "a request may have 10 MB at most"
            return problem(errors.TooLarge(message, limit=MAX_REQUEST))
        path, _, query = raw_target(environ).partition("?")
        if path.startswith(STATIC):
            found = self._static(path, query, header("If-None-Match"))
        elif _is_page(path) or _page_in_disguise(path):
            found = self._page(path, header("Cookie"), header("If-None-Match"))
        else:
            return None
        if method not in ("GET", "HEAD"):
            return problem(errors.InvalidRequest("pages can only be read"), 405)
        return found

    def _page(self, path: str, cookies: str, known: str) -> Answer:
        grant = cookie.ANYONE if self.open_pages else self._grant(cookies)
        decision = cookie.decide(path, grant)
        if decision.kind == "redirect":
            moved = [("Location", decision.target), ("Cache-Control", "no-store")]
            return 303, moved, b""
        if decision.kind == "missing":
            return self._none()
        try:
            head = self.site.head(decision.target)
            etag = f'"{head.etag.strip(chr(34))}"'
            headers = [
                ("Content-Type", _content_type(decision.target)),
                ("Cache-Control", "private, no-cache"),
                ("ETag", etag),
            ]
            if _matches(known, etag):
                return 304, headers, b""
            return 200, headers, self.site.read(decision.target)
        except errors.NotFound:
            return self._none()
        except errors.RegistryError as error:
            return problem(error)

    def _none(self) -> Answer:
        headers = [("Content-Type", "text/html; charset=utf-8"), ("Cache-Control", "no-store")]
        return 404, headers, self.missing()

    def _grant(self, cookies: str) -> cookie.Grant | None:
        value = cookie.find(cookies, self.secure)
        return cookie.verify(self.keys, value, self.now()) if value else None

    def _static(self, path: str, query: str, known: str) -> Answer:
        clean = cookie.normal(path)
        if clean is None or not clean.startswith(STATIC) or clean.endswith("/"):
            return self._none()
        root = self.static.resolve()
        file = (root / clean.removeprefix(STATIC)).resolve()
        if not file.is_relative_to(root) or not file.is_file():
            return self._none()
        data = file.read_bytes()
        etag = f'"{hashlib.sha256(data).hexdigest()[:32]}"'
        # Pages name their assets with the digest as `?v=`; only that spelling never changes.
        named = re.search(r"(?:^|&)v=[^&]", query) is not None
        cache = "public, max-age=31536000, immutable" if named else "no-cache"
        headers = [("Content-Type", _content_type(file.name)), ("Cache-Control", cache)]
        headers.append(("ETag", etag))
        return (304, headers, b"") if _matches(known, etag) else (200, headers, data)


def _guarded(headers: list[tuple[str, str]]) -> list[tuple[str, str]]:
    kept = [pair for pair in headers if not pair[0].lower().startswith("access-control-")]
    present = {name.lower() for name, _ in kept}
    if "cache-control" not in present:
        kept.append(("Cache-Control", "no-store"))
    return kept + [pair for pair in SECURITY_HEADERS if pair[0].lower() not in present]


def _take_body(environ: "WSGIEnvironment") -> bool:
    """Whether the request's body is within the limit. A body without a length is read here. One
    that is too long is read off (up to a bound), else its sender would never see the answer."""
    stream = environ["wsgi.input"]
    if environ.get("wsgi.input_terminated"):
        data = stream.read(MAX_REQUEST + 1)
        environ["wsgi.input"] = io.BytesIO(data)
        environ["wsgi.input_terminated"] = False
        environ["CONTENT_LENGTH"] = str(len(data))
        if len(data) > MAX_REQUEST:
            _drain(stream, _DRAIN)
        return len(data) <= MAX_REQUEST
    size = int(environ.get("CONTENT_LENGTH") or 0)
    if size <= MAX_REQUEST:
        return True
    _drain(stream, min(size, _DRAIN))
    return False


def _drain(stream: "InputStream", size: int) -> None:
    while size > 0:
        block = stream.read(min(size, 1 << 20))
        if not block:
            break
        size -= len(block)


def _is_page(path: str) -> bool:
    return path == PAGES.rstrip("/") or path.startswith(PAGES)


def _page_in_disguise(path: str) -> bool:
    clean = cookie.normal(path)
    return clean is not None and _is_page(clean)


def _matches(known: str, etag: str) -> bool:
    tags = [tag.strip().removeprefix("W/") for tag in known.split(",")]
    return etag in tags or "*" in tags


def _content_type(name: str) -> str:
    kind = {"js": "text/javascript", "json": "application/json", "woff2": "font/woff2"}.get(
        name.rpartition(".")[2]
    )
    kind = kind or mimetypes.guess_type(name)[0] or "application/octet-stream"
    return f"{kind}; charset=utf-8" if kind.startswith("text/") else kind
