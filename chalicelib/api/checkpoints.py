"""Checkpoints over HTTP."""

from chalice.app import Blueprint

from chalicelib.api.http import PAGED, Call, endpoint
from chalicelib.api.versions import ONE as VERSION
from chalicelib.api.versions import found
from chalicelib.registry import (
    bundles,
    checkpoints,
    downloads,
    facts,
    pinning,
    promoting,
    pruning,
    safety,
    series,
    staging,
    verdicts,
    versions,
)
from chalicelib.wiring import stores
from weighbridge.contract.errors import InvalidRequest
from weighbridge.contract.types import (
    Bundle,
    Checkpoint,
    CheckpointCommit,
    CheckpointPage,
    Deleted,
    DownloadRequest,
    Downloads,
    FileList,
    Promotion,
    Pruned,
    PruneRequest,
    ReleaseRequest,
    Retention,
    RetentionState,
    Staged,
    StageRequest,
    VerdictReport,
    Version,
    VersionFacts,
)

routes = Blueprint(__name__)
BASE = VERSION + "/checkpoints"
ONE = BASE + "/{checkpoint}"
RETENTION = VERSION + "/retention"
FILTERS = ("component", "name", "steps", "tag", "by", "order", "state")


def _record(call: Call) -> checkpoints.CheckpointRecord:
    return checkpoints.resolve(stores(), found(call), call.checkpoint)


@endpoint(routes, "GET", BASE, "read", answers=CheckpointPage, query=(*FILTERS, *PAGED),
          tagged=True)  # fmt: skip
def listing(call: Call) -> CheckpointPage:
    """Checkpoints of a version, newest first; by component, name, steps, tags, or by a metric. `state` is ready or
    held (by its verdict)."""
    return checkpoints.listing(
        stores(), found(call), order=call.one("order"), state=call.one("state", "ready"),
        limit=call.limit, page=call.page,
        component=call.one("component") if "component" in call.query else None,
        name=call.one("name") if "name" in call.query else None,
        steps=series.steps_of(call.one("steps")), by=call.one("by"),
        tags=dict(_tag(text) for text in call.query.get("tag", [])),
    )  # fmt: skip


def _tag(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise InvalidRequest(f"the tag {text[:80]!r} is not of the form NAME=VALUE")
    return name, value


@endpoint(routes, "POST", BASE, "write", body=CheckpointCommit, answers=Checkpoint, status=201)
def commit(call: Call) -> Checkpoint:
    """Publishes a checkpoint."""
    return checkpoints.commit(stores(), call.by, found(call), call.body)


@endpoint(routes, "POST", VERSION + "/staged", "write", body=StageRequest, answers=Staged)
def stage(call: Call) -> Staged:
    """Announces files for a checkpoint that another may commit, and answers those announced before."""
    return staging.stage(stores(), call.by, found(call), call.body)


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


@endpoint(routes, "GET", ONE + "/bundle", "read", answers=Bundle)
def bundle(call: Call) -> Bundle:
    """A checkpoint, its files and signed GETs of its blobs in one answer, unless its verdict holds it back."""
    return bundles.of_checkpoint(stores(), _record(call))


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


@endpoint(routes, "PUT", ONE + "/pin", "write", answers=Checkpoint)
def pin(call: Call) -> Checkpoint:
    """Keeps a checkpoint whatever the retention says."""
    return pinning.pin(stores(), call.by, found(call), call.checkpoint, True)


@endpoint(routes, "DELETE", ONE + "/pin", "write", answers=Checkpoint)
def unpin(call: Call) -> Checkpoint:
    """Gives a pinned checkpoint back to the retention."""
    return pinning.pin(stores(), call.by, found(call), call.checkpoint, False)


@endpoint(routes, "POST", ONE + "/promotion", "write", body=Promotion, answers=Version, status=201)
def promote(call: Call) -> Version:
    """Makes the next version of a checkpoint's files, without copying any."""
    return promoting.promote(stores(), call.by, _record(call), call.body)


@endpoint(routes, "GET", RETENTION, "read", answers=RetentionState)
def show_retention(call: Call) -> RetentionState:
    """The retention in force for a version's checkpoints, and who says so."""
    return pruning.state(stores(), found(call))


@endpoint(routes, "PUT", RETENTION, "delete", body=Retention, answers=RetentionState)
def set_retention(call: Call) -> RetentionState:
    """Gives a version a retention of its own, instead of the model's."""
    return pruning.override(stores(), call.by, found(call), call.body)


@endpoint(routes, "DELETE", RETENTION, "delete", answers=RetentionState)
def clear_retention(call: Call) -> RetentionState:
    """Gives a version the model's retention again."""
    return pruning.override(stores(), call.by, found(call), None)


@endpoint(routes, "POST", VERSION + "/prune", "read", body=PruneRequest, answers=Pruned)
def prune(call: Call) -> Pruned:
    """Applies the retention to the next checkpoints by number, or says what that would do."""
    if not call.body.dry_run:
        call.who.require("delete", call.project, call.model)
    return pruning.prune(stores(), found(call), call.body)
