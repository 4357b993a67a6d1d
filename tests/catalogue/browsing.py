"""A folder served over HTTP with the headers of the catalogue, for tests in a browser."""

import http.server
import threading
from contextlib import contextmanager

from chalicelib.catalogue.render import HEADERS


class SiteServer(http.server.ThreadingHTTPServer):
    """Serves a built site."""

    daemon_threads = True
    block_on_close = True

    def __init__(self, folder):
        self.folder = folder
        super().__init__(("127.0.0.1", 0), _Handler)

    @property
    def address(self):
        """Where it listens."""
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(http.server.SimpleHTTPRequestHandler):
    def __init__(self, request, client, server):
        super().__init__(request, client, server, directory=str(server.folder))

    def end_headers(self):
        for name, value in HEADERS.items():
            self.send_header(name, value)
        super().end_headers()

    def log_message(self, *args):
        pass


@contextmanager
def serving(folder):
    """A server for the length of a block."""
    server = SiteServer(folder)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
