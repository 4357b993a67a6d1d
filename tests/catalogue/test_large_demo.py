"""The large demo registry is what its plan says, the same every time, and a registry like any other."""

import json
from dataclasses import replace

import pytest

from chalicelib.catalogue import building, checking, drain, publish, shelf
from chalicelib.catalogue.registry_source import RegistrySource
from chalicelib.registry import aliases, checkpoints, compare, models, projects, versions
from infra.demo import inventory, large
from tests.registry_world import world
from weighbridge.contract import references

PLAN = large.Plan(versions=40, long=104, series=104, models=4)
SMALL = large.Plan(versions=12, long=20, series=12, models=3)


def filled(folder, plan):
    """Stores with the demo in them, rendered."""
    folder.mkdir()
    stores, _ = world(folder)
    large.fill(stores, plan, lambda request, data: stores.blobs.execute(request, data))
    drain.everything(stores)
    publish.publish_static(stores.site)
    return stores


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """The registry that most tests only read."""
    stores = filled(tmp_path_factory.mktemp("large") / "one", PLAN)
    yield stores
    stores.table.close()


def pages(stores):
    """Every object of the site."""
    return {key: stores.site.read(key) for key in shelf.keys_under(stores.site, "")}


def record(stores, project, name):
    return models.find(stores, project, name)


def test_there_is_what_the_plan_says(demo):
    """Models, versions and checkpoints, none too many; the newest versions have their tensors claimed."""
    counted = {}
    for found in projects.records(demo):
        for model in models.every(demo, found):
            counted[found.project.name, model.model.name] = versions.issued(demo, model)
    assert len(counted) == PLAN.models
    assert counted.pop(inventory.NIGHTLY) == PLAN.long
    assert sum(counted.values()) == PLAN.versions
    newest = versions.newest(demo, record(demo, *inventory.SERIES), 1)[0]
    found = versions.numbered(demo, record(demo, *inventory.SERIES), newest.number)
    assert len(checkpoints.newest(demo, found, 1000)) == PLAN.series
    assert newest.claims.fingerprints == newest.claims.tensors > 20
    assert newest.verdict == "safe"


def test_forty_metrics_and_a_life_of_aliases(demo):
    """The wide model has forty metrics; aliases moved, `production` only to what was approved."""
    wide = versions.newest(demo, record(demo, "vision", inventory.WIDE), 100)
    assert all(len(version.metrics) == 40 for version in wide)
    assert all(len(version.params) == 24 for version in wide)
    nightly = record(demo, *inventory.NIGHTLY)
    moves = aliases.history(demo, *inventory.NIGHTLY, "production", limit=100, page=None).items
    assert len(moves) > 3
    for move in moves:
        assert versions.numbered(demo, nightly, move.version).version.approval.state == "approved"


def test_tensors_changed_from_version_to_version(demo):
    """Between neighbours in a family some layers changed; the last of them is wider."""
    name = "vision/defect-detector"
    last = versions.issued(demo, record(demo, "vision", "defect-detector"))

    def number(variant):
        """The first version with these weights."""
        return next(n for n in range(1, last + 1) if n * large.VARIANTS // last >= variant)

    def kinds(one, other):
        sides = [
            compare.resolve(demo, references.parse(f"{name}@{number(n)}")) for n in (one, other)
        ]
        sections = {section.title: section for section in compare.compare(demo, sides).sections}
        return {row.change for row in sections["tensors"].differences}

    assert kinds(2, 4) == {"changed"}
    assert "reshaped" in kinds(2, 5)


def test_the_same_plan_makes_the_same_registry(tmp_path):
    """Every object of the site, byte for byte; another seed makes another."""
    found = []
    for name, plan in (("one", SMALL), ("two", SMALL), ("other", replace(SMALL, seed=9))):
        stores = filled(tmp_path / name, plan)
        found.append(pages(stores))
        stores.table.close()
    assert found[0] == found[1]
    key = "p/vision/nightly-regression/index.json"
    assert found[2][key] != found[0][key]


def test_its_site_is_whole(demo):
    """What changes made is what is rendered from nothing, and every link leads somewhere."""
    source = RegistrySource(demo)
    expected = building.stored(source, publish.renderer())
    found = checking.check(checking.Store(demo.site), expected, source.now(), False)
    assert found.clean, found
    assert found.pages > PLAN.versions + PLAN.long + PLAN.series
    assert max(len(data) for key, data in pages(demo).items() if key.endswith(".html")) < 300_000
    document = json.loads(demo.site.read("p/vision/nightly-regression/index.json"))
    assert document["highest"] == PLAN.long
