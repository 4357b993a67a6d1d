"""The promises of the architecture, as property tests against every table engine."""

import os
import random
import tempfile
import uuid
from pathlib import Path

import pytest
from hypothesis import HealthCheck, seed, settings
from hypothesis.stateful import run_state_machine_as_test
from moto import mock_aws

from chalicelib.storage.dynamo import DynamoTable
from chalicelib.storage.sqlite import SqliteTable
from tests.storage.promise_machine import Promises

QUIET = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]


def walk(make, examples, steps, machine=Promises, start=None):
    """Runs a machine on tables that `make` makes; `start` is the seed, where it is to be known."""

    class Machine(machine):
        def make_table(self):
            return make()

    run_state_machine_as_test(
        Machine if start is None else seed(start)(Machine),
        settings=settings(
            max_examples=examples, stateful_step_count=steps, deadline=None,
            suppress_health_check=QUIET,
        ),
    )  # fmt: skip


def test_promises_hold_on_sqlite():
    """Random walks over the registry on SQLite break no promise."""
    with tempfile.TemporaryDirectory() as folder:
        walk(lambda: SqliteTable(str(Path(folder) / uuid.uuid4().hex)), 60, 40)


def walk_for_long(record_property, steps, machine):
    """A tenth of a thousand walks, with a seed that is noted."""
    start = int(os.environ.get("WALK_SEED") or random.SystemRandom().randrange(10**9))
    record_property("seed", start)
    with tempfile.TemporaryDirectory() as folder:
        walk(lambda: SqliteTable(str(Path(folder) / uuid.uuid4().hex)), 100, steps, machine, start)
    record_property("examples", 100)
    record_property("steps_at_most", steps)


@pytest.mark.long
@pytest.mark.parametrize("tenth", range(10))
def test_promises_hold_on_sqlite_for_long(record_property, tenth):
    """Many and longer random walks over the registry on SQLite break no promise."""
    walk_for_long(record_property, 80, Promises)


def dynamo(endpoint=""):
    table = DynamoTable(f"promises-{uuid.uuid4().hex[:8]}", "us-east-1", endpoint)
    table.create_table()
    return table


def test_promises_hold_on_dynamodb_by_moto(aws_credentials):
    """Random walks over the registry on DynamoDB (moto) break no promise."""
    with mock_aws():
        walk(dynamo, 4, 25)


@pytest.mark.real
def test_promises_hold_on_dynamodb_by_ministack(aws_credentials, emulated_aws):
    """Random walks over the registry on DynamoDB (MiniStack) break no promise."""
    walk(lambda: dynamo(emulated_aws.endpoint), 8, 30)
