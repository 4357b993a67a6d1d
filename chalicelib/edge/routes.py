"""The door of edge clients: the calls of the retired model-registry microservice, under `/edge`.

It knows nothing of its own: a record is a package of the project that the caller's token names.
"""

import json
import logging
import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import unquote

from chalice.app import Request, Response

from chalicelib.api import doors, facades, forms
from chalicelib.edge import answers, description, downloads, entries, filters, records, storing
from chalicelib.registry import packages, paging, projects, receiving
from chalicelib.registry.packages import PackageRecord
from chalicelib.registry.tokens import Principal
from chalicelib.settings import settings
from chalicelib.wiring import stores
from weighbridge.contract.errors import Conflict, NotFound, RegistryError
from weighbridge.contract.types import Verb

VIEWS: dict[str, facades.View] = {}
"""By method and path."""
PREFIX = "/edge"
PAGE = 500
_ID = re.compile(r"[A-Za-z0-9_-]{16,}\Z")
_LOG = logging.getLogger("weighbridge.edge")


class Asked:
    """A request whose caller is known."""

    def __init__(self, request: Request, who: Principal, path: dict[str, str]) -> None:
        self.request, self.who, self.path = request, who, path
        self.project = doors.project_name(who)

    @property
    def query(self) -> dict[str, str]:
        """Parameters; of a repeated one the last value."""
        params = self.request.query_params
        return {name: params.getlist(name)[-1] for name in params} if params else {}

    def header(self, name: str) -> str:
        """A header; empty if there is none."""
        return str(self.request.headers.get(name, ""))

    @property
    def body(self) -> bytes:
        """The body as it was sent."""
        raw = self.request.raw_body or b""
        return raw if isinstance(raw, bytes) else raw.encode()

    def form(self) -> forms.Form:
        """The form in the body."""
        try:
            return forms.read(self.request.headers, self.body)
        except forms.Malformed:
            raise answers.detail(400, "There was an error parsing the body") from None

    def identifier(self) -> str:
        """The id of the path."""
        text = self.path["model_id"]
        if not _ID.match(text):
            raise answers.detail(400, "Invalid format for model ID.")
        return text

    def record(self, verb: Verb) -> PackageRecord:
        """The record of the path, which the caller may read, and do `verb` with."""
        own = self.identifier()
        self.who.require("read", self.project)
        found = self._find(own)
        if found is None:
            raise answers.words(404, "Model not found.")
        self.who.require(verb, self.project, found.version.model)
        return found

    def _find(self, own: str) -> PackageRecord | None:
        try:
            project_id = projects.find(stores(), self.project).id
        except NotFound:
            return None
        return packages.find(stores(), project_id, own)


View = Callable[[Asked], Response]


def door(
    method: str, path: str, *, token: bool = True, views: dict[str, facades.View] = VIEWS
) -> Callable[[View], View]:
    """Routes a view; answers errors as clients of this door know them."""

    def decorate(view: View) -> View:
        def wrapped(request: Request, params: Mapping[str, str]) -> Response:
            try:
                nobody = Principal("nobody", ())
                who = doors.authenticate(request.headers.get("authorization")) if token else nobody
                return view(Asked(request, who, {n: unquote(v) for n, v in params.items()}))
            except answers.Refused as refused:
                return refused.response
            except RegistryError as error:
                if error.status >= 500:
                    _LOG.error("%s %s: %s", method, path, error.message)
                return answers.of(error)
            except Exception:
                _LOG.exception("unhandled error in %s %s", method, path)
                return answers.failed()

        views[f"{method} {PREFIX}{path}"] = wrapped
        return view

    return decorate


def shown(found: PackageRecord) -> dict[str, Any]:
    """A record as it is answered."""
    return records.record(found, stores().bucket or settings().bucket, settings().edge_url_scheme)


@door("GET", "/health", token=False)
def health(asked: Asked) -> Response:
    """Says that the server answers; looks at nothing."""
    return answers.document({"status": "ok"})


@door("GET", "/openapi.json", token=False)
def openapi(asked: Asked) -> Response:
    """The description of this door."""
    return answers.answer(200, answers.JSON, description.text())


@door("GET", "/docs", token=False)
def docs(asked: Asked) -> Response:
    """The description as a page."""
    return answers.answer(200, "text/html; charset=utf-8", description.page())


@door("GET", "/redoc", token=False)
def redoc(asked: Asked) -> Response:
    """The same page, where the other address is known."""
    return answers.answer(200, "text/html; charset=utf-8", description.page())


@door("GET", "/models")
def listing(asked: Asked) -> Response:
    """Records by id, those that all filters fit."""
    asked.who.require("read", asked.project)
    wanted = filters.read(asked.query)
    found, following = _listed(asked.project, wanted)
    if not found and wanted.narrow and following is None and not wanted.token:
        raise answers.words(404, "Model(s) not found.")
    headers = {"X-Next-Page-Token": following} if following else {}
    answer = answers.document(found, 200, headers)
    if len(answer.body) > answers.MAX_ANSWER:
        raise answers.words(
            413, "The list is too long for one answer: ask for it with page_size=500."
        )
    return answer


def _listed(project: str, wanted: filters.Filters) -> tuple[list[dict[str, Any]], str | None]:
    try:
        project_id = projects.find(stores(), project).id
    except NotFound:
        return [], None
    after = paging.after(wanted.query, wanted.token)
    found: list[dict[str, Any]] = []
    while True:
        page, after = packages.listing(stores(), project_id, after, PAGE)
        for record in page:
            one = shown(record)
            if wanted.match(one):
                found.append(one)
        if wanted.size and len(found) > wanted.size:
            found = found[: wanted.size]
            return found, paging.token(wanted.query, f"I#{found[-1]['id']}")
        if after is None:
            return found, None


@door("POST", "/models")
def register(asked: Asked) -> Response:
    """Registers a package and its record."""
    own = storing.register(stores(), asked.who, asked.form())
    return answers.answer(201, answers.TEXT, own)


@door("POST", "/models/uploads")
def invite(asked: Asked) -> Response:
    """First of two steps for a package that no request can carry."""
    who = asked.who
    doors.writable(stores(), who)
    doors.require_some_write(who, asked.project)
    name, size = _invitation(asked.body)
    project_id = projects.find(stores(), asked.project).id
    upload, form = receiving.invite(stores(), project_id, name, size)
    body = {"upload_id": upload, "url": form.url, "fields": form.fields}
    return answers.document(body, 201)


def _invitation(body: bytes) -> tuple[str, int]:
    try:
        given = json.loads(body)
    except (ValueError, RecursionError):
        given = None
    given = given if isinstance(given, dict) else {}
    name, size = given.get("file_name"), given.get("size")
    faults = []
    if not isinstance(name, str):
        faults.append(answers.fault("string_type", "file_name", "Input should be a valid string"))
    if not isinstance(size, int) or isinstance(size, bool) or size < 1:
        faults.append(answers.fault("int_type", "size", "Input should be a number of bytes"))
    elif size > receiving.MAX_FORM:
        raise answers.words(
            413, f"A form holds {receiving.MAX_FORM} bytes at most; use `weighbridge push`."
        )
    if faults:
        raise answers.detail(422, faults)
    return str(name), int(size or 0)


@door("GET", "/models/{model_id}")
def show(asked: Asked) -> Response:
    """One record."""
    return answers.document(shown(asked.record("read")))


@door("PUT", "/models/{model_id}")
def change(asked: Asked) -> Response:
    """Changes what a record says; its bytes and its id never."""
    asked.identifier()
    form = asked.form()
    if entries.change(form) is None:
        message = "No field that can be changed was given."
        return answers.document({"status": "error", "message": message}, 400)
    entries.precise(form)
    found = asked.record("write")
    if found.version.state != "ready":
        raise Conflict("Its safety verdict holds the model back; it cannot be changed yet.")
    storing.change(stores(), asked.who.name, asked.project, found, form)
    return answers.document({"status": "completed"})


@door("DELETE", "/models/{model_id}")
def remove(asked: Asked) -> Response:
    """Removes a package and its record."""
    found = asked.record("delete")
    storing.remove(stores(), asked.who.name, asked.project, found)
    return Response(body="", status_code=204, headers={"Content-Type": answers.TEXT})


@door("GET", "/models/{model_id}/files")
def files(asked: Asked) -> Response:
    """The package, byte for byte as it was sent."""
    found = asked.record("read")
    project_id = projects.find(stores(), asked.project).id
    kind = downloads.OTHER if asked.header("referer").endswith("/docs") else downloads.ZIP
    return downloads.package(stores(), project_id, found, kind, asked.header("accept"))
