"""`/v2/output/model` and `/v2/worker/model`: what tasks of jobs leave behind, and fetch."""

import io
import tarfile
from collections.abc import Sequence
from typing import Any

from chalice.app import Response

from chalicelib.api import doors
from chalicelib.api.facades import View
from chalicelib.fate.v2 import envelope, outputs, tars
from chalicelib.fate.v2.envelope import Asked, Failure, door, named
from chalicelib.fate.v2.models import removed
from chalicelib.fate.v2.outputs import Output
from chalicelib.registry import blobs, receiving
from weighbridge.contract import federated as naming
from weighbridge.contract.errors import IntegrityError, NotFound
from weighbridge.contract.manifests import FileEntry

VIEWS: dict[str, View] = {}
TASK = ("job_id", "role", "party_id", "task_name")
TAR = "application/x-tar"
"""Exactly so: the client extracts nothing else."""
MAX_JOINED = 4 * 1024**2


def _found(asked: Asked, given: dict[str, str]) -> list[Output]:
    """The outputs of a task; `TASK_NOT_FOUND` without any."""
    project = doors.project_name(asked.who)
    asked.who.require("read", project)
    missing = Failure(envelope.TASK_NOT_FOUND, f"No output of a task found: {named(**given)}")
    try:
        pair = outputs.of_job(asked.at, project, given["job_id"], given["role"], given["party_id"])
    except NotFound:
        raise missing from None
    key = given.get("output_key", "")
    found = outputs.current(asked.at, pair, given["task_name"], key) if pair else []
    if not found:
        if pair:
            outputs.refuse_held(asked.at, pair, given["task_name"], key)
        raise missing
    return found


def _files(asked: Asked, found: Sequence[Output]) -> list[tuple[Output, FileEntry]]:
    pairs = [(output, outputs.file_of(asked.at, output)) for output in found]
    return [(output, entry) for output, entry in pairs if entry is not None]


@door(VIEWS, "GET", "/v2/output/model/query")
def query(asked: Asked) -> dict[str, Any]:
    """The models of a task as JSON, by output key."""
    given = asked.texts("querystring", TASK, ("output_key",))
    return {
        output.point.name: outputs.tar_of(asked.at, output, entry).models()
        for output, entry in _files(asked, _found(asked, given))
    }


@door(VIEWS, "GET", "/v2/output/model/download")
def download(asked: Asked) -> Response:
    """Leads to the tar of a task's output; those of several are joined, each in a folder of its key."""
    given = asked.texts("querystring", TASK, ("output_key",))
    found = _files(asked, _found(asked, given))
    if not found:
        raise Failure(envelope.TASK_NOT_FOUND, f"No tar found: {named(**given)}")
    if len(found) == 1:
        return _output(asked, *found[0])
    # Kept as a blob for as long as the link is good: a gateway would send the bytes as base64.
    project_id = found[0][0].project_id
    name = f"{given['task_name']}.tar"
    return _leads_to(
        asked, project_id, receiving.whole(asked.at, project_id, name, _joined(asked, found)), name
    )


def _output(asked: Asked, output: Output, entry: FileEntry) -> Response:
    name = f"{output.point.component}_{output.point.name}.tar"
    return _leads_to(asked, output.project_id, entry, name)


def _leads_to(asked: Asked, project_id: str, entry: FileEntry, name: str) -> Response:
    key = blobs.object_keys(asked.at, project_id, [entry.blob])[entry.blob]
    signed = asked.at.blobs.sign_get(key, asked.at.sign_seconds, name, content_type=TAR)
    headers: dict[str, str | list[str]] = {"Location": signed.url, "Cache-Control": "no-store"}
    return Response(body="", status_code=302, headers=headers)


def _joined(asked: Asked, found: Sequence[tuple[Output, FileEntry]]) -> bytes:
    """One tar of several outputs: the client asks for all of a task, and cannot name one."""
    if sum(entry.size for _, entry in found) > MAX_JOINED:
        keys = ", ".join(output.point.name for output, _ in found)
        raise Failure(
            envelope.INVALID_PARAMETER,
            f"this task has the outputs {keys}, too large to be joined: ask for one with output_key",
            {"querystring": {"output_key": ["is needed here"]}},
        )
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:") as joined:
        for output, entry in found:
            tar = outputs.tar_of(asked.at, output, entry)
            for path, at in tar.files.items():
                info = tarfile.TarInfo(f"{output.point.name}/{path}")
                info.size = at[1]
                joined.addfile(info, io.BytesIO(tar.fetch(*at)))
    return data.getvalue()


@door(VIEWS, "POST", "/v2/output/model/delete")
def delete(asked: Asked) -> None:
    """Deletes the outputs of a task."""
    given = asked.texts("json", TASK)
    [first, *_] = _found(asked, given)
    version = first.version.version.label
    removed(asked, given["job_id"], version, {**given, "output_key": ""})


@door(VIEWS, "POST", "/v2/worker/model/save")
def save(asked: Asked) -> None:
    """Takes the tar of an output from a training worker. Whose it is says the YAML in it."""
    given = asked.texts(
        "form", ("model_id", "model_version", "execution_id", "output_key", "type_name"),
        ("role", "party_id", "task_name"),
    )  # fmt: skip
    file = asked.form.files.get("file")
    if file is None:
        raise Failure(envelope.NO_FILE, "the form has no file in a part called `file`")
    try:
        tar = tars.read(tars.of_bytes(file.data), len(file.data), "the file")
    except IntegrityError as error:
        raise Failure(envelope.FAILED, error.message) from None
    overview = "model_overview"
    task_id = tar.said(overview, "federated", "task_id")
    told = {
        "role": tar.said(overview, "party", "role"),
        "party_id": tar.said(overview, "party", "partyid"),
        "task_name": task_id.removeprefix(f"{given['model_id']}_"),
    }
    if not task_id.startswith(f"{given['model_id']}_"):
        told["task_name"] = ""
    whose = {name: given[name] or told[name] for name in told}
    if missing := [name for name, value in whose.items() if not value]:
        said = "neither in the form nor in the YAML of the tar"
        raise envelope.invalid("form", {name: [f"{said}."] for name in missing})
    where = outputs.place(
        given["model_id"], given["model_version"], whose["role"], whose["party_id"],
        whose["task_name"], given["output_key"],
    )  # fmt: skip
    project = doors.project_name(asked.who)
    asked.who.require("write", project, where.party.name)
    doors.writable(asked.at, asked.who)
    tags = {"type_name": given["type_name"], "execution_id": given["execution_id"]}
    outputs.save(asked.at, asked.who.name, project, where, file.data, tags)


@door(VIEWS, "GET", "/v2/worker/model/download")
def fetch(asked: Asked) -> Response:
    """Leads to the tar of one output."""
    given = asked.texts(
        "querystring",
        ("model_id", "model_version", "role", "party_id", "task_name", "output_key"),
    )
    project = doors.project_name(asked.who)
    asked.who.require("read", project)
    party = naming.party_model(given["role"], given["party_id"], given["model_id"])
    missing = Failure(envelope.MODEL_NOT_FOUND, f"No model found: {named(**given)}")
    for pair in outputs.of_model(asked.at, project, given["model_id"], given["model_version"]):
        if pair[0] != party:
            continue
        key = (given["task_name"], given["output_key"])
        if found := _files(asked, outputs.current(asked.at, pair, *key)):
            return _output(asked, *found[0])
        outputs.refuse_held(asked.at, pair, *key)
    raise missing
