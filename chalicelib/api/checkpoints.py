"""Checkpoints over HTTP."""

from chalice.app import Blueprint

from chalicelib.api.http import PAGED, Call, endpoint
from chalicelib.api.versions import ONE as VERSION
from chalicelib.api.versions import found
from chalicelib.registry import checkpoints, downloads, facts, safety, verdicts, versions
from chalicelib.wiring import stores
from weighbridge.contract.types import (
    Checkpoint,
    CheckpointCommit,
    CheckpointPage,
    Deleted,
    DownloadRequest,
    Downloads,
    FileList,
    ReleaseRequest,
    VerdictReport,
    VersionFacts,
)

routes = Blueprint(__name__)
BASE = VERSION + "/checkpoints"
ONE = BASE + "/{checkpoint}"


def _record(call: Call) -> checkpoints.CheckpointRecord:
    return checkpoints.resolve(stores(), found(call), call.checkpoint)


@endpoint(
    routes, "GET", BASE, "read", answers=CheckpointPage,
    query=("component", "order", "state", *PAGED),
)  # fmt: skip
def listing(call: Call) -> CheckpointPage:
    """Checkpoints of a version, newest first: `state` is ready or held (by its verdict)."""
    component = call.one("component") if "component" in call.query else None
    return checkpoints.listing(
        stores(), found(call), component=component, order=call.one("order", "newest"),
        state=call.one("state", "ready"), limit=call.limit, page=call.page,
    )  # fmt: skip


@endpoint(routes, "POST", BASE, "write", body=CheckpointCommit, answers=Checkpoint, status=201)
def commit(call: Call) -> Checkpoint:
    """Publishes a checkpoint."""
    return checkpoints.commit(stores(), call.by, found(call), call.body)


@endpoint(routes, "GET", ONE, "read", answers=Checkpoint)
def show(call: Call) -> Checkpoint:
    """One checkpoint: a number, `last`, `best` or `best=metric`."""
    return _record(call).checkpoint


@endpoint(routes, "DELETE", ONE, "delete", answers=Deleted)
def delete(call: Call) -> Deleted:
    """Deletes a checkpoint."""
    return checkpoints.delete(stores(), call.by, found(call), call.checkpoint)


@endpoint(routes, "GET", ONE + "/files", "read", answers=FileList, query=PAGED)
def files(call: Call) -> FileList:
    """The files of a checkpoint by path."""
    record = _record(call)
    return downloads.files(
        stores(), record.version.model.project_id, record.checkpoint.manifest,
        limit=call.limit, page=call.page, state=record.checkpoint.state,
    )  # fmt: skip


@endpoint(routes, "POST", ONE + "/downloads", "read", body=DownloadRequest, answers=Downloads)
def sign(call: Call) -> Downloads:
    """Signs GETs of a checkpoint's blobs, unless its verdict holds it back."""
    record = _record(call)
    safety.refuse_held(record.reference, record.checkpoint.state, record.checkpoint.verdict)
    return downloads.sign(
        stores(), record.version.model.project_id, record.checkpoint.manifest, call.body
    )


@endpoint(routes, "GET", ONE + "/facts", "read", answers=VersionFacts)
def show_facts(call: Call) -> VersionFacts:
    """What indexing found in a checkpoint's files, and what its pusher claims of their tensors."""
    record = _record(call)
    project_id = record.version.model.project_id
    entries = versions.files(stores(), project_id, record.checkpoint.manifest)
    return facts.told(stores(), record.version, entries, record.checkpoint.claims)


@endpoint(routes, "GET", ONE + "/verdict", "read", answers=VerdictReport)
def show_verdict(call: Call) -> VerdictReport:
    """Whether loading a checkpoint's files can execute code, and which ones are to blame."""
    return verdicts.of_checkpoint(stores(), _record(call))


@endpoint(routes, "POST", ONE + "/release", "admin", body=ReleaseRequest, answers=Checkpoint)
def release(call: Call) -> Checkpoint:
    """Lets a checkpoint through that its verdict holds back."""
    return verdicts.release_checkpoint(stores(), call.by, _record(call), call.body)
