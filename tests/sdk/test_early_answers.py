"""A server that answers before it has read the body, and reads no more: seen at once, not after a minute."""

import contextlib
import errno
import os
import select
import socket
import threading
import time

import pytest

from tests.sdk.fake_server import MIB
from weighbridge.bodies import FileBody
from weighbridge.http import Broken, Pool
from weighbridge.transfer import store

REFUSED = b"HTTP/1.1 403 No\r\nContent-Length: 3\r\n\r\nno!"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
SIZE = 64 * MIB
IDLE = 4.0


@contextlib.contextmanager
def deaf(answer, read=0):
    """A server that reads `read` bytes of each body, answers, and then waits for the client to go."""
    seen = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve(connection):
            with connection:
                data = b""
                while b"\r\n\r\n" not in data:
                    data += connection.recv(65536)
                left = read
                while left > 0 and (block := connection.recv(min(left, 65536))):
                    left -= len(block)
                seen.append(data.split(b" ")[0].decode())
                connection.sendall(answer)
                gone = select.poll()
                gone.register(connection, select.POLLRDHUP)
                gone.poll(30_000)

        def run():
            with contextlib.suppress(OSError):
                while True:
                    threading.Thread(target=serve, args=listener.accept()[:1], daemon=True).start()

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", seen
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()


@pytest.fixture
def pool(home):
    """A pool without proxies whose patience is short."""
    with contextlib.closing(Pool(env={}, timeout=IDLE)) as made:
        yield made


@pytest.fixture
def bodies(tmp_path):
    """Makes bodies of `SIZE` bytes, from a file or from memory; counts what was told to be sent."""
    path = tmp_path / "big"
    with path.open("wb") as stream:
        stream.truncate(SIZE)
    told = []

    def make(kind):
        def sent(count, position):
            told.append(count)

        if kind == "memory":
            return store.MemoryBody(memoryview(bytearray(SIZE)), sent)
        return FileBody(lambda: path.open("rb", buffering=0), 0, SIZE, sent, ValueError)

    make.told = told
    return make


@pytest.mark.parametrize("kind", ["file", "memory"])
@pytest.mark.parametrize("read", [0, 20 * MIB])
def test_a_refusal_amid_the_body_is_read_at_once(pool, bodies, kind, read):
    """The rest of the body is not sent, and the connection is not used again."""
    with deaf(REFUSED, read) as (url, seen):
        for _ in range(2):
            began = time.monotonic()
            reply = pool.send("PUT", url, {}, bodies(kind))
            assert (reply.status, reply.body) == (403, b"no!")
            assert time.monotonic() - began < IDLE / 2
        assert seen == ["PUT", "PUT"]
        assert sum(bodies.told) < 2 * SIZE


def test_a_server_that_neither_reads_nor_answers_is_given_up(pool, bodies):
    """Silence ends after the idle time, not before and not much later."""
    with deaf(b"") as (url, _):
        began = time.monotonic()
        with pytest.raises(Broken, match="no answer in time"):
            pool.send("PUT", url, {}, bodies("file"), fresh=True)
        assert IDLE * 0.9 < time.monotonic() - began < 2 * IDLE


@pytest.mark.parametrize("after", [0, 1])
def test_a_file_that_the_system_cannot_send_is_read(fake, pool, tmp_path, monkeypatch, after):
    """Where `sendfile` fails, at once or on the way, the rest goes out in blocks: every byte once."""
    data = os.urandom(9 * MIB)
    path = tmp_path / "odd"
    path.write_bytes(data)
    sendfile, told, calls = os.sendfile, [], []

    def refuse(*arguments):
        calls.append(1)
        if len(calls) > after:
            raise OSError(errno.EINVAL, "no")
        return sendfile(*arguments)

    monkeypatch.setattr(os, "sendfile", refuse)
    body = FileBody(
        lambda: path.open("rb", buffering=0), MIB, 8 * MIB, lambda n, at: told.append((n, at)),
        ValueError,
    )  # fmt: skip
    checksum = store.to_base64(store.hashlib.sha256(data[MIB:]).hexdigest())
    reply = pool.send("PUT", f"{fake.url}/s3/odd", {"x-amz-checksum-sha256": checksum}, body)
    assert reply.status == 200
    assert fake.state.objects["odd"] == data[MIB:]
    assert (sum(n for n, _ in told), told[-1][1]) == (8 * MIB, 8 * MIB)
    assert len(calls) == after + 1


def test_a_push_goes_on_after_an_early_refusal(registry, state, content):
    """Parts whose address the store refuses while they are sent get a new one, and the push is right."""
    registry.push("p/m", content("a", 10))
    state.inject("part", "early", "ok", "early")
    path = content("b", 50 * MIB)
    began = time.monotonic()
    registry.push("p/m", path)
    assert time.monotonic() - began < 30
    assert list(state.objects.values())[-1] == path.read_bytes()
    assert not state.faults["part"]
