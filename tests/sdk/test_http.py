"""Connections: kept, repeated, trusted, proxied."""

import base64
import os
import socket
import ssl
import subprocess
import threading
from contextlib import contextmanager

import pytest

from tests.sdk.fake_server import TOKEN, serving
from weighbridge.client import Client
from weighbridge.contract import errors
from weighbridge.contract.errors import TransferError
from weighbridge.http import Broken, Pool, Unreachable, Untrusted
from weighbridge.proxies import proxy_for
from weighbridge.retries import Retries


@contextmanager
def _raw(*answers: bytes, close: bool = True):
    """A server that answers each request on one connection with fixed bytes."""
    accepted = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def run() -> None:
            left = list(answers)
            while left:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    accepted.append(1)
                    while left:
                        if not connection.recv(65536):
                            break
                        connection.sendall(left.pop(0))
                        if close:
                            break

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", accepted
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"


@pytest.fixture
def pool(home):
    """A pool without proxies."""
    pool = Pool(env={}, timeout=5)
    yield pool
    pool.close()


def test_connections_are_kept_and_shared(fake):
    """Requests one after the other use one connection."""
    connections = set()
    fake.state.before = lambda kind, path: connections.add(threading.current_thread().name)
    with Client(fake.url, TOKEN) as client:
        for _ in range(5):
            client.health()
    assert len(connections) == 1


def test_dead_kept_connection_is_replaced_at_once(pool):
    """A kept connection that the server closed meanwhile costs no failure, and no delay."""
    with _raw(OK, OK) as (url, accepted):
        assert pool.send("GET", url, {}).body == b"{}"
        assert pool.send("GET", url, {}).body == b"{}"
        assert len(accepted) == 2


def test_answer_that_is_cut_short_is_broken(pool):
    """An answer shorter than it says is an error, never a short answer."""
    with (
        _raw(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{}") as (url, _),
        pytest.raises(Broken),
    ):
        pool.send("GET", url, {}, fresh=True)


def test_garbage_is_broken(pool):
    """What is not HTTP is an error of ours, not one of the library's."""
    with _raw(b"hello\r\n\r\n") as (url, _), pytest.raises(Broken):
        pool.send("GET", url, {}, fresh=True)


def test_retries_wait_as_the_server_asks(home):
    """503 with `Retry-After` is repeated, and not earlier than asked."""
    waited: list[float] = []
    answers = [
        b"HTTP/1.1 503 No\r\nRetry-After: 3\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 429 No\r\nContent-Length: 0\r\n\r\n",
        b'HTTP/1.1 200 OK\r\nContent-Length: 44\r\n\r\n{"status":"ok","version":"1","time":"12:00"} ',
    ]
    with (
        _raw(*answers) as (url, _),
        Client(url, retries=Retries(sleep=waited.append, fraction=lambda: 1.0)) as client,
    ):
        assert client.health().status == "ok"
    assert waited[0] == 3
    assert 0 < waited[1] < 1


def test_error_answer_becomes_the_servers_error(fake):
    """The class, the message and the request id of the server's error are the client's."""
    with Client(fake.url, TOKEN) as client, pytest.raises(errors.NotFound) as caught:
        client.version("p", "m", 3)
    assert caught.value.request_id == "r-1"


def test_request_that_must_not_be_repeated_is_not(home):
    """A token is not asked for twice when the answer to the first request is lost."""
    with _raw(b"", OK) as (url, accepted), Client(url) as client:
        with pytest.raises(TransferError):
            client.create_token("t", [])
        assert len(accepted) == 1
        client.pool.send("GET", url, {})


def test_nothing_listening_is_said_helpfully(home):
    """A refused connection says what to do, soon."""
    with (
        Client("http://127.0.0.1:1", retries=Retries(sleep=lambda _: None)) as client,
        pytest.raises(Unreachable, match="weighbridge serve"),
    ):
        client.health()


def test_strange_server_is_said(home):
    """An answer without the wanted fields says that this may be no Weighbridge server."""
    with (
        _raw(OK) as (url, _),
        Client(url) as client,
        pytest.raises(errors.RegistryError, match="is it a Weighbridge server"),
    ):
        client.health()


def test_redirect_is_not_followed(home):
    """A redirect is named instead of followed: the token belongs to the address it was given for."""
    answer = b"HTTP/1.1 301 Moved\r\nLocation: https://x.example/\r\nContent-Length: 0\r\n\r\n"
    with (
        _raw(answer) as (url, _),
        Client(url, TOKEN) as client,
        pytest.raises(TransferError, match=r"x\.example"),
    ):
        client.health()


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://h/x", "http:///x", "http://h:x/"])
def test_only_http_addresses_are_followed(pool, url):
    """A hostile answer cannot make the client open anything but HTTP."""
    with pytest.raises(TransferError):
        pool.send("GET", url, {})


# Proxies


def test_proxy_is_used_for_other_hosts(fake, monkeypatch):
    """With `HTTP_PROXY` set, requests to a host that is not loopback go through it, signed in."""
    port = fake.server_address[1]
    monkeypatch.setenv("HTTP_PROXY", f"http://user:p%40ss@127.0.0.1:{port}")
    with Client("http://registry.example", TOKEN) as client:
        client.health()
    ((method, path, headers),) = fake.state.seen
    assert (method, path) == ("GET", "http://registry.example/api/health")
    assert headers["Host"] == "registry.example"
    assert base64.b64decode(headers["Proxy-Authorization"].split()[1]) == b"user:p@ss"


def test_tls_goes_through_a_tunnel(home, monkeypatch):
    """With `HTTPS_PROXY` set, the client asks for a tunnel, and shows its token to nobody."""
    with _raw(b"HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n") as (url, _):
        monkeypatch.setenv("HTTPS_PROXY", url)
        with (
            Client("https://registry.example", TOKEN, retries=Retries(attempts=1)) as client,
            pytest.raises(Unreachable, match="through the proxy"),
        ):
            client.health()


@pytest.mark.parametrize(
    ("host", "port", "names", "direct"),
    [
        ("a.example.com", None, "example.com", True),
        ("a.example.com", None, ".example.com", True),
        ("a.example.com", None, "*.example.com", True),
        ("badexample.com", None, "example.com", False),
        ("a.example.com", None, "other.com, example.com", True),
        ("a.example.com", 8080, "example.com:8080", True),
        ("a.example.com", 80, "example.com:8080", False),
        ("10.1.2.3", None, "10.0.0.0/8", True),
        ("11.1.2.3", None, "10.0.0.0/8", False),
        ("x", None, "*", True),
        ("x", None, "", False),
        ("localhost", None, "", True),
        ("127.0.0.9", None, "", True),
        ("::1", None, "", True),
    ],
)
def test_no_proxy(host, port, names, direct):
    """`NO_PROXY` names hosts, domains, ports and networks; loopback never needs a proxy."""
    env = {"http_proxy": "http://proxy:3128", "no_proxy": names}
    assert (proxy_for("http", host, port, env) is None) == direct


def test_proxy_of_another_kind_is_refused():
    """A SOCKS proxy is refused with a clear error, not ignored."""
    with pytest.raises(TransferError, match="socks5"):
        proxy_for("http", "h", None, {"all_proxy": "socks5://h:1"})


def test_proxy_header_of_a_cgi_caller_is_ignored():
    """Under CGI `HTTP_PROXY` is what a caller sent, so it does not count."""
    env = {"HTTP_PROXY": "http://evil", "REQUEST_METHOD": "GET"}
    assert proxy_for("http", "h", None, env) is None


# TLS


@pytest.fixture
def certificate(tmp_path):
    """A self-signed certificate for localhost."""
    key, cert = tmp_path / "key.pem", tmp_path / "cert.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"),
            *("-keyout", key, "-out", cert, "-subj", "/CN=localhost"),
            *("-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"),
        ],
        check=True,
        capture_output=True,
    )
    return cert, key


@contextmanager
def _tls(certificate):
    with serving() as server:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
        yield f"https://127.0.0.1:{server.server_address[1]}", server


def test_unknown_certificate_is_refused_once(home, certificate):
    """A certificate that nobody vouches for ends the call at once, naming the remedy."""
    with (
        _tls(certificate) as (url, server),
        Client(url, TOKEN) as client,
        pytest.raises(Untrusted, match="WEIGHBRIDGE_CA_FILE"),
    ):
        client.health()
    assert server.state.seen == []


def test_named_authority_is_trusted(home, certificate):
    """With the authority's file the server is trusted, and the connection kept."""
    with _tls(certificate) as (url, _), Client(url, TOKEN, str(certificate[0])) as client:
        assert client.health().status == "ok"
        assert client.health().status == "ok"


def test_ssl_cert_file_is_honoured(home, certificate, monkeypatch):
    """The usual variable for certificates works as everywhere."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
    with _tls(certificate) as (url, _), Client(url, TOKEN) as client:
        assert client.health().status == "ok"


def test_missing_authority_file_is_said(home):
    """A file of certificates that does not exist is named in the error."""
    with (
        Client("https://127.0.0.1:1", TOKEN, "/nonexistent.pem") as client,
        pytest.raises(Untrusted, match=r"nonexistent\.pem"),
    ):
        client.health()


def test_selectors_travel_so_that_no_gateway_meets_a_slash(fake):
    """Labels with slashes are escaped twice; names with any character arrive as they are."""
    with Client(fake.url, TOKEN) as client:
        for call in (
            lambda: client.version("p", "a#b c%/é", "=a/b%:@"),
            lambda: client.checkpoint("p", "m", 3, "best=loss/x"),
        ):
            with pytest.raises(errors.NotFound):
                call()
    first, second = (path for _, path, _ in fake.state.seen)
    assert "%2F" not in first.replace("%252F", "").replace("a%23b%20c%25%2F", "")
    assert first.endswith("/versions/%3Da%252Fb%2525%253A%2540")
    assert second.endswith("/checkpoints/best%3Dloss%252Fx")


def test_fork_does_not_share_connections(fake):
    """A forked child opens its own connections and leaves its parent's alone."""
    with Client(fake.url, TOKEN) as client:
        client.health()
        child = os.fork()
        if not child:
            try:
                status = 0 if client.health().status == "ok" else 1
            except BaseException:
                status = 2
            os._exit(status)
        assert os.waitpid(child, 0)[1] == 0
        assert client.health().status == "ok"
