"""Checkpoint pages over what the registry really writes, on each table engine."""

import json

import pytest

from chalicelib.catalogue import drain, publish, shelf
from chalicelib.catalogue.registry_source import RegistrySource
from chalicelib.registry import (
    checkpoints,
    models,
    pinning,
    projects,
    pruning,
    publishing,
    versions,
)
from chalicelib.storage.memory import MemoryBlobs
from tests.registry_world import index_all, key_of, upload
from weighbridge.contract import manifests, references
from weighbridge.contract.types import CheckpointCommit, NewVersion, PruneRequest, Retention

SERIES = "p/vision/digits/1/checkpoints/"


class Counting(MemoryBlobs):
    """A site that counts how often each object is written."""

    def __init__(self):
        super().__init__()
        self.puts = {}

    def put(self, key, *args, **options):
        """Stores and counts."""
        self.puts[key] = self.puts.get(key, 0) + 1
        return super().put(key, *args, **options)


@pytest.fixture
def run(stores):
    """An open version."""
    publishing.begin(stores, "ann", "vision", "digits", NewVersion(key_of("run")))
    return versions.numbered(stores, models.find(stores, "vision", "digits"), 1)


def commit(stores, run, number, data=b"weights"):
    """One more checkpoint."""
    entries = upload(stores, "vision", {"model.bin": data})
    request = CheckpointCommit(
        manifests.digest(entries), entries, number * 10, metrics={"loss": 1 / number}
    )
    return checkpoints.commit(stores, "ann", run, request)


def rebuilt(stores):
    """The project's pages, rendered from nothing."""
    fresh = MemoryBlobs()
    publish.publish_all(RegistrySource(stores), fresh, projects.find(stores, "vision").id)
    return {key: fresh.read(key) for key in shelf.keys_under(fresh, "p/")}


def pages(stores):
    """The project's pages as they are."""
    drain.everything(stores)
    return {key: stores.site.read(key) for key in shelf.keys_under(stores.site, "p/")}


def test_pages_follow_every_change(stores, run):
    """Commits, facts, a pin, a deletion and an eviction: the pages are those of a rebuilding."""
    for number in range(1, 8):
        commit(stores, run, number, b"%d" % number)
        drain.everything(stores)
    index_all(stores)
    assert pages(stores) == rebuilt(stores)
    pinning.pin(stores, "ann", run, references.parse_checkpoint("2"), True)
    checkpoints.delete(stores, "ann", run, references.parse_checkpoint("5"))
    assert pages(stores) == rebuilt(stores)
    assert json.loads(stores.site.read(f"{SERIES}4/index.json"))["after"] == 6
    pruning.override(stores, "ann", run, Retention(keep_last=1))
    drain.everything(stores)
    pruning.prune(stores, run, PruneRequest())
    left = pages(stores)
    assert left == rebuilt(stores)
    numbers = {key.split("/")[5] for key in left if key.startswith(SERIES)}
    assert numbers == {"2", "7", "1-100", "index.html", "index.json"}


def test_a_burst_renders_what_lists_it_a_few_times(stores, clock, run):
    """A hundred commits that were gathered in three drains write each listing three times, and the
    model's own page, which tells nothing of checkpoints, never."""
    drain.everything(stores)
    site = Counting()
    for key in list(shelf.keys_under(stores.site, "")):
        site.put(key, stores.site.read(key), metadata=dict(stores.site.head(key).metadata))
    site.puts.clear()
    object.__setattr__(stores, "site", site)
    for number in range(1, 101):
        commit(stores, run, number)
        clock.time += 0.5
        if number in (30, 60, 100):
            drain.everything(stores)
    assert site.puts["p/vision/digits/1/index.html"] == 3
    assert site.puts[f"{SERIES}index.html"] == 3
    own = sum(n for key, n in site.puts.items() if key.startswith(SERIES) and "/1-100/" not in key)
    assert own == 2 * (100 + 2 + 3)  # each once, the last of a drain again, and the series
    assert site.puts[f"{SERIES}1-100/index.html"] == 3
    assert not {"p/vision/index.html", "p/vision/digits/index.html"} & set(site.puts)
