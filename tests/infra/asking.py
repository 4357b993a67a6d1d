"""Requests for tests: to a WSGI application directly, and to a server by its socket."""

import contextlib
import http.client
import io
import json
import socket
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infra.embedded.http_server import Server


@dataclass
class Reply:
    """A whole answer; header names in lower case, repeated ones as a list in `many`."""

    status: int
    headers: dict[str, str]
    many: list[tuple[str, str]]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str:
        return self.json["error"]["code"]


def ask(
    application,
    target: str,
    method: str = "GET",
    body: bytes = b"",
    headers: dict[str, str] | None = None,
    **environ: Any,
) -> Reply:
    """One request, as a server would hand it over."""
    path, _, query = target.partition("?")
    env = {
        "REQUEST_METHOD": method,
        "REQUEST_URI": target,
        "PATH_INFO": path,
        "QUERY_STRING": query,
        "CONTENT_LENGTH": str(len(body)) if body else "",
        "REMOTE_ADDR": "127.0.0.1",
        "wsgi.input": io.BytesIO(body),
        "wsgi.url_scheme": "http",
        "HTTP_HOST": "127.0.0.1:8470",
    }
    for name, value in (headers or {}).items():
        key = name.upper().replace("-", "_")
        env[key if key in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{key}"] = value
    env.update(environ)
    started: list[Any] = []

    def start_response(status, response_headers, exc_info=None):
        started[:] = [int(status[:3]), response_headers]

    data = b"".join(application(env, start_response))
    status, many = started
    return Reply(status, {name.lower(): value for name, value in many}, many, data)


@contextlib.contextmanager
def listening(application, certificate: Path | None = None, key: Path | None = None, threads=6):
    """A real server on a free port of loopback; gives the port."""
    server = Server(("127.0.0.1", 0), application, certificate, key, threads=threads)
    server.prepare()
    thread = threading.Thread(target=server.serve)
    thread.start()
    try:
        yield server.bind_addr[1]
    finally:
        server.stop()
        thread.join(10)
        assert not thread.is_alive()


def over_http(
    port: int, method: str, target: str, body: bytes | None = None, **headers: str
) -> Reply:
    """One request over a socket of its own; header names are given with underscores."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    with contextlib.closing(connection):
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, target, body, sent)
        return reply_of(connection.getresponse())


def reply_of(answer: http.client.HTTPResponse) -> Reply:
    many = answer.getheaders()
    return Reply(answer.status, {n.lower(): v for n, v in many}, many, answer.read())


def raw(port: int, data: bytes) -> bytes:
    """What comes back for these very bytes, until the server closes."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(data)
        received = b""
        while block := connection.recv(65536):
            received += block
    return received
