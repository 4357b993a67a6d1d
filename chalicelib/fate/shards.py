"""What a party holds of a federated model: found by FATE's four words, and what its files say.

Only ready versions count: what is open, or held back by its verdict, is nothing yet to a FATE client.
"""

import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from chalicelib.fate import layout, pipeline
from chalicelib.fate.pipeline import Pipeline
from chalicelib.registry import blobs, federated, keys, models, paging, projects, versions
from chalicelib.registry.models import ModelRecord
from chalicelib.registry.stores import Stores
from chalicelib.registry.versions import VersionRecord
from weighbridge.contract import federated as identities
from weighbridge.contract.errors import NotFound, TooLarge
from weighbridge.contract.federated import PartyModel
from weighbridge.contract.manifests import FileEntry
from weighbridge.contract.references import VersionSelector
from weighbridge.contract.types import Version

MAX_HITS = 1000
MAX_MODELS = 2000
MAX_READ = 16 * 1024**2
"""Bytes of a file that a request reads whole."""
PREFIX = "fate."
_KEPT = 256
_KEPT_BYTES = 64 * 1024
_records: "OrderedDict[tuple[str, str], Pipeline]" = OrderedDict()
_lock = threading.Lock()


@dataclass(frozen=True, slots=True)
class Shard:
    """A party's version."""

    party: PartyModel
    found: VersionRecord

    @property
    def version(self) -> Version:
        """The version itself."""
        return self.found.version

    @property
    def project_id(self) -> str:
        """The id of its project."""
        return self.found.model.project_id

    @property
    def model_version(self) -> str:
        """FATE's name of the version."""
        return self.version.label


def find(
    stores: Stores, project: str, role: object, party_id: object, model_id: object, label: str
) -> Shard:
    """A party's version by FATE's four words, or `NotFound`."""
    party = identities.party_model(role, party_id, model_id)
    record = models.find(stores, project, party.name)
    found = versions.of_model(stores, record, VersionSelector("label", label))
    if found.version.state != "ready":
        raise NotFound(f"{party.name} has no version {label!r} that is ready")
    return Shard(party, found)


def exists(stores: Stores, project: str, party: PartyModel, label: str) -> bool:
    """Whether the label is taken, by a version in whatever state."""
    try:
        record = models.find(stores, project, party.name)
    except NotFound:
        return False
    return stores.table.get(keys.label(record.id, label)) is not None


def of_federated(stores: Stores, project: str, model_id: str, label: str) -> list[Shard]:
    """The ready versions of all parties of a federated version, by party."""
    try:
        found = federated.of_version(stores, project, model_id, label)
    except NotFound:
        return []
    return [Shard(p, r) for p, r in found if r.version.state == "ready"]


def labelled(stores: Stores, project: str, label: str) -> list[Shard]:
    """The ready versions of all parties with this label."""
    try:
        found = federated.labelled(stores, project, label)
    except NotFound:
        return []
    return [Shard(p, r) for p, r in found if r.version.state == "ready"]


def search(
    stores: Stores, project: str, *, role: str, party_id: str, model_id: str, label: str
) -> list[Shard]:
    """The ready versions that these words narrow down to; empty ones do not narrow."""
    try:
        if role and party_id and model_id:
            party = identities.PartyModel(role, party_id, model_id)
            found = _of_party(stores, models.find(stores, project, party.name), label)
        elif label:
            found = labelled(stores, project, label)
        elif model_id:
            pairs = federated.of_model(stores, project, model_id)
            found = [Shard(p, r) for p, r in pairs if r.version.state == "ready"]
        else:
            found = _all(stores, project, f"{role}#{party_id}#" if role and party_id else role)
    except NotFound:
        return []
    wanted = {"role": role, "party_id": party_id, "model_id": model_id}
    return [
        shard
        for shard in found
        if all(not text or getattr(shard.party, name) == text for name, text in wanted.items())
        and (not label or shard.model_version == label)
    ]


def _of_party(stores: Stores, record: ModelRecord, label: str) -> list[Shard]:
    party = identities.parse(record.model.name)
    if party is None:
        return []
    if label:
        found = versions.of_model(stores, record, VersionSelector("label", label))
        return [Shard(party, found)] if found.version.state == "ready" else []
    items = versions.newest(stores, record, MAX_HITS + 1)
    _bounded(len(items))
    return [Shard(party, VersionRecord(record, item)) for item in items if item.label]


def _all(stores: Stores, project: str, start: str) -> list[Shard]:
    place = projects.find(stores, project)
    bounds = keys.prefix(keys.model(place.id, start).sk)
    items = paging.collect(stores.table, f"P#{place.id}", bounds, limit=MAX_MODELS + 1)
    if len(items) > MAX_MODELS:
        raise TooLarge(f"more than {MAX_MODELS} models; name a model id or version")
    found: list[Shard] = []
    for item in items:
        name = item.key.sk.partition("#")[2]
        if identities.parse(name) is not None:
            record = models.within(stores, place.id, place.project.name, name)
            found += _of_party(stores, record, "")
            _bounded(len(found))
    return found


def _bounded(count: int) -> None:
    if count > MAX_HITS:
        raise TooLarge(f"more than {MAX_HITS} versions match; name a model id or version")


def contents(stores: Stores, shard: Shard) -> dict[str, FileEntry]:
    """The files of a party's version, by path."""
    entries = versions.files(stores, shard.project_id, shard.version.manifest)
    return {entry.path: entry for entry in entries}


def data(stores: Stores, project_id: str, entry: FileEntry, limit: int = MAX_READ) -> bytes:
    """The bytes of a small file."""
    if entry.size > limit:
        raise TooLarge(
            f"{entry.path} has {entry.size} bytes; {limit} at most here: export the model instead",
            limit=limit,
        )
    key = blobs.object_keys(stores, project_id, [entry.blob])[entry.blob]
    return stores.blobs.read(key)


def record_of(stores: Stores, shard: Shard) -> Pipeline:
    """The pipeline record of a party's version. Versions never change, so it is remembered."""
    key = (shard.project_id, shard.version.manifest)
    with _lock:
        if key in _records:
            _records.move_to_end(key)
            return _records[key]
    files = contents(stores, shard)
    found = read_record(stores, shard.project_id, files)
    if sum(len(v) for v in found.values.values() if isinstance(v, bytes)) <= _KEPT_BYTES:
        with _lock:
            _records[key] = found
            while len(_records) > _KEPT:
                _records.popitem(last=False)
    return found


def read_record(stores: Stores, project_id: str, files: Mapping[str, FileEntry]) -> Pipeline:
    """The pipeline record among files; `NotFound` if there is none."""
    as_json, plain = files.get(layout.PIPELINE_JSON), files.get(layout.PIPELINE)
    if as_json is not None:
        return pipeline.read(None, data(stores, project_id, as_json))
    if plain is not None:
        return pipeline.read(data(stores, project_id, plain), None)
    raise NotFound("this version has no pipeline record: it is no model of FATE 1.x")


def attributes(record: Pipeline, **more: Any) -> dict[str, Any]:
    """What is kept of a pipeline record beside the version, so that queries need not read files."""
    role, party_id = record.initiator
    found = {
        "fate_version": record.text("fateVersion"), "parent": record.parent,
        "parent_info": record.document("parentInfo"), "roles": record.roles,
        "initiator_role": role, "initiator_party_id": party_id, **more,
    }  # fmt: skip
    return {PREFIX + name: value for name, value in found.items()}


def told(stores: Stores, shard: Shard) -> dict[str, Any]:
    """The same of a version, without the prefix; from its record where it was not kept."""
    kept = {
        name.removeprefix(PREFIX): value
        for name, value in shard.version.attributes.items()
        if name.startswith(PREFIX)
    }
    if "roles" in kept:
        return kept
    try:
        record = record_of(stores, shard)
    except NotFound:
        return kept
    found = {n.removeprefix(PREFIX): v for n, v in attributes(record).items()}
    return {**found, **kept}
