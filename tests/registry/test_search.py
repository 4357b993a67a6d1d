"""Search over what the registry really writes: every change is found, and nothing that went."""

import pytest

from chalicelib.catalogue import drain, publish, shelf
from chalicelib.catalogue.registry_source import RegistrySource
from chalicelib.catalogue.searching import answering
from chalicelib.registry import aliases, changing, models, projects
from chalicelib.storage.memory import MemoryBlobs
from tests.registry_world import index_all, setup_model
from tests.registry_world import publish as push
from weighbridge.contract import references
from weighbridge.contract.types import (
    AliasTarget,
    Card,
    ModelChanges,
    ModelSettings,
    ProjectChanges,
    VersionChanges,
)

WHERE = ("vision", "digits")
GGUF = b"GGUF" + bytes(20)


def number(n):
    return references.parse_version(str(n))


def found(stores, text, project="vision"):
    """The addresses that a query finds once everything is drained."""
    drain.everything(stores)
    return [hit.path for hit in answering.answer(stores.site, [project], text).hits]


def same_as_rebuilt(stores):
    """Whether rendering the project from nothing would give the same index."""
    fresh = MemoryBlobs()
    record = projects.find(stores, "vision")
    publish.publish_all(RegistrySource(stores), fresh, record.id)

    def of(site):
        keys = [
            k for k in shelf.keys_under(site, "p/") if "~index" in k or k.endswith("search.json")
        ]
        return {key: site.read(key) for key in keys}

    return of(stores.site) == of(fresh)


@pytest.fixture
def two(stores):
    """Two versions with metrics and params; the second one's files are of two formats."""
    push(stores, {"a": b"1"}, metrics={"accuracy": 0.8}, params={"lr": 0.1}, label="1.0.0")
    push(stores, {"a": GGUF, "b": b"x"}, metrics={"accuracy": 0.95}, tags={"device": "edge"})
    index_all(stores)
    return stores


def test_what_is_pushed_is_found(two):
    """By metric, param, label, tag, and the formats that indexing found."""
    first, second = "/p/vision/digits/1/", "/p/vision/digits/2/"
    assert found(two, "accuracy > 0.9") == [second]
    assert found(two, "lr = 0.1") == found(two, "label:1.0.0") == [first]
    assert found(two, "tag:edge verdict:safe by:ann") == [second]
    assert found(two, "format:gguf") == ["/p/vision/digits/", second]
    assert same_as_rebuilt(two)


def test_changes_are_followed(two):
    """Aliases, tags, descriptions, cards, settings: the next search knows them."""
    second = "/p/vision/digits/2/"
    assert found(two, "alias:production") == []
    aliases.move(two, "ann", *WHERE, "production", AliasTarget("2"))
    assert found(two, "alias:production") == ["/p/vision/digits/", second]
    aliases.move(two, "ann", *WHERE, "production", AliasTarget("1"))
    assert found(two, "alias:production") == ["/p/vision/digits/", "/p/vision/digits/1/"]
    changing.change(two, "ann", *WHERE, number(2), VersionChanges(description="distilled"))
    assert found(two, "distilled") == [second]
    changes = ModelChanges(settings=ModelSettings("accuracy", {"accuracy": "max"}))
    models.change(two, "ann", *WHERE, changes)
    assert found(two, "accuracy > 0.9") == ["/p/vision/digits/", second]
    models.set_card(two, "ann", *WHERE, Card("Not for cheques."))
    assert found(two, "cheques") == ["/p/vision/digits/"]
    assert same_as_rebuilt(two)


def test_what_is_deleted_is_not_found(two):
    """A version, a model, a project: their index documents go with them."""
    changing.delete(two, "ann", *WHERE, number(2))
    assert found(two, "format:gguf") == found(two, "kind:version tag:edge") == []
    assert found(two, "kind:*") == ["/p/vision/digits/", "/p/vision/digits/1/"]
    assert same_as_rebuilt(two)
    changing.delete(two, "ann", *WHERE, number(1))
    models.delete(two, "ann", *WHERE)
    assert found(two, "kind:*") == []
    assert list(shelf.keys_under(two.site, "p/vision/~index/")) == []
    setup_model(two, "other", "encoder")
    assert found(two, "kind:model", "other") == ["/p/other/encoder/"]
    models.delete(two, "ann", "other", "encoder")
    projects.delete(two, "ann", "other")
    drain.everything(two)
    assert list(shelf.keys_under(two.site, "p/other/")) == []


def test_what_is_held_back_is_not_found(stores):
    """Nobody learns of a version by searching before its verdict lets it through."""
    projects.change(stores, "ann", "vision", ProjectChanges(safety="block"))
    push(stores, {"a": GGUF}, metrics={"accuracy": 0.99})
    assert found(stores, "accuracy > 0.9") == []
    index_all(stores)
    assert found(stores, "accuracy > 0.9 format:gguf") == ["/p/vision/digits/1/"]
    assert same_as_rebuilt(stores)
