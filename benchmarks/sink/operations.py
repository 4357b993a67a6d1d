"""The S3 operations of the sink: a parsed request in, status, headers and a small body out."""

import json
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.utils import formatdate
from urllib.parse import parse_qs, unquote
from xml.sax.saxutils import escape

from benchmarks.sink.state import KEPT, State, Thing

STATS = "/__stats"
_KEYS = re.compile(rb"<Key>([^<]*)</Key>")


@dataclass(frozen=True, slots=True)
class Request:
    """A request; `content` has its body only where that is small."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    size: int
    content: bytes = b""


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer. `thing` asks for `length` bytes of an object from `start` on, as its body."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    thing: Thing | None = None
    start: int = 0
    length: int = 0


def parse_target(target: str) -> tuple[str, dict[str, str]]:
    """The path, decoded, and the query of a request's target."""
    raw, _, query = target.partition("?")
    fields = parse_qs(query, keep_blank_values=True) if query else {}
    return unquote(raw), {name: values[0] for name, values in fields.items()}


def keeps(size: int) -> bool:
    """Whether the body of a request must be remembered."""
    return size <= KEPT


def answer(state: State, request: Request) -> Answer:
    """What S3 would say."""
    if request.path == STATS:
        told = state.told(reset=request.method == "DELETE")
        return Answer(200, body=json.dumps(told).encode())
    bucket, _, key = request.path.lstrip("/").partition("/")
    name = _operation(request, key)
    state.count(name, request.size, _names_sha256(request.headers))
    return _ROUTES[name](state, request, bucket)


def _operation(request: Request, key: str) -> str:
    query, method = request.query, request.method
    if not key:
        if method == "GET":
            return "ListUploads" if "uploads" in query else "ListObjects"
        return "DeleteObjects" if method == "POST" and "delete" in query else "Bucket"
    if method == "POST":
        return "CreateMultipartUpload" if "uploads" in query else "CompleteMultipartUpload"
    if "uploadId" in query:
        if method == "PUT":
            copied = "x-amz-copy-source" in request.headers
            return "UploadPartCopy" if copied else "UploadPart"
        return "ListParts" if method == "GET" else "AbortMultipartUpload"
    named = {"PUT": "PutObject", "HEAD": "HeadObject", "DELETE": "DeleteObject"}
    return named.get(method, "GetObject")


def _xml(name: str, *inner: str) -> bytes:
    head = f'<{name} xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
    return f'<?xml version="1.0" encoding="UTF-8"?>{head}{"".join(inner)}</{name}>'.encode()


def _tag(name: str, value: object) -> str:
    return f"<{name}>{escape(str(value))}</{name}>"


def _when(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(seconds))


def _refused(status: int, code: str) -> Answer:
    body = f"<Error><Code>{code}</Code><Message>{code}</Message></Error>".encode()
    return Answer(status, {"Content-Type": "application/xml"}, body)


def _names_sha256(headers: Mapping[str, str]) -> bool:
    """Whether S3 would check the body against a SHA-256: one of the checksum, or of the signature."""
    trailer = headers.get("x-amz-trailer", "").lower()
    signed = headers.get("x-amz-content-sha256", "")
    return (
        "x-amz-checksum-sha256" in headers
        or trailer == "x-amz-checksum-sha256"
        or len(signed) == 64
    )


def _declared(request: Request) -> str:
    return request.headers.get("x-amz-checksum-sha256", "")


def _echo(request: Request) -> dict[str, str]:
    """Checksums as the client declared them; newer clients compare."""
    names = ("sha256", "crc32", "crc32c", "crc64nvme", "sha1")
    found = {
        f"x-amz-checksum-{name}": request.headers.get(f"x-amz-checksum-{name}") for name in names
    }
    return {name: value for name, value in found.items() if value}


def _body_size(request: Request) -> int:
    return int(request.headers.get("x-amz-decoded-content-length", request.size))


def _bucket(state: State, request: Request, bucket: str) -> Answer:
    return Answer(204 if request.method == "DELETE" else 200)


def _put(state: State, request: Request, bucket: str) -> Answer:
    if request.headers.get("if-none-match") == "*" and request.path in state.objects:
        return _refused(412, "PreconditionFailed")
    thing = state.put(request.path, _body_size(request), _declared(request), request.content)
    return Answer(200, {"ETag": f'"{thing.etag}"', **_echo(request)})


def _head_fields(thing: Thing) -> dict[str, str]:
    return {
        "ETag": f'"{thing.etag}"', "Last-Modified": formatdate(thing.made, usegmt=True), "Accept-Ranges": "bytes",
        "Content-Type": "application/octet-stream",
    }  # fmt: skip


def _head(state: State, request: Request, bucket: str) -> Answer:
    thing = state.objects.get(request.path)
    if thing is None:
        return Answer(404)
    fields = {**_head_fields(thing), "Content-Length": str(thing.size)}
    if thing.sha256 and request.headers.get("x-amz-checksum-mode"):
        fields["x-amz-checksum-sha256"] = thing.sha256
    return Answer(200, fields)


def _get(state: State, request: Request, bucket: str) -> Answer:
    thing = state.objects.get(request.path)
    if thing is None:
        return _refused(404, "NoSuchKey")
    wanted = request.headers.get("range", "")
    if not wanted:
        return Answer(200, _head_fields(thing), thing=thing, length=thing.size)
    first, _, last = wanted.removeprefix("bytes=").partition("-")
    if not first:
        start, end = max(0, thing.size - int(last)), thing.size
    else:
        start, end = int(first), min(thing.size, int(last) + 1) if last else thing.size
    if start >= thing.size:
        return _refused(416, "InvalidRange")
    span = f"bytes {start}-{end - 1}/{thing.size}"
    fields = {**_head_fields(thing), "Content-Range": span}
    return Answer(206, fields, thing=thing, start=start, length=end - start)


def _delete(state: State, request: Request, bucket: str) -> Answer:
    with state.lock:
        state.objects.pop(request.path, None)
    return Answer(204)


def _delete_many(state: State, request: Request, bucket: str) -> Answer:
    with state.lock:
        for key in _KEYS.findall(request.content):
            state.objects.pop(f"/{bucket}/{key.decode()}", None)
    return Answer(200, body=_xml("DeleteResult"))


def _create(state: State, request: Request, bucket: str) -> Answer:
    identifier = state.begin(request.path)
    key = request.path.removeprefix(f"/{bucket}/")
    inner = _tag("Bucket", bucket), _tag("Key", key), _tag("UploadId", identifier)
    return Answer(200, body=_xml("InitiateMultipartUploadResult", *inner))


def _upload_part(state: State, request: Request, bucket: str) -> Answer:
    number = int(request.query["partNumber"])
    declared, size = _declared(request), _body_size(request)
    part = state.part(request.query["uploadId"], number, size, declared)
    if part is None:
        return _refused(404, "NoSuchUpload")
    return Answer(200, {"ETag": f'"{part.etag}"', **_echo(request)})


def _copy_part(state: State, request: Request, bucket: str) -> Answer:
    source = "/" + unquote(request.headers["x-amz-copy-source"]).lstrip("/")
    thing = state.objects.get(source)
    if thing is None:
        return _refused(404, "NoSuchKey")
    condition = request.headers.get("x-amz-copy-source-if-match", "").strip('"')
    if condition and condition != thing.etag:
        return _refused(412, "PreconditionFailed")
    start, size = 0, thing.size
    if wanted := request.headers.get("x-amz-copy-source-range", ""):
        first, _, last = wanted.removeprefix("bytes=").partition("-")
        start, size = int(first), int(last) - int(first) + 1
    digest = state.range_digest(source, start, size)
    number = int(request.query["partNumber"])
    part = state.part(request.query["uploadId"], number, size, digest)
    if part is None:
        return _refused(404, "NoSuchUpload")
    inner = _tag("LastModified", _when(time.time())), _tag("ETag", f'"{part.etag}"')
    return Answer(200, body=_xml("CopyPartResult", *inner, _tag("ChecksumSHA256", digest)))


def _list_parts(state: State, request: Request, bucket: str) -> Answer:
    upload = state.uploads.get(request.query["uploadId"])
    if upload is None:
        return _refused(404, "NoSuchUpload")
    after = int(request.query.get("part-number-marker", 0) or 0)
    limit = min(1000, int(request.query.get("max-parts", 1000) or 1000))
    with state.lock:
        rest = sorted(number for number in upload.parts if number > after)
        shown = [upload.parts[number] for number in rest[:limit]]
    inner = [
        _tag("IsTruncated", str(len(rest) > limit).lower()),
        _tag("NextPartNumberMarker", shown[-1].number if shown else 0),
    ]
    for part in shown:
        words = _tag("PartNumber", part.number) + _tag("ETag", f'"{part.etag}"')
        words += _tag("Size", part.size) + _tag("LastModified", _when(part.made))
        words += _tag("ChecksumSHA256", part.sha256) if part.sha256 else ""
        inner.append(f"<Part>{words}</Part>")
    return Answer(200, body=_xml("ListPartsResult", *inner))


def _complete(state: State, request: Request, bucket: str) -> Answer:
    thing = state.complete(request.query.get("uploadId", ""))
    if thing is None:
        return _refused(404, "NoSuchUpload")
    key = request.path.removeprefix(f"/{bucket}/")
    inner = [_tag("Bucket", bucket), _tag("Key", key), _tag("ETag", f'"{thing.etag}"')]
    inner += [_tag("ChecksumSHA256", thing.sha256)] if thing.sha256 else []
    return Answer(200, body=_xml("CompleteMultipartUploadResult", *inner))


def _abort(state: State, request: Request, bucket: str) -> Answer:
    with state.lock:
        state.uploads.pop(request.query["uploadId"], None)
    return Answer(204)


def _list_objects(state: State, request: Request, bucket: str) -> Answer:
    before = f"/{bucket}/"
    prefix = before + request.query.get("prefix", "")
    after = request.query.get("continuation-token") or request.query.get("start-after", "")
    limit = min(1000, int(request.query.get("max-keys", 1000) or 1000))
    with state.lock:
        names = sorted(p for p in state.objects if p.startswith(prefix) and p > before + after)
        shown = [(name.removeprefix(before), state.objects[name]) for name in names[:limit]]
    more = len(names) > limit
    inner = [
        _tag("Name", bucket),
        _tag("KeyCount", len(shown)),
        _tag("IsTruncated", str(more).lower()),
    ]
    if more:
        inner.append(_tag("NextContinuationToken", shown[-1][0]))
    for name, thing in shown:
        words = (
            _tag("Key", name) + _tag("LastModified", _when(thing.made)) + _tag("Size", thing.size)
        )
        inner.append(f"<Contents>{words}{_tag('ETag', thing.etag)}</Contents>")
    return Answer(200, body=_xml("ListBucketResult", *inner))


def _list_uploads(state: State, request: Request, bucket: str) -> Answer:
    return Answer(200, body=_xml("ListMultipartUploadsResult", _tag("IsTruncated", "false")))


_ROUTES = {
    "Bucket": _bucket,
    "PutObject": _put,
    "HeadObject": _head,
    "GetObject": _get,
    "DeleteObject": _delete,
    "DeleteObjects": _delete_many,
    "CreateMultipartUpload": _create,
    "UploadPart": _upload_part,
    "UploadPartCopy": _copy_part,
    "ListParts": _list_parts,
    "CompleteMultipartUpload": _complete,
    "AbortMultipartUpload": _abort,
    "ListObjects": _list_objects,
    "ListUploads": _list_uploads,
}
