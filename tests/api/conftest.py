"""The real app through Chalice's own local gateway, on SQLite and in-memory bytes."""

import json
from urllib.parse import quote, urlencode

import pytest
from chalice.config import Config
from chalice.local import ForbiddenError, LocalGateway, LocalGatewayException

from chalicelib import wiring
from tests.registry_world import world

ADMIN = "wb_admin_0123456789abcdef0123456789abcdef"


class Api:
    """Sends requests to the app as the gateway would."""

    def __init__(self, gateway, stores, clock):
        self.gateway, self.stores, self.clock = gateway, stores, clock

    def raw(self, method, path, body=None, token=ADMIN, headers=None):
        """Status, headers and body of a request."""
        sent = {"host": "localhost", **(headers or {})}
        data = b""
        if body is not None:
            data = body if isinstance(body, bytes) else json.dumps(body).encode()
            sent.setdefault("content-type", "application/json")
        if token:
            sent["authorization"] = f"Bearer {token}"
        sent["content-length"] = str(len(data))
        try:
            answer = self.gateway.handle_request(method, path, sent, data)
        except ForbiddenError as error:
            return error.CODE, {}, error.body
        except LocalGatewayException as error:
            return error.CODE, dict(error.headers), error.body
        return answer["statusCode"], answer["headers"], answer["body"]

    def __call__(self, method, path, body=None, token=ADMIN, **query):
        """Status and decoded JSON."""
        if query:
            path += "?" + urlencode(query, doseq=True)
        status, _, text = self.raw(method, path, body, token)
        return status, json.loads(text)

    def ok(self, method, path, body=None, token=ADMIN, **query):
        """Decoded JSON of a request that must succeed."""
        status, answer = self(method, path, body, token, **query)
        assert status < 300, (status, answer)
        return answer

    def error(self, method, path, body=None, token=ADMIN, **query):
        """Status and code of a request that must fail with our error body."""
        status, answer = self(method, path, body, token, **query)
        assert set(answer["error"]) == {"code", "message", "details", "request_id"}, answer
        assert answer["error"]["message"]
        return status, answer["error"]["code"]


def segment(text):
    """A path segment, percent-encoded."""
    return quote(text, safe="")


@pytest.fixture
def api(tmp_path, monkeypatch):
    """The app with an administrator's token."""
    from app import app
    from chalicelib.settings import settings

    monkeypatch.setenv("WEIGHBRIDGE_SECRET", "0123456789abcdef" * 4)
    settings.cache_clear()

    stores, clock = world(tmp_path)
    config = Config(
        chalice_stage="dev",
        user_provided_params={"chalice_app": app},
        config_from_disk={"app_name": "weighbridge", "stages": {"dev": {}}},
    )
    with wiring.using(stores):
        wiring.bootstrap(ADMIN)
        yield Api(LocalGateway(app, config), stores, clock)
    stores.table.close()
    settings.cache_clear()
