"""One line about each request and each message: who asked for what, what came of it, what it cost.

    {"kind": "api", "route": "GET /api/projects/{project}", "status": 200, "ms": 12.3, "units": 1.5, …}

A line holds what is listed in `Line` and nothing else of the request: the route stands for the address, whose
variable parts may be tickets, and no header, body or signed URL gets near it. Where a deployment is named the
line is a CloudWatch metric as well (embedded metric format), so that nothing has to be asked for anew.
"""

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from typing import Any
from urllib.parse import unquote

from chalice.app import Request, Response

from chalicelib import wiring
from chalicelib.registry.tokens import Principal
from chalicelib.settings import settings

NAMESPACE = "Weighbridge"
METRICS = {"ms": "Milliseconds", "units": "Count", "failures": "Count"}
DIMENSIONS = ("stack", "kind")
"""Few and bounded: each combination of their values is billed by itself."""
KINDS = (
    ("/api/model_registry", "kubeflow"), ("/api", "api"), ("/edge", "edge"), ("/v1", "fate"),
    ("/v2", "fate"),
)  # fmt: skip
"""What begins the addresses of a kind of requests; all others are pages."""
REQUEST_ID = "X-Request-Id"
_MOST = 200
"""Characters of a name: callers may send longer ones than we ever gave."""


class Line:
    """What is told of one request or message. No dataclass: making one takes a cold start a millisecond.

    `route` is method and path with the names of the parameters; a message has none, and its id in the queue is its
    `request_id`. `project` is as the address names it, of a message the project's id. `token` is the token's id.
    """

    __slots__ = (
        "cost", "failures", "kind", "ms", "principal", "project", "request_id", "route", "silent",
        "status", "token",
    )  # fmt: skip

    def __init__(self, kind: str, route: str = "", request_id: str = "") -> None:
        self.kind, self.route, self.request_id = kind, route, request_id
        self.status: int | str = ""
        self.principal = self.token = self.project = ""
        self.ms = 0.0
        self.cost: wiring.Cost | None = None
        self.failures = 0
        self.silent = False

    def fields(self) -> dict[str, Any]:
        """The line as JSON has it; what is not known is left out."""
        found: dict[str, Any] = {"kind": self.kind, "status": self.status}
        for name in ("route", "principal", "token", "project", "request_id"):
            if value := getattr(self, name):
                found[name] = value[:_MOST]
        if self.cost is not None:
            reads, writes = self.cost.reads, self.cost.writes
            found |= {"reads": reads, "writes": writes, "units": reads + writes}
        return {**found, "ms": round(self.ms, 1), "failures": self.failures, **_metrics(self.kind)}

    def __str__(self) -> str:
        """The line for people."""
        who = self.principal[:_MOST] or "-"
        what = self.route or self.kind
        return f"{what} {self.status} {self.ms:.1f} ms {who} {self.project[:_MOST]!r} {self.request_id}"


Sink = Callable[[Line], None]


def _print(line: Line) -> None:
    text = settings().log == "text"
    told = str(line) if text else json.dumps(line.fields(), ensure_ascii=False)
    sys.stdout.write(told + "\n")


_sink: list[Sink] = [_print]
_current: ContextVar[Line | None] = ContextVar("line", default=None)


def write_to(sink: Sink) -> Sink:
    """Sends lines somewhere else than to standard output; answers where they went before."""
    before, _sink[0] = _sink[0], sink
    return before


def known(principal: Principal) -> Principal:
    """Notes who calls; answers the same."""
    if line := _current.get():
        line.principal, line.token = principal.name, principal.token_id
    return principal


def reader(token: str) -> None:
    """Notes the token whose cookie opens a page."""
    if line := _current.get():
        line.token = token


def about(project: str) -> str:
    """Notes the project that a request or message is about; answers the same."""
    if line := _current.get():
        line.project = project
    return project


def done_before() -> None:
    """Notes that an earlier message did what this one asks for: it is not told of, unless it fails."""
    if line := _current.get():
        line.silent = True


def http(request: Request, answer: Callable[[Request], Response]) -> Response:
    """The middleware of all routes: measures, logs, and names the request in the answer."""
    context = request.context or {}
    path = str(context.get("resourcePath", ""))
    kind = next((kind for start, kind in KINDS if path.startswith(start)), "page")
    named = str(context.get("requestId", ""))
    with _told(Line(kind, f"{request.method} {path}", request_id=named)) as line:
        line.project = unquote((request.uri_params or {}).get("project", ""))
        response = answer(request)
        line.status = response.status_code
        line.failures = int(response.status_code >= 500)
    if named:
        # A new dictionary: that of the view may be one that all its answers share.
        response.headers = {**response.headers, REQUEST_ID: named}
    return response


@contextmanager
def message(kind: str, identifier: str) -> Iterator[Line]:
    """Measures and logs the handling of one message; an error passes through."""
    with _told(Line(kind, request_id=identifier)) as line:
        yield line


@contextmanager
def _told(line: Line) -> Iterator[Line]:
    mode = settings().log
    if mode == "none":
        yield line
        return
    token = _current.set(line)
    started = time.perf_counter()
    try:
        # Counting takes as long as reading on one machine, where nobody is billed: text has no units.
        with wiring.costs() if mode == "json" else nullcontext() as line.cost:
            yield line
        line.status = line.status or "done"
    except BaseException:
        line.status, line.failures = "failed", 1
        raise
    finally:
        _current.reset(token)
        line.ms = (time.perf_counter() - started) * 1000
        if not line.silent or line.failures:
            _sink[0](line)


def _metrics(kind: str) -> dict[str, Any]:
    """What makes CloudWatch take metrics out of a line."""
    stack = settings().deployment
    if not stack:
        return {}
    declared = {
        "Namespace": NAMESPACE,
        "Dimensions": [list(DIMENSIONS)],
        "Metrics": [{"Name": name, "Unit": unit} for name, unit in METRICS.items()],
    }
    about = {"Timestamp": int(time.time() * 1000), "CloudWatchMetrics": [declared]}
    return {"_aws": about, "stack": stack, "kind": kind}
