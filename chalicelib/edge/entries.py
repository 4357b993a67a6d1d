"""Form fields to what is said of a package, checked in the order that clients of the door know."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from chalicelib.api.forms import File, Form
from chalicelib.edge import values
from chalicelib.edge.answers import detail, fault, words
from chalicelib.registry import packages
from chalicelib.registry.receiving import Parked
from weighbridge.contract import edge
from weighbridge.contract.errors import InvalidName

DOCUMENTS = ("overview", "optimization_capabilities")
CHANGEABLE = (
    "name", "version", "target_device", "precision", "format", "score", edge.CREATED, "size",
    "origin", "project_id", "project_name", "category", "target_device_type", *DOCUMENTS, "labels",
    "architecture",
)  # fmt: skip
ACCEPTED = ("id", *CHANGEABLE, "file", "upload_id")
ZIP_TYPES = (
    "application/zip", "multipart/x-zip", "application/zip-compressed",
    "application/x-zip-compressed", "application/x-zip",
)  # fmt: skip
ZIP_STARTS = (b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08")
_NUMBERS: dict[str, tuple[Callable[[str], Any], str, str]] = {
    "score": (
        values.number, "float_parsing",
        "Input should be a valid number, unable to parse string as a number",
    ),
    "size": (
        values.whole, "int_parsing",
        "Input should be a valid integer, unable to parse string as an integer",
    ),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Entry:
    """What a form says of a package: attributes under their names of `packages`, and the score."""

    id: str
    attributes: dict[str, Any]
    score: float | None


def registration(form: Form) -> Entry:
    """The entry of a new record, or the refusal of the first fault of steps 1 to 3."""
    faults = _missing(form) + _numbers(form)
    if faults:
        raise detail(422, faults)
    found = _documents(form)
    own = form.last("id")
    if own:
        try:
            packages.identifier(own)
        except InvalidName as error:
            raise detail(422, error.message) from None
    if unknown := [name for name in form.names if name not in ACCEPTED]:
        raise words(422, "Unsupported key(s) found: " + ", ".join(unknown))
    score = form.last("score")
    return Entry(own, {**_texts(form), **found}, values.number(score) if score else None)


def zipped(file: File) -> None:
    """Refuses a file that is not sent as a ZIP."""
    if (file.content_type or "").strip().lower() not in ZIP_TYPES:
        raise words(422, f"Unsupported file type found: {file.content_type}")


def precise(form: Form) -> list[str] | None:
    """The precision given, or the refusal of one that there is not."""
    given = form.last(edge.PRECISION)
    if not given:
        return None
    if given.lower() not in values.PRECISIONS:
        raise words(400, f"{given} is not a supported precision.")
    return [given.lower()]


def is_zip(start: bytes, size: int) -> None:
    """Refuses bytes that do not begin as a ZIP archive does."""
    if not size:
        raise detail(422, "file is empty.")
    if not start.startswith(ZIP_STARTS):
        raise detail(422, "file is not a ZIP archive.")


def start_of(found: File | Parked) -> tuple[bytes, int]:
    """The first bytes and the size of what was sent."""
    return (found.data if isinstance(found, File) else found.start), found.size


def change(form: Form) -> Entry | None:
    """The entry of an update; None if nothing in the form can be changed."""
    if faults := _numbers(form):
        raise detail(422, faults)
    found = _documents(form)
    texts = _texts(form)
    if size := form.last("size"):
        texts[edge.SIZE] = values.whole(size)
    score = form.last("score")
    if not (found or texts or score or form.last(edge.PRECISION)):
        return None
    return Entry("", {**texts, **found}, values.number(score) if score else None)


def _missing(form: Form) -> list[dict[str, Any]]:
    faults = []
    if "file" not in form.files:
        if "file" in form.fields:
            message = "Value error, Expected UploadFile, received: <class 'str'>"
            faults.append(fault("value_error", "file", message, form.last("file")))
        elif not form.last("upload_id"):
            faults.append(fault("missing", "file", "Field required"))
    elif form.last("upload_id"):
        faults.append(fault("value_error", "upload_id", "Give file or upload_id, not both"))
    for name in ("name", "version"):
        if not form.last(name):
            faults.append(fault("missing", name, "Field required"))
    return [*faults, *_files(form)]


def _files(form: Form) -> list[dict[str, Any]]:
    """Files where a text belongs."""
    message = "Input should be a valid string"
    return [fault("string_type", n, message) for n in form.files if n in ACCEPTED and n != "file"]


def _numbers(form: Form) -> list[dict[str, Any]]:
    faults = []
    for name, (parse, kind, message) in _NUMBERS.items():
        if name in form.fields:
            given = form.last(name)
            try:
                parse(given)
            except values.Unusable:
                faults.append(fault(kind, name, message, given))
    return faults


def _documents(form: Form) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name in DOCUMENTS:
        if name in form.fields:
            try:
                found[name] = values.document(form.last(name))
            except values.Unusable:
                raise detail(422, f"{name} is not a valid JSON object.") from None
    given: Sequence[str] = [text for text in form.fields.get("labels", ()) if text]
    if given:
        try:
            found["labels"] = values.labels(list(given))
        except values.Unusable:
            raise detail(422, "labels is not a valid list.") from None
    return found


def _texts(form: Form) -> dict[str, Any]:
    """The texts given; one that is empty counts as not given."""
    wanted = {
        "name": edge.NAME,
        "version": edge.VERSION,
        edge.CREATED: edge.CREATED,
    }
    wanted |= {name: name for name in edge.TEXTS}
    return {own: text for name, own in wanted.items() if (text := form.last(name))}
