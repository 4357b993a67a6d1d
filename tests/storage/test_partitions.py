"""No partition of the table takes so many writes of a verb that a hot model or project would be slow."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from tests.registry_world import publish, setup_model, world
from tests.storage import partitions

DOCUMENT = Path("docs/cost.md")
BEGIN, END = "<!-- partitions: begin -->\n", "<!-- partitions: end -->\n"
MOST = 10
"""Write units that one verb may put into one partition: 100 a second, of one model or one project."""


@pytest.fixture
def found(tmp_path):
    """The units by verb and partition."""
    stores, _ = world(tmp_path)
    setup_model(stores)
    publish(stores, {"w": b"the first"})
    writes = partitions.Writes(stores.table)
    yield partitions.measure(replace(stores, table=writes), writes)
    stores.table.close()


def test_every_partition_takes_a_hundred_of_each_a_second(found):
    """Whatever is hot: a model, a project, a version's checkpoints."""
    for verb, units in found.items():
        for kind, count in units.items():
            assert count <= MOST, (verb, partitions.PARTITIONS[kind])


def test_the_documented_partitions_are_the_measured_ones(found):
    """docs/cost.md holds the table that this test measures; UPDATE_COST=1 writes it anew."""
    text = DOCUMENT.read_text()
    before, rest = text.split(BEGIN)
    measured = before + BEGIN + partitions.table(found) + "\n" + END + rest.split(END)[1]
    if os.environ.get("UPDATE_COST"):
        DOCUMENT.write_text(measured)
    assert measured == DOCUMENT.read_text()
