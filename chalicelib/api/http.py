"""The HTTP edge: decode, check the token, call, encode. The only place where errors become statuses."""

import hashlib
import json
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import wraps
from typing import Any, TypeVar
from urllib.parse import unquote

from chalice.app import Blueprint, Request, Response

from chalicelib.api import auth
from chalicelib.registry.tokens import Principal
from weighbridge.contract import codec, references
from weighbridge.contract.errors import InvalidRequest, RegistryError
from weighbridge.contract.references import CheckpointSelector, VersionSelector
from weighbridge.contract.types import Verb

T = TypeVar("T")
HEADERS = {
    "Content-Type": "application/json",
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
}
_LOG = logging.getLogger("weighbridge.api")


@dataclass(frozen=True, slots=True)
class Operation:
    """One route, as the OpenAPI file describes it."""

    method: str
    path: str
    summary: str
    verb: Verb | None
    body: type | None
    answer: type | None
    status: int
    query: tuple[str, ...]


OPERATIONS: list[Operation] = []


@dataclass(frozen=True, slots=True)
class Call:
    """A request that is authenticated and allowed; path parameters are decoded once."""

    who: Principal
    path: dict[str, str]
    query: dict[str, list[str]]
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def by(self) -> str:
        """The caller's name in the history."""
        return self.who.name

    @property
    def project(self) -> str:
        """The project of the path."""
        return self.path["project"]

    @property
    def model(self) -> str:
        """The model of the path."""
        return self.path["model"]

    @property
    def version(self) -> VersionSelector:
        """The version selector of the path."""
        return references.parse_version(self.path["version"])

    @property
    def number(self) -> int:
        """The version number of the path, where only a number will do."""
        if self.version.kind != "number":
            raise InvalidRequest("name the version by its number here")
        return self.version.number

    @property
    def checkpoint(self) -> CheckpointSelector:
        """The checkpoint selector of the path."""
        return references.parse_checkpoint(self.path["checkpoint"])

    def one(self, name: str, default: str = "") -> str:
        """A query parameter that may stand once."""
        values = self.query.get(name, [])
        if len(values) > 1:
            raise InvalidRequest(f"the parameter {name!r} stands {len(values)} times")
        return values[0] if values else default

    @property
    def limit(self) -> int:
        """The page size asked for."""
        text = self.one("limit", "100")
        if not text.isdigit() or len(text) > 6:
            raise InvalidRequest(f"limit must be a whole number, not {text[:40]!r}")
        return int(text)

    @property
    def page(self) -> str | None:
        """The page token given."""
        return self.one("page") or None


PAGED = ("limit", "page")


def answer(value: Any, status: int = 200) -> Response:
    """A contract object as a response."""
    body = json.dumps(codec.encode(value), ensure_ascii=False, separators=(",", ":"))
    return Response(body=body, status_code=status, headers=dict(HEADERS))


def tagged_answer(value: Any, known: str) -> Response:
    """A contract object with an entity tag; 304 without a body if the caller knows it already."""
    found = answer(value)
    tag = f'"{hashlib.sha256(found.body.encode()).hexdigest()[:32]}"'
    found.headers |= {"ETag": tag, "Cache-Control": "private, no-cache"}
    if tag in {text.strip().removeprefix("W/") for text in known.split(",")}:
        return Response(body="", status_code=304, headers=found.headers)
    return found


def problem(error: RegistryError, request_id: str = "") -> Response:
    """An error as a response, in the one error body."""
    headers: dict[str, str | list[str]] = {**HEADERS}
    if error.status == 401:
        headers["WWW-Authenticate"] = 'Bearer realm="weighbridge"'
    if error.status in (429, 503):
        headers["Retry-After"] = str(error.details.get("retry_after", 1))
    body = json.dumps(error.body(request_id), ensure_ascii=False)
    return Response(body=body, status_code=error.status or 500, headers=headers)


def request_id(request: Request) -> str:
    """The gateway's id of a request."""
    return str((request.context or {}).get("requestId", ""))


def _query(request: Request, allowed: tuple[str, ...]) -> dict[str, list[str]]:
    params = request.query_params
    found = {name: params.getlist(name) for name in params} if params else {}
    if unknown := sorted(set(found) - set(allowed)):
        raise InvalidRequest(
            f"unknown parameter {unknown[0]!r}"
            + (f"; known are {', '.join(allowed)}" if allowed else "")
        )
    return found


def _body(request: Request, cls: type[T] | None) -> T | None:
    raw = request.raw_body
    if cls is None:
        return None
    try:
        data = json.loads(raw or b"{}")
    except (ValueError, RecursionError):
        raise InvalidRequest("the body is no JSON") from None
    return codec.decode(cls, data, strict=True)


View = Callable[[Call], Any]


def endpoint(
    blueprint: Blueprint,
    method: str,
    path: str,
    verb: Verb | None,
    *,
    body: type | None = None,
    answers: type | None = None,
    status: int = 200,
    query: tuple[str, ...] = (),
    token: bool = True,
    tagged: bool = False,
) -> Callable[[View], View]:
    """Routes a view. `verb` is checked on the path's project, model and alias before the view runs;
    with none, any valid token will do, and the view asks `call.who` itself. A `tagged` answer need not
    be sent again to a caller who knows it."""

    def decorate(view: View) -> View:
        summary = (view.__doc__ or "").strip().splitlines()[0]
        OPERATIONS.append(
            Operation(method, path, summary, verb if token else None, body, answers, status, query)
        )

        @wraps(view)
        def wrapper(**params: str) -> Response:
            request: Request = blueprint.current_request
            try:
                decoded = {name: unquote(value) for name, value in params.items()}
                who = (
                    auth.authenticate(request.headers.get("authorization"))
                    if token
                    else Principal("nobody", ())
                )
                if verb is not None:
                    who.require(
                        verb, decoded.get("project", "*"), decoded.get("model", "*"),
                        decoded.get("alias", "*"),
                    )  # fmt: skip
                call = Call(
                    who, decoded, _query(request, query), _body(request, body),
                    dict(request.headers),
                )  # fmt: skip
                found = view(call)
                if tagged:
                    return tagged_answer(found, request.headers.get("if-none-match", ""))
                return found if isinstance(found, Response) else answer(found, status)
            except RegistryError as error:
                return problem(error, request_id(request))
            except Exception:
                _LOG.exception("unhandled error in %s %s", method, path)
                failed = RegistryError("the server failed; its log has the details")
                return problem(failed, request_id(request))

        wrapper.__name__ = f"{view.__name__}_{method.lower()}"
        blueprint.route(path, methods=[method])(wrapper)
        return view

    return decorate
