"""Random walks under retention, on every table engine."""

import tempfile
import uuid
from pathlib import Path

import pytest
from moto import mock_aws

from chalicelib.storage.sqlite import SqliteTable
from tests.storage.retention_machine import Keeping
from tests.storage.test_promises import dynamo, walk, walk_for_long


def test_retention_keeps_its_promises_on_sqlite():
    """It never evicts the last, the best or the pinned; it converges; deletion frees bytes."""
    with tempfile.TemporaryDirectory() as folder:
        walk(lambda: SqliteTable(str(Path(folder) / uuid.uuid4().hex)), 25, 30, Keeping)


@pytest.mark.long
@pytest.mark.parametrize("tenth", range(10))
def test_retention_keeps_its_promises_for_long(record_property, tenth):
    """The same on a thousand longer walks."""
    walk_for_long(record_property, 60, Keeping)


def test_retention_keeps_its_promises_on_dynamodb_by_moto(aws_credentials):
    """The same on DynamoDB (moto)."""
    with mock_aws():
        walk(dynamo, 2, 20, Keeping)


@pytest.mark.real
def test_retention_keeps_its_promises_on_dynamodb_by_ministack(aws_credentials, emulated_aws):
    """The same on DynamoDB (MiniStack)."""
    walk(lambda: dynamo(emulated_aws.endpoint), 5, 25, Keeping)
