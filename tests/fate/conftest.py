"""The app as FATE 1.x's clients see it, on SQLite and in-memory bytes, with an archive worker at hand."""

import json
import re
from urllib.parse import parse_qs, urlsplit

import pytest
from chalice.config import Config
from chalice.local import LocalGateway

from chalicelib import wiring
from chalicelib.registry.ports import Signed
from tests.api.conftest import ADMIN, Api
from tests.fate import models
from tests.registry_world import world

BOUNDARY = "d41d8cd98f00b204e9800998ecf8427e"


class Flow:
    """Requests as `flow` sends them."""

    def __init__(self, api, stores):
        self.api, self.stores = api, stores

    def raw(self, path, body=None, method="POST", token=ADMIN, headers=None):
        """Status, headers and body."""
        return self.api.raw(method, f"/v1/{path}", body, token, headers)

    def both(self, path, body=None, **how):
        """Status and envelope."""
        status, _, text = self.raw(path, {} if body is None else body, **how)
        return status, json.loads(text)

    def __call__(self, path, body=None, **how):
        """The envelope."""
        return self.both(path, body, **how)[1]

    def ok(self, path, body=None, **how):
        """The data of a request that must succeed."""
        status, found = self.both(path, body, **how)
        assert (status, found["retcode"]) == (200, 0), found
        return found.get("data")

    def take_in(self, archive, fields, token=ADMIN):
        """Status and envelope of `flow model import`: the fields, a plain field `file`, and the file."""
        body = form({**fields, "file": "/home/me/model.zip"}, archive)
        kind = {"content-type": f"multipart/form-data; boundary={BOUNDARY}"}
        return self.both("model/import", body, headers=kind, token=token)

    def add(self, training, parties=None, label=None):
        """Imports a training's models."""
        for role, party in parties or training.parties:
            fields = training.describe(role, party)
            fields["force_update"] = 0
            status, found = self.take_in(training.archive(role, party), fields)
            assert (status, found["retcode"]) == (200, 0), found
        return training

    def fetch(self, fields):
        """The members of an exported archive, and its file name."""
        status, headers, _ = self.raw("model/export", fields, method="GET")
        assert status == 302, headers
        url = headers["Location"]
        answer = self.stores.blobs.execute(Signed("GET", url, {}, 0))
        assert answer.status == 200, answer
        shown = parse_qs(urlsplit(url).query)["response-content-disposition"][0]
        return models.unpacked(answer.body), re.findall("filename=(.+)", shown)[0]


def form(fields, archive):
    """A multipart form with one file, whose part has no content type."""
    out = b""
    for name, value in fields.items():
        out += f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
    if archive is not None:
        head = (
            f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="m.zip"\r\n\r\n'
        )
        out += head.encode() + archive + b"\r\n"
    return out + f"--{BOUNDARY}--\r\n".encode()


@pytest.fixture
def flow(tmp_path, monkeypatch):
    """The app with an administrator's token."""
    from app import app
    from chalicelib.settings import settings

    monkeypatch.setenv("WEIGHBRIDGE_SECRET", "0123456789abcdef" * 4)
    monkeypatch.setenv("WEIGHBRIDGE_PUBLIC_URL", "http://registry.test/stage")
    settings.cache_clear()
    stores, clock = world(tmp_path, working=True)
    config = Config(
        chalice_stage="dev",
        user_provided_params={"chalice_app": app},
        config_from_disk={"app_name": "weighbridge", "stages": {"dev": {}}},
    )
    with wiring.using(stores):
        wiring.bootstrap(ADMIN)
        yield Flow(Api(LocalGateway(app, config), stores, clock), stores)
    stores.table.close()
    settings.cache_clear()
