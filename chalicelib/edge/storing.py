"""What the edge door does with packages: register, change, remove. Each is a few steps of the registry, and
what fails in the middle leaves nothing that anybody sees."""

import uuid
from contextlib import suppress
from dataclasses import replace

from chalicelib.api import doors
from chalicelib.api.forms import File, Form
from chalicelib.edge import entries
from chalicelib.edge.answers import detail, words
from chalicelib.registry import changing, models, packages, projects, publishing, receiving
from chalicelib.registry.packages import PackageRecord
from chalicelib.registry.receiving import Parked
from chalicelib.registry.stores import Stores
from chalicelib.registry.tokens import Principal
from chalicelib.settings import settings
from weighbridge.contract import edge, manifests
from weighbridge.contract.errors import AlreadyExists, NotFound, RegistryError
from weighbridge.contract.manifests import FileEntry
from weighbridge.contract.references import VersionSelector
from weighbridge.contract.types import (
    NewModel,
    NewVersion,
    Package,
    Version,
    VersionChanges,
    VersionCommit,
)

MAX_DIRECT = 4_500_000
"""Bytes of a package in a request to a function: it grows by a third on the way, and 6 MB are taken."""
NO_FILE = "model.zip"
TOO_LARGE = (
    "The package has {size} bytes; {limit} at most can be sent in a request. Send it in two steps: "
    'POST /models/uploads with the JSON {{"file_name": ..., "size": ...}}, POST the file with the '
    "given fields to the given url, then POST /models with the usual fields and upload_id instead of file."
)


def register(stores: Stores, who: Principal, form: Form) -> str:
    """Registers a package; answers its id."""
    entry = entries.registration(form)
    project = doors.project_name(who)
    found = _source(stores, project, form)
    if isinstance(found, File):
        entries.zipped(found)
    precision = entries.precise(form) or list(edge.DEFAULT_PRECISION)
    entries.is_zip(*entries.start_of(found))
    name = entry.attributes.pop(edge.NAME)
    model = edge.model_of(name)
    who.require("write", project, model)
    doors.writable(stores, who)
    record = projects.find(stores, project)
    own = entry.id or str(uuid.uuid4())
    attributes = {"target_device": "CPU", edge.PRECISION: precision, **entry.attributes}
    draft = Version(
        record.project.name, model, 0, "open", attributes=attributes,
        package=Package(own, "", 0, "", ""),
    )  # fmt: skip
    packages.refuse_taken(stores, record.id, draft)
    file = _stored(stores, who.name, record.id, project, found)
    metrics = {} if entry.score is None else {edge.SCORE: entry.score}
    commit = VersionCommit(
        manifest=manifests.digest([file]), files=(file,), attributes=attributes, metrics=metrics,
        package=own,
    )  # fmt: skip
    publish(stores, who.name, project, model, commit)
    if isinstance(found, Parked):
        receiving.unpark(stores, record.id, found)
    return own


def _source(stores: Stores, project: str, form: Form) -> File | Parked:
    upload = form.last("upload_id")
    if not upload:
        file = form.files["file"]
        if file.arrived is None and file.size > MAX_DIRECT and not settings().long_bodies:
            raise words(413, TOO_LARGE.format(size=file.size, limit=MAX_DIRECT))
        return file
    try:
        return receiving.parked(stores, projects.find(stores, project).id, upload)
    except NotFound as error:
        raise detail(422, error.message) from None


def _stored(
    stores: Stores, by: str, project_id: str, project: str, found: File | Parked
) -> FileEntry:
    if isinstance(found, Parked):
        return receiving.settled(stores, by, project_id, found)
    name = receiving.file_name(found.filename, NO_FILE)
    if found.arrived:
        return receiving.joined(stores, project, name, found.arrived)
    return receiving.whole(stores, project_id, name, found.data)


def publish(stores: Stores, by: str, project: str, model: str, commit: VersionCommit) -> None:
    """Makes model, version and record: the last transaction makes all of it visible, or the rest is given up."""
    made = _made(stores, by, project, model)
    try:
        opened = publishing.begin(stores, by, project, model, NewVersion(f"edge {uuid.uuid4()}"))
        try:
            publishing.commit(stores, by, project, model, opened.number, commit)
        except RegistryError:
            with suppress(RegistryError):  # if it cannot be given up now, the sweep does it
                publishing.abort(stores, by, project, model, opened.number)
            raise
    except RegistryError:
        if made:
            with suppress(RegistryError):  # another has used it meanwhile
                models.delete(stores, by, project, model)
        raise


def _made(stores: Stores, by: str, project: str, model: str) -> bool:
    """Makes sure that the model exists; whether it is new."""
    try:
        models.find(stores, project, model)
        return False
    except NotFound:
        pass
    try:
        models.create(stores, by, project, NewModel(model))
        return True
    except AlreadyExists:
        return False


def change(stores: Stores, by: str, project: str, found: PackageRecord, form: Form) -> None:
    """Applies a form to a record. The caller has made sure that it holds something."""
    entry = entries.change(form)
    if entry is None:
        return
    attributes = dict(entry.attributes)
    if (precision := entries.precise(form)) is not None:
        attributes[edge.PRECISION] = precision
    version = found.version
    draft = replace(version, attributes={**version.attributes, **attributes})
    record = projects.find(stores, project)
    packages.refuse_taken(stores, record.id, draft, found.package.id)
    metrics = None if entry.score is None else {edge.SCORE: entry.score}
    changes = VersionChanges(attributes=attributes, metrics=metrics)
    changing.change(stores, by, project, version.model, _selector(found), changes)


def remove(stores: Stores, by: str, project: str, found: PackageRecord) -> None:
    """Deletes a record with its version; the bytes are freed behind it."""
    changing.delete(stores, by, project, found.version.model, _selector(found))


def _selector(found: PackageRecord) -> VersionSelector:
    return VersionSelector("number", str(found.version.number))
