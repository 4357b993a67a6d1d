"""Federated models: the versions of many parties' models that belong together.

A version belongs to a federated one if its model is named as a party's model and it has a label. Its index
rows come and go in the transactions that give and free the label, so they are never wrong.
"""

from collections.abc import Sequence
from itertools import groupby

from chalicelib.registry import keys, models, paging, projects, versions
from chalicelib.registry.models import ModelRecord
from chalicelib.registry.ports import Delete, Item, Put
from chalicelib.registry.stores import Stores
from chalicelib.registry.versions import VersionRecord
from weighbridge.contract import federated
from weighbridge.contract.errors import Gone, NotFound, TooLarge
from weighbridge.contract.federated import PartyModel
from weighbridge.contract.types import FederatedPage, FederatedVersion, Shard

MAX_SHARDS = 1000
"""Parties of one federated version at most."""


def rows(record: ModelRecord, label: str, number: int) -> list[Put]:
    """What makes a party's version findable; nothing for other models."""
    party = federated.parse(record.model.name)
    if party is None or not label:
        return []
    doc = {"model": record.model.name, "label": label, "number": number}
    found = keys.shards(record.project_id, record.model.name, party.model_id, label)
    return [Put(Item(key, {}, doc)) for key in found]


def gone(record: ModelRecord, label: str) -> list[Delete]:
    """What removes those rows again."""
    return [Delete(put.key) for put in rows(record, label, 0)]


def _records(stores: Stores, project: str, start: str) -> list[tuple[PartyModel, VersionRecord]]:
    place = projects.find(stores, project)
    pk = keys.of_federated(place.id)
    items = paging.collect(stores.table, pk, keys.prefix(start), limit=MAX_SHARDS + 1)
    if len(items) > MAX_SHARDS:
        raise TooLarge(f"more than {MAX_SHARDS} parties share this version", limit=MAX_SHARDS)
    found = []
    for item in items:
        name = str(item.doc["model"])
        party = federated.parse(name)
        try:
            model = models.within(stores, place.id, place.project.name, name)
            record = versions.numbered(stores, model, int(item.doc["number"]))
        except (NotFound, Gone):  # deleted since the rows were read
            continue
        if party is not None and record.version.label == item.doc["label"]:
            found.append((party, record))
    return sorted(found, key=lambda pair: pair[0].party)


def labelled(stores: Stores, project: str, label: str) -> list[tuple[PartyModel, VersionRecord]]:
    """The versions of all parties with this label, in whatever state, of whichever model id."""
    return _records(stores, project, keys.shards_of_label(label))


def of_version(
    stores: Stores, project: str, model_id: str, label: str
) -> list[tuple[PartyModel, VersionRecord]]:
    """The versions of all parties of one federated version, in whatever state."""
    return _records(stores, project, keys.shards_of_model(model_id, label))


def describe(
    model_id: str, label: str, found: Sequence[tuple[PartyModel, VersionRecord]]
) -> FederatedVersion:
    """A federated version: who has a part of it, and who is missing."""
    shards = tuple(
        Shard(
            role=party.role, party_id=party.party_id, reference=record.reference,
            state=record.version.state, files=record.version.files, size=record.version.size,
        )
        for party, record in found
    )  # fmt: skip
    ready = {party.party for party, record in found if record.version.state == "ready"}
    missing = [party for party in federated.parties(model_id) if party not in ready]
    return FederatedVersion(
        model_id=model_id, label=label, shards=shards,
        missing=tuple(f"{party.role}#{party.party_id}" for party in missing),
        complete=bool(shards) and not missing and all(s.state == "ready" for s in shards),
    )  # fmt: skip


def show(stores: Stores, project: str, model_id: str, label: str) -> FederatedVersion:
    """One federated version; `NotFound` if no party has a part of it."""
    found = of_version(stores, project, model_id, label)
    if not found:
        raise NotFound(f"no party has a version {label!r} of the federated model {model_id!r}")
    return describe(model_id, label, found)


def listing(
    stores: Stores, project: str, *, model_id: str = "", limit: int, page: str | None
) -> FederatedPage:
    """The federated versions of a project, or of one model id, `limit` parties' versions a page. One
    stands on the page where its first row is, with all its parties."""
    place = projects.find(stores, project)
    bounds = keys.prefix(keys.shards_of_model(model_id) if model_id else "I#")
    pk, query = keys.of_federated(place.id), f"federated {place.id} {model_id}"
    found, following = paging.page_of(
        stores.table, query, pk, bounds, lambda item: item, size=limit, page=page
    )
    items = []
    for (wanted, label), group in groupby(found, _version_of):
        shards = of_version(stores, project, wanted, label)
        rows_ = [row.key for _, record in shards for row in _pair(record)]
        if shards and min(rows_) in {item.key for item in group}:
            items.append(describe(wanted, label, shards))
    return FederatedPage(tuple(items), following)


def _version_of(item: Item) -> tuple[str, str]:
    party = federated.parse(str(item.doc["model"]))
    return (party.model_id if party else "", str(item.doc["label"]))


def _pair(record: VersionRecord) -> list[Put]:
    return rows(record.model, record.version.label, record.version.number)[1:]
