"""Random walks under retention, on every table engine."""

import tempfile
import uuid
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test
from moto import mock_aws

from chalicelib.storage.sqlite import SqliteTable
from tests.storage.retention_machine import Keeping
from tests.storage.test_promises import QUIET, dynamo


def walk(make, examples, steps):
    class Machine(Keeping):
        def make_table(self):
            return make()

    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=examples, stateful_step_count=steps, deadline=None,
            suppress_health_check=QUIET,
        ),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("examples", "steps"), [(25, 30), pytest.param(1000, 60, marks=pytest.mark.long)]
)
def test_retention_keeps_its_promises_on_sqlite(examples, steps):
    """It never evicts the last, the best or the pinned; it converges; deletion frees bytes."""
    with tempfile.TemporaryDirectory() as folder:
        walk(lambda: SqliteTable(str(Path(folder) / uuid.uuid4().hex)), examples, steps)


def test_retention_keeps_its_promises_on_dynamodb_by_moto(aws_credentials):
    """The same on DynamoDB (moto)."""
    with mock_aws():
        walk(dynamo, 2, 20)


@pytest.mark.real
def test_retention_keeps_its_promises_on_dynamodb_by_ministack(aws_credentials, emulated_aws):
    """The same on DynamoDB (MiniStack)."""
    walk(lambda: dynamo(emulated_aws.endpoint), 5, 25)
