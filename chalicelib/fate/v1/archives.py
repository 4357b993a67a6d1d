"""`/v1/model`: models as archives, out and in, and to and from second stores."""

import hashlib
import json
from typing import Any

from chalice.app import Response

from chalicelib.archives import packing
from chalicelib.archives.packing import Archive
from chalicelib.engines.ports import Place
from chalicelib.fate import making, outgoing, shards, waiting, work
from chalicelib.fate.shards import Shard
from chalicelib.fate.v1.wire import (
    FAILED,
    OPERATING,
    Answer,
    Asked,
    Refused,
    redirect,
    verb,
)
from chalicelib.registry import changing, jobs, projects, publications
from chalicelib.registry.jobs import Job
from chalicelib.registry.ports import Signed
from chalicelib.settings import settings
from weighbridge.contract import federated, names
from weighbridge.contract.errors import (
    AlreadyExists,
    InvalidRequest,
    NotFound,
    Unavailable,
)
from weighbridge.contract.references import VersionSelector
from weighbridge.contract.types import VersionChanges

FOUR = ("role", "party_id", "model_id", "model_version")
SMALL = 4 * 1024**2
"""Bytes of a model that is packed within the request; larger ones are the archive worker's."""
WAIT = 20.0
"""Seconds that a request waits for the worker; the gateway gives up after 29."""


def named(asked: Asked) -> Shard:
    """The version that the four words name."""
    role, party_id, model_id, label = asked.need(*FOUR)
    return shards.find(asked.at, asked.project, role, party_id, model_id, label)


def packed(asked: Asked, shard: Shard) -> tuple[Archive, Signed]:
    """The archive of a version and a link to it; `Unavailable` while it is still being made."""
    members = outgoing.members(asked.at, shard)
    archive = packing.existing(asked.at, shard.project_id, members)
    if archive is None and sum(member.size for member in members) <= SMALL:
        archive = packing.assemble(asked.at, shard.project_id, members)
    if archive is None:
        party = shard.party
        args = {"role": party.role, "party_id": party.party_id, "model_id": party.model_id,
                "model_version": shard.model_version}  # fmt: skip
        key = f"{work.EXPORT}:{party.name}:{shard.model_version}"
        key = hashlib.sha256(key.encode()).hexdigest()
        job = jobs.run(asked.at, shard.project_id, work.EXPORT, asked.by, args, key=key, wait=WAIT)
        if not job.ended:
            raise Unavailable("the archive is still being made: ask for it again in a moment")
        if job.state == "failed":
            raise job.failure()
        archive = packing.existing(asked.at, shard.project_id, members)
    if archive is None:
        raise Unavailable("checkpoints came while the archive was made: ask for it again")
    return archive, packing.link(asked.at, archive, outgoing.filename(shard), plain=True)


@verb("model/export", "read", strict=True)
def export(asked: Asked) -> Response:
    """A party's model as a zip: the client is sent to the store for it."""
    return redirect(packed(asked, named(asked))[1].url)


def _noted(asked: Asked, shard: Shard, sha256: str) -> None:
    """Records the hash of a version's archive on it."""
    if shard.version.attributes.get("fate.archive_sha256") == sha256:
        return
    attributes = {**shard.version.attributes, "fate.archive_sha256": sha256}
    changing.change(
        asked.at, asked.by, asked.project, shard.party.name,
        VersionSelector("number", str(shard.version.number)), VersionChanges(attributes=attributes),
    )  # fmt: skip


def _of_party_model(asked: Asked) -> Shard:
    name, label = asked.need("party_model_id", "model_version")
    party = federated.parse(name)
    if party is None:
        raise NotFound(f"{name[:200]!r} is no party's model")
    return shards.find(asked.at, asked.project, party.role, party.party_id, party.model_id, label)


@verb("model/archive/packaging", "write")
def packaging(asked: Asked) -> Answer:
    """Packs a party's model and records the hash of its archive."""
    shard = _of_party_model(asked)
    archive, link = packed(asked, shard)
    _noted(asked, shard, archive.sha256)
    return Answer({
        "party_model_id": shard.party.name, "model_version": shard.model_version,
        "path": link.url, "hash": archive.sha256,
    })  # fmt: skip


@verb("model/service/register", "write")
def register(asked: Asked) -> Answer:
    """Announces where serving systems fetch a party's model from."""
    shard = _of_party_model(asked)
    publications.record(asked.at, asked.by, shard.found, "registered", {"url": transfer_url(shard)})
    return Answer({"party_model_id": shard.party.name, "model_version": shard.model_version})


def transfer_url(shard: Shard) -> str:
    """The address that a serving system is given."""
    name = shard.party.name.replace("#", "~")
    return f"{settings().public_url.rstrip('/')}/v1/model/transfer/{name}/{shard.model_version}"


@verb("model/import", "write", strict=True)
def take_in(asked: Asked) -> Answer:
    """A party's model out of an uploaded zip, under the names of the form."""
    from chalicelib.fate import incoming

    archive = asked.files.get("file")
    if archive is None:
        raise InvalidRequest("the form has no file: its part must be called 'file'")
    role, party_id, model_id, label = asked.need(*FOUR)
    names.label(label)
    party = federated.party_model(role, party_id, model_id)
    asked.who.require("write", asked.project, party.name)
    sha256 = hashlib.sha256(archive).hexdigest()
    force, wanted = asked.flag("force_update"), asked.text("hash").strip().lower()
    if shards.exists(asked.at, asked.project, party, label) and not force:
        raise AlreadyExists(
            f"{party.name} has a version {label!r} already: set force_update to replace it, or choose "
            "another model_version"
        )
    if wanted and wanted != sha256:
        raise Refused(FAILED, f"the file has the sha256 {sha256}, not {wanted[:64]}", status=200)
    job = making.job_id(asked.at)
    request = incoming.Request(party, label, force, job, sha256)
    version = incoming.take_in(asked.at, asked.by, asked.writable(), request, archive)
    held = "" if version.state == "ready" else f": it is {version.state} under the safety policy"
    told = {"job_id": job, "role": role, "party_id": party_id, "model_id": model_id,
            "model_version": label}  # fmt: skip
    return Answer(told, message=f"success{held}", job_id=job)


def _address(asked: Asked) -> tuple[dict[str, Any], dict[str, str]]:
    from chalicelib.engines import addresses, moving

    given = asked.object("model_store_address")
    if given:  # the worker will connect to a host of the caller's choice
        asked.who.require("admin", asked.project)
    address = addresses.parse(given) if given else moving.configured().address
    if address is None:
        raise InvalidRequest(
            "there is no store: set WEIGHBRIDGE_FATE_STORE, or give model_store_address (which needs a "
            "token with the right `admin`)"
        )
    return moving.given(address)


def _done(
    asked: Asked,
    kind: str,
    project: str,
    args: dict[str, Any],
    paths: str,
    needs_store: bool = True,
) -> Answer:
    """Runs a job of the worker and tells how it ended."""
    public, secret = _address(asked) if needs_store else ({}, {})
    project_id = projects.find(asked.at, project).id
    words = {name: args[name] for name in FOUR}
    text = json.dumps([kind, args, public], sort_keys=True)
    job = jobs.run(
        asked.at, project_id, kind, asked.by, {**args, "address": public}, secrets=secret,
        key=hashlib.sha256(text.encode()).hexdigest(), wait=WAIT,
    )  # fmt: skip
    told: dict[str, Any] = {"job_id": job.id, "model_info": words, "paths": paths}
    if not job.ended:
        waiting = "the worker is still at it: send the same request again to see how it ends"
        return Answer({**told, "code": None, "message": waiting}, job_id=job.id)
    if job.state == "failed":
        why = str(job.error.get("message", "failed"))
        return Answer({**told, "code": OPERATING, "message": why}, job_id=job.id)
    told |= {"code": 0, "message": "success", "sha256": _sha256(job)}
    return Answer(told, job_id=job.id)


def _sha256(job: Job) -> str:
    return str(job.result.get("sha256", ""))


@verb("model/store", "write")
def store(asked: Asked) -> Answer:
    """Copies a party's model into a second store; answers when it is done."""
    shard = named(asked)
    args = {**_words(asked), "force": asked.flag("force_update")}
    answer = _done(asked, work.STORE, asked.project, args, "store")
    if answer.data["code"] == 0:
        _noted(asked, shard, answer.data["sha256"])
    return answer


@verb("model/restore", "write")
def restore(asked: Asked) -> Answer:
    """Copies a party's model out of a second store; answers when it is done."""
    role, party_id, model_id, label = asked.need(*FOUR)
    names.label(label)
    party = federated.party_model(role, party_id, model_id)
    asked.who.require("write", asked.project, party.name)
    args = {
        **_words(asked), "force": asked.flag("force_update"),
        "sha256": asked.text("sha256") or asked.text("hash"),
    }  # fmt: skip
    project = asked.writable()
    place = Place(party.name, label)
    waits = waiting.there(asked.at, projects.find(asked.at, project).id, place)
    return _done(asked, work.RESTORE, project, args, "restore", needs_store=not waits)


def _words(asked: Asked) -> dict[str, str]:
    return dict(zip(FOUR, asked.need(*FOUR), strict=True))


@verb("model/homo/convert", "write")
def homo_convert(asked: Asked) -> Answer:
    """Conversion is the training system's: refused."""
    raise Refused(FAILED, "models are not converted here: convert where FATE runs, then import")


@verb("model/homo/deploy", "write")
def homo_deploy(asked: Asked) -> Answer:
    """Deployment to a cluster is the training system's: refused."""
    raise Refused(FAILED, "converted models are not deployed from here: serve an exported model")
