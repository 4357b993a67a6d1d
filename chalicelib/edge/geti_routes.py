"""The part of the edge door that shows a Geti server's projects and imports models from it.

The server is asked while the caller waits; imports are jobs of the archive worker. One that outlasts a request
is answered with where to ask for it.
"""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from chalice.app import Response

from chalicelib.api import doors, facades
from chalicelib.edge import answers, geti_imports
from chalicelib.edge.routes import Asked
from chalicelib.edge.routes import door as edge_door
from chalicelib.registry import jobs, packages, projects
from chalicelib.registry.jobs import Job
from chalicelib.settings import geti as configured
from chalicelib.wiring import stores
from weighbridge.contract import edge, geti
from weighbridge.contract.errors import InvalidRequest, NotFound, RegistryError
from weighbridge.contract.geti import Found, Project
from weighbridge.geti.rest import RestSource

VIEWS: dict[str, facades.View] = {}
"""By method and path."""
door = partial(edge_door, views=VIEWS)
LIST_SECONDS, SHOW_SECONDS, WAIT = 22.0, 9.0, 15.0
"""How long Geti may take: a gateway gives a request 29 s in all."""
MAX_MODELS = 100
_ID = re.compile(r"[A-Za-z0-9_-]{16,}\Z")


@contextmanager
def _source(seconds: float) -> Iterator[RestSource]:
    """The configured server; what it fails with is answered as 502, what is wrong here as 500."""
    try:
        access = configured()
        if access.missing:
            raise answers.words(500, f"Geti is not configured: set {' and '.join(access.missing)}.")
        source = RestSource(access, seconds=seconds)
    except InvalidRequest as error:
        raise answers.words(500, error.message) from None
    try:
        yield source
    except NotFound:
        raise answers.words(404, "Project not found.") from None
    except InvalidRequest as error:
        raise answers.words(500, error.message) from None
    except RegistryError as error:
        raise answers.words(502, error.message) from None
    finally:
        source.close()


def _project_id(asked: Asked) -> str:
    text = asked.path["project_id"]
    if not _ID.match(text):
        raise answers.detail(400, "Invalid format for project ID.")
    return text


@door("GET", "/projects")
def listing(asked: Asked) -> Response:
    """The projects of the Geti server, with their models."""
    asked.who.require("read", asked.project)
    with _source(LIST_SECONDS) as source:
        try:
            found = source.list_projects()
        except NotFound as error:
            raise answers.words(502, error.message) from None
    answer = answers.document([geti.shown(one) for one in found])
    if len(answer.body) > answers.MAX_ANSWER:
        raise answers.words(413, "The list is too long for one answer: ask for one project.")
    return answer


@door("GET", "/projects/{project_id}")
def show(asked: Asked) -> Response:
    """One project of the Geti server."""
    own = _project_id(asked)
    asked.who.require("read", asked.project)
    with _source(LIST_SECONDS) as source:
        return answers.document(geti.shown(source.get_project(own)))


@door("POST", "/projects/{project_id}/geti-models/download")
def download(asked: Asked) -> Response:
    """Imports models of a project: all of them, or the answer says which were not."""
    own = _project_id(asked)
    wanted = _wanted(asked.body)
    who = asked.who
    doors.require_some_write(who, asked.project)
    with _source(SHOW_SECONDS) as source:
        if not wanted:
            raise answers.words(403, "No models were given.")
        project = source.get_project(own)
    found = _found(project, wanted)
    for one in found:
        who.require("write", asked.project, edge.model_of(one.model.name))
    doors.writable(stores(), who)
    project_id = projects.find(stores(), asked.project).id
    ids = [one.model.id for one in found]
    if taken := [one for one in ids if packages.find(stores(), project_id, one)]:
        raise answers.words(409, f"Already registered: {', '.join(taken)}")
    job = geti_imports.submit(stores(), project_id, who.name, own, ids, WAIT)
    if not job.ended:
        headers = {"Location": f"/edge/imports/{job.id}", "Retry-After": "5"}
        return answers.document(_state(job), 202, headers)
    told = _state(job)
    if told["failed"]:
        lines = [f"{one['id']}: {one['message']}" for one in told["failed"]]
        done = ", ".join(told["registered"]) or "none"
        raise answers.words(502, "\n".join(["Not imported:", *lines, f"Registered: {done}"]))
    return answers.text(201, f"Registered: {', '.join(told['registered'])}")


@door("GET", "/imports/{import_id}")
def state(asked: Asked) -> Response:
    """What has become of an import that outlasted its request."""
    asked.who.require("read", asked.project)
    try:
        project_id = projects.find(stores(), asked.project).id
        job = jobs.find(stores(), project_id, asked.path["import_id"])
        if job.kind != geti_imports.IMPORT:
            raise NotFound("another kind of job")
    except NotFound:
        raise answers.words(404, "Import not found.") from None
    return answers.document(_state(job))


def _wanted(body: bytes) -> dict[str, str]:
    """Ids and their groups, each id once."""
    try:
        given = json.loads(body)
    except (ValueError, RecursionError):
        given = None
    listed = given.get("models") if isinstance(given, dict) else None
    if not isinstance(listed, list):
        raise answers.detail(422, [answers.fault("list_type", "models", "Input should be a list")])
    faults = []
    for at, one in enumerate(listed[: MAX_MODELS + 1]):
        for name in ("id", "group_id"):
            text = one.get(name) if isinstance(one, dict) else None
            if not isinstance(text, str) or not text:
                fault = answers.fault("string_type", "models", "Input should be a valid string")
                faults.append({**fault, "loc": ["body", "models", at, name]})
    if len(listed) > MAX_MODELS:
        message = f"List should have at most {MAX_MODELS} items"
        faults.append(answers.fault("too_long", "models", message))
    if faults:
        raise answers.detail(422, faults)
    return {str(one["id"]): str(one["group_id"]) for one in listed}


def _found(project: Project, wanted: dict[str, str]) -> list[Found]:
    known = {one.model.id: one for one in project.found()}
    unknown = [
        own for own, group in wanted.items() if own not in known or known[own].group.id != group
    ]
    if unknown:
        raise answers.words(404, f"No OpenVINO model of this project: {', '.join(unknown)[:2000]}")
    return [known[own] for own in wanted]


def _state(job: Job) -> dict[str, Any]:
    """A job as it is told; while it is worked on, what is there already counts."""
    ids = [str(own) for own in job.args["models"]]
    if job.state == "done":
        registered, failed = list(job.result["registered"]), list(job.result["failed"])
    else:
        registered = [own for own in ids if packages.find(stores(), job.project_id, own)]
        message = str(job.error.get("message", ""))
        missing = [own for own in ids if own not in registered]
        failed = [{"id": own, "message": message} for own in missing if job.state == "failed"]
    return {
        "import_id": job.id, "state": job.state, "created": job.created, "finished": job.finished,
        "registered": registered, "failed": failed,
    }  # fmt: skip
