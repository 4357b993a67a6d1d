"""Bytes onto a socket, with an eye on the other side: who answers before everything was read has refused,
and may never read the rest.
"""

import errno
import os
import select
import socket
import ssl
from io import FileIO

_NO_SENDFILE = frozenset({errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP})


class Answered(Exception):
    """There is something to read although the body is not sent: an answer, or the end."""


def send_block(sock: socket.socket, block: memoryview) -> None:
    """Like `sendall`, whose timeout would be that of the whole block. Raises `Answered`."""
    while block:
        _wait(sock)
        block = block[sock.send(block) :]


def send_file(sock: socket.socket, stream: FileIO, offset: int, count: int) -> int | None:
    """Sends up to `count` bytes of a file inside the system, and answers how many (0: it ends here);
    None where that cannot be done with this file. Raises `Answered`."""
    if not hasattr(os, "sendfile"):
        return None
    while True:
        _wait(sock)
        try:
            return os.sendfile(sock.fileno(), stream.fileno(), offset, count)
        except BlockingIOError:
            continue
        except OSError as error:
            if error.errno in _NO_SENDFILE:
                return None
            raise


def _wait(sock: socket.socket) -> None:
    """Returns when there is room to send. `TimeoutError` after the socket's own timeout."""
    if isinstance(sock, ssl.SSLSocket):
        # What there is to read may be the handshake's last word. It waits by itself, for as long.
        return
    timeout = sock.gettimeout()
    ready = _ready(sock, -1 if timeout is None else timeout)
    if ready == "read":
        raise Answered
    if not ready:
        raise TimeoutError("timed out")


def _ready(sock: socket.socket, timeout: float) -> str:
    if hasattr(select, "poll"):
        poll = select.poll()
        poll.register(sock, select.POLLIN | select.POLLOUT)
        found = poll.poll(-1 if timeout < 0 else timeout * 1000)
        events = found[0][1] if found else 0
        readable, writable = events & select.POLLIN, events & ~select.POLLIN
    else:  # Windows
        into, out, _ = select.select([sock], [sock], [], None if timeout < 0 else timeout)
        readable, writable = len(into), len(out)
    return "read" if readable else "write" if writable else ""
