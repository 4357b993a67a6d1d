"""The OpenAPI description, generated from the routes and the contract types; never written by hand."""

import dataclasses
import json
import re
import types
import typing
from functools import cache
from typing import Any

from chalicelib.api.http import OPERATIONS, Operation
from chalicelib.version import VERSION
from weighbridge.contract import codec, errors


def _schema(hint: Any, seen: dict[str, Any]) -> dict[str, Any]:
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any:
        return {}
    if origin in (typing.Union, types.UnionType):
        inner = next(a for a in args if a is not type(None))
        return {"anyOf": [_schema(inner, seen), {"type": "null"}]}
    if origin is typing.Literal:
        return {"type": "string", "enum": list(args)}
    if origin is tuple:
        return {"type": "array", "items": _schema(args[0], seen)}
    if origin is dict:
        return {"type": "object", "additionalProperties": _schema(args[1], seen)}
    if dataclasses.is_dataclass(hint):
        return _reference(typing.cast(type, hint), seen)
    if hint is float:  # JSON has no NaN: the contract writes it as text
        special = {"type": "string", "enum": ["NaN", "Infinity", "-Infinity"]}
        return {"anyOf": [{"type": "number"}, special]}
    return {"type": {str: "string", int: "integer", bool: "boolean"}[hint]}


def _reference(cls: type, seen: dict[str, Any]) -> dict[str, Any]:
    name = cls.__name__
    if name not in seen:
        seen[name] = {}
        hints = codec.hints(cls)
        fields = dataclasses.fields(cls)
        required = [
            f.name
            for f in fields
            if f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING
        ]
        document: dict[str, Any] = {
            "type": "object",
            "description": (cls.__doc__ or "").strip(),
            "properties": {f.name: _schema(hints[f.name], seen) for f in fields},
        }
        if required:
            document["required"] = required
        seen[name] = document
    return {"$ref": f"#/components/schemas/{name}"}


def _content(cls: type, seen: dict[str, Any]) -> dict[str, Any]:
    return {"application/json": {"schema": _reference(cls, seen)}}


def _operation(operation: Operation, seen: dict[str, Any]) -> dict[str, Any]:
    parameters = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in re.findall(r"{(\w+)}", operation.path)
    ]
    for name in operation.query:
        schema: dict[str, Any] = {"type": "integer" if name == "limit" else "string"}
        if name == "ref":
            schema = {"type": "array", "items": {"type": "string"}}
        parameters.append({"name": name, "in": "query", "required": False, "schema": schema})
    words = re.findall(r"[a-z]+", re.sub(r"{\w+}", "", operation.path.removeprefix("/api")))
    found: dict[str, Any] = {
        "summary": operation.summary,
        "operationId": "_".join([operation.method.lower(), *words])
        + ("_one" if operation.path.endswith("}") else ""),
        "parameters": parameters,
        "responses": {
            str(operation.status): {
                "description": "Done.",
                "content": _content(operation.answer, seen)
                if operation.answer
                else {"application/json": {"schema": {"type": "object"}}},
            },
            "default": {"$ref": "#/components/responses/Error"},
        },
    }
    if operation.body is not None:
        found["requestBody"] = {"required": True, "content": _content(operation.body, seen)}
    if operation.path in ("/api/health", "/api/openapi.json"):
        found["security"] = []
    return found


def document() -> dict[str, Any]:
    """The whole description."""
    seen: dict[str, Any] = {}
    paths: dict[str, Any] = {}
    for operation in sorted(OPERATIONS, key=lambda o: (o.path, o.method)):
        paths.setdefault(operation.path, {})[operation.method.lower()] = _operation(operation, seen)
    error = {
        "type": "object",
        "required": ["error"],
        "properties": {
            "error": {
                "type": "object",
                "required": ["code", "message", "details", "request_id"],
                "properties": {
                    "code": {"type": "string", "enum": sorted([*errors.BY_CODE, "error"])},
                    "message": {"type": "string"},
                    "details": {"type": "object"},
                    "request_id": {"type": "string"},
                },
            }
        },
    }
    return {
        "openapi": "3.1.0",
        "info": {"title": "Weighbridge", "version": VERSION},
        "security": [{"token": []}],
        "paths": paths,
        "components": {
            "schemas": {**dict(sorted(seen.items())), "Error": error},
            "responses": {
                "Error": {
                    "description": "What went wrong, and what to do.",
                    "content": {
                        "application/json": {"schema": {"$ref": "#/components/schemas/Error"}}
                    },
                }
            },
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


@cache
def text() -> str:
    """The description as JSON."""
    return json.dumps(document(), indent=1, ensure_ascii=False)
