"""A registry to back up and an empty one, on both table engines."""

import uuid

import pytest
from moto import mock_aws

from chalicelib.storage.dynamo import DynamoTable
from infra.embedded.backups.vault import Folder
from tests.backup.registry_to_keep import fill
from tests.registry_world import world
from tests.stack import AWS_ENV


@pytest.fixture
def make(request, tmp_path, monkeypatch):
    """Makes empty stores on an engine: SQLite, unless a test asks for another."""
    engine = getattr(request, "param", "sqlite")
    made = []

    def registry():
        folder = tmp_path / f"registry-{len(made)}"
        folder.mkdir()
        table = None
        if engine == "dynamodb":
            table = DynamoTable(f"t{uuid.uuid4().hex[:8]}", "us-east-1")
            table.create_table()
        stores, _ = world(folder, table)
        made.append(stores)
        return stores

    for name, value in AWS_ENV.items():
        monkeypatch.setenv(name, value)
    with mock_aws():
        yield registry
        for stores in made:
            stores.table.close()


@pytest.fixture
def source(make):
    """A registry with something of everything."""
    stores = make()
    fill(stores)
    return stores


@pytest.fixture
def target(make):
    """An empty registry."""
    return make()


@pytest.fixture
def vault(tmp_path):
    """An empty folder for backups."""
    return Folder(tmp_path / "vault", create=True)
