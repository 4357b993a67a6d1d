"""What a client of FATE sends: JSON whatever the type says, else a form, and fields of the query."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

from weighbridge.contract.errors import InvalidRequest

MAX_PARTS = 200
MAX_FIELDS = 1024**2
"""Bytes of all fields of a form that are no files."""
_MULTIPART = "multipart/form-data"
_URLENCODED = "application/x-www-form-urlencoded"


@dataclass(slots=True)
class Sent:
    """A request's fields, its files, and the form fields in the order in which they came."""

    fields: dict[str, Any] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)
    form: list[tuple[str, str]] = field(default_factory=list)
    is_json: bool = False


def read(body: bytes, content_type: str, query: Mapping[str, str]) -> Sent:
    """The fields of a request; those of the body count where the query names the same."""
    kind = content_type.partition(";")[0].strip().lower()
    sent = Sent()
    if kind == _MULTIPART:
        _multipart(sent, body, content_type)
    elif kind == _URLENCODED and not body.lstrip().startswith(b"{"):
        _urlencoded(sent, body)
    elif body.strip():
        sent.fields.update(_object(body))
        sent.is_json = True
    sent.fields = {**query, **sent.fields}
    return sent


def _object(body: bytes) -> dict[str, Any]:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        raise InvalidRequest("the body is no JSON") from None
    if not isinstance(found, dict):
        raise InvalidRequest("the body must be a JSON object")
    return found


def _urlencoded(sent: Sent, body: bytes) -> None:
    if len(body) > MAX_FIELDS:
        raise InvalidRequest(f"the fields of a form hold {MAX_FIELDS} bytes at most")
    try:
        pairs = parse_qsl(
            body.decode("utf-8"), keep_blank_values=True, errors="strict", max_num_fields=MAX_PARTS
        )
    except ValueError as error:
        raise InvalidRequest(f"the form cannot be read: {error}"[:200]) from None
    sent.form = pairs
    sent.fields.update(pairs)


def _multipart(sent: Sent, body: bytes, content_type: str) -> None:
    from multipart import MultipartError, PushMultipartParser, parse_options_header

    boundary = str(parse_options_header(content_type)[1].get("boundary", ""))
    part: Any = None
    data, held = bytearray(), 0
    try:
        with PushMultipartParser(boundary, max_segment_count=MAX_PARTS) as parser:
            for event in (*parser.parse(body), *parser.parse(b"")):
                if event is None:
                    held += 0 if part.filename is not None else len(data)
                    if held > MAX_FIELDS:
                        raise InvalidRequest(
                            f"the fields of a form hold {MAX_FIELDS} bytes at most"
                        )
                    _add(sent, part.name, part.filename, bytes(data))
                    data.clear()
                elif isinstance(event, (bytes, bytearray)):
                    data += event
                else:
                    part = event
    except (MultipartError, ValueError) as error:
        raise InvalidRequest(f"the form cannot be read: {error}"[:200]) from None


def _add(sent: Sent, name: str, filename: str | None, data: bytes) -> None:
    # The client's form also carries a plain field called `file`: its local path.
    if filename is not None:
        sent.files[name] = data
        return
    text = data.decode("utf-8")
    sent.form.append((name, text))
    sent.fields[name] = text
