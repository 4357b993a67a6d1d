"""schemathesis over the edge door's OpenAPI file: whatever is sent, every answer is one that it describes."""

import threading
from socketserver import ThreadingMixIn
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from chalicelib.edge import description
from infra.embedded.stack import _words
from infra.embedded.wsgi import Application, Door
from tests.api.conftest import ADMIN
from tests.e2e.embedded.certificates import authority
from tests.geti.stub import TOKEN, running

CHECKS = [
    not_a_server_error, status_code_conformance, content_type_conformance,
    response_schema_conformance,
]  # fmt: skip


class Server(ThreadingMixIn, WSGIServer):
    """A thread per request."""

    daemon_threads = True


class Quiet(WSGIRequestHandler):
    """Prints nothing."""

    def log_message(self, *args):
        pass


@pytest.fixture
def geti(tmp_path, monkeypatch):
    """A Geti server with a project, which the settings name."""
    issued = authority(tmp_path).issue("127.0.0.1")
    with running(issued) as (found, url):
        found.project(0x100, "Pallets")
        monkeypatch.setenv("GETI_HOST", url)
        monkeypatch.setenv("GETI_TOKEN", TOKEN)
        monkeypatch.setenv("GETI_CA_FILE", str(issued.authority))
        yield found


@pytest.fixture
def base(api, geti):
    """The address of the app behind the embedded server's WSGI application."""
    from app import app

    door = Application(app, [Door("/edge", _words("edge"))])
    with make_server("127.0.0.1", 0, door, Server, Quiet) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def test_every_answer_is_one_that_is_described(base, api):
    """No operation answers with an unexpected status, type or body; the list still answers after it."""
    operations = 0
    for found in schemathesis.openapi.from_dict(description.document()).get_all_operations():
        operation = found.ok()

        @settings(
            max_examples=12, deadline=None, derandomize=True, database=None,
            phases=[Phase.generate], suppress_health_check=list(HealthCheck),
        )  # fmt: skip
        @given(case=operation.as_strategy())
        def check(case):
            answer = case.call(base_url=base, auth=("edge", ADMIN), timeout=60)
            case.validate_response(answer, checks=CHECKS)

        check()
        operations += 1
    assert operations == sum(
        len(set(item) - {"parameters"}) for item in description.document()["paths"].values()
    )
    assert api.raw("GET", "/edge/models")[0] == 200
