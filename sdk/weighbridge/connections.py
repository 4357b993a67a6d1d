"""Connections that wait for their next request, and the certificates that new ones are checked by."""

import http.client
import os
import ssl
import threading
import time
import weakref

from weighbridge.contract.errors import TransferError

_IDLE_SECONDS = 30.0

Key = tuple[str, str]
"""Scheme, and host with port."""


class Untrusted(TransferError):
    """The other side's certificate cannot be verified; trying again will not help."""


class Kept:
    """Connections that are not in use, by server; and what was counted and seen on all of them."""

    def __init__(self) -> None:
        self.requests = 0
        self.met: set[str] = set()
        """The servers that answered."""
        self._lock = threading.Lock()
        self._owner = os.getpid()
        self._idle: dict[Key, list[tuple[float, http.client.HTTPConnection]]] = {}
        weakref.finalize(self, _close_all, self._idle)

    def count(self) -> None:
        """One more request."""
        with self._lock:
            self.requests += 1

    def take(self, key: Key) -> http.client.HTTPConnection | None:
        """A connection that was used a moment ago."""
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

    def give(self, key: Key, connection: http.client.HTTPConnection) -> None:
        """Keeps a connection for the next request."""
        with self._lock:
            self._idle.setdefault(key, []).append((time.monotonic(), connection))

    def close(self) -> None:
        """Closes all of them."""
        with self._lock:
            _close_all(self._idle)


class Trust:
    """The certificates to trust: the system's, and those in `ca_file`; read when first needed. Without
    `verify` any will do, and whoever sits on the way can read all."""

    def __init__(self, ca_file: str, verify: bool = True) -> None:
        self._ca_file = ca_file
        self._verify = verify
        self._lock = threading.Lock()
        self._context: ssl.SSLContext | None = None

    def context(self) -> ssl.SSLContext:
        """What TLS connections are made with."""
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
                if not self._verify:
                    context.check_hostname = False
                    context.verify_mode = ssl.CERT_NONE
                self._context = context
            return self._context


def _close_all(idle: dict[Key, list[tuple[float, http.client.HTTPConnection]]]) -> None:
    for stack in idle.values():
        for _, connection in stack:
            connection.close()
    idle.clear()
