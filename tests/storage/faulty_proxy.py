"""A proxy before a DynamoDB endpoint that fails on command, as networks and services do."""

import http.client
import json
import socket
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

REFUSALS = {
    "throttle": (400, "ThrottlingException", {}),
    "capacity": (400, "ProvisionedThroughputExceededException", {}),
    "conflict": (400, "TransactionConflictException", {}),
    "broken": (500, "InternalServerError", {}),
    "cancelled": (
        400,
        "TransactionCanceledException",
        {"CancellationReasons": [{"Code": "None"}, {"Code": "TransactionConflict"}]},
    ),
    "denied": (400, "AccessDeniedException", {}),
}


@dataclass(slots=True)
class Proxy:
    """`faults` are taken one per request; then requests pass. `seen` has the operations."""

    endpoint: str
    faults: deque[str] = field(default_factory=deque)
    seen: list[str] = field(default_factory=list)


@contextmanager
def faulty(upstream: str) -> Iterator[Proxy]:
    """A proxy to `upstream`, on a free port of this machine.

    Faults: a name of REFUSALS; `lost` does the request and drops the answer; `dropped` does not
    even do it; `half` leaves all but one item of a batch undone.
    """
    target = urlsplit(upstream).netloc

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            operation = self.headers["X-Amz-Target"].rpartition(".")[2]
            fault = proxy.faults.popleft() if proxy.faults else ""
            proxy.seen.append(f"{operation} {fault}".strip())
            if fault in REFUSALS:
                status, code, more = REFUSALS[fault]
                answer = {"__type": f"com.amazonaws.dynamodb.v20120810#{code}", "message": code}
                self._answer(status, json.dumps({**answer, **more}).encode())
            elif fault == "dropped":
                self._hang_up()
            elif fault == "half":
                first, left = _split(json.loads(body))
                status, answered = self._forward(json.dumps(first).encode())
                self._answer(status, json.dumps({**json.loads(answered), **left}).encode())
            else:
                status, answered = self._forward(body)
                if fault == "lost":
                    self._hang_up()
                else:
                    self._answer(status, answered)

        def _forward(self, body: bytes) -> tuple[int, bytes]:
            names = ("X-Amz-Target", "Content-Type", "Authorization", "X-Amz-Date")
            headers = {name: self.headers[name] for name in names}
            connection = http.client.HTTPConnection(target, timeout=10)
            try:
                connection.request("POST", "/", body, headers)
                response = connection.getresponse()
                return response.status, response.read()
            finally:
                connection.close()

        def _answer(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", "application/x-amz-json-1.0")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def _hang_up(self) -> None:
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)

        def log_message(self, format: str, *args: Any) -> None:
            """Tests read `seen`."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    proxy = Proxy(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield proxy
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _split(request: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """A batch request with its first item only, and the answer's fields for what is left."""
    ((name, wanted),) = request["RequestItems"].items()
    if isinstance(wanted, list):
        first = {**request, "RequestItems": {name: wanted[:1]}}
        return first, {"UnprocessedItems": {name: wanted[1:]} if wanted[1:] else {}}
    keys = wanted["Keys"]
    first = {**request, "RequestItems": {name: {**wanted, "Keys": keys[:1]}}}
    left = {name: {**wanted, "Keys": keys[1:]}} if keys[1:] else {}
    return first, {"UnprocessedKeys": left}
