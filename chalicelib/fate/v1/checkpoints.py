"""`/v1/checkpoint`: what training has saved on the way."""

import base64
import hashlib
from itertools import islice
from typing import Any

from chalicelib.fate import shards, steps
from chalicelib.fate.layout import Marked
from chalicelib.fate.shards import Shard
from chalicelib.fate.v1.wire import Answer, Asked, verb
from chalicelib.registry import models, versions
from weighbridge.contract import federated
from weighbridge.contract.errors import NotFound, TooLarge
from weighbridge.contract.references import VersionSelector

FIVE = ("role", "party_id", "model_id", "model_version", "component_name")
MAX_LISTED = 10_000
MAX_ANSWER = 4 * 1024**2
"""Bytes of buffers in one answer: base64 makes them a third longer, and 6 MB is the gateway's limit."""


def _shard(asked: Asked) -> tuple[Shard, str]:
    """The version and the component; a version that is still open has checkpoints as well."""
    role, party_id, model_id, label, component = asked.need(*FIVE)
    party = federated.party_model(role, party_id, model_id)
    record = models.find(asked.at, asked.project, party.name)
    found = versions.of_model(asked.at, record, VersionSelector("label", label))
    if found.version.state not in ("open", "ready"):
        raise NotFound(f"{party.name} {label!r} is {found.version.state}")
    return Shard(party, found), component


def _told(marked: Marked, buffers: dict[str, Any]) -> dict[str, Any]:
    return {
        "create_time": marked.created, "step_index": marked.step.index,
        "step_name": marked.step.name, "models": buffers,
    }  # fmt: skip


@verb("checkpoint/list", "read", strict=True)
def listing(asked: Asked) -> Answer:
    """The checkpoints of a component, by step."""
    try:
        shard, component = _shard(asked)
    except NotFound:
        return Answer([])
    return Answer([
        _told(marked, {
            name: {"sha1": sha1, "buffer_name": kind} for name, (sha1, kind) in marked.models.items()
        })
        for marked in islice(steps.listing(asked.at, shard, component), MAX_LISTED)
    ])  # fmt: skip


@verb("checkpoint/get", "read", strict=True)
def get(asked: Asked) -> Answer:
    """One checkpoint with its buffers."""
    asked.need(*FIVE)
    chosen = steps.choice(asked.fields)
    shard, component = _shard(asked)
    marked, held = steps.find(asked.at, shard, component, chosen)
    wanted = {name: held.get(f"{name}.pb") for name in marked.models}
    size = sum(entry.size for entry in wanted.values() if entry)
    if size > MAX_ANSWER:
        raise TooLarge(
            f"the buffers have {size} bytes; {MAX_ANSWER} fit into an answer: export the model instead",
            limit=MAX_ANSWER,
        )
    found = {}
    for name, entry in wanted.items():
        if entry is None:
            raise NotFound(f"{marked.step.folder}{name}.pb is missing")
        data = shards.data(asked.at, shard.project_id, entry)
        if hashlib.sha1(data, usedforsecurity=False).hexdigest() != marked.models[name][0]:
            raise steps.differs(marked.step, name)
        found[name] = base64.b64encode(data).decode("ascii")
    return Answer(_told(marked, found))
