"""Forms as foreign clients send them: fields and files of a multipart or urlencoded body.

A server that streams (`WEIGHBRIDGE_LONG_BODIES`) has sent long files to the store already. Then the body
holds only their first bytes, and a header of the server's own, `ARRIVED`, says what became of each.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

from chalicelib.registry.receiving import Arrived
from chalicelib.settings import settings
from weighbridge.contract import codec, errors
from weighbridge.contract.errors import InvalidRequest

ARRIVED = "x-weighbridge-arrived"
"""Names, by the number of its part, what a file of the body has become. Never believed of a client: a
server that streams removes it, and no other looks at it."""
MULTIPART, URLENCODED = "multipart/form-data", "application/x-www-form-urlencoded"
MAX_PARTS = 1000
MAX_FIELDS = 1024 * 1024
"""Bytes of all fields that are no files."""


class Malformed(InvalidRequest):
    """The body is no form."""


@dataclass(frozen=True, slots=True)
class File:
    """A file of a form. With `arrived`, `data` is only its first bytes."""

    name: str
    filename: str
    content_type: str | None
    data: bytes
    arrived: Arrived | None = None

    @property
    def size(self) -> int:
        """The file's length."""
        return self.arrived.size if self.arrived else len(self.data)


@dataclass(slots=True)
class Form:
    """A form: every value of each field in order, and the last file of each name."""

    fields: dict[str, list[str]] = field(default_factory=dict)
    files: dict[str, File] = field(default_factory=dict)

    @property
    def names(self) -> list[str]:
        """The names of fields and files, each once."""
        return list(dict.fromkeys((*self.fields, *self.files)))

    def last(self, name: str) -> str:
        """The last value of a field; empty if there is none."""
        return self.fields.get(name, [""])[-1]


def boundary(content_type: str) -> str:
    """The boundary of a multipart body; empty if the type is another."""
    from multipart import parse_options_header

    kind, options = parse_options_header(content_type)
    return str(options.get("boundary", "")) if kind.lower() == MULTIPART else ""


def read(headers: Mapping[str, str], body: bytes) -> Form:
    """The form in a body; empty where its type is none of a form. Raises `Malformed`."""
    content_type = headers.get("content-type", "")
    kind = content_type.partition(";")[0].strip().lower()
    if kind == URLENCODED:
        return _urlencoded(body)
    if kind != MULTIPART:
        return Form()
    told = headers.get(ARRIVED, "") if settings().long_bodies else ""
    return _multipart(boundary(content_type), body, _arrived(told))


def _arrived(told: str) -> dict[int, Arrived]:
    """What the server before us says that it has sent to the store, by the number of the part."""
    data: dict[str, Any] = json.loads(told) if told else {}
    if "error" in data:  # it did not get that far
        raise errors.from_body(int(data["error"].pop("status", 500)), data)
    return {int(number): codec.decode(Arrived, one) for number, one in data.items()}


def _urlencoded(body: bytes) -> Form:
    form = Form()
    if len(body) > MAX_FIELDS:
        raise Malformed(f"the fields of a form hold {MAX_FIELDS} bytes at most")
    try:
        pairs = parse_qsl(
            body.decode("utf-8"), keep_blank_values=True, errors="strict", max_num_fields=MAX_PARTS
        )
    except ValueError as error:
        raise Malformed(f"the form cannot be read: {error}"[:200]) from None
    for name, value in pairs:
        form.fields.setdefault(name, []).append(value)
    return form


def _multipart(limit: str, body: bytes, arrived: Mapping[int, Arrived]) -> Form:
    from multipart import MultipartError, PushMultipartParser

    form, held = Form(), 0
    number, segment, data = -1, None, bytearray()
    try:
        with PushMultipartParser(limit, max_segment_count=MAX_PARTS) as parser:
            for event in (*parser.parse(body), *parser.parse(b"")):
                if event is None:
                    assert segment is not None
                    held += 0 if segment.filename is not None else len(data)
                    if held > MAX_FIELDS:
                        raise Malformed(f"the fields of a form hold {MAX_FIELDS} bytes at most")
                    _add(form, segment, bytes(data), arrived.get(number))
                    data.clear()
                elif isinstance(event, (bytes, bytearray)):
                    data += event
                else:
                    number, segment = number + 1, event
    except MultipartError as error:
        raise Malformed(f"the form cannot be read: {error}"[:200]) from None
    return form


def _add(form: Form, segment: Any, data: bytes, arrived: Arrived | None) -> None:
    if segment.filename is not None:
        kind = segment.header("Content-Type")
        form.files[segment.name] = File(segment.name, segment.filename, kind, data, arrived)
        return
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        raise Malformed(f"the field {segment.name[:80]!r} is not UTF-8") from None
    form.fields.setdefault(segment.name, []).append(text)
