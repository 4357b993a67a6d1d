"""Pages travel packed to those who take it; nothing else is touched."""

import gzip

import pytest

from infra.embedded.packing import Packing
from tests.infra.asking import ask

PAGE = b"<p>" + b"A page of some length. " * 100
TAKES = {"Accept-Encoding": "br, gzip;q=0.8"}


class Upstream:
    """Answers as it is told."""

    def __init__(self, kind="text/html; charset=utf-8", body=PAGE, status="200 OK", more=()):
        self.kind, self.body, self.status, self.more = kind, body, status, more

    def __call__(self, environ, start_response):
        size = str(len(self.body))
        headers = [("Content-Type", self.kind), ("Content-Length", size), ("ETag", '"e"')]
        start_response(self.status, [*headers, *self.more])
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [self.body]


def test_a_page_is_packed():
    """It unpacks to the same bytes; the ETag says that it is the same in another form."""
    reply = ask(Packing(Upstream()), "/p/vision/", headers=TAKES)
    assert gzip.decompress(reply.body) == PAGE
    assert len(reply.body) < len(PAGE) / 5
    assert reply.headers["content-encoding"] == "gzip"
    assert reply.headers["content-length"] == str(len(reply.body))
    assert (reply.headers["etag"], reply.headers["vary"]) == ('W/"e"', "Accept-Encoding")
    assert ask(Packing(Upstream()), "/p/vision/", headers=TAKES).body == reply.body


@pytest.mark.parametrize(
    ("accepted", "upstream", "target", "method"),
    [
        ("", Upstream(), "/p/vision/", "GET"),
        ("br, gzip;q=0", Upstream(), "/p/vision/", "GET"),
        ("identity", Upstream(), "/p/vision/", "GET"),
        ("gzip", Upstream(body=b"short"), "/p/vision/", "GET"),
        ("gzip", Upstream(), "/p/vision/", "HEAD"),
        ("gzip", Upstream(), "/sign-in", "POST"),
        ("gzip", Upstream(status="404 Not Found"), "/p/vision/", "GET"),
        ("gzip", Upstream("application/octet-stream"), "/p/vision/", "GET"),
        ("gzip", Upstream("application/json"), "/api/projects", "GET"),
        ("gzip", Upstream(more=[("Content-Encoding", "br")]), "/p/vision/", "GET"),
    ],
    ids=[
        "no-word",
        "refused",
        "identity",
        "short",
        "head",
        "post",
        "missing",
        "bytes",
        "api",
        "packed",
    ],
)
def test_all_else_is_as_it_was(accepted, upstream, target, method):
    """Body and headers come through untouched."""
    headers = {"Accept-Encoding": accepted} if accepted else {}
    reply = ask(Packing(upstream), target, method, headers=headers)
    assert reply.many == ask(upstream, target, method).many
    assert reply.body == ask(upstream, target, method).body


@pytest.mark.parametrize("target", ["/p/vision/index.json", "/static/figures.json"])
def test_documents_beside_pages_are_packed(target):
    """Scripts read them; they may be large."""
    reply = ask(Packing(Upstream("application/json")), target, headers=TAKES)
    assert gzip.decompress(reply.body) == PAGE


def test_a_body_that_comes_bit_by_bit_is_left_alone():
    """Whether the answer begins before its body or with its first block."""

    def at_once(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/html")])
        return iter([PAGE, PAGE])

    def late(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/html")])
        yield PAGE
        yield PAGE

    for application in (at_once, late):
        reply = ask(Packing(application), "/p/vision/", headers=TAKES)
        assert reply.body == PAGE * 2
        assert "content-encoding" not in reply.headers
