"""What fails in passing is repeated with patience; what does not pass is said, with its reason."""

import socket
import threading
import time
from contextlib import contextmanager
from email.utils import formatdate

import pytest

from tests.sdk.fake_server import MIB
from weighbridge.client import Client
from weighbridge.contract import errors
from weighbridge.http import Broken, Bytes, Interrupted, Pool, Unreachable
from weighbridge.retries import Retries
from weighbridge.transfer import plan, skew

SIGNED = "https://s3/b/k?X-Amz-Date=20260102T030405Z&X-Amz-Expires=3600&X-Amz-Signature=s"
MOMENT = 1767323045
"""2026-01-02 03:04:05 UTC."""


@contextmanager
def served(speak):
    """A server that treats each connection as `speak(connection)` does."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        # Little is under way unread, so that a slow reader is felt.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 32768)

        def run():
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                threading.Thread(target=_spoken, args=(speak, connection), daemon=True).start()

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()


def _spoken(speak, connection):
    with connection:
        try:
            speak(connection)
        except OSError:
            return


@pytest.mark.parametrize(
    ("asked", "least", "most"),
    [
        (formatdate(1000 + 30, usegmt=True), 30, 30),
        (formatdate(1000 + 86400, usegmt=True), 60, 60),
        (formatdate(1000 - 50, usegmt=True), 0, 0.1),
        ("7", 7, 7),
        ("soon", 0, 0.1),
        ("9" * 400, 60, 60),
    ],
)
def test_retry_after_is_a_number_or_a_date(asked, least, most):
    """Both forms of the header count, up to a minute."""
    delay = plan.retry_delay(1, 5, 0.5, retry_after=asked, now=1000.0)
    assert least <= delay <= most


@pytest.mark.parametrize("kind", ["api", "put", "part", "copy", "get"])
def test_every_kind_of_request_waits_as_it_is_asked(registry, state, content, tmp_path, kind):
    """429 with `Retry-After` is repeated, and not earlier than that."""
    path = content("m/a", 33 * MIB if kind in ("part", "copy", "get") else 100)
    if kind in ("copy", "get"):
        registry.push("p/m", path)
    if kind == "copy":
        with path.open("r+b") as stream:
            stream.write(b"!")
    state.inject(kind, "429")
    started = time.monotonic()
    if kind == "get":
        registry.pull("p/m", tmp_path / "out")
    else:
        registry.push("p/m", path)
    assert not state.faults[kind]
    assert time.monotonic() - started >= 1.0


def test_a_name_that_does_not_resolve_is_tried_again_and_said(home):
    """DNS failures may pass; the error names them."""
    waited = []
    with (
        Client("http://nowhere.invalid", retries=Retries(sleep=waited.append)) as client,
        pytest.raises(Unreachable, match="the host name is not known"),
    ):
        client.health()
    assert len(waited) == 2


def test_a_server_that_answered_before_is_given_more_time(home):
    """What was there a moment ago is restarting, rather than a wrong address."""
    waited = []

    def speak(connection):
        connection.recv(65536)
        body = b'{"status":"ok","version":"1","time":"12:00"}'
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))

    with served(speak) as url:
        client = Client(url, retries=Retries(sleep=waited.append))
        client.health()
    with client, pytest.raises(Unreachable):
        client.health()
    assert len(waited) == 5


def test_the_timeout_is_of_silence_not_of_the_whole(home):
    """An answer and a body that take longer than the timeout pass, as long as bytes move."""
    size = 24 * MIB

    def speak(connection):
        got = b""
        while b"\r\n\r\n" not in got:
            got += connection.recv(1000)
        left = size - len(got.partition(b"\r\n\r\n")[2])
        while left:
            time.sleep(0.001)
            left -= len(connection.recv(16384))
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n")
        for _ in range(10):
            time.sleep(0.15)
            connection.sendall(b"x")

    pool = Pool(env={}, timeout=1.0)
    with served(speak) as url:
        # In one block: `sendall` would count its whole time.
        started = time.monotonic()
        assert pool.send("PUT", url, {}, Bytes(bytes(size))).body == b"x" * 10
        assert time.monotonic() - started > 2.5


@pytest.mark.parametrize("when", ["sending", "waiting", "reading"])
def test_silence_is_an_error(home, when):
    """A server that takes nothing, says nothing, or stops amid its answer does not hold us up."""
    done = threading.Event()

    def speak(connection):
        if when != "sending":
            connection.recv(65536)
        if when == "reading":
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nx")
        done.wait(20)

    body = bytes(64 * MIB) if when == "sending" else b""
    pool = Pool(env={"WEIGHBRIDGE_IDLE_TIMEOUT": "0.3"})
    with served(speak) as url, pytest.raises(Broken, match="no answer in time"):
        pool.send("PUT", url, {}, body)
    done.set()


@pytest.mark.parametrize("value", ["soon", "-1", "0", "1e9", "nan"])
@pytest.mark.parametrize("name", ["WEIGHBRIDGE_IDLE_TIMEOUT", "WEIGHBRIDGE_CONNECT_TIMEOUT"])
def test_a_timeout_that_is_none_is_named(name, value):
    """A wrong setting is an error that says which."""
    with pytest.raises(errors.InvalidRequest, match=name):
        Pool(env={name: value})


def test_an_interrupted_branch_ends_at_once_and_its_pool_goes_on(home):
    """Requests of one transfer can be ended without those of another."""
    asked, release = threading.Semaphore(0), threading.Event()

    def speak(connection):
        connection.recv(65536)
        asked.release()
        release.wait(20)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    found = {}

    def get(name, pool, url):
        try:
            found[name] = pool.send("GET", url, {}).body
        except Interrupted as error:
            found[name] = error

    trunk = Pool(env={}, timeout=15)
    branch = trunk.branch()
    with served(speak) as url:
        threads = [
            threading.Thread(target=get, args=(name, pool, url))
            for name, pool in (("trunk", trunk), ("branch", branch))
        ]
        for thread in threads:
            thread.start()
            assert asked.acquire(timeout=10)
        branch.interrupt()
        threads[1].join(5)
        assert isinstance(found["branch"], Interrupted)
        with pytest.raises(Interrupted):
            branch.send("GET", url, {})
        with pytest.raises(Interrupted):
            branch.pause(60)
        release.set()
        threads[0].join(10)
        assert found["trunk"] == b"ok"
    assert trunk.requests == 2


@pytest.mark.parametrize(
    ("ahead", "said"),
    [
        (0, ""),
        (3500, ""),
        (-290, ""),
        (7200, "2 h 00 min ahead of"),
        (-7200, "2 h 00 min behind"),
    ],
)
def test_a_refusal_names_the_clocks_that_differ(ahead, said):
    """The time in the address and that of the answer tell; both stand in the text."""
    text = skew.text(SIGNED, formatdate(MOMENT + ahead, usegmt=True), MOMENT)
    assert said in text
    assert bool(text) is bool(said)
    if said:
        assert "2026-01-02 03:04:05 UTC" in text


@pytest.mark.parametrize("date", ["", "yesterday", formatdate(1e11, usegmt=True)])
@pytest.mark.parametrize(
    "url", ["http://x/y", SIGNED.replace("20260102T030405Z", "20269902T0304Z")]
)
def test_what_tells_no_time_tells_of_no_clock(url, date):
    """A store may say anything."""
    assert skew.text(url, date) == ""


@pytest.mark.parametrize("size", [100, 33 * MIB])
def test_a_store_with_another_clock_is_an_error_that_says_so(
    registry, state, content, tmp_path, size
):
    """When every new address is refused and the times differ, the error says by how much."""
    path = content("a", size)
    registry.push("p/other", path)
    state.signed_at = time.time() - 7200
    state.inject("get", *["expired"] * 50)
    with pytest.raises(errors.TransferError, match="clock is 2 h 00 min ahead of"):
        registry.pull("p/other", tmp_path / "out")
    state.inject("put", *["expired"] * 50)
    state.inject("part", *["expired"] * 50)
    with pytest.raises(errors.TransferError, match="clock is 2 h 00 min ahead of"):
        registry.push("p/m", content("b", size, seed=9))
