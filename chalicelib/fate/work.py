"""What the archive worker does for FATE 1.x: archives of large models, and second stores.

Kinds are registered here; nothing heavy is imported before a job is done.
"""

from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from typing import Any

from chalicelib.registry import jobs, parking, projects
from chalicelib.registry.jobs import Job
from chalicelib.registry.stores import Stores
from weighbridge.contract import federated
from weighbridge.contract.errors import NotFound

EXPORT, STORE, RESTORE = "fate.export", "fate.store", "fate.restore"
REFRESH = "fate.refresh"
jobs.register(EXPORT, "chalicelib.fate.work:export")
jobs.register(STORE, "chalicelib.fate.work:store")
jobs.register(RESTORE, "chalicelib.fate.work:restore")
jobs.register(REFRESH, "chalicelib.fate.work:refresh")


def export(stores: Stores, job: Job) -> Mapping[str, Any]:
    """Packs a party's version; the archive is found by its members afterwards."""
    from chalicelib.fate import outgoing

    archive = outgoing.pack(stores, _shard(stores, job))
    return {"size": archive.size, "sha256": archive.sha256}


def store(stores: Stores, job: Job) -> Mapping[str, Any]:
    """Copies a party's version into a second store."""
    from chalicelib.engines import moving
    from chalicelib.engines.ports import Place
    from chalicelib.fate import outgoing

    shard = _shard(stores, job)
    archive = outgoing.pack(stores, shard)
    place = Place(shard.party.name, shard.model_version)
    with moving.opened(moving.of_job(job, job.args["address"])) as engine:
        moving.store(stores, engine, place, archive, force=bool(job.args.get("force")))
    return {"size": archive.size, "sha256": archive.sha256}


def restore(stores: Stores, job: Job) -> Mapping[str, Any]:
    """Makes an archive that waits here, or a copy of what a second store has, a version of ours."""
    from chalicelib.engines import moving
    from chalicelib.engines.ports import Place
    from chalicelib.fate import waiting

    args = job.args
    party = federated.party_model(args["role"], args["party_id"], args["model_id"])
    place = Place(party.name, str(args["model_version"]))
    checked = str(args.get("sha256", ""))
    if found := waiting.archive(stores, job.project_id, place, sha256=checked):
        _taken_in(stores, job, place, bool(args.get("force")), found)
        parking.forget(stores, job.project_id, party.name, place.model_version)
        return {"size": found.size, "sha256": found.sha256}
    with moving.opened(moving.of_job(job, args["address"])) as engine:
        archive = moving.restore(stores, job.project_id, engine, place, sha256=checked)
    _taken_in(stores, job, place, bool(args.get("force")), archive)
    return {"size": archive.size, "sha256": archive.sha256}


def refresh(stores: Stores, job: Job) -> Mapping[str, Any]:
    """What `enable_model_store` means for a party's version: the store or we are given what is lacking."""
    from chalicelib.engines import moving
    from chalicelib.engines.ports import Place
    from chalicelib.fate import outgoing

    args = job.args
    party = federated.party_model(args["role"], args["party_id"], args["model_id"])
    place = Place(party.name, str(args["model_version"]))
    shard = None
    with suppress(NotFound):
        shard = _shard(stores, job)
    ours = None if shard is None else partial(outgoing.pack, stores, shard)
    with moving.opened(moving.of_job(job, args["address"])) as engine:
        did, archive = moving.refresh(stores, job.project_id, engine, place, ours)
    if did == "restored" and archive is not None:
        _taken_in(stores, job, place, False, archive)
    return {"did": did}


def _taken_in(stores: Stores, job: Job, place: Any, force: bool, archive: Any) -> None:
    from chalicelib.fate import incoming

    args = job.args
    party = federated.party_model(args["role"], args["party_id"], args["model_id"])
    request = incoming.Request(party, place.model_version, force, job.id, archive.sha256)
    project = _project(stores, job)
    incoming.take_in(stores, job.by, project, request, archive.key, incoming.LARGE)


def _project(stores: Stores, job: Job) -> str:
    found = projects.by_id(stores, job.project_id)
    return found.name if found else ""


def _shard(stores: Stores, job: Job) -> Any:
    from chalicelib.fate import shards

    args = job.args
    return shards.find(
        stores, _project(stores, job), args["role"], args["party_id"], args["model_id"],
        str(args["model_version"]),
    )  # fmt: skip
