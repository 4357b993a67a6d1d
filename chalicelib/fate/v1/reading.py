"""`/v1/model`: queries, graphs, configurations and buffers of what is there."""

import base64
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

from chalice.app import Response

from chalicelib.fate import dsl, layout, pipeline, shards
from chalicelib.fate.shards import Shard
from chalicelib.fate.v1.wire import (
    FAILED,
    MISSING,
    Answer,
    Asked,
    Refused,
    attachment,
    verb,
)
from chalicelib.registry import publications
from chalicelib.registry.stores import Stores, epoch
from weighbridge.contract import federated
from weighbridge.contract.errors import InvalidRequest, NotFound, TooLarge

MAX_TRANSFER = 4 * 1024**2
"""Bytes of buffers in one answer: base64 makes them a third longer, and 6 MB is the gateway's limit."""
DOCUMENTS = {
    "runtime_conf": "trainRuntimeConf", "train_dsl": "trainDsl",
    "train_runtime_conf": "trainRuntimeConf", "runtime_conf_on_party": "runtimeConfOnParty",
    "inference_dsl": "inferenceDsl",
}  # fmt: skip
PLAIN = (
    "role", "party_id", "roles", "job_id", "model_id", "model_version", "size", "initiator_role",
    "initiator_party_id", "fate_version", "parent", "parent_info", "loaded_times", "imported",
    "archive_sha256", "archive_from_ip", "create_time", "update_time", "create_date", "update_date",
)  # fmt: skip
_AT_ONCE = 8


@verb("model/query", "read")
def query(asked: Asked) -> Answer:
    """Records of the models that the fields narrow down to."""
    wanted = asked.fields.get("query_filters") or ()
    if not isinstance(wanted, list | tuple):
        raise InvalidRequest("query_filters must be a list of names")
    found = shards.search(
        asked.at, asked.project, role=asked.text("role"), party_id=asked.text("party_id"),
        model_id=asked.text("model_id"), label=asked.text("model_version"),
    )  # fmt: skip
    if not found:
        raise Refused(
            FAILED, "no model matches; look at model_id, model_version, role, party_id", []
        )
    names = [str(name) for name in wanted if name in PLAIN or name in DOCUMENTS]
    return Answer(records(asked.at, found, names or [*PLAIN, *DOCUMENTS]))


def records(stores: Stores, found: Sequence[Shard], names: Sequence[str]) -> list[dict[str, Any]]:
    """Query records of versions with the fields of these names."""
    loads = publications.loaded(stores, [shard.found for shard in found])

    def one(shard: Shard) -> dict[str, Any]:
        count = loads.get((shard.found.model.id, shard.version.number), 0)
        return _record(stores, shard, count, names)

    with ThreadPoolExecutor(min(_AT_ONCE, len(found)) or 1) as pool:
        return list(pool.map(one, found))


def _record(stores: Stores, shard: Shard, loads: int, names: Sequence[str]) -> dict[str, Any]:
    told, version = shards.told(stores, shard), shard.version
    created, updated = epoch(version.created), epoch(version.published or version.created)
    values: dict[str, Any] = {
        "role": shard.party.role, "party_id": shard.party.party_id,
        "roles": told.get("roles", {}), "job_id": told.get("job_id") or shard.model_version,
        "model_id": shard.party.model_id, "model_version": shard.model_version,
        "size": round(version.size / 1024), "initiator_role": told.get("initiator_role", ""),
        "initiator_party_id": str(told.get("initiator_party_id", "")),
        "fate_version": told.get("fate_version", ""), "parent": told.get("parent") or None,
        "parent_info": told.get("parent_info", {}), "loaded_times": loads,
        "imported": int(told.get("imported", 0)), "archive_sha256": told.get("archive_sha256"),
        "archive_from_ip": told.get("archive_from_ip"), "create_time": int(created * 1000),
        "update_time": int(updated * 1000), "create_date": _date(created),
        "update_date": _date(updated),
    }  # fmt: skip
    if any(name in DOCUMENTS for name in names):
        try:
            record = shards.record_of(stores, shard)
            values |= {name: record.document(field) for name, field in DOCUMENTS.items()}
        except NotFound:
            values |= {name: {} for name in DOCUMENTS}
    return {f"f_{name}": values[name] for name in names}


def _date(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S")


def first(asked: Asked) -> Shard:
    """The one version that is meant where the role and the party may be left out."""
    model_id, label = asked.need("model_id", "model_version")
    found = shards.search(
        asked.at, asked.project, role=asked.text("role"), party_id=asked.text("party_id"),
        model_id=model_id, label=label,
    )  # fmt: skip
    if not found:
        raise NotFound(f"there is no model {model_id[:200]!r} of version {label[:100]!r}")
    return min(found, key=lambda shard: (shard.party.role != "guest", shard.party.name))


@verb("model/query/detail", "read")
def detail(asked: Asked) -> Answer:
    """The graphs and the configuration of a model."""
    try:
        record = shards.record_of(asked.at, first(asked))
    except NotFound as error:
        raise Refused(MISSING, error.message, {}) from None
    train, inference = record.document("trainDsl"), record.document("inferenceDsl")
    return Answer({
        "runtime_conf": record.document("trainRuntimeConf"), "dsl": train,
        "inference_dsl": inference, "component_info": dsl.informed(train),
        "inference_component_info": dsl.informed(inference),
    })  # fmt: skip


def _document(asked: Asked, value: dict[str, Any]) -> Answer | Response:
    name = asked.text("filename")
    return attachment(value, name) if name else Answer(value)


def _deployed(asked: Asked) -> tuple[Shard, pipeline.Pipeline]:
    try:
        shard = first(asked)
        record = shards.record_of(asked.at, shard)
    except NotFound as error:
        raise Refused(MISSING, error.message, status=MISSING) from None
    if not record.document("inferenceDsl"):
        text = "this model was not deployed: run `flow model deploy`, then ask for its child"
        raise Refused(MISSING, text, status=MISSING)
    return shard, record


@verb("model/get/predict/dsl", "read", strict=True)
def predict_dsl(asked: Asked) -> Answer | Response:
    """The graph of a deployed model's prediction."""
    return _document(asked, _deployed(asked)[1].document("inferenceDsl"))


@verb("model/get/predict/conf", "read", strict=True)
def predict_conf(asked: Asked) -> Answer | Response:
    """A template of the configuration of a deployed model's prediction."""
    shard, record = _deployed(asked)
    conf = dsl.predict_conf(
        record.document("trainRuntimeConf"), record.document("inferenceDsl"),
        shard.party.model_id, shard.model_version,
    )  # fmt: skip
    return _document(asked, conf)


@verb("model/transfer", "read", strict=True, rest=2)
def transfer(asked: Asked) -> Answer:
    """The buffers of a party's model, as serving systems fetch them."""
    if asked.rest:
        namespace, name = asked.rest[0].replace("~", "#"), asked.rest[1]
    else:
        namespace, name = asked.need("namespace", "name")
    party = federated.parse(namespace)
    if party is None:
        raise NotFound(f"{namespace[:200]!r} is no party's model")
    shard = shards.find(asked.at, asked.project, party.role, party.party_id, party.model_id, name)
    files = shards.contents(asked.at, shard)
    found = list(layout.buffers(files.values()))
    size = sum(entry.size for _, entry in found)
    if size > MAX_TRANSFER:
        raise TooLarge(
            f"the buffers have {size} bytes; {MAX_TRANSFER} can be transferred in one answer: "
            "export the model instead",
            limit=MAX_TRANSFER,
        )
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        texts = pool.map(
            lambda pair: base64.b64encode(shards.data(asked.at, shard.project_id, pair[1])).decode(
                "ascii"
            ),
            found,
        )
        return Answer({
            f"{buffer.component}.{buffer.alias}:{buffer.name}": text
            for (buffer, _), text in zip(found, texts, strict=True)
        })  # fmt: skip
