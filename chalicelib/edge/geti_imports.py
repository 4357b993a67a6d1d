"""What the archive worker does for edge clients: imports models of a Geti server, each by itself."""

import hashlib
import logging
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from chalicelib.edge import storing
from chalicelib.registry import jobs, packages, projects, receiving
from chalicelib.registry.jobs import Job
from chalicelib.registry.stores import Stores
from chalicelib.settings import geti as configured
from chalicelib.settings import settings
from weighbridge.contract import edge, geti, manifests
from weighbridge.contract.errors import NotFound, RegistryError, Unavailable
from weighbridge.contract.geti import Found
from weighbridge.contract.manifests import FileEntry
from weighbridge.contract.types import Package, Version, VersionCommit
from weighbridge.geti.packages import fetched
from weighbridge.geti.rest import RestSource
from weighbridge.geti.source import MAX_PACKAGE

IMPORT = "edge.geti"
jobs.register(IMPORT, "chalicelib.edge.geti_imports:work")
MAX_ON_A_FUNCTION = 240_000_000
"""A function has a disk of 512 MB, and a package may have to be written anew."""
_BLOCK = 1024 * 1024
_LOG = logging.getLogger("weighbridge.edge")


def submit(
    stores: Stores, project_id: str, by: str, project: str, ids: list[str], wait: float
) -> Job:
    """The job that imports these models, as it is after `wait` seconds at most."""
    key = hashlib.sha256(" ".join([project, *sorted(ids)]).encode()).hexdigest()
    args = {"project": project, "models": ids}
    return jobs.run(stores, project_id, IMPORT, by, args, key=f"geti {key}", wait=wait)


def work(stores: Stores, job: Job) -> Mapping[str, Any]:
    """Imports the models of a job. What an earlier attempt has imported counts as done."""
    registered: list[str] = []
    failed: list[dict[str, str]] = []
    record = projects.by_id(stores, job.project_id)
    if record is None:
        raise NotFound("the project was deleted meanwhile")
    source = RestSource(configured())
    try:
        project = source.get_project(str(job.args["project"]))
        known = {one.model.id: one for one in project.found()}
        for own in job.args["models"]:
            try:
                if own not in known:
                    raise NotFound("Geti does not have it any more")
                _imported(stores, job, record.name, source, known[own])
                registered.append(own)
            except RegistryError as error:
                _LOG.error("the import of %s from Geti failed: %s", own, error.message)
                failed.append({"id": own, "message": error.message})
    finally:
        source.close()
    return {"registered": registered, "failed": failed}


def _imported(stores: Stores, job: Job, project: str, source: RestSource, found: Found) -> None:
    own, project_id = found.model.id, job.project_id
    if packages.find(stores, project_id, own) is not None:
        return
    attributes, metrics = geti.described(found)
    model = edge.model_of(found.model.name)
    package = Package(packages.identifier(own), "", 0, "", "")
    draft = Version(project, model, 0, "open", attributes=attributes, package=package)
    packages.refuse_taken(stores, project_id, draft)
    most = MAX_PACKAGE if settings().long_bodies else MAX_ON_A_FUNCTION
    try:
        with tempfile.TemporaryDirectory(prefix="weighbridge-geti-") as folder:
            path, content = fetched(source, found, Path(folder), most)
            file = _stored(stores, job, project, path)
    except OSError as error:
        raise Unavailable(f"the package cannot be kept for a moment: {error.strerror}") from error
    commit = VersionCommit(
        manifest=manifests.digest([file]), files=(file,),
        attributes={**attributes, geti.CONTENT: content}, metrics=metrics, package=own,
    )  # fmt: skip
    storing.publish(stores, job.by, project, model, commit)


def _stored(stores: Stores, job: Job, project: str, path: Path) -> FileEntry:
    """A file as a blob, sent part by part."""
    incoming = receiving.Incoming(stores, job.by, job.project_id, path.stat().st_size)
    try:
        with path.open("rb") as file:
            while block := file.read(_BLOCK):
                incoming.write(block)
        name = receiving.file_name(path.name, storing.NO_FILE)
        return receiving.joined(stores, project, name, incoming.end())
    except BaseException:
        incoming.abort()
        raise
