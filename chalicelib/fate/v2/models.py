"""`/v2/model`: export, import and delete; and what 2.x only pretends to do."""

from typing import Any

from chalice.app import Response

from chalicelib.api import doors
from chalicelib.api.facades import View
from chalicelib.fate.v2 import archives, envelope, outputs, storing
from chalicelib.fate.v2.envelope import Asked, Failure, door, named, reply
from weighbridge.contract import federated as naming
from weighbridge.contract.errors import IntegrityError, InvalidRequest
from weighbridge.contract.federated import PartyModel

VIEWS: dict[str, View] = {}
IDS = ("model_id", "model_version")
PARTY = ("role", "party_id")
NARROWER = (*PARTY, "task_name", "output_key")


def _none(**values: str) -> Failure:
    return Failure(envelope.MODEL_NOT_FOUND, f"No model found: {named(**values)}")


def _wanted(party: PartyModel, role: str, party_id: str) -> bool:
    return role in ("", party.role) and party_id in ("", party.party_id)


@door(VIEWS, "POST", "/v2/model/export")
def export(asked: Asked) -> Any:
    """A link to a zip of the outputs of one party."""
    given = asked.texts("json", (*IDS, *PARTY))
    model_id, model_version, role, party_id = (given[name] for name in (*IDS, *PARTY))
    naming.party_model(role, party_id, model_id)
    project = doors.project_name(asked.who)
    asked.who.require("read", project)
    parties = outputs.of_model(asked.at, project, model_id, model_version)
    chosen = next((pair for pair in parties if _wanted(pair[0], role, party_id)), None)
    if chosen is None:
        raise _none(**given)
    if not outputs.current(asked.at, chosen):
        outputs.refuse_held(asked.at, chosen, "")
        raise _none(**given)
    job = archives.export(asked.at, asked.who.name, project, chosen)
    storing.ended(job)
    return archives.link(asked.at, job, archives.filename(model_id, model_version, role, party_id))


@door(VIEWS, "POST", "/v2/model/import")
def import_model(asked: Asked) -> Any:
    """Takes a zip of outputs, of one party or of several, under the ids of the request."""
    given = asked.texts("form", IDS)
    file = asked.form.files.get("file")
    if file is None:
        raise Failure(envelope.NO_FILE, "the form has no file in a part called `file`")
    try:
        found = archives.unpack(file.data, given["model_id"], given["model_version"])
    except (IntegrityError, InvalidRequest) as error:
        raise Failure(envelope.FAILED, error.message) from None
    project = doors.project_name(asked.who)
    for where in found:
        asked.who.require("write", project, where.party.name)
    doors.writable(asked.at, asked.who)
    for where, tar in found.items():
        outputs.save(asked.at, asked.who.name, project, where, tar, {})
    return None


@door(VIEWS, "POST", "/v2/model/delete")
def delete(asked: Asked) -> Any:
    """Deletes the outputs that match, of all parties or of some."""
    given = asked.texts("json", IDS, NARROWER)
    return removed(asked, given["model_id"], given["model_version"], given)


def removed(
    asked: Asked, model_id: str, model_version: str, given: dict[str, str]
) -> dict[str, Any]:
    """Deletes what matches; `MODEL_NOT_FOUND` if nothing does. Rights are looked at before anything goes."""
    project = doors.project_name(asked.who)
    asked.who.require("read", project)
    chosen = []
    for pair in outputs.of_model(asked.at, project, model_id, model_version):
        if _wanted(pair[0], given["role"], given["party_id"]) and outputs.current(
            asked.at, pair, given["task_name"], given["output_key"]
        ):
            asked.who.require("delete", project, pair[0].name)
            chosen.append(pair)
    if not chosen:
        raise _none(**given)
    count = sum(
        outputs.delete(
            asked.at, asked.who.name, project, pair, given["task_name"], given["output_key"]
        )
        for pair in chosen
    )
    return {"count": True, "deleted": count}


def _unsupported(what: str, instead: str) -> Response:
    return reply(None, f"{what} is not supported for 2.x models: {instead}", envelope.NOT_SUPPORTED)


@door(VIEWS, "POST", "/v2/model/load")
def load(asked: Asked) -> Response:
    """Says that publishing a 2.x model is done by an alias."""
    return _unsupported("load", "publish a version with `weighbridge alias set`")


@door(VIEWS, "POST", "/v2/model/migrate")
def migrate(asked: Asked) -> Response:
    """Says that a 2.x model is moved by export and import: nothing in it names the parties."""
    return _unsupported("migrate", "export it, and import it under the other ids")


@door(VIEWS, "POST", "/v2/model/store")
def store(asked: Asked) -> dict[str, Any]:
    """Copies a party's model into the second store that the server's settings name."""
    given = asked.texts("json", (*IDS, *PARTY))
    party = naming.party_model(given["role"], given["party_id"], given["model_id"])
    force = asked.json().get("force_update") in (True, 1, "1", "true")
    project = doors.project_name(asked.who)
    asked.who.require("write", project, party.name)
    for pair in outputs.of_model(asked.at, project, given["model_id"], given["model_version"]):
        if pair[0] == party:
            return storing.store(asked.at, asked.who.name, project, pair, force=force)
    raise _none(**given)


@door(VIEWS, "POST", "/v2/model/restore")
def restore(asked: Asked) -> dict[str, Any]:
    """Fetches a party's model from the second store; what it has replaces what is here."""
    given = asked.texts("json", (*IDS, *PARTY), ("sha256",))
    party = naming.party_model(given["role"], given["party_id"], given["model_id"])
    project = doors.project_name(asked.who)
    asked.who.require("write", project, party.name)
    doors.writable(asked.at, asked.who)
    return storing.restore(
        asked.at, asked.who.name, project, party, given["model_version"], given["sha256"]
    )
