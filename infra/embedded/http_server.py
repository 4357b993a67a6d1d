"""The HTTP(S) server: cheroot, with the defaults that a long-lived server on a network needs."""

import logging
import ssl
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cheroot import server as cheroot_server
from cheroot import wsgi
from cheroot.ssl.builtin import BuiltinSSLAdapter

from infra.embedded.front import SECURITY_HEADERS
from infra.embedded.wsgi import worded

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

_log = logging.getLogger("weighbridge.http")


class _Headers(cheroot_server.HeaderReader):
    def _allow_header(self, key_name: Any) -> bool:
        # WSGI cannot tell `Sec_Fetch_Site` from `Sec-Fetch-Site`, so the first is dropped.
        # (Cheroot's own reader for this fails on every header: it looks for text in bytes.)
        # FATE's clients sign with `APP_KEY`, which means nothing else when spelled with a dash.
        return b"_" not in key_name or key_name.strip().lower() == b"app_key"


class _Request(cheroot_server.HTTPRequest):
    header_reader = _Headers()

    def simple_response(self, status: Any, msg: str = "") -> None:
        """What cheroot answers by itself, in our error body and with our headers."""
        code = int(str(status)[:3])
        self.close_connection = True
        _, headers, data = worded(code, msg or str(status)[4:])
        lines = [f"HTTP/1.1 {status}", "Connection: close", f"Content-Length: {len(data)}"]
        lines += [f"{name}: {value}" for name, value in (*headers, *SECURITY_HEADERS)]
        try:
            self.conn.wfile.write("\r\n".join([*lines, "", ""]).encode("latin-1") + data)
        except OSError as gone:
            _log.debug("nobody waits for the answer: %s", gone)


class _Connection(cheroot_server.HTTPConnection):
    RequestHandlerClass = _Request


class _Tls(BuiltinSSLAdapter):
    """TLS whose handshake happens in a worker thread. Cheroot waits for it while accepting, so that
    one silent client would stop all others."""

    def __init__(self, certificate: str, key: str) -> None:
        super().__init__(certificate, key)
        self.context.minimum_version = ssl.TLSVersion.TLSv1_2

    def wrap(self, sock: Any) -> tuple[Any, dict[str, str]]:
        wrapped = self.context.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)
        return wrapped, {"wsgi.url_scheme": "https", "HTTPS": "on"}


class Server(wsgi.Server):
    """Serves `application`; `prepare()` binds, `serve()` runs until `stop()`."""

    ConnectionClass = _Connection

    def __init__(
        self,
        address: tuple[str, int],
        application: "WSGIApplication",
        certificate: Path | None = None,
        key: Path | None = None,
        threads: int = 24,
    ) -> None:
        super().__init__(
            address,
            application,
            numthreads=threads,
            server_name="weighbridge",
            request_queue_size=128,
            timeout=20,
            shutdown_timeout=3,
        )
        self.max_request_header_size = 64 * 1024
        self.keep_alive_conn_limit = 256
        if certificate and key:
            self.ssl_adapter = _Tls(str(certificate), str(key))

    def process_conn(self, conn: Any) -> None:
        """Gives a connection to a thread once it has something to say: browsers open some ahead of
        need, and would occupy a thread with each."""
        if conn.last_used is None:
            self.put_conn(conn)
        else:
            super().process_conn(conn)

    def error_log(self, msg: str = "", level: int = 20, traceback: bool = False) -> None:
        """Into the log; what single clients do wrong only when somebody looks for it."""
        _log.log(level if level >= logging.ERROR else logging.DEBUG, msg, exc_info=traceback)
