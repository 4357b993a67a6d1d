"""Versions over HTTP."""

from chalice.app import Blueprint

from chalicelib.api.http import PAGED, Call, endpoint
from chalicelib.api.models import ONE as MODEL
from chalicelib.registry import (
    bundles,
    changing,
    claims,
    compare,
    downloads,
    facts,
    models,
    publishing,
    safety,
    verdicts,
    versions,
)
from chalicelib.wiring import stores
from weighbridge.contract import references
from weighbridge.contract.errors import InvalidRequest
from weighbridge.contract.types import (
    ApprovalChange,
    Bundle,
    ClaimsPage,
    Comparison,
    Deleted,
    DownloadRequest,
    Downloads,
    FileList,
    FilePage,
    NewVersion,
    ReleaseRequest,
    StoredPage,
    VerdictReport,
    Version,
    VersionChanges,
    VersionCommit,
    VersionFacts,
    VersionPage,
)

routes = Blueprint(__name__)
BASE = MODEL + "/versions"
ONE = BASE + "/{version}"


def found(call: Call) -> versions.VersionRecord:
    """The version of the path."""
    return versions.resolve(stores(), call.project, call.model, call.version)


@endpoint(
    routes, "GET", BASE, "read", answers=VersionPage, query=("state", "order", *PAGED), tagged=True
)
def listing(call: Call) -> VersionPage:
    """Versions of a model, newest first: `state` is ready, open or held (by its verdict)."""
    order = call.one("order", "newest")
    if order not in ("newest", "oldest"):
        raise InvalidRequest(f"order must be newest or oldest, not {order!r}")
    record = models.find(stores(), call.project, call.model)
    return versions.listing(
        stores(), record, state=call.one("state", "ready"), newest=order == "newest",
        limit=call.limit, page=call.page,
    )  # fmt: skip


@endpoint(routes, "POST", BASE, "write", body=NewVersion, answers=Version, status=201)
def begin(call: Call) -> Version:
    """Opens the next version."""

    def allow() -> None:
        call.who.require("write", call.project)

    return publishing.begin(stores(), call.by, call.project, call.model, call.body, allow)


@endpoint(routes, "GET", MODEL + "/best", "read", answers=Version, query=("metric",))
def best(call: Call) -> Version:
    """The version with the best value of a metric."""
    record = models.find(stores(), call.project, call.model)
    return versions.best(stores(), record, call.one("metric")).version


@endpoint(routes, "GET", ONE, "read", answers=Version)
def show(call: Call) -> Version:
    """One version, by number, alias, `=label` or `latest`."""
    return found(call).version


@endpoint(routes, "PATCH", ONE, "write", body=VersionChanges, answers=Version)
def change(call: Call) -> Version:
    """Changes what describes a ready version; its files never change."""
    return changing.change(stores(), call.by, call.project, call.model, call.version, call.body)


@endpoint(routes, "DELETE", ONE, "delete", answers=Deleted)
def delete(call: Call) -> Deleted:
    """Deletes a version that nothing refers to, or aborts an open one."""
    return changing.delete(stores(), call.by, call.project, call.model, call.version)


@endpoint(routes, "POST", ONE + "/files", "write", body=FilePage, answers=Version)
def add_files(call: Call) -> Version:
    """Adds a page of files to an open version."""
    return publishing.add_files(stores(), call.project, call.model, call.number, call.body)


@endpoint(routes, "POST", ONE + "/claims", "write", body=ClaimsPage, answers=StoredPage, status=201)
def add_claims(call: Call) -> StoredPage:
    """Stores a page of claims about tensors, for the commit of a version or of its checkpoint."""
    return claims.add(stores(), found(call), call.body)


@endpoint(routes, "POST", ONE + "/commit", "write", body=VersionCommit, answers=Version)
def commit(call: Call) -> Version:
    """Publishes an open version."""
    for parent in call.body.parents:
        call.who.require("read", references.parse(parent).project)
    return publishing.commit(stores(), call.by, call.project, call.model, call.number, call.body)


@endpoint(routes, "POST", ONE + "/abort", "write", answers=Version)
def abort(call: Call) -> Version:
    """Gives an open version up."""
    return publishing.abort(stores(), call.by, call.project, call.model, call.number)


@endpoint(routes, "POST", ONE + "/approval", "approve", body=ApprovalChange, answers=Version)
def approve(call: Call) -> Version:
    """Approves or rejects a version."""
    return changing.approve(stores(), call.by, call.project, call.model, call.version, call.body)


@endpoint(routes, "GET", ONE + "/files", "read", answers=FileList, query=PAGED)
def files(call: Call) -> FileList:
    """The files of a version by path."""
    record = found(call)
    return downloads.files(
        stores(), record.model.project_id, record.version.manifest, limit=call.limit,
        page=call.page, state=record.version.state,
    )  # fmt: skip


@endpoint(routes, "POST", ONE + "/downloads", "read", body=DownloadRequest, answers=Downloads)
def sign(call: Call) -> Downloads:
    """Signs GETs of a version's blobs, unless its verdict holds it back."""
    record = found(call)
    safety.refuse_held(record.reference, record.version.state, record.version.verdict)
    return downloads.sign(stores(), record.model.project_id, record.version.manifest, call.body)


@endpoint(routes, "GET", ONE + "/bundle", "read", answers=Bundle)
def bundle(call: Call) -> Bundle:
    """A version, its files and signed GETs of its blobs in one answer, unless its verdict holds it back."""
    return bundles.of_version(stores(), found(call))


@endpoint(routes, "GET", ONE + "/facts", "read", answers=VersionFacts)
def show_facts(call: Call) -> VersionFacts:
    """What indexing found in a version's files, and what its pusher claims of their tensors."""
    record = found(call)
    if not record.version.manifest:
        return VersionFacts(())
    entries = versions.files(stores(), record.model.project_id, record.version.manifest)
    return facts.told(stores(), record, entries, record.version.claims)


@endpoint(routes, "GET", ONE + "/verdict", "read", answers=VerdictReport)
def show_verdict(call: Call) -> VerdictReport:
    """Whether loading a version's files can execute code, and which ones are to blame."""
    return verdicts.of_version(stores(), found(call))


@endpoint(routes, "POST", ONE + "/release", "admin", body=ReleaseRequest, answers=Version)
def release(call: Call) -> Version:
    """Lets a version through that its verdict holds back."""
    return verdicts.release_version(stores(), call.by, found(call), call.body)


@endpoint(routes, "GET", "/api/compare", None, answers=Comparison, query=("ref",))
def compared(call: Call) -> Comparison:
    """What differs between two to six versions and checkpoints, differences only."""
    return comparison(call, call.query.get("ref", []))


def comparison(call: Call, texts: list[str]) -> Comparison:
    """Compares what references name, if the caller may read it."""
    compare.check_count(len(texts))
    sides = []
    for text in texts:
        reference = references.parse(text)
        call.who.require("read", reference.project)
        sides.append(compare.resolve(stores(), reference))
    return compare.compare(stores(), sides)
