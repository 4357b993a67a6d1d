"""`weighbridge proxy`: a door on loopback for clients that can only speak plain HTTP to `ip:port`.

Adds the token, TLS and the path prefix of the server, and passes everything else on, block by
block. Anyone on this machine may use it, but no page in a browser: see `contract/origins.py`.
"""

import contextlib
import http.server
import io
import json
import re
import socket
import socketserver
import threading
from collections.abc import Iterator
from email.message import Message
from typing import Any

from weighbridge.bodies import Bytes
from weighbridge.contract import errors, origins
from weighbridge.http import Pool, Response

BLOCK = 64 * 1024
REPLAYED = 1024 * 1024
"""Smaller bodies are held, so that they can be sent again when a kept connection turns out dead."""
MAX_UNSIZED = 10 * 1024 * 1024
"""The longest body without a length: it must be held, for the server wants to know its length."""
IDLE_SECONDS = 60.0
MAX_CLIENTS = 64

_HOP = frozenset(
    (
        "connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection",
        "te", "trailer", "transfer-encoding", "upgrade",
    )
)  # fmt: skip
_NOT_SENT = _HOP | {
    "host",
    "content-length",
    "expect",
    "authorization",
    "cookie",
    "origin",
    "referer",
}
"""The proxy speaks for itself: it has no pages, and who may use it is decided here."""
_NOT_ANSWERED = _HOP | {"content-length", "set-cookie", "server", "date"}


class _Streamed:
    """A body of known size, read from the client as it is sent on; it cannot be sent twice."""

    def __init__(self, source: io.BufferedIOBase, size: int) -> None:
        self._source = source
        self._left = size
        self.size = size

    def blocks(self) -> Iterator[bytes]:
        """The bytes; `ConnectionError` if the client ends early."""
        while self._left:
            block = self._source.read(min(BLOCK, self._left))
            if not block:
                raise ConnectionError("the client ended its request early")
            self._left -= len(block)
            yield block


class Proxy(socketserver.ThreadingMixIn, http.server.HTTPServer):
    """Listens on loopback at once; `serve_forever` passes requests on until `shutdown`."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, listen: str, url: str, token: str, ca_file: str = "") -> None:
        host, port = address(listen)
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.target = url.rstrip("/")
        self.token = token
        self.pool = Pool(ca_file)
        self.slots = threading.BoundedSemaphore(MAX_CLIENTS)
        try:
            super().__init__((host, port), _Handler)
        except OSError as error:
            self.pool.close()
            raise errors.Conflict(
                f"port {port} on {host} cannot be used ({(error.strerror or str(error)).lower()}): "
                "stop the program that has it, or choose another with --listen"
            ) from None
        self.doors = origins.doors(self.server_address[1])

    @property
    def url(self) -> str:
        """What clients are told to use."""
        host, port = str(self.server_address[0]), self.server_address[1]
        return f"http://{f'[{host}]' if ':' in host else host}:{port}"

    def server_bind(self) -> None:
        """Binds, without asking the network for this machine's name."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = "localhost", self.server_address[1]

    def server_close(self) -> None:
        """Stops listening, and forgets idle connections to the server."""
        super().server_close()
        self.pool.close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away is no news."""


def run(listen: str, url: str, token: str, ca_file: str = "") -> int:
    """Proxies until Ctrl-C."""
    with contextlib.suppress(KeyboardInterrupt), Proxy(listen, url, token, ca_file) as proxy:
        print(f"{proxy.url} passes requests on to {proxy.target}. Ctrl-C stops it.", flush=True)
        proxy.serve_forever(poll_interval=0.2)
    return 0


def address(listen: str) -> tuple[str, int]:
    """`127.0.0.1:8471` in its parts; `InvalidRequest` unless it is a port on loopback."""
    host, _, port = listen.rpartition(":")
    host = (host or "127.0.0.1").strip("[]")
    if not re.fullmatch(r"[0-9]{1,5}", port) or int(port) > 65535:
        raise errors.InvalidRequest(f"--listen must be 127.0.0.1:PORT, not {listen!r}")
    if not origins.loopback(host):
        raise errors.InvalidRequest(
            f"the proxy hands its token's rights to whoever reaches it, so it listens on loopback "
            f"only, not on {host}"
        )
    return host, int(port)


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    timeout = IDLE_SECONDS
    server: Proxy

    def handle(self) -> None:
        if not self.server.slots.acquire(blocking=False):
            self.close_connection = True
            self.requestline, self.request_version, self.command = "", "HTTP/1.1", ""
            self._refuse(errors.Unavailable("too many clients at once; try again"))
            return
        try:
            super().handle()
        except OSError:
            self.close_connection = True
        finally:
            self.server.slots.release()

    def _pass_on(self) -> None:
        refused = origins.refusal(self.server.doors, self.command, self._header)
        if refused:
            self._refuse(errors.Forbidden(refused.message), refused.status)
            return
        try:
            body = self._body()
        except errors.RegistryError as error:
            self._refuse(error)
            return
        try:
            answer = self.server.pool.open(
                self.command,
                self.server.target + self.path,
                self._sent_headers(),
                body,
                fresh=isinstance(body, _Streamed),
            )
        except errors.RegistryError as error:
            self._refuse(errors.Unavailable(error.message), 502)
            return
        with answer:
            self._answer(answer)

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = _pass_on

    def _body(self) -> Bytes | _Streamed | None:
        coding, length = (
            self.headers.get("Transfer-Encoding"),
            self.headers.get_all("Content-Length"),
        )
        if not self.path.startswith("/"):
            raise errors.InvalidRequest("the address must begin with a slash")
        if coding is not None:
            if length or coding.strip().lower() != "chunked":
                raise errors.InvalidRequest("a body has a length, or chunks, and nothing else")
            self._continue()
            return Bytes(_chunks(self.rfile, MAX_UNSIZED))
        if length is None:
            return None
        if len(length) != 1 or not re.fullmatch(r"[0-9]{1,15}", length[0].strip()):
            raise errors.InvalidRequest("Content-Length is not a length")
        size = int(length[0])
        self._continue()
        if size > REPLAYED:
            return _Streamed(self.rfile, size)
        data = self.rfile.read(size)
        if len(data) != size:
            raise errors.InvalidRequest("the request ended early")
        return Bytes(data)

    def _sent_headers(self) -> dict[str, str]:
        named = {
            name.strip().lower() for name in self._header("Connection").split(",") if name.strip()
        }
        headers: dict[str, str] = {}
        for name, value in self.headers.items():
            key = name.lower()
            if key in _NOT_SENT or key in named or key.startswith("sec-fetch-"):
                continue
            headers[key] = f"{headers[key]}, {value}" if key in headers else value
        if self.server.token:
            headers["authorization"] = f"Bearer {self.server.token}"
        return headers

    def _answer(self, answer: Response) -> None:
        self.send_response_only(answer.status)
        for name, value in answer.headers.items():
            if name not in _NOT_ANSWERED and not name.startswith("access-control-"):
                self.send_header(name, self._moved(value) if name == "location" else value)
        length = answer.headers.get("content-length")
        bare = self.command == "HEAD" or answer.status in (204, 304)
        if length is not None:
            self.send_header("Content-Length", length)
        elif not bare:
            # Its end is the end of the connection: clients of HTTP/1.0 understand that as well.
            self.close_connection = True
            self.send_header("Connection", "close")
        self.end_headers()
        if not bare:
            self._copy(answer, None if length is None else int(length))
        else:
            answer.read(BLOCK)

    def _copy(self, answer: Response, left: int | None) -> None:
        buffer = memoryview(bytearray(BLOCK))
        try:
            while count := answer.readinto(buffer):
                self.wfile.write(buffer[:count])
                left = None if left is None else left - count
        except errors.RegistryError:
            self.close_connection = True
        if left:
            # Cut short: the client sees it by the length that it was promised.
            self.close_connection = True

    def _moved(self, location: str) -> str:
        target = self.server.target
        if location.startswith(target):
            return location.removeprefix(target) or "/"
        return location

    def _refuse(self, error: errors.RegistryError, status: int = 0) -> None:
        data = json.dumps(error.body()).encode("utf-8")
        # What is left of the request is not read.
        self.close_connection = True
        self.send_response_only(status or error.status)
        for name, value in (
            ("Content-Type", "application/json"),
            ("Content-Length", str(len(data))),
            ("X-Content-Type-Options", "nosniff"),
            ("Cache-Control", "no-store"),
            ("Connection", "close"),
        ):
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def _header(self, name: str) -> str:
        values = self.headers.get_all(name) or []
        # Two of a kind are as bad as a foreign one: no server agrees which of them counts.
        return values[0] if len(values) == 1 else ", ".join(values)

    def _continue(self) -> None:
        if self._header("Expect").lower() == "100-continue":
            self.wfile.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def handle_expect_100(self) -> bool:
        """Says nothing yet: first it must be known whether the request is looked at."""
        return True

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """What the standard library refuses by itself, in our error body."""
        self.headers = getattr(self, "headers", None) or Message()
        self._refuse(errors.InvalidRequest(message or "the request is malformed"), code)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: clients print what they did."""


def _chunks(source: io.BufferedIOBase, limit: int) -> bytes:
    """A chunked body; `InvalidRequest` if it is malformed, `TooLarge` beyond `limit`."""
    data = bytearray()

    def line() -> bytes:
        return source.readline(256)

    while True:
        size_text = line().split(b";")[0].strip()
        if not re.fullmatch(rb"[0-9A-Fa-f]{1,8}", size_text):
            raise errors.InvalidRequest("the chunks of the body are malformed")
        size = int(size_text, 16)
        if len(data) + size > limit:
            raise errors.TooLarge("a body without a length may have 10 MB at most", limit=limit)
        if size == 0:
            break
        data += source.read(size)
        if line() != b"\r\n":
            raise errors.InvalidRequest("the chunks of the body are malformed")
    while line().strip():
        pass
    return bytes(data)
