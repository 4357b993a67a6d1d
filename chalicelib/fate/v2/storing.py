"""2.x models in a second store: copied out and back, a party's model as one archive.

The store is the one of the server's settings; work is done by the archive worker. What the reference only
pretends to do is done, or is said not to be.
"""

from collections.abc import Mapping
from typing import Any

from chalicelib.archives import packing
from chalicelib.engines import moving
from chalicelib.engines.ports import Place as StorePlace
from chalicelib.fate import waiting
from chalicelib.fate.v2 import archives, envelope, outputs
from chalicelib.fate.v2.envelope import Failure
from chalicelib.fate.v2.outputs import Pair
from chalicelib.registry import jobs, parking, projects
from chalicelib.registry.jobs import Job
from chalicelib.registry.stores import Stores
from weighbridge.contract import federated
from weighbridge.contract.errors import IntegrityError, NotFound, Unsupported
from weighbridge.contract.federated import PartyModel

STORE, RESTORE = "fate-v2-store", "fate-v2-restore"

jobs.register(STORE, "chalicelib.fate.v2.storing:do_store")
jobs.register(RESTORE, "chalicelib.fate.v2.storing:do_restore")


def ended(job: Job) -> Job:
    """A job that is done; else what is to be said of one that failed, or is not done yet."""
    if not job.ended:
        raise Failure(
            envelope.FAILED, "this is still being worked on; ask for it again in a while",
            {"job_id": job.id},
        )  # fmt: skip
    if job.state == "failed":
        raise job.failure()
    return job


def _configured() -> None:
    if moving.configured().address is None:
        raise Unsupported(
            "this server has no second store, so store and restore are not supported: "
            "WEIGHBRIDGE_FATE_STORE is not set"
        )


def _place(party: PartyModel, model_version: str) -> StorePlace:
    return StorePlace(party.name, model_version)


def store(
    stores: Stores, by: str, project: str, found: Pair, *, force: bool = False
) -> dict[str, Any]:
    """Copies a party's outputs into the store; `AlreadyExists` if it has them, unless forced."""
    _configured()
    named = {**archives.args(project, found), "configured": True, "force": force}
    project_id = found[1].model.project_id
    return dict(ended(jobs.run(stores, project_id, STORE, by, named)).result)


def restore(
    stores: Stores, by: str, project: str, party: PartyModel, model_version: str, sha256: str = ""
) -> dict[str, Any]:
    """Fetches a party's outputs from the store. What the archive has replaces what is here; nothing is
    changed unless all of it is right."""
    place, project_id = _place(party, model_version), projects.find(stores, project).id
    if not waiting.there(stores, project_id, place):
        _configured()
    named = {
        "project": project, "party": party.name, "version": model_version, "configured": True,
        "sha256": sha256,
    }  # fmt: skip
    return dict(ended(jobs.run(stores, project_id, RESTORE, by, named)).result)


def do_store(stores: Stores, job: Job) -> Mapping[str, Any]:
    """Does a store."""
    party, version = archives.pair_of(stores, job.args)
    made = packing.assemble(stores, job.project_id, archives.members(stores, job.args))
    with moving.opened(moving.of_job(job, job.args)) as engine:
        place = _place(party, version.version.label)
        moving.store(stores, engine, place, made, force=bool(job.args["force"]))
    return {"sha256": made.sha256, "size": made.size, "outputs": made.members}


def do_restore(stores: Stores, job: Job) -> Mapping[str, Any]:
    """Does a restore."""
    from chalicelib.archives import unpacking  # the API's requests do not need its readers

    project, model_version = str(job.args["project"]), str(job.args["version"])
    party = federated.parse(str(job.args["party"]))
    if party is None:
        raise NotFound(f"{job.args['party']!r} is no party's model")
    place, sha256 = _place(party, model_version), str(job.args["sha256"])
    fetched = waiting.archive(stores, job.project_id, place, sha256=sha256)
    waited = fetched is not None
    if fetched is None:
        with moving.opened(moving.of_job(job, job.args)) as engine:
            fetched = moving.restore(stores, job.project_id, engine, place, sha256=sha256)
    limits = unpacking.Limits(members=archives.MAX_OUTPUTS)
    kept = unpacking.unpack(stores, job.project_id, fetched.key, limits=limits)
    files = []
    for file in kept:
        where = archives.place_of(file.path, party.model_id, model_version)
        if where.party != party:
            raise IntegrityError(f"the archive holds {where.party.name!r}, not {party.name!r}")
        entry = file.entry(outputs.FILE)
        outputs.read_tar(stores, job.project_id, entry, repr(file.path[:200]))
        files.append((where, entry))
    if not files:
        raise IntegrityError("the archive in the store is empty")
    for where, entry in files:
        found = outputs.ensure(stores, job.by, project, where)
        outputs.put(stores, job.by, (party, found), where, entry, {})
    if waited:
        parking.forget(stores, job.project_id, party.name, model_version)
    return {"sha256": fetched.sha256, "size": fetched.size, "outputs": len(files)}
