"""Planning and completing uploads over HTTP. No byte of a model passes through here."""

from chalice.app import Blueprint

from chalicelib.api.http import Call, endpoint
from chalicelib.registry import uploads
from chalicelib.wiring import stores
from weighbridge.contract.types import (
    Deleted,
    LookAnswer,
    LookRequest,
    NewUpload,
    PartsPlan,
    PartsRequest,
    Plan,
    PlanRequest,
    Stored,
    Upload,
    UploadComplete,
)

routes = Blueprint(__name__)
BASE = "/api/projects/{project}/uploads"
ONE = BASE + "/{upload}"


def _allowed(call: Call) -> None:
    """A project-wide right to write, or one for some model of it: blobs have no model yet."""
    if not any(
        "write" in scope.verbs and call.who.may("write", call.project, scope.model)
        for scope in call.who.scopes
    ):
        call.who.require("write", call.project)


@endpoint(routes, "POST", BASE, None, body=PlanRequest, answers=Plan)
def plan(call: Call) -> Plan:
    """Says per wanted blob what to send, signed; verifies the PUTs that are done."""
    _allowed(call)
    return uploads.plan(stores(), call.by, call.project, call.body)


@endpoint(routes, "POST", BASE + "/look", None, body=LookRequest, answers=LookAnswer)
def look(call: Call) -> LookAnswer:
    """Says which parts the project holds somewhere, so that they can be copied."""
    _allowed(call)
    return uploads.look(stores(), call.project, call.body)


@endpoint(routes, "POST", BASE + "/open", None, body=NewUpload, answers=Upload, status=201)
def start(call: Call) -> Upload:
    """Opens a multipart upload of a file that is still being read."""
    _allowed(call)
    return uploads.start(stores(), call.by, call.project, call.body)


@endpoint(routes, "POST", ONE + "/parts", None, body=PartsRequest, answers=PartsPlan)
def sign_parts(call: Call) -> PartsPlan:
    """Signs parts of a multipart upload."""
    _allowed(call)
    return uploads.sign_parts(stores(), call.project, call.path["upload"], call.body)


@endpoint(routes, "POST", ONE + "/complete", None, body=UploadComplete, answers=Stored)
def complete(call: Call) -> Stored:
    """Joins the parts and verifies the composite checksum."""
    _allowed(call)
    return uploads.complete(stores(), call.project, call.path["upload"], call.body)


@endpoint(routes, "DELETE", ONE, None, answers=Deleted)
def abort(call: Call) -> Deleted:
    """Gives an upload up."""
    _allowed(call)
    return uploads.abort(stores(), call.project, call.path["upload"])
