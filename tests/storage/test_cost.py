"""What verbs cost stays within its bars, does not grow with the registry, and is documented."""

import os
import re
from pathlib import Path

import pytest

from chalicelib.registry import (
    checkpoints,
    keys,
    models,
    projects,
    pruning,
    publishing,
    series,
    versions,
)
from chalicelib.registry.ports import Item, Put
from chalicelib.storage import units
from tests.registry_world import setup_model, world
from tests.storage import cost
from weighbridge.contract import references
from weighbridge.contract.types import (
    Checkpoint,
    KeepBest,
    Model,
    ModelChanges,
    ModelSettings,
    NewVersion,
    Retention,
    Version,
)

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


def points(stores, found, many):
    """Many checkpoints of two components, written straight into the table."""
    pk = checkpoints.partition(found)
    puts = [Put(Item(keys.counter(pk), {"n": many}))]
    for number in range(1, many + 1):
        point = Checkpoint(
            "vision", "digits", found.number, number, ("", "encoder")[number % 2], number,
            metrics={"loss": abs(number - many / 2) + 0.25}, files=1, manifest="0" * 64,
            created="2027-01-15T08:00:00.000Z",
        )  # fmt: skip
        at = (found.model.id, found.number)
        puts.append(Put(Item(keys.checkpoint(*at, number), {}, series.document(point))))
        lock = keys.step(*at, point.component, point.step, point.name)
        puts.append(Put(Item(lock, {"n": number})))
        puts += series.index_items(pk, point)
    stores.table.write_many(puts)


def checkpoint_reads(stores, found):
    """Read units of each question about checkpoints, and of one call of a pruning."""
    ask = {
        "newest": {}, "oldest": {"order": "oldest"}, "by step": {"order": "step"},
        "component": {"component": "encoder"},
        "best by loss": {"by": "loss", "order": "min", "limit": 1},
        "by loss": {"by": "loss", "order": "max"},
        "component by loss": {"by": "loss", "order": "min", "component": "encoder"},
        "steps": {"component": "encoder", "steps": (10, 30)},
    }  # fmt: skip
    units_of = {}

    def run(name, action):
        with units.recorded() as recorder:
            action()
        units_of[name] = recorder.reads

    last = checkpoints.resolve(stores, found, references.parse_checkpoint("last")).checkpoint.number
    for name, question in ask.items():
        wanted = {"limit": 20, **question}
        run(name, lambda wanted=wanted: checkpoints.listing(stores, found, **wanted))
    for text in ("last", "best"):
        selector = references.parse_checkpoint(text)
        run(text, lambda selector=selector: checkpoints.resolve(stores, found, selector))
    run("dry run", lambda: pruning.look(stores, found, None, act=False, account=False))
    run("after a commit", lambda: pruning.settle(stores, found, {last: "encoder"}))
    run("prune", lambda: pruning.look(stores, found, None, act=True, account=False))
    return units_of


def test_questions_about_checkpoints_cost_the_same_however_many_there_are(tmp_path):
    """Of 5,000 checkpoints: first pages, best, last and one call of a pruning cost as of 400."""
    measured = []
    for name, many in (("small", 400), ("large", 5000)):
        (tmp_path / name).mkdir()
        stores, _ = world(tmp_path / name)
        setup_model(stores)
        policy = Retention(keep_last=3, keep_best=(KeepBest("loss", "min", 2),))
        settings = ModelSettings("loss", {"loss": "min"}, retention=policy)
        models.change(stores, "ann", "vision", "digits", ModelChanges(settings=settings))
        publishing.begin(stores, "ann", "vision", "digits", NewVersion("k" * 20))
        found = versions.numbered(stores, models.find(stores, "vision", "digits"), 1)
        points(stores, found, many)
        measured.append(checkpoint_reads(stores, found))
        stores.table.close()
    print(measured[1])
    small, large = measured
    assert {k: v for k, v in small.items() if k != "oldest"} == {
        k: v for k, v in large.items() if k != "oldest"
    }
    assert abs(small["oldest"] - large["oldest"]) <= 1  # longer numbers, a longer page
    assert max(large.values()) <= 80


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
