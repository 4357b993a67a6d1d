"""How Kubeflow's clients ask: two prefixes for the same calls, JSON bodies, and paths of one to three parts.

A call is a function of one `Asked`; paths are taken apart here, because the gateway has room for 300
resources in all, and so that an unknown one is answered in the client's own words.
"""

import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from chalice.app import Request, Response

from chalicelib.api import doors
from chalicelib.kubeflow import answers
from chalicelib.registry import projects
from chalicelib.registry.projects import ProjectRecord
from chalicelib.registry.stores import Stores
from chalicelib.registry.tokens import Principal
from chalicelib.wiring import stores
from weighbridge.contract.errors import InvalidRequest, NotFound, RegistryError
from weighbridge.contract.types import Verb

SEGMENTS = ("first", "second", "third")
"""What the parts of a path are called in its route."""
PREFIX = "/api/model_registry"
RELEASES = ("v1alpha3", "v1")
ANY = "*"
"""A part of a path that is an id."""
_LOG = logging.getLogger("weighbridge.kubeflow")


@dataclass(frozen=True, slots=True)
class Asked:
    """A request whose caller may read the project of its names."""

    who: Principal
    project: str
    ids: tuple[str, ...]
    query: dict[str, str]
    body: dict[str, Any]
    at: Stores

    @property
    def by(self) -> str:
        """The caller's name in the history."""
        return self.who.name

    @property
    def id(self) -> str:
        """The id in the path."""
        return self.ids[0]

    def require(self, verb: Verb, model: str) -> None:
        """Raises unless the caller may do that with a model."""
        self.who.require(verb, self.project, model)

    def record(self) -> ProjectRecord:
        """The project; `NotFound` if nothing was ever written to it."""
        return projects.find(self.at, self.project)

    def existing(self) -> ProjectRecord | None:
        """The project, if there is one."""
        try:
            return self.record()
        except NotFound:
            return None

    def writable(self) -> ProjectRecord:
        """The project before a write, made if it is not there and the caller may make it."""
        doors.writable(self.at, self.who)
        return self.record()

    def one(self, *known: str) -> dict[str, str]:
        """The parameters given, of those that are known; no others may stand there."""
        if unknown := sorted(set(self.query) - set(known)):
            raise InvalidRequest(
                f"unknown parameter {unknown[0][:60]!r}; known are {', '.join(known)}"
            )
        return {name: value for name, value in self.query.items() if value}


View = Callable[[Asked], tuple[int, Any]]
CALLS: dict[tuple[str, ...], dict[str, View]] = {}
"""Views by path and method; parts of a path that are ids are `ANY`."""


def call(method: str, path: str) -> Callable[[View], View]:
    """Registers the view of a path below both prefixes. It answers a status and a document."""

    def decorate(view: View) -> View:
        CALLS.setdefault(tuple(path.split("/")), {})[method] = view
        return view

    return decorate


def _found(parts: list[str]) -> tuple[dict[str, View], tuple[str, ...]]:
    for path, views in CALLS.items():
        if len(path) == len(parts) and all(p in (ANY, q) for p, q in zip(path, parts, strict=True)):
            return views, tuple(q for p, q in zip(path, parts, strict=True) if p == ANY)
    return {}, ()


def _handle(request: Request, release: str, parts: list[str]) -> Response:
    views, ids = _found(parts) if release in RELEASES else ({}, ())
    if not views:
        return answers.unrouted(404)
    view = views.get(request.method)
    if view is None:
        return answers.unrouted(405)
    try:
        who = doors.authenticate(request.headers.get("authorization"))
        project = doors.project_name(who)
        who.require("read", project)
        body = _body(request) if request.method != "GET" else {}
        status, found = view(Asked(who, project, ids, _query(request), body, stores()))
        return answers.document(found, status)
    except RegistryError as error:
        if error.status >= 500:
            _LOG.error("%s %s: %s", request.method, "/".join(parts), error.message)
        return answers.of(error)
    except Exception:
        _LOG.exception("unhandled error in %s %s", request.method, "/".join(parts))
        return answers.failed(500, "the server failed; its log has the details")


def _query(request: Request) -> dict[str, str]:
    params = request.query_params
    return {name: str(params.getlist(name)[-1]) for name in params} if params else {}


def _body(request: Request) -> dict[str, Any]:
    raw = request.raw_body or b""
    try:
        text = raw.decode() if isinstance(raw, bytes) else raw
        found = json.loads(text, parse_constant=_refuse)
        json.dumps(found, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        raise InvalidRequest("the body is no JSON that can be stored") from None
    if not isinstance(found, dict):
        raise InvalidRequest("the body must be a JSON object")
    return found


def _refuse(text: str) -> Any:
    raise ValueError(text)


def answer(request: Request, given: Mapping[str, str]) -> Response:
    """The answer to any request: what is meant is in its path."""
    parts = [unquote(given[name]) for name in SEGMENTS if name in given]
    return _handle(request, unquote(given["release"]), parts)
