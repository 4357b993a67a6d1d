"""A model under other party ids: names and records change, buffers stay as they are."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from chalicelib.fate import dsl, making, outgoing, parties, pipeline, shards
from chalicelib.fate.layout import Step
from chalicelib.fate.making import Plan
from chalicelib.fate.pipeline import Pipeline
from chalicelib.fate.shards import Shard
from chalicelib.registry import versions
from chalicelib.registry.stores import Stores
from weighbridge.contract import federated
from weighbridge.contract.errors import InvalidRequest
from weighbridge.contract.federated import Party, PartyModel
from weighbridge.contract.manifests import FileEntry

NAMING_PARTIES = ("binning", "datatransform", "featureselection", "pearson", "boost", "tree")
"""Words in the names of modules whose buffers hold party ids, which FATE's own migration rewrites."""


class Uneven(InvalidRequest):
    """The old and the new parties do not match."""


@dataclass(frozen=True, slots=True)
class Change:
    """Which party becomes which, and the model id that results."""

    pairs: Mapping[Party, Party]
    roles: Mapping[str, list[Any]]
    initiator: Mapping[str, Any]
    model_id: str


def change(fields: Mapping[str, Any]) -> Change:
    """What a request asks for. Old and new ids pair up by position."""
    old = parties.of_roles(fields["role"])
    new = parties.of_roles(fields["migrate_role"], "migrate_role")
    initiator = parties.of_initiator(fields["migrate_initiator"], "migrate_initiator")
    if {r: len(ids) for r, ids in old.items()} != {r: len(ids) for r, ids in new.items()}:
        raise Uneven("role and migrate_role must have the same roles with as many parties each")
    if old == new:
        raise Uneven("role and migrate_role are the same: there is nothing to migrate")
    if initiator.party_id not in new.get(initiator.role, []):
        raise Uneven("migrate_initiator is none of migrate_role")
    pairs = {
        Party(role, before): Party(role, after)
        for role, ids in old.items()
        for before, after in zip(ids, new[role], strict=True)
    }
    if len(set(pairs.values())) != len(set(pairs)):
        raise Uneven("migrate_role gives two parties the same id")
    roles = {role: [_number(one) for one in ids] for role, ids in new.items()}
    who = {"role": initiator.role, "party_id": _number(initiator.party_id)}
    return Change(pairs, roles, who, federated.model_id(roles))


def _number(text: str) -> int | str:
    return int(text) if text.isascii() and text.isdigit() else text


def plan(stores: Stores, shard: Shard, wanted: Change, label: str) -> Plan:
    """What a party's migrated version is to hold."""
    target = wanted.pairs.get(shard.party.party)
    if target is None:
        raise InvalidRequest(
            f"{shard.party.role} {shard.party.party_id} is in execute_party, but not in role"
        )
    record = shards.record_of(stores, shard)
    train, on_party = record.document("trainRuntimeConf"), record.document("runtimeConfOnParty")
    for conf in (train, on_party):
        if conf:
            conf["role"], conf["initiator"] = wanted.roles, wanted.initiator
    if isinstance(on_party.get("local"), dict):
        on_party["local"] = {**on_party["local"], "party_id": _number(target.party_id)}
    moved = record.changed(
        trainRuntimeConf=train or None, runtimeConfOnParty=on_party or None, roles=wanted.roles,
        initiatorRole=wanted.initiator["role"], initiatorPartyId=_as_int32(wanted),
    )  # fmt: skip
    moved = pipeline.renamed(moved, wanted.model_id, label)
    own = making.record_files(moved)
    files = [e for path, e in shards.contents(stores, shard).items() if path not in own]
    files += making.keep(stores, shard.project_id, own)
    points: dict[Step, list[FileEntry]] = {
        step: list(versions.files(stores, shard.project_id, point.manifest))
        for step, point in outgoing.points(stores, shard)
    }
    party = PartyModel(target.role, target.party_id, wanted.model_id)
    federated.party_model(party.role, party.party_id, party.model_id)
    return Plan(
        party, label, files, shards.attributes(moved, job_id=label, imported=0), points,
        parents=(f"{shard.found.model.name}@{shard.version.number}",),
    )  # fmt: skip


def _as_int32(wanted: Change) -> int:
    """The record keeps the initiator's id as a number of 32 bits."""
    value = wanted.initiator["party_id"]
    return value if isinstance(value, int) and value < 2**31 else 0


def doubtful(record: Pipeline) -> list[str]:
    """Components whose buffers may still name the old parties."""
    return sorted(
        name
        for name, component in dsl.components(record.document("trainDsl")).items()
        if any(word in dsl.module(component).lower() for word in NAMING_PARTIES)
    )
