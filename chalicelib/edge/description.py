"""The OpenAPI description of the edge door, and the page made of it."""

import json
from functools import cache
from html import escape
from typing import Any

from chalicelib.edge import filters
from chalicelib.edge.values import PRECISIONS
from chalicelib.version import VERSION

Json = dict[str, Any]
_TEXT: Json = {"text/plain; charset=utf-8": {"schema": {"type": "string"}}}
_DETAIL: Json = {"application/json": {"schema": {"$ref": "#/components/schemas/Detail"}}}
_STRING: Json = {"type": "string"}
_OPTIONAL: Json = {"anyOf": [{"type": "string"}, {"type": "null"}]}
_DOCUMENT: Json = {"anyOf": [{"type": "object"}, {"type": "string"}, {"type": "null"}]}
_LABELS: Json = {
    "anyOf": [
        {"type": "array", "items": {"type": "string"}},
        {"type": "array", "items": {"type": "object"}},
        {"type": "null"},
    ]
}
_RECORD: Json = {
    "id": _STRING, "name": _STRING, "target_device": _STRING, "created_date": _STRING,
    "last_updated_date": _STRING, "precision": {"type": "array", "items": _STRING},
    "size": {"type": "integer"}, "version": _STRING, "format": _OPTIONAL, "origin": _OPTIONAL,
    "file_url": _STRING, "project_id": _OPTIONAL, "project_name": _OPTIONAL,
    "category": _OPTIONAL, "target_device_type": _OPTIONAL, "score": {"type": "number"},
    "overview": _DOCUMENT, "optimization_capabilities": _DOCUMENT, "labels": _LABELS,
    "architecture": _OPTIONAL,
}  # fmt: skip
_FIELDS: Json = {
    "name": {"type": "string", "minLength": 1}, "version": {"type": "string", "minLength": 1},
    "target_device": _STRING,
    "precision": {"type": "string", "enum": list(PRECISIONS)}, "format": _STRING,
    "score": {"type": "number"}, "created_date": _STRING, "size": {"type": "integer", "minimum": 0},
    "origin": _STRING, "project_id": _STRING, "project_name": _STRING, "category": _STRING,
    "target_device_type": _STRING,
    "overview": {"type": "string", "description": "JSON: an object, a text or null"},
    "optimization_capabilities": {
        "type": "string", "description": "JSON: an object, a text or null"
    },
    "labels": {"type": "string", "description": "a JSON array, or a list as Python spells it"},
    "architecture": _STRING,
}  # fmt: skip
_GETI_MODEL: Json = {"type": "object", "required": ["id", "name"]}
_GETI_PROJECT: Json = {
    "type": "object", "required": ["id", "name", "creation_time", "model_groups"], "properties": {
        "id": _STRING, "name": _STRING, "creation_time": _STRING,
        "model_groups": {"type": "array", "items": {
            "type": "object", "required": ["id", "name", "model_versions"], "properties": {
                "model_versions": {"type": "array", "items": {
                    "type": "object", "required": ["id", "name", "version", "openvino_models"],
                    "properties": {"openvino_models": {"type": "array", "items": _GETI_MODEL}},
                }},
            },
        }},
    },
}  # fmt: skip
_IMPORT: Json = {
    "type": "object", "required": ["import_id", "state", "registered", "failed"], "properties": {
        "import_id": _STRING, "created": _STRING, "finished": _STRING,
        "state": {"type": "string", "enum": ["queued", "running", "done", "failed"]},
        "registered": {"type": "array", "items": _STRING},
        "failed": {"type": "array", "items": {
            "type": "object", "required": ["id", "message"],
            "properties": {"id": _STRING, "message": _STRING},
        }},
    },
}  # fmt: skip
_ID: Json = {
    "name": "model_id", "in": "path", "required": True,
    "schema": {"type": "string", "pattern": "^[A-Za-z0-9_-]{16,}$"},
}  # fmt: skip


def _content(*schemas: Json) -> Json:
    return {kind: inner for schema in schemas for kind, inner in schema.items()}


def _answers(**by_status: tuple[str, Json]) -> Json:
    found: Json = {
        "401": {"description": "No token, or a wrong one.", "content": _DETAIL},
        "403": {"description": "The token does not allow it.", "content": _DETAIL},
    }
    for status, (words, content) in by_status.items():
        found[status[1:]] = {"description": words, **({"content": content} if content else {})}
    return dict(sorted(found.items()))


def _json(reference: Json) -> Json:
    return {"application/json": {"schema": reference}}


def _operation(name: str, summary: str, responses: Json, **more: Any) -> Json:
    return {"operationId": name, "summary": summary, "responses": responses, **more}


def _query() -> list[Json]:
    found: list[Json] = [
        {"name": name, "in": "query", "required": False, "schema": {"type": "string"}}
        for name in (*filters.SUBSTRING, filters.EXACT)
    ]
    size = {"type": "integer", "minimum": 1, "maximum": filters.MAX_PAGE}
    found.append({"name": "page_size", "in": "query", "required": False, "schema": size})
    token = {"type": "string", "description": "as X-Next-Page-Token gave it"}
    return [*found, {"name": "page_token", "in": "query", "required": False, "schema": token}]


def _forms(*extra: str) -> Json:
    changes = {"type": "object", "properties": _FIELDS}
    return {kind: {"schema": changes} for kind in extra}


def _paths() -> Json:
    record = {"$ref": "#/components/schemas/Record"}
    own = {"id": {"type": "string", "pattern": "^[A-Za-z0-9_-]{16,128}$"}}
    file = {"file": {"type": "string", "format": "binary", "description": "the ZIP"}}
    created = {"type": "object", "required": ["file", "name", "version"],
               "properties": {**file, **own, **_FIELDS}}  # fmt: skip
    form = {"multipart/form-data": {
        "schema": created, "encoding": {"file": {"contentType": "application/zip"}},
    }}  # fmt: skip
    invitation = {"type": "object", "required": ["file_name", "size"], "properties": {
        "file_name": {"type": "string"}, "size": {"type": "integer", "minimum": 1},
    }}  # fmt: skip
    upload = {"type": "object", "required": ["upload_id", "url", "fields"], "properties": {
        "upload_id": _STRING, "url": _STRING,
        "fields": {"type": "object", "additionalProperties": _STRING},
    }}  # fmt: skip
    status = {"type": "object", "required": ["status"], "properties": {"status": _STRING}}
    page = {"text/html; charset=utf-8": {"schema": {"type": "string"}}}
    both = _content(_TEXT, _DETAIL)
    gone = ("There is no such model.", _TEXT)
    bad = ("The id is malformed.", both)
    package = {kind: {"schema": {"type": "string", "format": "binary"}}
               for kind in ("application/zip", "application/octet-stream")}  # fmt: skip
    return {
        "/health": {"get": _operation(
            "health", "Says that the server answers.",
            {"200": {"description": "It does.", "content": _json(status)}}, security=[])},
        "/docs": {"get": _operation(
            "docs", "This page.", {"200": {"description": "HTML.", "content": page}}, security=[])},
        "/openapi.json": {"get": _operation(
            "openapi", "This description.",
            {"200": {"description": "JSON.", "content": _json({"type": "object"})}}, security=[])},
        "/models": {
            "get": _operation(
                "list_models", "Records by id; all filters must fit.",
                _answers(
                    s200=("The records.", _json({"type": "array", "items": record})),
                    s400=("A value with <, % or ', or a bad page.", _TEXT),
                    s404=("No record fits the filters.", _TEXT),
                    s413=("Too many for one answer: use page_size.", _TEXT),
                    s422=("An unknown parameter.", _TEXT)),
                parameters=_query()),
            "post": _operation(
                "register_model", "Registers a package. `upload_id` may stand instead of `file`.",
                _answers(
                    s201=("Its id.", _TEXT), s400=("A bad precision, or no form.", both),
                    s409=("Another record is in the way; its id is quoted.", _TEXT),
                    s413=("Too large for a request.", _TEXT),
                    s503=("A large upload is being checked in: ask again.", _TEXT),
                    s422=("Something is missing or cannot be read.", both)),
                requestBody={"required": True, "content": form}),
        },
        "/models/uploads": {"post": _operation(
            "begin_upload", "First of two steps for a package that no request can carry.",
            _answers(
                s201=("Where to send the file.", _json(upload)),
                s413=("Too large for a form.", _TEXT), s422=("Not understood.", _DETAIL)),
            requestBody={"required": True, "content": _json(invitation)})},
        "/models/{model_id}": {
            "parameters": [_ID],
            "get": _operation(
                "get_model", "One record.",
                _answers(s200=("The record.", _json(record)), s400=bad, s404=gone)),
            "put": _operation(
                "update_model", "Changes what a record says. Empty fields are left alone.",
                _answers(
                    s200=("Done.", _json(status)),
                    s400=("No field to change, or a bad precision.", _content(_TEXT, _json({
                        "anyOf": [status, {"$ref": "#/components/schemas/Detail"}]}))),
                    s404=gone, s409=("Another record is in the way.", _TEXT),
                    s413=("Too much is said.", _TEXT),
                    s422=("A value cannot be read.", _DETAIL)),
                requestBody={"required": True, "content": _forms(
                    "application/x-www-form-urlencoded", "multipart/form-data")}),
            "delete": _operation(
                "delete_model", "Removes package and record.",
                _answers(s204=("Gone.", {}), s400=bad, s404=gone,
                         s409=("An alias or another version refers to it.", _TEXT))),
        },
        "/models/{model_id}/files": {
            "parameters": [_ID],
            "get": _operation(
                "download_model", "The package as it was sent.",
                _answers(s200=("The bytes.", package), s307=("Where they are.", {}), s400=bad,
                         s404=gone, s409=("Its safety verdict holds it back.", _TEXT))),
        },
        **_geti_paths(),
    }  # fmt: skip


def _geti_paths() -> Json:
    project = {"$ref": "#/components/schemas/GetiProject"}
    state = {"$ref": "#/components/schemas/Import"}
    own: Json = {**_ID, "name": "project_id"}
    job: Json = {"name": "import_id", "in": "path", "required": True, "schema": _STRING}
    unset = ("No Geti server is configured.", _TEXT)
    bad = ("The id is malformed.", _content(_TEXT, _DETAIL))
    lost = ("Geti refuses, fails or takes too long.", _TEXT)
    model = {"type": "object", "required": ["id", "group_id"], "properties": {
        "id": {"type": "string", "minLength": 1}, "group_id": {"type": "string", "minLength": 1},
    }}  # fmt: skip
    models = {"type": "object", "required": ["models"], "properties": {
        "models": {"type": "array", "maxItems": 100, "items": model},
    }}  # fmt: skip
    return {
        "/projects": {"get": _operation(
            "list_projects", "Projects of the Geti server, with their OpenVINO models.",
            _answers(s200=("The projects.", _json({"type": "array", "items": project})),
                     s413=("Too many for one answer.", _TEXT), s500=unset, s502=lost))},
        "/projects/{project_id}": {
            "parameters": [own],
            "get": _operation(
                "get_project", "One project of the Geti server.",
                _answers(s200=("The project.", _json(project)), s400=bad,
                         s404=("There is no such project.", _TEXT), s500=unset, s502=lost)),
        },
        "/projects/{project_id}/geti-models/download": {
            "parameters": [own],
            "post": _operation(
                "import_models", "Imports OpenVINO models of a project, 100 at most.",
                _answers(
                    s201=("The ids that were registered.", _TEXT),
                    s202=("It takes longer: ask for the import.", _json(state)), s400=bad,
                    s403=("No models were given, or the token does not allow it.",
                          _content(_TEXT, _DETAIL)),
                    s404=("No such project, or none of its OpenVINO models.", _TEXT),
                    s409=("Already registered.", _TEXT), s422=("Not understood.", _DETAIL),
                    s500=unset, s502=("Geti fails, or these models were not imported.", _TEXT)),
                requestBody={"required": True, "content": _json(models)}),
        },
        "/imports/{import_id}": {
            "parameters": [job],
            "get": _operation(
                "get_import", "What has become of an import that outlasted its request.",
                _answers(s200=("Its state.", _json(state)),
                         s404=("There is no such import.", _TEXT))),
        },
    }  # fmt: skip


@cache
def document() -> Json:
    """The OpenAPI document."""
    fault = {"type": "object", "required": ["type", "loc", "msg"]}
    detail = {"anyOf": [{"type": "string"}, {"type": "array", "items": fault}]}
    return {
        "openapi": "3.1.0",
        "info": {"title": "Weighbridge, edge model registry", "version": VERSION},
        "servers": [{"url": ".."}],
        "security": [{"basic": []}, {"bearer": []}],
        "paths": {f"/edge{path}": item for path, item in _paths().items()},
        "components": {
            "schemas": {
                "GetiProject": _GETI_PROJECT,
                "Import": _IMPORT,
                "Record": {"type": "object", "required": list(_RECORD), "properties": _RECORD},
                "Detail": {
                    "type": "object", "required": ["detail"], "properties": {"detail": detail},
                },
            },
            "securitySchemes": {
                "basic": {"type": "http", "scheme": "basic"},
                "bearer": {"type": "http", "scheme": "bearer"},
            },
        },
    }  # fmt: skip


@cache
def text() -> str:
    """The document as JSON."""
    return json.dumps(document(), indent=1)


@cache
def page() -> str:
    """The document as a page without scripts."""
    parts = [
        "<!doctype html><html lang=en><meta charset=utf-8>",
        "<meta name=viewport content='width=device-width'>",
        "<title>Edge model registry</title><link rel=stylesheet href=/static/style.css>",
        "<main><h1>Edge model registry</h1>",
        "<p>The calls of the model-registry microservice. The same as "
        "<a href=openapi.json>OpenAPI</a>.</p>",
    ]
    for path, item in document()["paths"].items():
        for method, operation in item.items():
            if method != "parameters":
                parts.append(_section(method, path, operation))
    return "".join([*parts, "</main>"])


def _section(method: str, path: str, operation: Json) -> str:
    fields: list[str] = [p["name"] for p in operation.get("parameters", ())]
    for content in operation.get("requestBody", {}).get("content", {}).values():
        fields += [name for name in content["schema"]["properties"] if name not in fields]
    rows = "".join(
        f"<tr><th>{escape(status)}<td>{escape(found['description'])}"
        for status, found in operation["responses"].items()
    )
    named = f"<p>Takes {escape(', '.join(fields))}.</p>" if fields else ""
    return (
        f"<h2>{escape(method.upper())} {escape(path)}</h2><p>{escape(operation['summary'])}</p>"
        f"{named}<table>{rows}</table>"
    )
