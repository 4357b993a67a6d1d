"""The sink's connections: a thread each, one reused buffer each, no HTTP library in the way."""

import os
import socket
import threading
import time
from collections.abc import Mapping

from benchmarks.sink.operations import Answer, Request, answer, keeps, parse_target
from benchmarks.sink.state import State

_BLOCK = 512 * 1024
_ZEROS = memoryview(bytes(_BLOCK))
_LONGEST_HEAD = 64 * 1024


class Sink:
    """Listens on loopback; `run` accepts until the process ends. Answers come `far` seconds late."""

    def __init__(self, state: State, port: int = 0, far: float = 0.0) -> None:
        self._state = state
        self._far = far
        self._listener = socket.create_server(("127.0.0.1", port), backlog=256)
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def run(self) -> None:
        """Accepts connections."""
        while True:
            connection, _ = self._listener.accept()
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            served = _Connection(self._state, connection, self._far)
            threading.Thread(target=served.serve, daemon=True).start()


class _Gone(Exception):
    """The client closed the connection."""


class _Connection:
    def __init__(self, state: State, connection: socket.socket, far: float) -> None:
        self._state = state
        self._far = far
        self._socket = connection
        self._buffer = memoryview(bytearray(_BLOCK))
        self._left = b""

    def serve(self) -> None:
        """Answers requests until the client goes away."""
        with self._socket:
            try:
                while True:
                    self._one()
            except (OSError, _Gone):
                return

    def _more(self) -> bytes:
        count = self._socket.recv_into(self._buffer)
        if not count:
            raise _Gone
        return bytes(self._buffer[:count])

    def _line_end(self, mark: bytes) -> bytes:
        """What comes before `mark`; what comes after stays for later."""
        data = self._left
        while (at := data.find(mark)) < 0:
            if len(data) > _LONGEST_HEAD:
                raise _Gone
            data += self._more()
        self._left = data[at + len(mark) :]
        return data[:at]

    def _one(self) -> None:
        lines = self._line_end(b"\r\n\r\n").decode("latin-1").split("\r\n")
        method, target, _ = lines[0].split(" ", 2)
        headers = {}
        for line in lines[1:]:
            name, _, value = line.partition(":")
            headers[name.strip().lower()] = value.strip()
        if headers.get("expect", "").lower() == "100-continue":
            self._socket.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        size, content = self._body(headers, part="uploadId=" in target)
        path, query = parse_target(target)
        found = answer(self._state, Request(method, path, query, headers, size, content))
        if self._far:
            time.sleep(self._far)
        self._answer(found, method)
        if headers.get("connection", "").lower() == "close":
            raise _Gone

    def _body(self, headers: Mapping[str, str], *, part: bool) -> tuple[int, bytes]:
        if headers.get("transfer-encoding", "").lower() != "chunked":
            size = int(headers.get("content-length", 0))
            return size, self._take(size, not part and _plain(headers, size))
        total, kept = 0, b""
        while size := int(self._line_end(b"\r\n").partition(b";")[0], 16):
            kept += self._take(size, not part and _plain(headers, total + size))
            total += size
            self._line_end(b"\r\n")
        while self._line_end(b"\r\n"):  # trailers
            continue
        return total, kept

    def _take(self, size: int, keep: bool) -> bytes:
        """Receives `size` bytes; answers them if they are wanted."""
        kept = [self._left[:size]] if keep else []
        left = size - min(size, len(self._left))
        self._left = self._left[size:]
        while left:
            count = self._socket.recv_into(self._buffer, min(left, _BLOCK))
            if not count:
                raise _Gone
            if keep:
                kept.append(bytes(self._buffer[:count]))
            left -= count
        return b"".join(kept)

    def _answer(self, found: Answer, method: str) -> None:
        length = found.length if found.thing else len(found.body)
        fields = dict(found.headers)
        fields.setdefault("Content-Length", str(length))
        fields["x-amz-request-id"] = "0"
        words = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        head = f"HTTP/1.1 {found.status} -\r\n{words}\r\n".encode("latin-1")
        if method == "HEAD" or found.thing is None:
            self._socket.sendall(head if method == "HEAD" else head + found.body)
            return
        if found.thing.content or not found.length:
            end = found.start + found.length
            self._socket.sendall(head + found.thing.content[found.start : end])
            return
        self._socket.sendall(head)
        file = self._state.served(found.thing.size)
        if file is None:
            left = found.length
            while left:
                left -= self._socket.send(_ZEROS[: min(left, _BLOCK)])
            return
        with file.open("rb") as stream:
            at, end = found.start, found.start + found.length
            while at < end:
                at += os.sendfile(self._socket.fileno(), stream.fileno(), at, end - at)


def _plain(headers: Mapping[str, str], size: int) -> bool:
    """Whether the body is small, and its content is what was meant (not framed by `aws-chunked`)."""
    return keeps(size) and "aws-chunked" not in headers.get("content-encoding", "")
