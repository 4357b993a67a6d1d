"""Who calls through the door of a foreign client, and which project their names live in."""

import base64

import pytest

from chalicelib.api import doors
from chalicelib.registry import projects
from chalicelib.registry.tokens import Principal
from tests.api.conftest import ADMIN
from weighbridge.contract.errors import Forbidden, NotFound, Unauthenticated
from weighbridge.contract.types import Scope


def basic(text):
    """A header of Basic authentication."""
    return "Basic " + base64.b64encode(text.encode()).decode()


@pytest.mark.parametrize("credentials", [f"anybody:{ADMIN}", f":{ADMIN}", ADMIN])
def test_a_token_is_the_password_of_basic_credentials(api, credentials):
    """Whatever the user is called."""
    assert doors.authenticate(basic(credentials)).name == doors.authenticate(f"Bearer {ADMIN}").name


@pytest.mark.parametrize(
    "header", [None, "Basic !", "Basic gA==", basic("a:wb_admin_wrong"), "Digest x"]
)
def test_other_credentials_are_refused(api, header):
    """With an error, never a crash."""
    with pytest.raises(Unauthenticated):
        doors.authenticate(header)


@pytest.mark.parametrize(
    ("scopes", "project"),
    [
        ((Scope(("read",), "team"), Scope(("write",), "team")), "team"),
        ((Scope(("read",), "team"), Scope(("write",), "other")), "models"),
        ((Scope(("read",), "te*"),), "models"),
        ((Scope(("read",)),), "models"),
    ],
)
def test_the_project_is_the_one_that_the_token_names(scopes, project):
    """If it names one without a wildcard."""
    assert doors.project_name(Principal("x", scopes)) == project


def test_the_project_is_made_at_the_first_write(api):
    """By whoever may write to it."""
    reader = Principal("r", (Scope(("read",), "team"),))
    with pytest.raises(Forbidden):
        doors.writable(api.stores, reader)
    with pytest.raises(NotFound):
        projects.find(api.stores, "team")
    writer = Principal("w", (Scope(("read", "write"), "team"),))
    for _ in range(2):
        assert doors.writable(api.stores, writer) == "team"
    assert projects.find(api.stores, "team").project.name == "team"
