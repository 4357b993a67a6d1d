"""HTTP over the standard library: kept-alive connections, retries, proxies, trust. For API calls
and for raw requests to the object store alike; of tokens it knows only the headers it is given.
"""

import http.client
import os
import random
import socket
import ssl
import threading
import time
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import TracebackType
from urllib.parse import SplitResult, urlsplit

from weighbridge import proxies
from weighbridge.bodies import Body, Bytes, FileBody
from weighbridge.contract.errors import RegistryError, TransferError
from weighbridge.transfer import plan

MAX_ANSWER = 64 * 1024 * 1024
_IDLE_SECONDS = 30.0


class Unreachable(TransferError):
    """No connection: the request was certainly not acted on."""


class Untrusted(TransferError):
    """The other side's certificate cannot be verified; trying again will not help."""


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


class Pool:
    """Connections by server, kept alive and shared between threads.

    `HTTP_PROXY`, `HTTPS_PROXY` and `NO_PROXY` count, except for loopback addresses. Certificates
    are verified against the system's (or `SSL_CERT_FILE`) and `ca_file`.
    """

    def __init__(
        self,
        ca_file: str = "",
        *,
        timeout: float = 60.0,
        connect_timeout: float = 10.0,
        env: Mapping[str, str] | None = None,
    ) -> None:
        self.requests = 0
        self._ca_file = ca_file
        self._timeout = timeout
        self._connect_timeout = connect_timeout
        self._env = os.environ if env is None else env
        self._lock = threading.Lock()
        self._owner = os.getpid()
        self._context: ssl.SSLContext | None = None
        self._idle: dict[tuple[str, str], list[tuple[float, http.client.HTTPConnection]]] = {}
        weakref.finalize(self, _close_all, self._idle)

    def close(self) -> None:
        """Closes the connections that are not in use; the pool stays usable."""
        with self._lock:
            _close_all(self._idle)

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
        with self._lock:
            self.requests += 1
        connection = None if fresh else self._kept(key)
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

    def _kept(self, key: tuple[str, str]) -> http.client.HTTPConnection | None:
        with self._lock:
            if self._owner != os.getpid():
                # A forked child must not speak on its parent's connections, nor shut them down.
                self._owner = os.getpid()
                self._idle.clear()
            stack = self._idle.get(key, [])
            while stack:
                since, connection = stack.pop()
                if time.monotonic() - since < _IDLE_SECONDS:
                    return connection
                connection.close()
        return None

    def _connect(self, target: SplitResult) -> http.client.HTTPConnection:
        host, port = target.hostname or "", target.port
        proxy = proxies.proxy_for(target.scheme, host, port, self._env)
        via, via_port = (proxy.host, proxy.port) if proxy else (host, port)
        connection: http.client.HTTPConnection
        if target.scheme == "https":
            connection = http.client.HTTPSConnection(
                via, via_port, timeout=self._connect_timeout, context=self._trust()
            )
            if proxy:
                connection.set_tunnel(host, port or 443, headers=dict(proxy.headers))
        else:
            connection = http.client.HTTPConnection(via, via_port, timeout=self._connect_timeout)
        where = f"{target.scheme}://{target.netloc}" + (f" through {proxy}" if proxy else "")
        try:
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
        connection.timeout = self._timeout
        connection.sock.settimeout(self._timeout)
        return connection

    def _trust(self) -> ssl.SSLContext:
        with self._lock:
            if self._context is None:
                context = ssl.create_default_context()
                if self._ca_file:
                    try:
                        context.load_verify_locations(self._ca_file)
                    except OSError as error:
                        raise Untrusted(
                            f"the certificates in {self._ca_file} cannot be read: {error}"
                        ) from error
                self._context = context
            return self._context

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
        try:
            try:
                _send(connection, method, selector, {**headers, **extra}, body)
            except (BrokenPipeError, ConnectionResetError):
                # The store may refuse before it has read everything: its answer says why.
                connection.sock.settimeout(5.0)
            raw = connection.getresponse()
        except BaseException as error:
            connection.close()
            if isinstance(error, (OSError, http.client.HTTPException)):
                raise Broken(f"the connection to {target.netloc} broke: {_why(error)}") from error
            raise

        def release(whole: bool) -> None:
            if whole:
                with self._lock:
                    self._idle.setdefault(key, []).append((time.monotonic(), connection))
            else:
                connection.close()

        return Response(raw, release)


@dataclass(frozen=True, slots=True)
class Retries:
    """Repeats what failed in passing: 429, 5xx, resets, timeouts; with backoff and jitter."""

    attempts: int = 6
    sleep: Callable[[float], object] = time.sleep
    fraction: Callable[[], float] = random.random

    def send(
        self,
        pool: Pool,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes | None,
        *,
        repeatable: bool = True,
        server: str = "",
    ) -> Reply:
        """The answer to an API request, whatever its status once retries are used up."""
        attempt = 0
        while True:
            attempt += 1
            failure: RegistryError | None = None
            reply: Reply | None = None
            try:
                reply = pool.send(method, url, headers, body, fresh=not repeatable)
                delay = plan.retry_answer(
                    reply.status,
                    attempt,
                    self.attempts,
                    self.fraction(),
                    retry_after=reply.headers.get("retry-after", ""),
                    repeatable=repeatable,
                )
            except Unreachable as error:
                failure = _helpful(error, server)
                delay = plan.retry_delay(attempt, min(3, self.attempts), self.fraction())
            except Broken as error:
                failure = error
                most = self.attempts if repeatable else 1
                delay = plan.retry_delay(attempt, most, self.fraction())
            if delay is not None:
                self.sleep(delay)
            elif reply is not None:
                return reply
            elif failure is not None:
                raise failure


def _helpful(error: Unreachable, server: str) -> Unreachable:
    if isinstance(error.__cause__, ConnectionRefusedError):
        return Unreachable(
            f"nothing answers at {server or 'that address'}: is the server running? "
            "(`weighbridge serve` starts one; `weighbridge login URL` chooses another)"
        )
    return error


def _split(url: str) -> SplitResult:
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
    if isinstance(body, Bytes):
        connection.endheaders(body.data)
        return
    connection.endheaders()
    if isinstance(body, FileBody) and not isinstance(connection.sock, ssl.SSLSocket):
        body.send_through(connection.sock)
    elif body is not None:
        for block in body.blocks():
            connection.sock.sendall(block)


def _why(error: BaseException) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, socket.gaierror):
        return "the host name is not known"
    return str(error) or type(error).__name__


def _close_all(
    idle: dict[tuple[str, str], list[tuple[float, http.client.HTTPConnection]]],
) -> None:
    for stack in idle.values():
        for _, connection in stack:
            connection.close()
    idle.clear()
