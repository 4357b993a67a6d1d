"""The HTTP(S) server itself, over real sockets."""

import http.client
import json
import socket
import ssl
import threading
import time

import pytest

from infra.embedded.front import Front
from infra.embedded.http_server import Server
from infra.embedded.wsgi import MAX_REQUEST, Application
from tests.e2e.embedded.certificates import authority
from tests.infra import small_app
from tests.infra.asking import listening, over_http, raw, reply_of
from weighbridge.contract import origins


def echo(environ, start_response):
    body = environ["wsgi.input"].read()
    data = json.dumps(
        {
            "headers": {k: v for k, v in environ.items() if k.startswith("HTTP_")},
            "body": body.decode(),
            "uri": environ["REQUEST_URI"],
            "scheme": environ["wsgi.url_scheme"],
        }
    ).encode()
    start_response("200 OK", [("Content-Length", str(len(data)))])
    return [data]


@pytest.fixture(scope="module")
def port():
    with listening(echo) as port:
        yield port


@pytest.fixture(scope="module")
def front_port(tmp_path_factory):
    doors = origins.doors(1)
    folder = tmp_path_factory.mktemp("static")
    front = Front(Application(small_app.make()), doors, folder, None, None)
    with listening(front) as port:
        yield port


def test_the_raw_target_reaches_the_application(port):
    """The path is handed on as the client spelled it."""
    assert over_http(port, "GET", "/a%2Fb//c?x=%20").json["uri"] == "/a%2Fb//c?x=%20"


def test_headers_with_underscores_are_dropped(port):
    """`Sec_Fetch_Site` cannot stand in for `Sec-Fetch-Site`."""
    request = b"GET / HTTP/1.1\r\nHost: x\r\nSec_Fetch_Site: none\r\nConnection: close\r\n\r\n"
    assert b"FETCH" not in raw(port, request)


def test_a_chunked_body_arrives(port):
    """A body without a length is understood."""
    request = (
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
        b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
    )
    assert b'"body": "abcde"' in raw(port, request)


def test_an_unread_chunked_body_is_never_taken_for_a_request(front_port):
    """What a refused request carries is not answered as if it were the next one."""
    inner = b"GET /smuggled HTTP/1.1\r\nHost: localhost:1\r\n\r\n"
    request = (
        b"POST /api/echo/x HTTP/1.1\r\nHost: evil\r\nTransfer-Encoding: chunked\r\n\r\n"
        + f"{len(inner):x}\r\n".encode()
        + inner
        + b"\r\n0\r\n\r\n"
        + b"GET /last HTTP/1.1\r\nHost: evil\r\nConnection: close\r\n\r\n"
    )
    answers = raw(front_port, request)
    assert answers.count(b"HTTP/1.1 421") == 2
    assert answers.count(b"HTTP/1.1 ") == 2


@pytest.mark.parametrize(
    "request_line", [b"GET / HTTP/9.9", b"get / HTTP/1.1", b"nonsense", b"\x16\x03\x01"]
)
def test_what_is_no_http_gets_our_error_body(port, request_line):
    """Errors that the server words by itself have our body and headers."""
    answer = raw(port, request_line + b"\r\n\r\n")
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.split()[1] in (b"400", b"505")
    assert b"X-Content-Type-Options: nosniff" in head
    assert set(json.loads(body)) == {"error"}


def test_a_request_with_two_lengths_is_refused_or_closed(port):
    """A length that is no number never reaches the application."""
    request = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3, 4\r\n\r\nabcd"
    assert raw(port, request).startswith(b"HTTP/1.1 400")


def test_a_too_long_upload_sees_why(front_port):
    """The sender of too many bytes gets the answer, not a reset connection."""
    reply = over_http(
        front_port,
        "POST",
        "/api/echo/x",
        b"x" * (MAX_REQUEST + 1_000_000),
        Host="localhost:1",
    )
    assert (reply.status, reply.code) == (413, "too_large")


def test_connections_are_kept_and_answered_without_delay(port):
    """A kept connection answers in well under the 44 ms of a delayed acknowledgement: most of the time,
    because a busy machine may be late by itself."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    took = []
    for _ in range(50):
        began = time.monotonic()
        connection.request("GET", "/")
        assert reply_of(connection.getresponse()).status == 200
        took.append(time.monotonic() - began)
    connection.close()
    assert sorted(took)[10] < 0.02


def test_idle_connections_occupy_no_thread(port):
    """Browsers open connections ahead of need: with more of them than threads, others are served."""
    idle = [socket.create_connection(("127.0.0.1", port)) for _ in range(20)]
    try:
        assert over_http(port, "GET", "/").status == 200
    finally:
        for connection in idle:
            connection.close()


def test_an_answer_in_flight_survives_the_stop():
    """A request that was taken is answered, although the server is told to stop meanwhile."""
    entered, leave = threading.Event(), threading.Event()

    def slow(environ, start_response):
        entered.set()
        leave.wait(10)
        start_response("200 OK", [("Content-Length", "4")])
        return [b"done"]

    found = []
    with listening(slow) as port:
        asking = threading.Thread(target=lambda: found.append(over_http(port, "GET", "/").body))
        asking.start()
        assert entered.wait(10)
        threading.Timer(0.3, leave.set).start()
    asking.join(10)
    assert found == [b"done"]


@pytest.fixture(scope="module")
def tls(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tls")
    issued = authority(folder).issue("localhost", "127.0.0.1")
    with listening(echo, issued.certificate, issued.key) as port:
        yield port, issued


def trusting(issued):
    return ssl.create_default_context(cafile=str(issued.authority))


def test_tls_is_served_with_the_given_certificate(tls):
    """A client that trusts the authority is served, and the application knows that it is TLS."""
    port, issued = tls
    connection = http.client.HTTPSConnection(
        "localhost", port, timeout=10, context=trusting(issued)
    )
    for _ in range(3):
        connection.request("POST", "/", b"x" * 40_000)
        reply = reply_of(connection.getresponse())
        assert reply.json["scheme"] == "https"
        assert len(reply.json["body"]) == 40_000
    connection.close()


def test_old_tls_is_not_offered(tls):
    """Nothing below TLS 1.2 is spoken."""
    _, issued = tls
    server = Server(("127.0.0.1", 0), echo, issued.certificate, issued.key)
    assert server.ssl_adapter.context.minimum_version == ssl.TLSVersion.TLSv1_2


def test_a_client_that_never_shakes_hands_stops_nobody(tls):
    """While silent and half-open clients hold on, others get their answers at once."""
    port, issued = tls
    silent = [socket.create_connection(("127.0.0.1", port)) for _ in range(10)]
    half = socket.create_connection(("127.0.0.1", port))
    half.sendall(b"\x16\x03\x01\x02\x00\x01")
    try:
        began = time.monotonic()
        connection = http.client.HTTPSConnection(
            "localhost", port, timeout=10, context=trusting(issued)
        )
        connection.request("GET", "/")
        assert reply_of(connection.getresponse()).status == 200
        connection.close()
        assert time.monotonic() - began < 5
    finally:
        for connection in (*silent, half):
            connection.close()


def test_plain_http_on_the_tls_port_gets_nothing(tls):
    """A token that is sent in the clear by mistake is not answered as if all were well."""
    port, _ = tls
    try:
        answer = raw(port, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    except ConnectionError:
        answer = b""
    assert b"200 OK" not in answer
