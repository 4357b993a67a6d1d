"""ForML serves a prediction over REST from here, and picks up a newly trained generation."""

import json
import os
import signal
import socket
import time
import urllib.error
import urllib.request

import pytest

from tests.e2e.served import until
from tests.forml.desk import ROWS, expected, numbers

pytestmark = pytest.mark.real

APPLICATION = """
from forml import application

application.setup(application.Generic("demo-project"))
"""
GATEWAY = """
[GATEWAY]
default = "local"
[GATEWAY.local]
provider = "rest"
processes = 1
port = {port}
"""


def test_a_new_generation_is_served(desk, counter):
    """A warm prediction asks the registry for nothing; a new generation comes within ForML's refresh."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    desk.configure(more=GATEWAY.format(port=port))
    desk.init("0.1.0")
    assert "rror" not in desk.release()
    desk.model("train", "demo-project")
    descriptor = desk.home / "demo_app.py"
    descriptor.write_text(APPLICATION)
    print(desk.forml("application", "put", descriptor))
    pid, out = desk.start("cli", desk.home, "application", "serve")
    try:
        rows = json.dumps([{"level": level} for level in ROWS]).encode()

        def predicted():
            request = urllib.request.Request(
                f"http://127.0.0.1:{port}/demo-project", rows,
                {"Content-Type": "application/json", "Accept": "application/json"},
            )  # fmt: skip
            try:
                with urllib.request.urlopen(request, timeout=60) as answer:
                    return numbers(answer.read().decode().replace("}", " ").replace(":", " "))
            except urllib.error.HTTPError as error:
                raise AssertionError(error.read(), out.read_text()) from None
            except (urllib.error.URLError, ConnectionError):
                return None

        assert until(predicted, 120) == expected(1)
        assert predicted() == expected(1)
        since = len(counter.events)
        for _ in range(5):
            assert predicted() == expected(1)
        assert counter.events[since:] == []
        desk.model("train", "demo-project")
        closed = time.monotonic()
        until(lambda: predicted() == expected(2), 90, 1.0)
        print(f"a new generation is served after {time.monotonic() - closed:.0f} s")
    finally:
        os.kill(pid, signal.SIGINT)
