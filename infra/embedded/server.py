"""The server process: starts the parts in order, serves until it is told to stop, stops them in
reverse. Everything it starts ends with it, however it ends.
"""

import contextlib
import json
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn
from urllib.parse import urlsplit

from chalicelib.registry.ports import Queue
from infra.embedded.data_folder import DataFolder, Secrets, write_private
from infra.embedded.options import Options
from weighbridge.contract.errors import Conflict, RegistryError, Unavailable, Unsupported

if TYPE_CHECKING:
    from infra.embedded.http_server import Server
    from infra.embedded.seaweed import SeaweedFS
    from infra.embedded.worker import Worker

_log = logging.getLogger("weighbridge.serve")
STOP_SECONDS = 7.5
"""After this the process ends whatever still runs; the parts get less, below."""
_SEAWEED_GRACE = 1.0
_WORKER_GRACE = 2.0
_POLL_STORE = 20.0
_SWEEP = 300.0
_OWN = ("SIGN_SECONDS", "LEASE_SECONDS", "STALE_SECONDS")
_OF_ANOTHER_STORE = (
    "BUCKET", "SITE_BUCKET", "REGION", "S3_ACCESS_KEY", "S3_SECRET_KEY", "S3_CA_FILE", "INBOX_ROLE",
)  # fmt: skip


class Stopped(BaseException):
    """A signal came before the server was ready."""


class Signals:
    """SIGINT and SIGTERM: an exception in the main thread until `ready`, a flag from then on."""

    def __init__(self) -> None:
        self.stop = threading.Event()
        self._ready = False
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._came)

    def ready(self) -> None:
        """From now on a signal only sets `stop`."""
        self._ready = True

    def _came(self, *_: object) -> None:
        if not self._ready and not self.stop.is_set():
            self.stop.set()
            raise Stopped
        self.stop.set()


def run(options: Options) -> int:
    """Serves; answers the exit code: 0 after a signal, 1 where something failed."""
    signals = Signals()
    try:
        with ExitStack() as parts:
            stack = Stack(options, parts)
            stack.start(signals.stop)
            signals.ready()
            stack.announce()
            while not signals.stop.wait(0.5):
                stack.check()
            _end_in_time(STOP_SECONDS)
            print("stopping …", file=sys.stderr, flush=True)
    except Stopped:
        return 0
    except RegistryError as error:
        print(f"weighbridge serve: {error.message}", file=sys.stderr, flush=True)
        return 1
    return 0


class Stack:
    """The parts of one server. `start` registers with `parts` what stops each of them."""

    def __init__(self, options: Options, parts: ExitStack) -> None:
        self._options = options
        self._parts = parts
        self._url = ""
        self._secrets: Secrets | None = None
        self._seaweed: SeaweedFS | None = None

    def start(self, stop: threading.Event) -> None:
        """Returns when requests are answered."""
        options, parts = self._options, self._parts
        # Ports are cheap to ask for and most often what is wrong: they come first.
        with _needs_extra():
            server = self._bind()
        folder = DataFolder(options.data)
        parts.callback(folder.close)
        self._secrets = folder.secrets()
        self._url = options.address(server.bind_addr[1])
        os.environ.update(_environment(options, folder.path, self._secrets, self._url))
        with _needs_extra():
            queue = self._queue(folder.path)
            if not options.s3_endpoint:
                self._start_seaweed(folder.path, self._secrets, queue)
            app = self._import_app()
            worker = self._worker(app, queue)
        server.wsgi_app = self._application(app, self._secrets, server.bind_addr[1])
        worker.start()
        parts.callback(worker.stop, _WORKER_GRACE)
        _serve(server, parts)
        if options.control_fd is not None:
            _stop_with(options.control_fd, stop)

    def check(self) -> None:
        """Raises `Unavailable` when a part has died."""
        if self._seaweed is not None and not self._seaweed.running:
            raise Unavailable(f"SeaweedFS ended by itself; see {self._seaweed.log}")

    def announce(self) -> None:
        """Tells people and programs where the server is."""
        assert self._secrets
        ticket = self._ticket()
        print(f"Weighbridge serves {self._url} (data in {self._options.data.absolute()})")
        if ticket:
            print(f"Open the catalogue: {ticket}  (works once, for five minutes)")
        print("Ctrl-C stops it.", flush=True)
        ready = {
            "url": self._url,
            "token": self._secrets.admin_token,
            "ticket": ticket,
            "pid": os.getpid(),
            "s3": os.environ["WEIGHBRIDGE_S3_ENDPOINT"],
        }
        if self._options.ready_file:
            write_private(self._options.ready_file.absolute(), json.dumps(ready))
        if self._options.control_fd is not None:
            with contextlib.suppress(OSError):
                os.write(self._options.control_fd, json.dumps(ready).encode("utf-8") + b"\n")

    def _bind(self) -> "Server":
        from infra.embedded.http_server import Server

        options = self._options
        server = Server(
            (options.host, options.port), _starting, options.tls_cert, options.tls_key
        )
        try:
            server.prepare()
        except OSError as error:
            raise Conflict(
                f"port {options.port} on {options.host} cannot be used ({_reason(error)}); "
                "stop the program that has it, or choose another with --port"
            ) from None
        self._parts.callback(server.stop)
        return server

    def _queue(self, data: Path) -> Any:
        from chalicelib.storage.queues import SqliteQueue

        queue = SqliteQueue(str(data / "queue.sqlite"))
        self._parts.callback(queue.close)
        queue.recover()
        return queue

    def _start_seaweed(self, data: Path, keys: Secrets, queue: Queue) -> None:
        from infra.embedded import webhook
        from infra.embedded.http_server import Server
        from infra.embedded.listener import Listener
        from infra.embedded.seaweed import SeaweedFS

        options = self._options
        listener = Listener(queue, os.environ["WEIGHBRIDGE_BUCKET"], webhook.objects)
        events = Server(("127.0.0.1", 0), listener, threads=4)
        events.prepare()
        self._parts.callback(events.stop)
        _serve(events, self._parts)
        public = urlsplit(options.s3_public_url)
        self._seaweed = seaweed = SeaweedFS(
            data / "objects",
            access_key=keys.s3_access_key,
            secret_key=keys.s3_secret_key,
            host=options.host if options.network else "127.0.0.1",
            s3_port=(public.port or 443) if options.s3_public_url else 0,
            webhook_url=f"http://127.0.0.1:{events.bind_addr[1]}{listener.path}",
            tls_cert=options.tls_cert,
            tls_key=options.tls_key,
        )
        self._parts.callback(seaweed.stop, _SEAWEED_GRACE)
        seaweed.start()
        os.environ["WEIGHBRIDGE_S3_ENDPOINT"] = seaweed.endpoint
        os.environ["WEIGHBRIDGE_S3_PUBLIC_ENDPOINT"] = self._public_s3(seaweed)

    def _public_s3(self, seaweed: "SeaweedFS") -> str:
        if self._options.s3_public_url:
            return self._options.s3_public_url
        url = urlsplit(seaweed.public_endpoint)
        if not self._options.tls_cert:
            return seaweed.public_endpoint
        host = urlsplit(self._url).hostname or ""
        return f"https://{f'[{host}]' if ':' in host else host}:{url.port}"

    def _import_app(self) -> Any:
        import app
        from chalicelib import wiring

        assert self._secrets
        for store in (wiring.stores().blobs, wiring.stores().site):
            store.ensure_bucket()  # type: ignore[attr-defined]
        wiring.bootstrap(self._secrets.admin_token)
        return app

    def _worker(self, app: Any, queue: Any) -> "Worker":
        from infra.embedded.worker import Worker

        # Without webhooks only the sweep finds new objects.
        every = _POLL_STORE if self._options.s3_endpoint else _SWEEP
        handlers = {"index": app.index_object, "render": app.render_pages}
        return Worker(queue, handlers, app.sweep, sweep_seconds=every)

    def _application(self, app: Any, keys: Secrets, port: int) -> Any:
        from chalicelib import wiring
        from chalicelib.api import cookie
        from infra.embedded.front import Front
        from infra.embedded.wsgi import Application
        from weighbridge.contract import origins

        options = self._options
        return Front(
            api=Application(app.app),
            doors=origins.doors(port, tls=bool(options.tls_cert), urls=[self._url]),
            static=Path(__file__).parents[2] / "frontend" / "static",
            site=wiring.stores().site,
            keys=cookie.read_keys(keys.secret),
            secure=self._url.startswith("https:"),
            open_pages=options.anonymous != "none",
        )

    def _ticket(self) -> str:
        from infra.embedded.tickets import ask

        assert self._secrets
        return ask(self._application_api(), self._secrets.admin_token)

    def _application_api(self) -> Any:
        raise NotImplementedError


def _starting(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
    start_response("503 Service Unavailable", [("Retry-After", "1"), ("Content-Length", "0")])
    return []


def _serve(server: "Server", parts: ExitStack) -> None:
    thread = threading.Thread(target=server.serve, name="http", daemon=True)
    thread.start()
    parts.callback(server.stop)
