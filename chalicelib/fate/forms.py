"""What a client of FATE sends: JSON whatever the type says, else a form, and fields of the query."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from chalicelib.api import forms
from weighbridge.contract.errors import InvalidRequest


@dataclass(slots=True)
class Sent:
    """A request's fields, its files, and all values of the form's fields."""

    fields: dict[str, Any] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)
    form: list[tuple[str, str]] = field(default_factory=list)
    is_json: bool = False


def read(body: bytes, content_type: str, query: Mapping[str, str]) -> Sent:
    """The fields of a request; those of the body count where the query names the same."""
    kind = content_type.partition(";")[0].strip().lower()
    # A client that sends JSON by hand often leaves the type of a form.
    written = kind == forms.URLENCODED and not body.lstrip().startswith(b"{")
    sent = Sent()
    if written or kind == forms.MULTIPART:
        form = forms.read({"content-type": content_type}, body)
        # The client's form also carries a plain field called `file`: its local path.
        sent.files = {name: file.data for name, file in form.files.items()}
        sent.form = [(name, value) for name, values in form.fields.items() for value in values]
    elif body.strip():
        sent.fields.update(_object(body))
        sent.is_json = True
    sent.fields = {**query, **sent.fields, **dict(sent.form)}
    return sent


def _object(body: bytes) -> dict[str, Any]:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        raise InvalidRequest("the body is no JSON") from None
    if not isinstance(found, dict):
        raise InvalidRequest("the body must be a JSON object")
    return found
