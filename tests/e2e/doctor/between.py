"""A proxy between clients and a server that misbehaves in the one way it is told to.

Addresses in what passes are swapped, so that client and server each see the ones they know.
"""

import contextlib
import http.client
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

HOP = ("connection", "keep-alive", "transfer-encoding", "content-length", "host", "date", "server")
TEXT = ("application/json", "text/html")


@dataclass
class Asked:
    """A request as it came."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Told:
    """An answer on its way back; header names in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes = b""


@dataclass
class Between:
    """The proxy. `ask` may change a request, or answer it by itself; `tell` may change an answer."""

    url: str
    upstream: str
    swaps: list[tuple[str, str]] = field(default_factory=list)
    ask: Callable[[Asked], Told | None] = lambda asked: None
    tell: Callable[[Asked, Told], None] = lambda asked, told: None

    def inward(self, text):
        for here, there in self.swaps:
            text = text.replace(here, there)
        return text

    def outward(self, text):
        for here, there in self.swaps:
            text = text.replace(there, here)
        return text

    @contextlib.contextmanager
    def spoiled(self, ask=None, tell=None):
        """Misbehaves for the length of a block."""
        before = self.ask, self.tell
        self.ask, self.tell = ask or self.ask, tell or self.tell
        try:
            yield
        finally:
            self.ask, self.tell = before

    def passed(self, asked):
        """What the server says."""
        where = urlsplit(self.upstream)
        connection = http.client.HTTPConnection(where.netloc, timeout=60)
        with contextlib.closing(connection):
            sent = {k: self.inward(v) for k, v in asked.headers.items() if k.lower() not in HOP}
            connection.request(asked.method, asked.path, asked.body, sent)
            answer = connection.getresponse()
            headers = {k.lower(): self.outward(v) for k, v in answer.getheaders()}
            body = answer.read()
        if headers.get("content-type", "").startswith(TEXT):
            body = self.outward(body.decode()).encode()
        return Told(answer.status, headers, body)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    between: Between

    def _pass(self):
        size = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(size)
        asked = Asked(self.command, self.path, dict(self.headers.items()), body)
        told = self.between.ask(asked) or self.between.passed(asked)
        self.between.tell(asked, told)
        self.send_response_only(told.status)
        for name, value in told.headers.items():
            if name not in HOP or name == "date":
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(told.body)))
        self.end_headers()
        self.wfile.write(told.body)

    do_GET = do_PUT = do_POST = do_PATCH = do_DELETE = do_OPTIONS = _pass

    def log_message(self, format, *args):
        pass


@contextlib.contextmanager
def between(upstream: str) -> Iterator[Between]:
    """A proxy to `upstream` on a free port of loopback; ends with the block."""
    handler = type("Handler", (_Handler,), {})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    found = Between(f"http://127.0.0.1:{server.server_address[1]}", upstream)
    handler.between = found
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield found
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)
