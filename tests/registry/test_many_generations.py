"""300 releases of 200 generations each are listed completely, in order, page by page."""

from dataclasses import replace

from chalicelib.registry import checkpoints, keys, models, series, versions
from chalicelib.registry.ports import Item, Put
from tests.registry_world import publish
from weighbridge.contract.types import Checkpoint, ModelChanges, ModelSettings

RELEASES, GENERATIONS = 300, 200


def pages(listing):
    """Everything that a list answers, page after page."""
    found, page = [], None
    while True:
        part = listing(page)
        found += part.items
        page = part.next
        if page is None:
            return found


def test_every_release_and_generation_is_listed(stores):
    """Nothing is left out at the ends of pages."""
    change = ModelChanges(settings=ModelSettings(label_order="pep440"))
    models.change(stores, "ann", "vision", "digits", change)
    first = publish(stores, {"a.bin": b"1"}, label="1.0")
    record = models.find(stores, "vision", "digits")
    items = []
    for number in range(1, RELEASES + 1):
        version = replace(first, number=number, label=f"1.{number - 1}")
        items.append(Put(Item(
            keys.version(record.id, keys.READY, number), {"state": "ready", "rev": 1},
            versions.document(version),
        )))  # fmt: skip
        for generation in range(1, GENERATIONS + 1):
            point = Checkpoint("vision", "digits", number, generation, step=generation)
            at = keys.checkpoint(record.id, number, generation)
            items.append(Put(Item(at, {"rev": 1}, series.document(point))))
    stores.table.write_many(items)

    def releases(page):
        return versions.listing(stores, record, newest=False, limit=100, page=page)

    listed = pages(releases)
    assert [v.label for v in listed] == [f"1.{n}" for n in range(RELEASES)]
    for version in listed:
        found = versions.VersionRecord(record, version)

        def generations(page, found=found):
            return checkpoints.listing(stores, found, order="oldest", limit=77, page=page)

        assert [p.number for p in pages(generations)] == list(range(1, GENERATIONS + 1))
