"""Takes the object store's webhooks and puts them into the queue as events of S3."""

import hmac
import json
import logging
import secrets
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from chalicelib.registry.ports import Queue
from infra.embedded.worker import object_created

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

_log = logging.getLogger("weighbridge.events")
_MAX_BODY = 4 * 1024 * 1024
PREFIXES = ("inbox/", "blobs/")
"""As the rule on AWS: only these objects are looked at."""

Parse = Callable[[Any], Iterable[tuple[str, str]]]
"""A webhook's body to buckets and keys."""


class Listener:
    """A WSGI application that answers 204 once an event is durable; any other caller gets 404."""

    def __init__(self, queue: Queue, bucket: str, parse: Parse) -> None:
        self.path = f"/{secrets.token_urlsafe(24)}"
        self._queue = queue
        self._bucket = bucket
        self._parse = parse

    def __call__(
        self, environ: "WSGIEnvironment", start_response: "StartResponse"
    ) -> Iterable[bytes]:
        """Takes one webhook."""
        start_response(self._take(environ), [("Content-Length", "0")])
        return []

    def _take(self, environ: "WSGIEnvironment") -> str:
        path = environ.get("PATH_INFO", "").encode("latin-1")
        if not hmac.compare_digest(path, self.path.encode("ascii")):
            return "404 Not Found"
        chunked = environ.get("wsgi.input_terminated")
        size = _MAX_BODY + 1 if chunked else int(environ.get("CONTENT_LENGTH") or 0)
        data = environ["wsgi.input"].read(size) if size <= _MAX_BODY or chunked else b""
        try:
            found = list(self._parse(json.loads(data)))
        except (ValueError, KeyError, TypeError, AttributeError):
            _log.exception("a webhook of %d bytes is not understood", len(data))
            return "400 Bad Request"
        for bucket, key in found:
            if bucket == self._bucket and key.startswith(PREFIXES):
                self._queue.send("index", object_created(bucket, key))
        return "204 No Content"
