"""A base URL and credentials of its own for each test, on the running local server."""

import io
import uuid
import zipfile
from dataclasses import dataclass

import pytest
import requests

import weighbridge
from tests.e2e.served import serving
from weighbridge.contract.types import Scope

pytestmark = pytest.mark.real


def archive(**files):
    """A ZIP with these files, as bytes."""
    found = io.BytesIO()
    with zipfile.ZipFile(found, "w") as opened:
        for name, text in (files or {"model.xml": "<net/>"}).items():
            opened.writestr(name, text)
    return found.getvalue()


PACKAGE = archive()


@dataclass
class Door:
    """The edge registry of one project, as `requests` reaches it."""

    url: str
    token: str
    project: str

    def __post_init__(self):
        self.session = requests.Session()
        self.session.auth = ("edge", self.token)

    def ask(self, method, path, **options):
        """One request; redirects are not followed unless asked for."""
        options = {"allow_redirects": False, "timeout": 60, **options}
        return self.session.request(method, self.url + path, **options)

    def get(self, path, **options):
        """A GET."""
        return self.ask("GET", path, **options)

    def post(self, data=PACKAGE, name="m.zip", kind="application/zip", **fields):
        """Registers a package; `name` and `version` are given as `fields`."""
        values = {"name": "bolt-check", "version": "1", **fields}
        if "title" in values:
            values["name"] = values.pop("title")
        sent = {"file": (name, data, kind) if kind else (name, data)}
        return self.ask("POST", "/models", data=values, files=sent)

    def registered(self, **fields):
        """The id of a package that must be accepted."""
        answer = self.post(**fields)
        assert answer.status_code == 201, answer.text
        return answer.text

    def record(self, own):
        """A record that must be there."""
        answer = self.get(f"/models/{own}")
        assert answer.status_code == 200, answer.text
        return answer.json()

    def put(self, own, **fields):
        """An urlencoded update."""
        return self.ask("PUT", f"/models/{own}", data=fields)

    def native(self):
        """The same project through the SDK."""
        return weighbridge.Registry(self.url.removesuffix("/edge"), self.token)


def opened(served, project=None, verbs=("read", "write", "delete")):
    """The door of a new project."""
    project = project or f"edge-{uuid.uuid4().hex[:12]}"
    with weighbridge.Registry(served.url, served.token) as registry:
        issued = registry.client.create_token(project, (Scope(verbs, project),), 1)
    return Door(f"{served.url}/edge", issued.secret, project)


@pytest.fixture
def door(embedded):
    """The door of a project that does not exist yet."""
    return opened(embedded)


@pytest.fixture(scope="session")
def redirecting(tmp_path_factory):
    """A server that hands packages out as one on AWS does."""
    folder = tmp_path_factory.mktemp("redirecting")
    with serving(folder, extra={"WEIGHBRIDGE_EDGE_DOWNLOAD": "redirect"}) as served:
        yield served
