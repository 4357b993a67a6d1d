"""The edge of the v2 facade: who calls, what is asked, and the envelope that every answer comes in.

Every answer has HTTP status 200 and says by its `code` how it went. The codes are FATE-Flow's, and one
of ours: 6001, what this server does not do.
"""

import hashlib
import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from chalice.app import Request, Response

from chalicelib.api import doors, forms
from chalicelib.api.facades import View
from chalicelib.api.forms import Form
from chalicelib.api.http import HEADERS
from chalicelib.registry.signing import Claim
from chalicelib.registry.stores import Stores
from chalicelib.registry.tokens import Principal
from chalicelib.wiring import stores
from weighbridge.contract import errors

OK = 0
TASK_NOT_FOUND = 2000
MODEL_NOT_FOUND = 2005
DEVICE_NOT_SUPPORTED = 4001
EXPIRED = 5000
INVALID_PARAMETER = 5001
VERIFY_FAILED = 5003
AUTHENTICATION_FAILED = 5004
NO_PERMISSION = 5005
NO_FILE = 5007
FAILED = 6000
NOT_SUPPORTED = 6001

_LOG = logging.getLogger("weighbridge.fate")
_MISSING, _NO_TEXT = "Missing data for required field.", "Not a valid string."

_CODES: tuple[tuple[type[errors.RegistryError], int], ...] = (
    (errors.Unauthenticated, AUTHENTICATION_FAILED),
    (errors.Forbidden, NO_PERMISSION),
    (errors.HeldBack, NO_PERMISSION),
    (errors.NotFound, MODEL_NOT_FOUND),
    (errors.Gone, MODEL_NOT_FOUND),
    (errors.InvalidRequest, INVALID_PARAMETER),
    (errors.Unsupported, NOT_SUPPORTED),
)


class Failure(Exception):
    """An answer with a code that is not 0."""

    def __init__(self, code: int, message: str, data: Any = None) -> None:
        super().__init__(message)
        self.code, self.message, self.data = code, message, data


@dataclass(frozen=True, slots=True)
class Asked:
    """One request: who, and in which parts it came."""

    who: Principal
    body: bytes
    content_type: str
    query: dict[str, str]
    at: Stores
    _form: list[Form] = field(default_factory=list)

    @property
    def form(self) -> Form:
        """The body as a form."""
        if not self._form:
            found = forms.read({"content-type": self.content_type}, self.body)
            if not found.names:
                raise errors.InvalidRequest("the body must be a form (multipart/form-data)")
            self._form.append(found)
        return self._form[0]

    def json(self) -> dict[str, Any]:
        """The body as a JSON object, whatever its content type says; nothing counts as an empty one."""
        try:
            found = json.loads(self.body or b"{}")
        except (ValueError, RecursionError):
            raise invalid("json", {"_schema": ["Invalid input type."]}) from None
        if not isinstance(found, dict):
            raise invalid("json", {"_schema": ["Invalid input type."]})
        return found

    def texts(
        self,
        part: str,
        required: tuple[str, ...],
        optional: tuple[str, ...] = (),
        others: Mapping[str, list[str]] | None = None,
    ) -> "Texts":
        """Text fields of a part of the request (json, form, querystring), all checked at once. Those that
        are optional are empty where they are not given; further ones are ignored. `others` are fields
        that were found wrong already."""
        given: Mapping[str, Any] = self.query
        if part == "json":
            given = self.json()
        elif part == "form":
            given = {name: self.form.last(name) for name in self.form.fields}
        wrong: dict[str, list[str]] = dict(others or {})
        found: dict[str, str] = {}
        for name in (*required, *optional):
            value = given.get(name)
            if name == "party_id" and isinstance(value, int) and not isinstance(value, bool):
                value = str(value)
            if value is None and (name in optional or name not in given):
                if name in required:
                    wrong[name] = [_MISSING]
                value = ""
            elif not isinstance(value, str):
                wrong[name] = [_NO_TEXT]
            elif not value and name in required:
                wrong[name] = ["Must not be empty."]
            found[name] = str(value)
        if wrong:
            raise invalid(part, wrong)
        return found


Texts = dict[str, str]


def invalid(part: str, fields: dict[str, list[str]]) -> Failure:
    """What is wrong with the fields of a part of the request."""
    named = ", ".join(f"{name}[{said[0]}]" for name, said in fields.items())
    return Failure(INVALID_PARAMETER, f"Invalid parameter: {named}", {part: fields})


def named(**values: str) -> str:
    """`field[value]` of those that are given, as messages carry them."""
    return ", ".join(f"{name}[{value[:200]}]" for name, value in values.items() if value)


def reply(data: Any = None, message: str = "success", code: int = OK) -> Response:
    """The envelope; members without a value are left out."""
    envelope = {"code": code, "message": message, **({} if data is None else {"data": data})}
    text = json.dumps(envelope, ensure_ascii=False, separators=(",", ":"))
    return Response(body=text, status_code=200, headers=dict(HEADERS))


def _caller(request: Request) -> Principal:
    headers = request.headers
    if headers.get("authorization") or not headers.get("appid"):
        return doors.authenticate(headers.get("authorization"))
    app_id, user = headers.get("appid", ""), headers.get("username", "")
    nonce, moment = headers.get("nonce", ""), headers.get("timestamp", "")
    claim = Claim("fate-v2", app_id, moment, nonce, headers.get("signature", "").lower())
    inner = _md5(f"{app_id}{user}{nonce}{moment}")
    try:
        return doors.signed(claim, lambda secret: _md5(inner + secret))
    except errors.Unauthenticated as error:
        reason = error.details.get("reason")
        code = EXPIRED if reason == "time" else VERIFY_FAILED
        raise Failure(code, error.message) from None


def _md5(text: str) -> str:
    # The client's scheme; what is signed is protected by the window and by being good once.
    return hashlib.md5(text.encode("utf-8", "replace"), usedforsecurity=False).hexdigest()


def _told(error: errors.RegistryError) -> Response:
    code = next((c for cls, c in _CODES if isinstance(error, cls)), FAILED)
    fields = error.details.get("fields")
    return reply({"json": fields} if fields else None, error.message, code)


Answering = Callable[[Asked], Any]


def door(views: dict[str, View], method: str, path: str) -> Callable[[Answering], Answering]:
    """Adds a view of this facade to `views`. It answers data, or a whole response."""

    def decorate(view: Answering) -> Answering:
        def wrapper(request: Request, params: Mapping[str, str]) -> Response:
            try:
                raw = request.raw_body or b""
                body = raw if isinstance(raw, bytes) else raw.encode()
                query = {name: str(value) for name, value in (request.query_params or {}).items()}
                asked = Asked(
                    _caller(request), body, str(request.headers.get("content-type", "")), query,
                    stores(),
                )  # fmt: skip
                found = view(asked)
                return found if isinstance(found, Response) else reply(found)
            except Failure as failure:
                return reply(failure.data, failure.message, failure.code)
            except errors.RegistryError as error:
                return _told(error)
            except Exception:
                _LOG.exception("unhandled error in %s %s", method, path)
                return reply(None, "the server failed; its log has the details", FAILED)

        views[f"{method} {path}"] = wrapper
        return view

    return decorate
