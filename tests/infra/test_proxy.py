"""`weighbridge proxy`: the loopback door for clients that speak plain HTTP only."""

import contextlib
import hashlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.e2e.embedded.certificates import authority
from tests.infra.asking import listening, over_http, raw, reply_of
from weighbridge import proxy
from weighbridge.contract.errors import Conflict, InvalidRequest

ROOT = Path(__file__).parents[2]


class Upstream:
    """A server that tells what it got."""

    def __init__(self):
        self.requests = 0

    def __call__(self, environ, start_response):
        self.requests += 1
        path = environ["REQUEST_URI"]
        digest, size = hashlib.sha256(), 0
        stream = environ["wsgi.input"]
        while block := stream.read(65536):
            digest.update(block)
            size += len(block)
        if path.endswith("/moved"):
            target = f"http://{environ['HTTP_HOST']}/stage/elsewhere"
            start_response("303 See Other", [("Location", target), ("Content-Length", "0")])
            return []
        if path.endswith("/unsized"):
            start_response("200 OK", [("Content-Type", "text/plain")])
            return [b"one ", b"two"]
        if path.endswith("/large"):
            start_response("200 OK", [("Content-Length", str(64 * 1024 * 1024))])
            return (b"\x01" * 65536 for _ in range(1024))
        if path.endswith("/empty"):
            start_response("204 No Content", [])
            return []
        data = json.dumps(
            {
                "method": environ["REQUEST_METHOD"],
                "uri": path,
                "headers": {k[5:].lower(): v for k, v in environ.items() if k.startswith("HTTP_")},
                "type": environ.get("CONTENT_TYPE", ""),
                "size": size,
                "digest": digest.hexdigest(),
            }
        ).encode()
        headers = [("Content-Length", str(len(data))), ("Access-Control-Allow-Origin", "*")]
        start_response("200 OK", [*headers, ("Set-Cookie", "a=1"), ("X-Kept", "yes")])
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [data]


@contextlib.contextmanager
def proxying(url, token="wb_t_secret", ca_file=""):
    with proxy.Proxy("127.0.0.1:0", url, token, ca_file) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join(10)


@pytest.fixture(scope="module")
def upstream():
    return Upstream()


@pytest.fixture(scope="module")
def port(upstream):
    with listening(upstream) as target, proxying(f"http://127.0.0.1:{target}/stage/") as port:
        yield port


def test_token_and_stage_prefix_are_added(port):
    """The server sees the token, the prefix, and the path as the client spelled it."""
    seen = over_http(port, "GET", "/api/a%2Fb?x=1&y=%20").json
    assert seen["uri"] == "/stage/api/a%2Fb?x=1&y=%20"
    assert seen["headers"]["authorization"] == "Bearer wb_t_secret"
    assert not seen["headers"]["host"].endswith(f":{port}")


@pytest.mark.parametrize("size", [0, 10, proxy.REPLAYED, proxy.REPLAYED + 1, 20_000_000])
def test_bodies_arrive_unchanged(port, size):
    """Small and large bodies reach the server byte for byte."""
    data = os.urandom(min(size, 1 << 20)) * (size // (1 << 20) + 1)
    data = data[:size]
    seen = over_http(port, "PUT", "/x", data, Content_Type="application/zip").json
    assert (seen["method"], seen["size"], seen["type"]) == ("PUT", size, "application/zip")
    assert seen["digest"] == hashlib.sha256(data).hexdigest()


def test_large_answers_are_passed_on_block_by_block(port):
    """64 MB come through whole, although the proxy never holds them."""
    reply = over_http(port, "GET", "/large")
    assert len(reply.body) == 64 * 1024 * 1024
    assert reply.body.count(1) == len(reply.body)


def test_a_chunked_request_gets_a_length(port):
    """The server, whose gateway wants lengths, gets one."""
    request = (
        f"POST /x HTTP/1.1\r\nHost: localhost:{port}\r\nTransfer-Encoding: chunked\r\n"
        "Connection: close\r\n\r\n3;ext=1\r\nabc\r\n2\r\nde\r\n0\r\nTrailer: x\r\n\r\n"
    )
    answer = raw(port, request.encode())
    assert b'"size": 5' in answer
    assert b'"transfer_encoding"' not in answer


@pytest.mark.parametrize(
    "lines",
    [
        "Content-Length: 5\r\nTransfer-Encoding: chunked",
        "Content-Length: 5\r\nContent-Length: 5",
        "Content-Length: -1",
        "Content-Length: +5",
        "Content-Length: 5, 5",
        "Content-Length: \xb2",
        "Transfer-Encoding: gzip, chunked",
        "Transfer-Encoding: identity",
    ],
)
def test_a_body_of_doubtful_length_is_refused(port, upstream, lines):
    """Nothing that two servers could read differently is passed on."""
    before = upstream.requests
    request = f"POST /x HTTP/1.1\r\nHost: localhost:{port}\r\n{lines}\r\n\r\n0\r\n\r\nGET /y"
    answer = raw(port, request.encode("latin-1"))
    assert answer.startswith(b"HTTP/1.1 400")
    assert answer.count(b"HTTP/1.1") == 1
    assert upstream.requests == before


@pytest.mark.parametrize(
    "chunks", ["zz\r\n", "-1\r\n", "ffffffffff\r\n", "3\r\nabcde\r\n0\r\n\r\n"]
)
def test_malformed_chunks_are_refused(port, upstream, chunks):
    """A chunk that lies about its size ends the connection."""
    before = upstream.requests
    head = f"POST /x HTTP/1.1\r\nHost: localhost:{port}\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert b" 400 " in raw(port, (head + chunks).encode()).partition(b"\r\n")[0]
    assert upstream.requests == before


def test_an_unsized_body_is_bounded(port, upstream):
    """More than 10 MB in chunks is refused."""
    before = upstream.requests
    head = f"POST /x HTTP/1.1\r\nHost: localhost:{port}\r\nTransfer-Encoding: chunked\r\n\r\n"
    answer = raw(port, f"{head}{proxy.MAX_UNSIZED + 1:x}\r\n".encode())
    assert b" 413 " in answer.partition(b"\r\n")[0]
    assert upstream.requests == before


def test_what_belongs_to_one_connection_or_to_a_browser_is_not_passed_on(port):
    """Credentials, cookies, origins and hop-by-hop headers of the client stay here."""
    seen = over_http(
        port, "GET", "/x",
        Authorization="Basic other", Cookie="a=1", Referer="http://x/", Connection="X-Hop",
        X_Hop="1", TE="trailers", X_Other="2", User_Agent="old-client",
    ).json["headers"]  # fmt: skip
    assert seen["authorization"] == "Bearer wb_t_secret"
    assert seen["x_other"] == "2"
    assert seen["user_agent"] == "old-client"
    assert not {"cookie", "referer", "te", "x_hop", "origin"} & set(seen)


def test_answers_lose_what_browsers_would_act_upon(port):
    """Neither cookies nor CORS permissions of the server come through."""
    reply = over_http(port, "GET", "/x")
    names = set(reply.headers)
    assert reply.headers["x-kept"] == "yes"
    assert not {n for n in names if n.startswith("access-control") or n == "set-cookie"}


def test_answers_of_every_kind_keep_their_shape(port):
    """HEAD, 204, redirects and answers without a length."""
    assert over_http(port, "HEAD", "/x").body == b""
    empty = over_http(port, "GET", "/empty")
    assert (empty.status, empty.body) == (204, b"")
    assert over_http(port, "GET", "/unsized").body == b"one two"
    assert over_http(port, "GET", "/moved").headers["location"] == "/elsewhere"


def test_a_connection_serves_many_requests(port):
    """Old clients keep connections; each request on one gets its own answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    for number in range(20):
        connection.request(
            "POST" if number % 2 else "GET", f"/{number}", b"x" if number % 2 else None
        )
        assert reply_of(connection.getresponse()).json["uri"] == f"/stage/{number}"
    connection.close()


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Host": "evil.example"}, 421),
        ({"Host": "localhost"}, 421),
        ({"Host": "localhost:1"}, 421),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://localhost:3000"}, 403),
        ({"Sec_Fetch_Site": "cross-site"}, 403),
        ({"Sec_Fetch_Site": "same-site"}, 403),
    ],
)
def test_a_page_in_a_browser_gets_nothing(port, upstream, headers, status):
    """A foreign Host, Origin or fetch is answered here; the token is never used for it."""
    before = upstream.requests
    reply = over_http(port, "POST", "/api/projects", b"{}", **headers)
    assert reply.status == status
    assert upstream.requests == before + (status == 200)
    if status != 200:
        assert set(reply.json) == {"error"}
        assert not [name for name in reply.headers if name.startswith("access-control")]


def test_two_host_headers_are_a_foreign_one(port):
    """A second Host does not hide behind the first."""
    request = f"GET / HTTP/1.1\r\nHost: localhost:{port}\r\nHost: evil\r\n\r\n"
    assert raw(port, request.encode()).startswith(b"HTTP/1.1 421")


@pytest.mark.parametrize("target", ["http://evil.example/x", "*", "x", "@evil.example/"])
def test_only_paths_are_passed_on(port, upstream, target):
    """A target that would change the server's address is refused."""
    before = upstream.requests
    request = f"GET {target} HTTP/1.1\r\nHost: localhost:{port}\r\n\r\n"
    assert b" 400 " in raw(port, request.encode()).partition(b"\r\n")[0]
    assert upstream.requests == before


def test_what_is_no_http_gets_our_error_body(port):
    """Errors that the standard library words by itself have the one error body."""
    answer = raw(port, b"BREW / HTTP/1.1\r\nHost: x\r\n\r\n")
    assert b" 501 " in answer.partition(b"\r\n")[0]
    assert set(json.loads(answer.partition(b"\r\n\r\n")[2])) == {"error"}


def test_a_server_that_is_down_is_a_bad_gateway():
    """The client gets 502 in our error body, and no hint of the token."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        with proxying(f"http://127.0.0.1:{taken.getsockname()[1]}") as port:
            reply = over_http(port, "GET", "/api/health")
    assert (reply.status, reply.code) == (502, "unavailable")
    assert b"wb_" not in reply.body


def test_a_server_that_breaks_off_is_not_taken_for_whole():
    """An answer cut short upstream is cut short for the client too."""

    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve():
            connection, _ = server.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this")

        thread = threading.Thread(target=serve)
        thread.start()
        with proxying(f"http://127.0.0.1:{server.getsockname()[1]}") as port:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
            connection.request("GET", "/")
            with contextlib.closing(connection), pytest.raises(http.client.IncompleteRead):
                connection.getresponse().read()
        thread.join(10)


def test_tls_is_added_and_checked(tmp_path):
    """Plain HTTP in, verified TLS out; an authority that is not trusted is refused."""
    issued = authority(tmp_path).issue("127.0.0.1")
    with listening(Upstream(), issued.certificate, issued.key) as target:
        url = f"https://127.0.0.1:{target}"
        with proxying(url, ca_file=str(issued.authority)) as port:
            assert over_http(port, "GET", "/x").json["uri"] == "/x"
        with proxying(url) as port:
            assert over_http(port, "GET", "/x").status == 502


@pytest.mark.parametrize("listen", ["0.0.0.0:1", "10.1.2.3:1", "[::]:1", "example.org:1"])
def test_the_proxy_listens_on_loopback_only(listen):
    """Its token's rights are not handed to a network."""
    with pytest.raises(InvalidRequest, match="loopback"):
        proxy.address(listen)


@pytest.mark.parametrize("listen", ["", "x", "127.0.0.1", "127.0.0.1:", "127.0.0.1:99999", ":-1"])
def test_a_malformed_address_is_refused(listen):
    """The message shows the form that is wanted."""
    with pytest.raises(InvalidRequest, match=r"PORT|loopback"):
        proxy.address(listen)


def test_addresses_are_understood():
    """With or without the host, in both families."""
    assert proxy.address("8100") == proxy.address(":8100") == ("127.0.0.1", 8100)
    assert proxy.address("[::1]:8100") == ("::1", 8100)
    assert proxy.address("localhost:8100") == ("localhost", 8100)


def test_a_taken_port_is_one_clear_error():
    """The message names the port and the way out."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(Conflict, match=f"port {port} .*--listen"):
            proxy.Proxy(f"127.0.0.1:{port}", "http://127.0.0.1:1", "t")


def test_ctrl_c_ends_it():
    """The process prints its address, and ends with 0 on SIGINT."""
    code = "import sys; from weighbridge import proxy; sys.exit(proxy.run('127.0.0.1:0', *sys.argv[1:]))"
    env = {**os.environ, "PYTHONPATH": str(ROOT / "sdk")}
    process = subprocess.Popen(
        [sys.executable, "-c", code, "http://127.0.0.1:1/stage", "wb_t_secret"],
        stdout=subprocess.PIPE,
        text=True,
        env=env,
    )
    with process:
        line = process.stdout.readline()
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 0
    assert "passes requests on to http://127.0.0.1:1/stage" in line
    assert "wb_t" not in line
