"""A Chalice app as a WSGI application, by way of Chalice's own local gateway.

Behaves as API Gateway does where it matters: routes on the raw path, limits sizes, decodes binary
answers. Errors that the gateway or Chalice would word by themselves come in our one error body.
"""

import base64
import http
import json
import re
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, quote

from chalice.app import Chalice
from chalice.config import Config
from chalice.local import (
    LambdaEventConverter,
    LocalGateway,
    LocalGatewayException,
    MatchResult,
    RouteMatcher,
)

from infra.embedded.giving_way import Traffic
from weighbridge.contract import errors
from weighbridge.turns import Turns

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

MAX_REQUEST = 10 * 1024 * 1024
MAX_ANSWER = 6 * 1024 * 1024
_SECONDS = 29
_PUSHING_SECONDS = 10.0


Answer = tuple[int, list[tuple[str, str]], bytes]


@dataclass(frozen=True, slots=True)
class Door:
    """How the clients of a facade know what the gateway would word: unknown addresses and methods."""

    prefix: str
    unrouted: Callable[[int], Answer]


class Application:
    """The WSGI application. Any number of threads may call it."""

    def __init__(self, app: Chalice, doors: Sequence[Door] = ()) -> None:
        self._doors = doors
        _keep_requests_apart(app)
        config = Config(
            chalice_stage="local",
            user_provided_params={"chalice_app": app},
            config_from_disk={
                "app_name": app.app_name,
                "stages": {"local": {"api_gateway_stage": "api", "lambda_timeout": _SECONDS}},
            },
        )
        self._gateway = LocalGateway(app, config)
        self._gateway.event_converter = _Events(app)
        self._last_upload = -_PUSHING_SECONDS
        self.traffic = Traffic()
        self.turns = Turns()

    def __call__(
        self, environ: "WSGIEnvironment", start_response: "StartResponse"
    ) -> Iterable[bytes]:
        """Answers one request, in memory: bytes of models never pass here."""
        method = environ["REQUEST_METHOD"]
        size = int(environ.get("CONTENT_LENGTH") or 0)
        if size > MAX_REQUEST:
            answer = problem(errors.TooLarge(_TOO_LARGE, limit=MAX_REQUEST))
        else:
            body = environ["wsgi.input"].read(size) if size else b""
            # HEAD is GET without the body, and no route declares it.
            asked = "GET" if method == "HEAD" else method
            target = raw_target(environ)
            with self.traffic.request(), self.turns.turn():
                answer = self._ask(asked, target, _headers(environ), body)
            if method == "POST":
                self._note(target.partition("?")[0])
        status, headers, data = answer
        headers = [pair for pair in headers if pair[0].lower() != "content-length"]
        start_response(status_line(status), [*headers, ("Content-Length", str(len(data)))])
        return [] if method == "HEAD" else [data]

    def pushing(self) -> bool:
        """Whether somebody seems to be in the middle of a push: what can wait should, for then the
        machine is short of processors."""
        return time.monotonic() - self._last_upload < _PUSHING_SECONDS

    def _note(self, path: str) -> None:
        if "/uploads" in path:
            self._last_upload = time.monotonic()
        elif path.endswith(("/commit", "/checkpoints")):
            self._last_upload = -_PUSHING_SECONDS

    def _ask(self, method: str, target: str, headers: dict[str, str], body: bytes) -> "Answer":
        path, mark, query = target.partition("?")
        door = next((d for d in self._doors if path.startswith(d.prefix + "/")), None)
        if door and path.endswith("/"):
            return 307, [("Location", path.rstrip("/") + mark + query)], b""
        try:
            response = self._gateway.handle_request(method, target, headers, body)
        except _NoRoute:
            if door:
                return door.unrouted(404)
            return problem(errors.NotFound("there is nothing at this address"))
        except LocalGatewayException as refused:
            return worded(refused.CODE, "the authorizer does not allow this")
        return _answer(response, door)


_TOO_LARGE = (
    "a request may have 10 MB at most; files go to the store, by the URLs of an upload plan"
)


def raw_target(environ: "WSGIEnvironment") -> str:
    """Path and query as the client spelled them: WSGI's own path has been decoded already."""
    raw = environ.get("REQUEST_URI")
    if raw:
        return str(raw)
    path = quote(environ.get("PATH_INFO", "/").encode("latin-1"))
    query = environ.get("QUERY_STRING", "")
    return f"{path}?{query}" if query else path


def status_line(status: int) -> str:
    """A status with its phrase."""
    try:
        return f"{status} {http.HTTPStatus(status).phrase}"
    except ValueError:
        return f"{status} Unknown"


def problem(error: errors.RegistryError, status: int = 0) -> Answer:
    """An error as the API answers it."""
    named = str(uuid.uuid4())
    body = json.dumps(error.body(named), separators=(",", ":")).encode("utf-8")
    headers = [("Content-Type", "application/json"), ("X-Request-Id", named)]
    return status or error.status, headers, body


def worded(status: int, message: str) -> Answer:
    """An error that the framework or server found, with its status, as the API answers errors."""
    error = errors.from_body(status, {"message": message})
    if type(error) is errors.RegistryError and 400 <= status < 500:
        error = errors.InvalidRequest(message)
    return problem(error, status)


def _headers(environ: "WSGIEnvironment") -> dict[str, str]:
    headers = {
        key[5:].replace("_", "-").lower(): str(value)
        for key, value in environ.items()
        if key.startswith("HTTP_")
    }
    for key in ("CONTENT_TYPE", "CONTENT_LENGTH"):
        if environ.get(key):
            headers[key.replace("_", "-").lower()] = environ[key]
    # The gateway says who calls; what callers say of themselves is not believed.
    headers["x-forwarded-for"] = environ.get("REMOTE_ADDR", "")
    headers["x-forwarded-proto"] = environ.get("wsgi.url_scheme", "http")
    return headers


def _answer(response: dict[str, Any], door: Door | None = None) -> Answer:
    status = int(response["statusCode"])
    body: str | bytes = response["body"] or b""
    if len(body) > MAX_ANSWER:
        return problem(errors.Unavailable("the answer is larger than 6 MB"), 502)
    headers = [(str(key), str(value)) for key, value in response["headers"].items()]
    for key, values in response["multiValueHeaders"].items():
        headers += [(str(key), str(value)) for value in values]
    if response.get("isBase64Encoded"):
        body = base64.b64decode(body)
    data = body.encode("utf-8") if isinstance(body, str) else body
    if not any(key.lower() == "content-type" for key, _ in headers):
        headers.append(("Content-Type", "application/json"))
    if status >= 400 and (message := _chalice_error(data)) is not None:
        return door.unrouted(status) if door else worded(status, message)
    return status, headers, data


def _chalice_error(data: bytes) -> str | None:
    """The message of an error that Chalice worded by itself (405, 415, 500)."""
    if not data.startswith(b'{"Code"'):
        return None
    try:
        body = json.loads(data)
    except ValueError:
        return None
    return str(body.get("Message", "")) if set(body) == {"Code", "Message"} else None


class _NoRoute(Exception):
    """No route has this path. Not the ValueError that Chalice's gateway expects: its answer to
    that puts the caller's token into the body, and fails where the token is not ASCII."""


class _Routes(RouteMatcher):
    """Finds a request's route as API Gateway does: a literal segment before a variable one.

    Takes the place of Chalice's matcher, which compares with every route in turn.
    """

    def __init__(self, urls: Iterable[str]) -> None:
        super().__init__(list(urls))
        self._by_length: dict[int, list[tuple[str, list[str]]]] = {}
        for url in sorted(urls):
            parts = url.split("/")
            self._by_length.setdefault(len(parts), []).append((url, parts))

    def match_route(self, url: str) -> MatchResult:
        path, _, query = url.partition("?")
        if path != "/" and path.endswith("/"):
            path = path[:-1]
        parts = path.split("/")
        for route, names in self._by_length.get(len(parts), ()):
            captured = _capture(names, parts)
            if captured is not None:
                return MatchResult(route, captured, parse_qs(query, keep_blank_values=True))
        raise _NoRoute(path)


def _capture(names: list[str], parts: list[str]) -> dict[str, str] | None:
    captured = {}
    for name, part in zip(names, parts, strict=True):
        if name.startswith("{"):
            if not part:
                return None
            captured[name[1:-1]] = part
        elif name != part:
            return None
    return captured


class _Events(LambdaEventConverter):
    """Events with the fields that only the real gateway fills in."""

    def __init__(self, app: Chalice) -> None:
        super().__init__(_Routes(app.routes), app.api.binary_types)

    def create_lambda_event(
        self, method: str, path: str, headers: dict[str, str], body: bytes | None = None
    ) -> dict[str, Any]:
        event: dict[str, Any] = super().create_lambda_event(method, path, headers, body)
        context = event["requestContext"]
        context["requestId"] = str(uuid.uuid4())
        context["stage"] = "api"
        context["identity"] = {
            "sourceIp": headers.get("x-forwarded-for", ""),
            "userAgent": headers.get("user-agent", ""),
        }
        if not event.get("isBase64Encoded") and isinstance(event["body"], bytes):
            event["body"] = _text_or_base64(event, event["body"])
        return event


def _text_or_base64(event: dict[str, Any], body: bytes) -> str:
    # API Gateway passes text as text; bytes that are none would be damaged, so they travel encoded.
    try:
        return body.decode("utf-8")
    except UnicodeDecodeError:
        event["isBase64Encoded"] = True
        return base64.b64encode(body).decode("ascii")


def _keep_requests_apart(app: Chalice) -> None:
    """Gives every thread its own current request: one Lambda serves one at a time, we do not."""
    if re.match("Threaded", type(app).__name__):
        return
    local = threading.local()

    def per_thread(name: str) -> property:
        return property(
            lambda _self: getattr(local, name, None),
            lambda _self, value: setattr(local, name, value),
        )

    members = {name: per_thread(name) for name in ("current_request", "lambda_context")}
    for name in members:
        app.__dict__.pop(name, None)
    app.__class__ = type(f"Threaded{type(app).__name__}", (type(app),), members)
