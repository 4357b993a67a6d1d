"""A registry with one project, on in-memory bytes and on SeaweedFS."""

import pytest

from chalicelib.registry import projects
from tests.registry_world import setup_model, world
from tests.storage.blobs_fixtures import seaweed, seaweed_blobs  # noqa: F401


@pytest.fixture(params=["memory", pytest.param("seaweed", marks=pytest.mark.real)])
def registry(request, tmp_path):
    """Stores and their clock; jobs are done as soon as they are queued."""
    blobs = request.getfixturevalue("seaweed_blobs") if request.param == "seaweed" else None
    stores, clock = world(tmp_path, blobs=blobs, working=True)
    setup_model(stores)
    yield stores, clock
    stores.table.close()


@pytest.fixture
def stores(registry):
    """The stores alone."""
    return registry[0]


@pytest.fixture
def clock(registry):
    """The clock alone."""
    return registry[1]


@pytest.fixture
def project_id(stores):
    """The id of the project `vision`."""
    return projects.find(stores, "vision").id
