"""The answers of the edge door: three styles of errors, by cause, as its clients know them.

`{"detail": ...}` for what is validated and for unknown addresses, `{"status": "error", "message": ...}` for a
PUT that changes nothing, plain text that ends in a newline for all else (only a conflict's has none).
"""

import json
from collections.abc import Mapping
from typing import Any

from chalice.app import Response

from weighbridge.contract.errors import (
    AlreadyExists,
    Forbidden,
    InUse,
    InvalidName,
    RegistryError,
    Unauthenticated,
    Unavailable,
)

TEXT = "text/plain; charset=utf-8"
JSON = "application/json"
_HEADERS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
MAX_ANSWER = 5 * 1024 * 1024
"""What a function can answer is 6 MB, headers and escapes included."""


class Refused(Exception):
    """A request that is answered with an error; carries the answer."""

    def __init__(self, response: Response) -> None:
        super().__init__(response.body)
        self.response = response


def answer(status: int, kind: str, body: str, headers: Mapping[str, str] | None = None) -> Response:
    """An answer of that type."""
    sent: dict[str, str | list[str]] = {"Content-Type": kind, **_HEADERS, **(headers or {})}
    return Response(body=body, status_code=status, headers=sent)


def text(status: int, message: str) -> Response:
    """A plain text, with its newline."""
    return answer(status, TEXT, message + "\n")


def document(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A JSON document."""
    body = json.dumps(value, ensure_ascii=False, allow_nan=False)
    return answer(status, JSON, body, headers)


def detail(status: int, what: Any) -> Refused:
    """The refusal of what is not valid."""
    return Refused(document({"detail": what}, status))


def words(status: int, message: str) -> Refused:
    """The refusal in plain text."""
    return Refused(text(status, message))


def fault(kind: str, name: str, message: str, given: Any = None) -> dict[str, Any]:
    """One entry of a list of faults."""
    return {"type": kind, "loc": ["body", name], "msg": message, "input": given}


def conflict(other: str) -> Response:
    """Says which record is in the way; the id stands in single quotes, as clients look for it."""
    message = f"A model with the same ID, or the same name, version, precision and project, exists: '{other}'"
    return answer(409, TEXT, message)


def of(error: RegistryError) -> Response:
    """An error of the registry as this door words it."""
    if isinstance(error, Unauthenticated):
        headers = {"WWW-Authenticate": 'Basic realm="weighbridge"'}
        return document({"detail": error.message}, 401, headers)
    if isinstance(error, Forbidden):
        return document({"detail": error.message}, 403)
    if isinstance(error, AlreadyExists) and "package" in error.details:
        return conflict(str(error.details["package"]))
    if isinstance(error, InUse):
        return text(409, error.message)
    if isinstance(error, InvalidName):
        return document({"detail": error.message}, 422)
    if isinstance(error, Unavailable) and error.details.get("pending"):
        return answer(503, TEXT, error.message + "\n", {"Retry-After": "5"})
    if error.status in (400, 404, 409, 413, 422):
        return text(error.status, error.message)
    return text(500, "The registry or its store is not available. Try again.")


def failed() -> Response:
    """What is said of a bug: nothing of the inside."""
    return text(500, "Internal Server Error")


def unrouted(status: int) -> Response:
    """What is said where no route is: an unknown address, another method, another type."""
    known = {404: "Not Found", 405: "Method Not Allowed", 415: "Unsupported Media Type"}
    if status >= 500:
        return failed()
    return document({"detail": known.get(status, "Bad Request")}, status)
