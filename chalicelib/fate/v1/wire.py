"""How FATE-Flow 1.x talks: one envelope, two styles of errors, and every path under `/v1`.

Most verbs answer HTTP 200 with a `retcode`; those that are `strict` answer errors with the HTTP status
that the `retcode` says, because their clients look at the status. A verb is a function of one `Asked`;
paths are taken apart here, so that an unknown one is answered as FATE does.
"""

import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from chalice.app import Request, Response

from chalicelib.api import doors
from chalicelib.fate import forms
from chalicelib.fate.v1 import signed
from chalicelib.registry.stores import Stores
from chalicelib.registry.tokens import Principal
from chalicelib.wiring import stores
from weighbridge.contract.errors import (
    Forbidden,
    Gone,
    InvalidRequest,
    RegistryError,
    Unauthenticated,
    Unavailable,
)
from weighbridge.contract.types import Verb

OK, FAILED, ARGUMENT, OPERATING, CONNECTION, PERMISSION, AUTHENTICATION = (
    0, 100, 101, 103, 105, 108, 109,
)  # fmt: skip
MISSING = 210
"""Not found, as older clients know it."""
_LOG = logging.getLogger("weighbridge.fate")
_HEADERS = {
    "Content-Type": "application/json",
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
}
_CODES: tuple[tuple[type[RegistryError], int], ...] = (
    (Unauthenticated, AUTHENTICATION),
    (Forbidden, PERMISSION),
    (InvalidRequest, ARGUMENT),
    (Unavailable, CONNECTION),
)


class Refused(Exception):
    """An answer that says no: a retcode with its text, and data where FATE gives some. Without a
    `status` it is the verb's style that decides."""

    def __init__(
        self, retcode: int, message: str, data: Any = None, status: int | None = None
    ) -> None:
        super().__init__(message)
        self.retcode, self.message, self.data, self.status = retcode, message, data, status


class Missing(Refused):
    """A required field is missing."""

    def __init__(self, names: list[str]) -> None:
        super().__init__(ARGUMENT, f"required argument are missing: {','.join(names)}")


@dataclass(frozen=True, slots=True)
class Asked:
    """A request of somebody who may make it."""

    who: Principal
    project: str
    fields: Mapping[str, Any]
    files: Mapping[str, bytes]
    rest: tuple[str, ...]
    """What follows the verb in the path."""
    at: Stores

    @property
    def by(self) -> str:
        """The caller's name in the history."""
        return self.who.name

    def need(self, *names: str) -> tuple[str, ...]:
        """Required fields as texts."""
        missing = [name for name in names if self.fields.get(name) in (None, "")]
        if missing:
            raise Missing(missing)
        return tuple(self.text(name) for name in names)

    def text(self, name: str) -> str:
        """A field as text; empty if it is absent."""
        value = self.fields.get(name)
        if value is None:
            return ""
        if isinstance(value, bool) or not isinstance(value, (str, int)):
            raise InvalidRequest(f"{name} must be text or a number, not {type(value).__name__}")
        return str(value)

    def object(self, name: str) -> dict[str, Any]:
        """A field that holds an object, perhaps as JSON text; `{}` if it is absent."""
        value = self.fields.get(name)
        if isinstance(value, str) and value.strip():
            try:
                value = json.loads(value)
            except (ValueError, RecursionError):
                raise InvalidRequest(f"{name} is no JSON") from None
        if not value:
            return {}
        if not isinstance(value, dict):
            raise InvalidRequest(f"{name} must be an object, not {type(value).__name__}")
        return value

    def flag(self, name: str) -> bool:
        """A field that is true or false: forms write 0 and 1."""
        value = self.fields.get(name, False)
        if isinstance(value, str):
            if value.strip().lower() not in ("", "0", "1", "true", "false"):
                raise InvalidRequest(f"{name} must be 0 or 1, not {value[:40]!r}")
            return value.strip().lower() in ("1", "true")
        return bool(value)

    def writable(self) -> str:
        """The project before a write, made if it is not there and the caller may make it."""
        return doors.writable(self.at, self.who)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a verb answers: `data`, and the other members of the envelope."""

    data: Any = None
    retcode: int = OK
    message: str = "success"
    job_id: str | None = None


View = Callable[[Asked], Answer | Response]


@dataclass(frozen=True, slots=True)
class _Rule:
    view: View
    verb: Verb
    strict: bool
    rest: int


SEGMENTS = ("first", "second", "third", "fourth", "fifth")
"""What the parts of a path are called in its route."""
VERBS: dict[str, _Rule] = {}


def verb(path: str, needs: Verb, *, strict: bool = False, rest: int = 0) -> Callable[[View], View]:
    """Registers the view of `/v1/<path>`, which `rest` more segments may follow."""

    def decorate(view: View) -> View:
        VERBS[path] = _Rule(view, needs, strict, rest)
        return view

    return decorate


def _rule(parts: list[str]) -> tuple[_Rule, tuple[str, ...]] | None:
    for count in range(len(parts), 0, -1):
        rule = VERBS.get("/".join(parts[:count]))
        if rule is not None and len(parts) - count in (0, rule.rest):
            return rule, tuple(parts[count:])
    return None


def answered(answer: Answer, status: int = 200) -> Response:
    """The envelope; members that are null are left out."""
    body = {
        "retcode": answer.retcode, "retmsg": answer.message, "data": answer.data,
        "jobId": answer.job_id,
    }  # fmt: skip
    shown = {name: value for name, value in body.items() if value is not None}
    text = json.dumps(shown, ensure_ascii=False, separators=(",", ":"))
    return Response(body=text, status_code=status, headers=dict(_HEADERS))


def redirect(url: str) -> Response:
    """302: the client comes back with a GET and without the body it sent. Never 307."""
    return Response(
        body="", status_code=302, headers={"Location": url, "Cache-Control": "no-store"}
    )


def attachment(value: Any, filename: str) -> Response:
    """A bare JSON document as a file of that name: unquoted, and last, as the client wants it."""
    kept = "".join(
        c if c.isascii() and c.isprintable() and c not in '"\\' else "_" for c in filename
    )
    headers: dict[str, str | list[str]] = {
        **_HEADERS,
        "Content-Disposition": f"attachment; filename={kept}",
    }
    return Response(body=json.dumps(value, indent=4), status_code=200, headers=headers)


def refusal(error: RegistryError) -> Refused:
    """An error of the registry as FATE's clients know errors."""
    code = next((code for kind, code in _CODES if isinstance(error, kind)), FAILED)
    return Refused(code, error.message)


def _answered(error: RegistryError | Refused, strict: bool) -> Response:
    """An error in the style of its verb."""
    if isinstance(error, Refused) and error.status is not None:
        return answered(Answer(error.data, error.retcode, error.message), error.status)
    if strict:
        status = 400 if isinstance(error, Refused) else error.status or 500
        status = 404 if isinstance(error, Gone) else status
        data = error.data if isinstance(error, Refused) else None
        return answered(Answer(data, status, error.message), status)
    refused = refusal(error) if isinstance(error, RegistryError) else error
    return answered(Answer(refused.data, refused.retcode, refused.message))


def _fields(request: Request) -> forms.Sent:
    params = request.query_params
    raw = request.raw_body
    body = raw.encode() if isinstance(raw, str) else bytes(raw or b"")
    query = {name: str(params[name]) for name in params} if params else {}
    return forms.read(body, request.headers.get("content-type", ""), query)


def _handle(request: Request, parts: list[str]) -> Response:
    found = _rule([unquote(part) for part in parts])
    if found is None:
        return answered(Answer(None, FAILED, f"there is nothing at /v1/{'/'.join(parts)[:200]}"))
    rule, rest = found
    try:
        sent = _fields(request)
        who = signed.authenticate(request, sent, parts)
        project = doors.project_name(who)
        who.require(rule.verb, project)
        reply = rule.view(Asked(who, project, sent.fields, sent.files, rest, stores()))
        return reply if isinstance(reply, Response) else answered(reply)
    except (RegistryError, Refused) as error:
        return _answered(error, rule.strict)
    except Exception:
        _LOG.exception("unhandled error in /v1/%s", "/".join(parts))
        failed = Answer(None, 500 if rule.strict else FAILED, "the server failed; see its log")
        return answered(failed, 500 if rule.strict else 200)


def answer(request: Request, params: Mapping[str, str]) -> Response:
    """The answer to any request: which verb is meant is in its path."""
    return _handle(request, [params[name] for name in SEGMENTS if name in params])
