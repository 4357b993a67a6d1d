"""A fresh registry per test."""

import pytest

from tests.registry_world import setup_model, world


@pytest.fixture
def registry(tmp_path):
    """Stores with the model `vision/digits`."""
    stores, clock = world(tmp_path)
    setup_model(stores)
    stores_clock = (stores, clock)
    yield stores_clock
    stores.table.close()


@pytest.fixture
def stores(registry):
    """The stores alone."""
    return registry[0]


@pytest.fixture
def clock(registry):
    """The clock alone."""
    return registry[1]
