"""One server for the tests that only talk to it."""

import pytest

from tests.e2e.aws_stack import deployed
from tests.e2e.served import Person, serving


@pytest.fixture(scope="session")
def embedded(tmp_path_factory):
    """A running embedded stack."""
    with serving(tmp_path_factory.mktemp("embedded")) as served:
        yield served


@pytest.fixture(scope="session")
def aws(tmp_path_factory):
    """The deployed app on emulated AWS."""
    with deployed(tmp_path_factory.mktemp("aws")) as found:
        yield found


@pytest.fixture
def person(embedded, tmp_path):
    """Somebody with the administrator's token and an empty home."""
    return Person(tmp_path, embedded.url, embedded.token)
