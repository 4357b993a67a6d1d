"""The catalogue of a registry that is in this process, served as `weighbridge serve` does, to a browser."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from chalicelib.registry.stores import Stores

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext

CHROMIUM = "/usr/bin/chromium"
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]


@dataclass(frozen=True, slots=True)
class Served:
    """Where it is, and what the cookie of somebody who may read everything holds."""

    address: str
    value: str

    def admit(self, context: "BrowserContext") -> None:
        """Signs a browser in."""
        from chalicelib.api import cookie

        context.add_cookies([{"name": cookie.PLAIN_NAME, "value": self.value, "url": self.address}])


@contextmanager
def serving(stores: Stores, secret: str) -> Iterator[Served]:
    """Serves the pages of these stores; `secret` is the one of the settings in the environment."""
    import app
    from chalicelib import wiring
    from chalicelib.api import cookie
    from chalicelib.catalogue import pages, publish
    from infra.embedded.front import Front
    from infra.embedded.http_server import Server
    from infra.embedded.packing import Packing
    from infra.embedded.wsgi import Application
    from weighbridge.contract import origins

    signed = cookie.read_keys(secret)
    server = Server(("127.0.0.1", 0), None)  # type: ignore[arg-type]
    server.prepare()
    port = int(server.bind_addr[1])
    render = publish.renderer()
    missing = render.render(pages.not_found_page())
    front = Front(
        Application(app.app), origins.doors(port), render.root / "static", stores.site, signed,
        missing=lambda: missing,
    )  # fmt: skip
    server.wsgi_app = Packing(front)
    thread = threading.Thread(target=server.serve)
    thread.start()
    try:
        with wiring.using(stores):
            value = cookie.issue(signed, "reader", (cookie.EVERYTHING,), time.time())
            yield Served(f"http://127.0.0.1:{port}", value)
    finally:
        server.stop()
        thread.join()
