"""Requests per second, and CPU per request, of a no-op route behind the front of `weighbridge serve`.

`python -m benchmarks.wsgi_front [seconds]` measures the whole way (cheroot, the front's checks,
Chalice's gateway, a view that returns an empty object) on kept connections, from a process of its
own, and beside it cheroot alone, and `chalice local` without its delay.
"""

import http.client
import multiprocessing
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from chalice import Chalice
from chalice.config import Config
from chalice.local import ChaliceRequestHandler, LocalDevServer

from infra.embedded.front import Front
from infra.embedded.http_server import Server
from infra.embedded.wsgi import Application
from weighbridge.contract import origins


def app() -> Chalice:
    """An app with one route that does nothing, among 60 others as in the real one."""
    made = Chalice(app_name="noop")
    for number in range(60):
        made.route(f"/api/{number}/{{name}}", name=f"r{number}")(lambda name: {})
    made.route("/api/noop")(lambda: {})
    return made


def client(port: int, seconds: float, connections: int, counts: Any) -> None:
    """Asks on `connections` connections at once; puts the number of answers and the latencies."""
    taken: list[float] = []
    until = time.monotonic() + seconds

    def ask() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        while (began := time.monotonic()) < until:
            connection.request("GET", "/api/noop")
            answer = connection.getresponse()
            answer.read()
            assert answer.status == 200, answer.status
            taken.append(time.monotonic() - began)
        connection.close()

    threads = [threading.Thread(target=ask) for _ in range(connections)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    taken.sort()
    counts.put((len(taken) / seconds, taken[len(taken) // 2], taken[int(len(taken) * 0.99)]))


def measure(name: str, port: int, seconds: float) -> None:
    """One line per number of connections."""
    context = multiprocessing.get_context("spawn")
    for connections in (1, 8):
        counts = context.Queue()
        process = context.Process(target=client, args=(port, seconds, connections, counts))
        process.start()
        before = time.process_time()
        rate, median, slow = counts.get(timeout=seconds + 60)
        spent = (time.process_time() - before) / (rate * seconds)
        process.join()
        print(
            f"{name:24} {connections} connection(s): {rate:6.0f} requests/s, "
            f"median {median * 1000:.2f} ms, 99% {slow * 1000:.2f} ms, "
            f"CPU {spent * 1e6:.0f} µs each",
            flush=True,
        )


def serve(server: Server, seconds: float, name: str) -> None:
    """Measures a server of ours."""
    server.prepare()
    port = server.bind_addr[1]
    if isinstance(server.wsgi_app, _Late):
        server.wsgi_app = server.wsgi_app.build(port)
    thread = threading.Thread(target=server.serve)
    thread.start()
    measure(name, port, seconds)
    server.stop()
    thread.join()


class _Late:
    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def build(self, port: int) -> Front:
        """The front needs the port that it answers on."""
        site: Any = None
        keys: Any = None
        return Front(Application(app()), origins.doors(port), self._folder, site, keys)


def nothing(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    """The least that a WSGI application can do."""
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", "2")])
    return [b"{}"]


def main(seconds: float) -> None:
    """Measures the three, one after another."""
    with tempfile.TemporaryDirectory() as folder:
        late: Any = _Late(Path(folder))
        serve(Server(("127.0.0.1", 0), nothing), seconds, "cheroot alone")
        serve(Server(("127.0.0.1", 0), late), seconds, "cheroot, front, Chalice")
    ChaliceRequestHandler.disable_nagle_algorithm = True
    ChaliceRequestHandler.log_message = lambda *_: None
    config = Config(chalice_stage="dev", config_from_disk={"app_name": "noop"})
    local = LocalDevServer(app(), config, "127.0.0.1", 0)
    thread = threading.Thread(target=local.serve_forever, daemon=True)
    thread.start()
    measure("chalice local, no delay", local.server.server_address[1], seconds)
    local.shutdown()


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 5.0)
