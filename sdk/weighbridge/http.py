"""HTTP over the standard library: kept-alive connections, timeouts, proxies. For API calls and for
raw requests to the object store alike; of tokens it knows only the headers it is given.
"""

import http.client
import os
import socket
import ssl
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from copy import copy
from dataclasses import dataclass
from functools import lru_cache
from types import TracebackType
from urllib.parse import SplitResult, urlsplit

from weighbridge import config, proxies, sending
from weighbridge.answers import Answer
from weighbridge.bodies import Body, Bytes, FileBody
from weighbridge.connections import Kept, Trust
from weighbridge.connections import Untrusted as Untrusted
from weighbridge.contract.errors import TransferError
from weighbridge.turns import SENDING

MAX_ANSWER = 64 * 1024 * 1024
CONNECT_TIMEOUT = 10.0
IDLE_TIMEOUT = 60.0
_REFUSAL_SECONDS = 5.0
"""So long an answer may take that came, or was cut off, before the whole body was sent."""
_ONE_PIECE = 64 * 1024
"""Bodies up to this size go out with their headers."""


class Unreachable(TransferError):
    """No connection: the request was certainly not acted on."""


class Broken(TransferError):
    """The connection failed after something was sent: whether it was acted on is unknown."""


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole answer. Header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Response:
    """An answer whose body is still to be read. Close it, or use it in a `with` block: the
    connection is kept for the next request only if the body was read to its end."""

    def __init__(self, raw: http.client.HTTPResponse, release: Callable[[bool], None]) -> None:
        self._raw = raw
        self._release = release
        self.status = raw.status
        self.headers = {name.lower(): value for name, value in raw.getheaders()}

    def readinto(self, buffer: memoryview) -> int:
        """Fills the start of `buffer`; 0 at the end, which may come early. Raises `Broken`."""
        try:
            return self._raw.readinto(buffer)
        except (OSError, http.client.HTTPException) as error:
            raise Broken(f"the connection broke while reading: {_why(error)}") from error

    def read(self, limit: int = MAX_ANSWER) -> bytes:
        """The whole body. Raises `Broken` if it is cut short, or longer than `limit`."""
        try:
            data = self._raw.read(limit + 1)
            if len(data) > limit:
                raise Broken(f"the answer is longer than {limit} bytes")
            if self._raw.length:
                raise Broken(f"the answer ended {self._raw.length} bytes early")
        except (OSError, http.client.HTTPException) as error:
            raise Broken(f"the connection broke while reading: {_why(error)}") from error
        return data

    def close(self) -> None:
        """Gives the connection back, or closes it."""
        self._release(self._raw.isclosed() and not self._raw.will_close)
        self._raw.close()

    def __enter__(self) -> "Response":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class Interrupted(TransferError):
    """The work was stopped because something else failed, or somebody asked to."""


class Pool:
    """Connections by server, kept alive and shared between threads.

    `HTTP_PROXY`, `HTTPS_PROXY` and `NO_PROXY` count, except for loopback addresses. Certificates
    are verified against the system's (or `SSL_CERT_FILE`) and `ca_file`. `timeout` is how long
    nothing may move, not how long a request may take; both times come from the environment if they
    are not given. `most` is how many connections a transfer may have.
    """

    def __init__(
        self,
        ca_file: str = "",
        *,
        timeout: float | None = None,
        connect_timeout: float | None = None,
        env: Mapping[str, str] | None = None,
        verify: bool = True,
    ) -> None:
        self._env = os.environ if env is None else env
        if timeout is None:
            timeout = config.seconds("WEIGHBRIDGE_IDLE_TIMEOUT", IDLE_TIMEOUT, self._env)
        if connect_timeout is None:
            connect_timeout = config.seconds(
                "WEIGHBRIDGE_CONNECT_TIMEOUT", CONNECT_TIMEOUT, self._env
            )
        self._timeout = timeout
        self._connect_timeout = connect_timeout
        self.most = config.connections(self._env)
        self._trust = Trust(ca_file, verify)
        self._kept = Kept()
        self._busy: set[http.client.HTTPConnection] = set()
        self._interrupted = threading.Event()

    @property
    def requests(self) -> int:
        """How many requests were sent so far."""
        return self._kept.requests

    def close(self) -> None:
        """Closes the connections that are not in use; the pool stays usable."""
        self._kept.close()

    def branch(self) -> "Pool":
        """A pool on the same kept connections that can be interrupted by itself."""
        twin = copy(self)
        twin._busy = set()
        twin._interrupted = threading.Event()
        return twin

    def interrupt(self) -> None:
        """Ends the requests that are under way, for good: whoever waits in one, or sends another,
        gets an error at once."""
        self._interrupted.set()
        for connection in list(self._busy):
            with suppress(OSError, AttributeError, TypeError):  # closed meanwhile
                # Of a TLS socket too it is the plain one that another thread may shut down.
                socket.socket.shutdown(connection.sock, socket.SHUT_RDWR)

    @property
    def interrupted(self) -> bool:
        """Whether `interrupt` was called."""
        return self._interrupted.is_set()

    def pause(self, seconds: float) -> None:
        """Waits, or raises `Interrupted` as soon as the pool is interrupted."""
        if self._interrupted.wait(seconds):
            raise Interrupted("stopped")

    def reached(self, url: str) -> bool:
        """Whether the server of `url` ever answered."""
        return urlsplit(url).netloc in self._kept.met

    def open(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: Body | bytes | None = None,
        *,
        fresh: bool = False,
    ) -> Response:
        """Sends one request and answers when the status line is there. Does not retry, except at
        once on a new connection when a kept one turns out to be dead (never if `fresh`)."""
        target = _split(url)
        key = (target.scheme, target.netloc)
        source = Bytes(body) if isinstance(body, bytes) else body
        if self.interrupted:
            raise Interrupted("stopped")
        self._kept.count()
        connection = None if fresh else self._kept.take(key)
        if connection is not None:
            try:
                return self._exchange(connection, key, method, target, headers, source)
            except Broken as error:
                if not isinstance(error.__cause__, (ConnectionError, http.client.BadStatusLine)):
                    raise
        connection = self._connect(target)
        return self._exchange(connection, key, method, target, headers, source)

    def send(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: Body | bytes | None = None,
        *,
        fresh: bool = False,
    ) -> Reply:
        """`open`, with the whole answer read."""
        with self.open(method, url, headers, body, fresh=fresh) as response:
            return Reply(response.status, response.headers, response.read())

    def _connect(self, target: SplitResult) -> http.client.HTTPConnection:
        host, port = target.hostname or "", target.port
        proxy = proxies.proxy_for(target.scheme, host, port, self._env)
        via, via_port = (proxy.host, proxy.port) if proxy else (host, port)
        connection: http.client.HTTPConnection
        if target.scheme == "https":
            connection = http.client.HTTPSConnection(
                via, via_port, timeout=self._connect_timeout, context=self._trust.context()
            )
            if proxy:
                connection.set_tunnel(host, port or 443, headers=dict(proxy.headers))
        else:
            connection = http.client.HTTPConnection(via, via_port, timeout=self._connect_timeout)
        where = f"{target.scheme}://{target.netloc}" + (f" through {proxy}" if proxy else "")
        try:
            with SENDING.waiting():
                connection.connect()
        except ssl.SSLCertVerificationError as error:
            connection.close()
            raise Untrusted(
                f"the certificate of {where} is not trusted ({error.verify_message}); name the "
                "file of its authority in WEIGHBRIDGE_CA_FILE"
            ) from error
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            raise Unreachable(f"{where} cannot be reached: {_why(error)}") from error
        connection.response_class = Answer
        connection.timeout = self._timeout
        connection.sock.settimeout(self._timeout)
        return connection

    def _exchange(
        self,
        connection: http.client.HTTPConnection,
        key: tuple[str, str],
        method: str,
        target: SplitResult,
        headers: Mapping[str, str],
        body: Body | None,
    ) -> Response:
        selector = (target.path or "/") + (f"?{target.query}" if target.query else "")
        extra: dict[str, str] = {}
        if target.scheme == "http":
            proxy = proxies.proxy_for(target.scheme, target.hostname or "", target.port, self._env)
            if proxy:
                selector = f"http://{target.netloc}{selector}"
                extra = dict(proxy.headers)
        self._busy.add(connection)
        try:
            if self.interrupted:
                raise Interrupted("stopped")
            early = False
            try:
                _send(connection, method, selector, {**headers, **extra}, body)
            except (sending.Answered, BrokenPipeError, ConnectionResetError):
                # The store may refuse before it has read everything: its answer says why.
                connection.sock.settimeout(_REFUSAL_SECONDS)
                early = True
            with SENDING.waiting():
                raw = connection.getresponse()
        except BaseException as error:
            self._busy.discard(connection)
            connection.close()
            if self.interrupted:
                raise Interrupted("stopped") from error
            if isinstance(error, (OSError, http.client.HTTPException)):
                raise Broken(f"the connection to {target.netloc} broke: {_why(error)}") from error
            raise

        self._kept.met.add(target.netloc)

        def release(whole: bool) -> None:
            self._busy.discard(connection)
            if whole and not early and not self.interrupted:
                self._kept.give(key, connection)
            else:
                connection.close()

        return Response(raw, release)


def _split(url: str) -> SplitResult:
    if "#" not in url:
        # Of signed addresses only the path and the query differ.
        start = url.find("/", url.find("://") + 3)
        if start > 0 and "?" not in url[:start]:
            path, _, query = url[start:].partition("?")
            return _origin(url[:start])._replace(path=path, query=query)
    return _origin(url)


@lru_cache(64)
def _origin(url: str) -> SplitResult:
    try:
        target = urlsplit(url)
        port = target.port
    except ValueError as error:
        raise TransferError(f"an address is malformed: {error}") from None
    if target.scheme not in ("http", "https") or not target.hostname or port == 0:
        raise TransferError(f"only HTTP addresses are followed, not {target.scheme or 'none'!r}")
    return target


def _send(
    connection: http.client.HTTPConnection,
    method: str,
    selector: str,
    headers: Mapping[str, str],
    body: Body | None,
) -> None:
    connection.putrequest(method, selector, skip_accept_encoding=True)
    for name, value in headers.items():
        if name.lower() not in ("host", "content-length"):
            connection.putheader(name, value)
    if body is not None or method in ("PUT", "POST", "PATCH"):
        connection.putheader("Content-Length", str(body.size if body else 0))
    if isinstance(body, Bytes) and body.size <= _ONE_PIECE:
        connection.endheaders(body.data)
        return
    connection.endheaders()
    if isinstance(body, FileBody) and not isinstance(connection.sock, ssl.SSLSocket):
        body.send_through(connection.sock)
    elif body is not None:
        for block in body.blocks():
            sending.send_block(connection.sock, memoryview(block))


def _why(error: BaseException) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, socket.gaierror):
        return "the host name is not known"
    return str(error) or type(error).__name__
