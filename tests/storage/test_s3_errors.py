"""What the S3 adapter makes of a store's failures, answered by a server that says what we tell it."""

import contextlib
import http.server
import threading
from collections.abc import Iterator

import pytest
from botocore.exceptions import ClientError

from chalicelib.registry.ports import Precondition, StoredPart
from chalicelib.storage.s3 import S3Blobs
from chalicelib.storage.s3_client import Access, connect, translated
from weighbridge.contract.errors import IntegrityError, NotFound, Unavailable

PART = StoredPart(1, 1, "0" * 32, "0" * 64)


class Canned(http.server.ThreadingHTTPServer):
    """Answers every request with `status` and `body`, at the length that `claimed` says."""

    status = 200
    body = b""
    claimed: int | None = None
    silent: threading.Event | None = None
    requests = 0
    daemon_threads = False


class _Handler(http.server.BaseHTTPRequestHandler):
    server: Canned

    def handle_any(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.requests += 1
        if self.server.silent:
            self.server.silent.wait(10)
        body = b"" if self.command == "HEAD" else self.server.body
        self.send_response(self.server.status)
        self.send_header("Content-Type", "application/xml")
        self.send_header("Content-Length", str(self.server.claimed or len(body)))
        self.send_header("Connection", "close")
        self.end_headers()
        with contextlib.suppress(OSError):
            self.wfile.write(body)

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = handle_any

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def canned() -> Iterator[Canned]:
    """The server."""
    with Canned(("127.0.0.1", 0), _Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def blobs(canned: Canned) -> Iterator[S3Blobs]:
    """The adapter on that server."""
    endpoint = f"http://127.0.0.1:{canned.server_address[1]}"
    with contextlib.closing(S3Blobs("b", "us-east-1", endpoint, "", "a", "b")) as s3:
        yield s3


def error(code: str) -> bytes:
    return f"<Error><Code>{code}</Code><Message>because</Message></Error>".encode()


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (404, "NoSuchKey", NotFound),
        (404, "NoSuchUpload", NotFound),
        (404, "NoSuchBucket", NotFound),
        (412, "PreconditionFailed", Precondition),
        (400, "InvalidPart", IntegrityError),
        (400, "BadDigest", IntegrityError),
        (400, "EntityTooSmall", IntegrityError),
        (409, "ConditionalRequestConflict", Unavailable),
        (429, "TooManyRequests", Unavailable),
        (500, "InternalError", Unavailable),
        (503, "SlowDown", Unavailable),
        (200, "InternalError", Unavailable),
        (200, "InvalidPart", IntegrityError),
        (200, "NoSuchUpload", NotFound),
        (403, "AccessDenied", ClientError),
        (400, "MalformedXML", ClientError),
    ],
)
def test_a_failed_completion(canned, blobs, status, code, kind):
    """Each failure of a completion has its meaning, also inside an answer that begins with 200."""
    canned.status, canned.body = status, error(code)
    with pytest.raises(kind):
        blobs.complete_multipart("x", "u", [PART])


@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_a_failing_store_is_asked_twice_and_then_given_up(canned, blobs, status):
    """A server error is tried once more and is then `Unavailable`, with or without a body."""
    canned.status = status
    with pytest.raises(Unavailable):
        blobs.head("x")
    assert canned.requests == 2


def test_an_answer_that_breaks_off_is_unavailable(canned, blobs):
    """Bytes that stop short of the promised length are never taken for the object."""
    canned.body, canned.claimed = b"half", 100
    with pytest.raises(Unavailable):
        blobs.read("x")


def test_an_answer_that_is_no_xml_is_unavailable(canned, blobs):
    """A page of some proxy in between is not taken for a list."""
    canned.body = b"<html>please sign in"
    with pytest.raises(Unavailable):
        blobs.list("")


def test_a_silent_store_is_unavailable(canned):
    """A store that takes the connection and says nothing is given up."""
    canned.silent = threading.Event()
    access = Access("us-east-1", f"http://127.0.0.1:{canned.server_address[1]}", "a", "b")
    fields = {"region": access.region, "endpoint": access.endpoint}
    s3 = connect(Access(**fields, access_key="a", secret_key="b", read_seconds=0.1))
    try:
        with contextlib.closing(s3), pytest.raises(Unavailable), translated("bucket"):
            s3.head_bucket(Bucket="b")
    finally:
        canned.silent.set()


def test_a_deletion_that_failed_in_part_is_told(canned, blobs):
    """An object that the store kept is an error, though the answer is a 200."""
    canned.body = (
        b"<DeleteResult><Error><Key>x</Key><Code>InternalError</Code></Error></DeleteResult>"
    )
    with pytest.raises(Unavailable, match="'x'"):
        blobs.delete(["x"])
