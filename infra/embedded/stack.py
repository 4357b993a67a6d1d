"""The parts of one server, and how they are tied together."""

import importlib
import io
import json
import logging
import os
import threading
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from dataclasses import replace
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from infra.embedded import log_lines
from infra.embedded.data_folder import DataFolder, Secrets, write_private
from infra.embedded.opening import RUNNING
from infra.embedded.options import Options
from weighbridge.contract.errors import Conflict, Unavailable

if TYPE_CHECKING:
    from chalicelib.registry.receiving import Opener
    from chalicelib.storage.queues import SqliteQueue
    from infra.embedded.http_server import Server
    from infra.embedded.seaweed import SeaweedFS
    from infra.embedded.wsgi import Answer, Application

_log = logging.getLogger("weighbridge.serve")
_SEAWEED_GRACE = 1.0
_WORKER_GRACE = 2.0
_SWEEP_SECONDS = 300.0
_POLL_SECONDS = 20.0
"""Between sweeps where the store sends no webhooks: only the sweep finds what is new there."""
_KEPT = (
    "SIGN_SECONDS", "LEASE_SECONDS", "STALE_SECONDS", "DOOR_PROJECT", "EDGE_DOWNLOAD",
    "EDGE_URL_SCHEME", "FATE_STORE", "FATE_STORE_ROOT", "LOG", "COOKIE_EPOCH", "OPEN_UPLOADS",
    "REQUESTS_PER_MINUTE",
)  # fmt: skip
_KEPT_FOR_ANOTHER_STORE = (
    "BUCKET", "SITE_BUCKET", "REGION", "S3_ACCESS_KEY", "S3_SECRET_KEY", "S3_CA_FILE", "INBOX_ROLE",
)  # fmt: skip


class Stack:
    """Starts the parts; what stops each of them is registered with `parts`."""

    folder: DataFolder
    secrets: Secrets
    url: str

    def __init__(self, options: Options, parts: ExitStack) -> None:
        self._options = options
        self._parts = parts
        self._seaweed: SeaweedFS | None = None
        self._api: Application | None = None

    def start(self) -> None:
        """Returns when requests are answered."""
        options = self._options
        # The port is cheap to ask for and most often what is wrong: it comes first.
        server = self._listen((options.host, options.port), _starting)
        self.folder = DataFolder(options.data)
        self._parts.callback(self.folder.close)
        self._parts.callback(logging.shutdown)
        log_lines.start(self.folder.path / "serve.log")
        self.secrets = self.folder.secrets()
        port: int = server.bind_addr[1]
        self.url = options.address(port)
        _replace_environment(environment(options, self.folder.path, self.secrets, self.url))
        queue = self._queue()
        if not options.s3_endpoint:
            self._start_seaweed(queue)
        app = self._import_app()
        server.wsgi_app = self._front(app, port)
        self._start_worker(app, queue)
        self._serve(server)

    def check(self) -> None:
        """Raises `Unavailable` when a part has died."""
        if self._seaweed is not None and not self._seaweed.running:
            raise Unavailable(f"SeaweedFS ended by itself; see {self._seaweed.log}")

    def ticket(self) -> str:
        """A link that signs one browser in; empty if there is none to be had."""
        assert self._api
        status, body = _post(self._api, "/api/tickets", self.secrets.admin_token)
        if status != 201:
            _log.error("no sign-in link could be made: %s", body)
            return ""
        return str(body["url"])

    def _listen(self, address: tuple[str, int], application: Any, threads: int = 24) -> "Server":
        from infra.embedded.http_server import Server

        options, host = self._options, address[0]
        own = application is _starting
        certificate, key = (options.tls_cert, options.tls_key) if own else (None, None)
        try:
            server = Server(address, application, certificate, key, threads=threads)
            server.prepare()
        except OSError as error:
            raise Conflict(
                f"port {address[1]} on {host} cannot be used ({_reason(error)}): stop the program "
                "that has it, or choose another with --port"
            ) from None
        self._parts.callback(server.stop)
        return server

    def _serve(self, server: "Server") -> None:
        threading.Thread(target=server.serve, name="http", daemon=True).start()
        self._parts.callback(server.stop)

    def _queue(self) -> "SqliteQueue":
        from chalicelib.storage.queues import SqliteQueue

        queue = SqliteQueue(os.environ["WEIGHBRIDGE_QUEUE"].removeprefix("sqlite:"))
        self._parts.callback(queue.close)
        queue.recover()
        return queue

    def _start_seaweed(self, queue: "SqliteQueue") -> None:
        from infra.embedded import webhook
        from infra.embedded.listener import Listener
        from infra.embedded.seaweed import SeaweedFS

        options = self._options
        listener = Listener(queue, os.environ["WEIGHBRIDGE_BUCKET"], webhook.objects)
        self._parts.callback(listener.close)
        events = self._listen(("127.0.0.1", 0), listener, threads=4)
        self._serve(events)
        wanted = urlsplit(options.s3_public_url)
        seaweed = SeaweedFS(
            self.folder.path / "objects",
            access_key=self.secrets.s3_access_key,
            secret_key=self.secrets.s3_secret_key,
            host=options.host if options.network else "127.0.0.1",
            s3_port=(wanted.port or 443) if wanted.netloc else 0,
            webhook_url=f"http://127.0.0.1:{events.bind_addr[1]}{listener.path}",
            tls_cert=options.tls_cert,
            tls_key=options.tls_key,
        )
        self._parts.callback(seaweed.stop, _SEAWEED_GRACE)
        seaweed.start()
        self._seaweed = seaweed
        write_private(self.folder.path / RUNNING, json.dumps({"endpoint": seaweed.endpoint}))
        os.environ["WEIGHBRIDGE_S3_ENDPOINT"] = seaweed.endpoint
        os.environ["WEIGHBRIDGE_INBOX_IDENTITIES"] = seaweed.endpoint
        os.environ["WEIGHBRIDGE_S3_PUBLIC_ENDPOINT"] = self._public_s3(seaweed)

    def _public_s3(self, seaweed: "SeaweedFS") -> str:
        """The store as clients reach it: the name they know us by, unless told otherwise."""
        if self._options.s3_public_url:
            return self._options.s3_public_url
        if not self._options.tls_cert:
            return seaweed.public_endpoint
        name = urlsplit(self.url).hostname or ""
        host = f"[{name}]" if ":" in name else name
        return f"https://{host}:{urlsplit(seaweed.public_endpoint).port}"

    def _import_app(self) -> ModuleType:
        import app
        from chalicelib import wiring
        from chalicelib.api import observing
        from chalicelib.registry import jobs

        log_lines.replace_handlers(logging.getLogger("weighbridge"))
        observing.write_to(log_lines.of_request)
        stores = wiring.stores()
        # Of another store the rules are its operator's: not every one knows CORS.
        origins = [self.url] if self._seaweed is not None else []
        stores.blobs.ensure_bucket(origins)  # type: ignore[attr-defined]
        stores.site.ensure_bucket()  # type: ignore[attr-defined]
        jobs.recover(stores)
        wiring.bootstrap(self.secrets.admin_token)
        return app

    def _front(self, app: ModuleType, port: int) -> Any:
        from chalicelib import wiring
        from chalicelib.api import cookie
        from chalicelib.registry import turns
        from chalicelib.settings import settings
        from infra.embedded.front import Front
        from infra.embedded.packing import Packing
        from infra.embedded.streaming import LongBodies
        from infra.embedded.wsgi import Application, Door
        from weighbridge.contract import origins

        options = self._options
        words = [("/edge", "edge"), ("/api/model_registry", "kubeflow")]
        self._api = Application(app.app, [Door(path, _words(name)) for path, name in words])
        self._parts.callback(turns.taken_by, turns.taken_by(self._api.turns.waiting))
        long = LongBodies(self._api, _admit, wiring.stores().blobs.read)
        front = Front(
            api=long,
            streams=long.takes,
            doors=origins.doors(port, tls=bool(options.tls_cert), urls=[self.url]),
            static=Path(__file__).parents[2] / "frontend" / "static",
            site=wiring.stores().site,
            keys=cookie.read_keys(self.secrets.secret, settings().cookie_epoch),
            secure=self.url.startswith("https:"),
            open_pages=options.anonymous != "none",
            missing=_not_found,
        )
        return Packing(front)

    def _start_worker(self, app: ModuleType, queue: "SqliteQueue") -> None:
        from chalicelib import wiring
        from infra.embedded.giving_way import giving_way
        from infra.embedded.worker import Worker

        assert self._api
        found = wiring.stores()
        self._parts.enter_context(
            wiring.using(replace(found, site=giving_way(found.site, self._api.traffic)))
        )
        every = _POLL_SECONDS if self._options.s3_endpoint else _SWEEP_SECONDS
        handlers = {"index": app.index_object, "render": app.render_pages, "archive": app.archive}
        worker = Worker(
            queue, handlers, app.sweep, sweep_seconds=every, pushing=self._api.pushing,
            turn=self._api.turns.turn,
        )  # fmt: skip
        worker.start()
        self._parts.callback(worker.stop, _WORKER_GRACE)


def _admit(authorization: str) -> "Opener":
    """Lets a client of a foreign door send long files, if it may write to the project of its names."""
    from chalicelib.api import doors
    from chalicelib.registry import projects
    from chalicelib.registry.receiving import Incoming
    from chalicelib.wiring import stores

    who = doors.authenticate(authorization or None)
    name = doors.writable(stores(), who)
    doors.require_some_write(who, name)
    project_id = projects.find(stores(), name).id
    return lambda most: Incoming(stores(), who.name, project_id, most)


def _words(door: str) -> "Callable[[int], Answer]":
    """What a door says where it has no route."""
    answers = importlib.import_module(f"chalicelib.{door}.answers")

    def unrouted(status: int) -> "Answer":
        found = answers.unrouted(status)
        headers = [(name, str(value)) for name, value in found.headers.items()]
        return status, headers, str(found.body).encode()

    return unrouted


def environment(options: Options, data: Path, keys: Secrets, url: str) -> dict[str, str]:
    """The settings of `chalicelib/settings.py`, as far as they are known before the start."""
    settings = {
        "CATALOG": f"sqlite:{data / 'catalog.sqlite'}",
        "QUEUE": f"sqlite:{data / 'queue.sqlite'}",
        "PUBLIC_URL": url,
        "SECRET": keys.secret,
        "ANONYMOUS": options.anonymous,
        "LONG_BODIES": "yes",
        "S3_ENDPOINT": options.s3_endpoint,
        "S3_PUBLIC_ENDPOINT": options.s3_public_url,
    }
    if options.s3_endpoint:
        settings["STORE_EVENTS"] = "no"  # nobody has told that store where we are
    else:
        from infra.embedded.seaweed import REGION

        settings |= {
            "BUCKET": "weighbridge-artifacts",
            "SITE_BUCKET": "weighbridge-site",
            "REGION": REGION,
            "S3_ACCESS_KEY": keys.s3_access_key,
            "S3_SECRET_KEY": keys.s3_secret_key,
        }
    kept = _KEPT + (_KEPT_FOR_ANOTHER_STORE if options.s3_endpoint else ())
    for name in kept:
        if value := os.environ.get(f"WEIGHBRIDGE_{name}"):
            settings.setdefault(name, value)
    settings.setdefault("BUCKET", "weighbridge-artifacts")
    settings.setdefault("EDGE_DOWNLOAD", "inline")
    # A machine of one's own serves as fast as it can; a network's may be told otherwise.
    settings.setdefault("REQUESTS_PER_MINUTE", "0")
    return {f"WEIGHBRIDGE_{name}": value for name, value in settings.items()}


def _replace_environment(settings: Mapping[str, str]) -> None:
    """Sets `settings`, and none of what another stack may have left in the environment."""
    from chalicelib.settings import Settings

    for name in Settings.__slots__:
        os.environ.pop(f"WEIGHBRIDGE_{name.upper()}", None)
    os.environ.update(settings)
    # Without these, a request for credentials would wait for Amazon's metadata address, and a
    # socket that a service manager passed on would be taken for ours.
    os.environ["AWS_EC2_METADATA_DISABLED"] = "true"
    os.environ.pop("LISTEN_PID", None)


def _post(application: "Application", path: str, token: str) -> tuple[int, Any]:
    """A POST with an empty object, without a network: the server's own address may not be one that
    this machine can resolve."""
    status: list[str] = []

    def start_response(line: str, headers: list[tuple[str, str]]) -> Callable[[bytes], object]:
        status.append(line)
        return lambda _data: None

    environ = {
        "REQUEST_METHOD": "POST",
        "REQUEST_URI": path,
        "CONTENT_TYPE": "application/json",
        "CONTENT_LENGTH": "2",
        "HTTP_AUTHORIZATION": f"Bearer {token}",
        "wsgi.input": io.BytesIO(b"{}"),
        "wsgi.url_scheme": "http",
    }
    body = b"".join(application(environ, start_response))  # type: ignore[arg-type]
    return int(status[0][:3]), json.loads(body)


@cache
def _not_found() -> bytes:
    from chalicelib.catalogue import pages, publish

    return publish.renderer().render(pages.not_found_page())


def _starting(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    start_response("503 Service Unavailable", [("Retry-After", "1"), ("Content-Length", "0")])
    return []


def _reason(error: OSError) -> str:
    # Cheroot wraps the system's message in its own.
    cause = error.__cause__ or error.__context__ or error
    text = getattr(cause, "strerror", None) or str(cause)
    return str(text).lower()
