"""Forms with files (`multipart/form-data`, RFC 7578), as old clients send them: taken apart strictly."""

import re
from dataclasses import dataclass, field
from email.message import Message
from urllib.parse import parse_qsl

from weighbridge.contract.errors import InvalidRequest

MAX_PARTS = 100
MAX_HEADERS = 8 * 1024
MAX_FIELD = 64 * 1024
_BOUNDARY = re.compile(r"[0-9A-Za-z'()+_,./:=? -]{0,69}[0-9A-Za-z'()+_,./:=?-]\Z")


@dataclass(frozen=True, slots=True)
class File:
    """A part with a filename."""

    filename: str
    data: bytes


@dataclass(slots=True)
class Form:
    """Plain fields and files by name. A field and a file may have the same name."""

    fields: dict[str, str] = field(default_factory=dict)
    files: dict[str, File] = field(default_factory=dict)


def parse(content_type: str, body: bytes) -> Form:
    """The form in a request's body, with files or urlencoded; `InvalidRequest` if it is none."""
    header = Message()
    header["content-type"] = content_type
    if header.get_content_type() == "application/x-www-form-urlencoded":
        return _urlencoded(body)
    if header.get_content_type() != "multipart/form-data":
        raise InvalidRequest("the body must be a form (multipart/form-data)")
    boundary = str(header.get_param("boundary", ""))
    if not _BOUNDARY.match(boundary):
        raise InvalidRequest("the form does not say what is between its parts (boundary)")
    mark = b"--" + boundary.encode("ascii")
    pieces = (b"\r\n" + body).split(b"\r\n" + mark)
    if len(pieces) < 2 or not pieces[-1].startswith(b"--"):
        raise InvalidRequest("the form is cut short")
    if len(pieces) > MAX_PARTS + 2:
        raise InvalidRequest(f"a form may have {MAX_PARTS} parts at most")
    found = Form()
    for piece in pieces[1:-1]:
        _add(found, piece)
    return found


def _urlencoded(body: bytes) -> Form:
    try:
        pairs = parse_qsl(
            body.decode("utf-8"), keep_blank_values=True, max_num_fields=MAX_PARTS, errors="strict"
        )
    except ValueError:
        raise InvalidRequest("the form is not urlencoded text") from None
    return Form(dict(pairs))


def _add(found: Form, piece: bytes) -> None:
    padding, _, rest = piece.partition(b"\r\n")
    if padding.strip(b" \t"):
        raise InvalidRequest("a part of the form is malformed")
    head, gap, data = (b"\r\n" + rest).partition(b"\r\n\r\n")
    if not gap or len(head) > MAX_HEADERS:
        raise InvalidRequest("a part of the form has no end of its headers, or too many of them")
    name, filename = _named(head)
    if name in (found.fields if filename is None else found.files):
        raise InvalidRequest(f"the part {name[:80]!r} stands twice in the form")
    if filename is not None:
        found.files[name] = File(filename, data)
        return
    if len(data) > MAX_FIELD:
        raise InvalidRequest(f"the field {name[:80]!r} is longer than {MAX_FIELD} bytes")
    try:
        found.fields[name] = data.decode("utf-8")
    except UnicodeDecodeError:
        raise InvalidRequest(f"the field {name[:80]!r} is no text") from None


def _named(head: bytes) -> tuple[str, str | None]:
    """The name of a part, and its filename if it has one."""
    message = Message()
    for line in head.decode("utf-8", "replace").split("\r\n"):
        key, colon, value = line.partition(":")
        if colon and key.strip().lower() == "content-disposition" and "\n" not in value:
            message["content-disposition"] = value.strip()
    name = message.get_param("name", header="content-disposition")
    if message.get_content_disposition() != "form-data" or not isinstance(name, str) or not name:
        raise InvalidRequest("a part of the form has no name")
    filename = message.get_filename()
    return name, filename
