"""The answers of Kubeflow's door: JSON documents, and errors as its clients know them."""

import json
from typing import Any

from chalice.app import Response

from weighbridge.contract.errors import Gone, RegistryError

_HEADERS = {
    "Content-Type": "application/json",
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
}


def document(value: Any, status: int = 200) -> Response:
    """A JSON document."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return Response(body=text, status_code=status, headers=dict(_HEADERS))


def failed(status: int, message: str) -> Response:
    """An error: its status as a text, and what to know of it."""
    answer = document({"code": str(status), "message": message}, status)
    if status == 401:
        answer.headers["WWW-Authenticate"] = 'Bearer realm="weighbridge"'
    if status in (429, 503):
        answer.headers["Retry-After"] = "1"
    return answer


def of(error: RegistryError) -> Response:
    """An error of the registry. What was deleted is not there: these clients know no other word."""
    return failed(404 if isinstance(error, Gone) else error.status or 500, error.message)


def unrouted(status: int) -> Response:
    """What is said where no route is."""
    known = {404: "there is nothing at this address", 405: "this address knows no such method"}
    return failed(status, known.get(status, "the request cannot be read"))
