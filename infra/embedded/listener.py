"""Takes the object store's webhooks and puts them into the queue as events of S3."""

import hmac
import json
import logging
import secrets
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from infra.embedded.worker import object_created
from weighbridge.contract.errors import RegistryError

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

_log = logging.getLogger("weighbridge.events")
_MAX_BODY = 4 * 1024 * 1024
PREFIXES = ("inbox/", "blobs/")
"""As the rule on AWS: only these objects are looked at."""


class Events(Protocol):
    """The sending end of a queue."""

    def send_many(self, topic: str, messages: Sequence[Mapping[str, Any]]) -> None: ...


Parse = Callable[[Any], Iterable[tuple[str, str]]]
"""A webhook's body to buckets and keys."""


_GATHER = 0.05


class Listener:
    """A WSGI application that takes events; any other caller gets 404.

    Events of a moment are written down together, for each write waits for the disk. The store would
    not send an event again whatever it is answered, so it is answered at once; one that dies with
    this process is made up for by the sweep.
    """

    def __init__(self, queue: Events, bucket: str, parse: Parse) -> None:
        self.path = f"/{secrets.token_urlsafe(24)}"
        self._queue = queue
        self._bucket = bucket
        self._parse = parse
        self._taken: list[str] = []
        self._change = threading.Condition()
        self._closed = False
        self._writer = threading.Thread(target=self._write, name="events", daemon=True)
        self._writer.start()

    def close(self) -> None:
        """Writes down what was taken, and ends."""
        with self._change:
            self._closed = True
            self._change.notify()
        self._writer.join()

    def _write(self) -> None:
        while True:
            with self._change:
                self._change.wait_for(lambda: self._taken or self._closed)
                if not self._closed:
                    self._change.wait_for(lambda: self._closed, _GATHER)
                keys, self._taken = self._taken, []
                closed = self._closed
            try:
                if keys:
                    events = [object_created(self._bucket, key) for key in keys]
                    self._queue.send_many("index", events)
            except RegistryError as error:
                _log.error("%d events are left to the sweep: %s", len(keys), error.message)
            if closed:
                return

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
        ours = [k for bucket, k in found if bucket == self._bucket and k.startswith(PREFIXES)]
        if ours:
            with self._change:
                self._taken += ours
                self._change.notify()
        return "204 No Content"
