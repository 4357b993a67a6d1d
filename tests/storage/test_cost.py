"""What verbs cost stays within its bars, does not grow with the registry, and is documented."""

import os
import re
from pathlib import Path

import pytest

from chalicelib.registry import keys, models, projects, versions
from chalicelib.registry.ports import Item, Put
from chalicelib.storage import units
from tests.registry_world import setup_model, world
from tests.storage import cost
from weighbridge.contract.types import Model, Version

DOCUMENT = Path("docs/cost.md")
MARK = "<!-- measured by `pytest tests/storage/test_cost.py`; UPDATE_COST=1 writes it anew -->"


@pytest.fixture
def rows(tmp_path):
    """The measured rows on SQLite."""
    stores, _ = world(tmp_path)
    yield cost.measure(stores)
    stores.table.close()


def test_publishing_and_moving_an_alias_stay_within_their_bars(rows):
    """Begin and commit of a one-file version with one metric: 16 write units; an alias move: 6."""
    assert rows["begin"].writes + rows["commit"].writes <= 16
    assert rows["move an alias"].writes <= 6


def test_the_documented_costs_are_the_measured_ones(rows):
    """docs/cost.md holds the table that this test measures."""
    text = DOCUMENT.read_text()
    head = text.split(MARK)[0]
    measured = f"{head}{MARK}\n\n{cost.table(rows)}\n"
    if os.environ.get("UPDATE_COST"):
        DOCUMENT.write_text(measured)
    assert measured == DOCUMENT.read_text()


@pytest.mark.parametrize("engine", ["moto", pytest.param("ministack", marks=pytest.mark.real)])
def test_dynamodb_bills_what_the_formula_says(engine, request, tmp_path, aws_credentials):
    """The same verbs on DynamoDB cost the same write units as on SQLite."""
    import uuid
    from contextlib import nullcontext

    from moto import mock_aws

    from chalicelib.storage.dynamo import DynamoTable

    endpoint = ""
    if engine == "ministack":
        endpoint = request.getfixturevalue("emulated_aws").endpoint
    with mock_aws() if engine == "moto" else nullcontext():
        table = DynamoTable(f"cost-{uuid.uuid4().hex[:8]}", "us-east-1", endpoint)
        table.create_table()
        stores, _ = world(tmp_path, table)
        measured = cost.measure(stores)
        table.close()
    documented = dict(
        re.findall(r"^\| ([^|]+) \| [\d.]+ \| ([\d.]+) \|", DOCUMENT.read_text(), re.M)
    )
    for verb, row in measured.items():
        assert row.writes <= float(documented[verb]) + 0.01, verb


def fill(stores, record, versions_, models_):
    """Many versions and models, written straight into the table."""
    puts = []
    for number in range(1, versions_ + 1):
        version = Version("vision", "digits", number, "ready", metrics={"accuracy": 0.5})
        key = keys.version(record.id, keys.READY, number)
        from chalicelib.registry.versions import document

        puts.append(Put(Item(key, {"state": "ready", "rev": 1}, document(version))))
    for i in range(models_):
        model = Model("vision", f"model-{i:05}", id=f"m{i}")
        doc = models._doc(model)
        key = keys.model(record.project_id, model.name)
        puts.append(Put(Item(key, {"state": "live", "rev": 1}, doc)))
    stores.table.write_many(puts)


def first_pages(stores, record):
    """Read units of the first page of each list, and of the usual lookups."""
    found = {}

    def run(name, action):
        with units.recorded() as recorder:
            action()
        found[name] = recorder.reads

    run("versions", lambda: versions.listing(stores, record, limit=50))
    run("oldest", lambda: versions.listing(stores, record, newest=False, limit=50))
    run(
        "models",
        lambda: models.listing(stores, "vision", prefix="", limit=50, page=None),
    )
    run(
        "by prefix",
        lambda: models.listing(stores, "vision", prefix="model-000", limit=50, page=None),
    )
    from weighbridge.contract.references import LATEST

    run("latest", lambda: versions.of_model(stores, record, LATEST))
    return found


def test_first_pages_cost_the_same_however_much_there_is(tmp_path):
    """5,000 versions and 2,000 models: each first page in the read units of 50."""
    measured = []
    for name, many, more in (("small", 60, 60), ("large", 5000, 2000)):
        folder = tmp_path / name
        folder.mkdir()
        stores, _ = world(folder)
        setup_model(stores)
        record = models.find(stores, "vision", "digits")
        fill(stores, record, many, more)
        measured.append(first_pages(stores, record))
        assert projects.find(stores, "vision").id == record.project_id
        stores.table.close()
    print(measured[1])
    assert measured[0] == measured[1]
