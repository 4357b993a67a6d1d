"""The doors of foreign clients: their routes. What is behind a door is imported when somebody knocks, so
that no other request's cold start waits for it."""

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from chalice.app import Chalice, Request, Response

View = Callable[[Request, Mapping[str, str]], Response]
"""Answers a request; the mapping holds the path's parameters, as they were sent."""


@dataclass(frozen=True, slots=True)
class Door:
    """`module` has `VIEWS`, a view for each of the routes (`METHOD /path`)."""

    module: str
    routes: tuple[str, ...]
    head: bool = False
    """Whether HEAD is answered where GET is."""


DOORS = (
    Door(
        "chalicelib.edge.routes",
        (
            "GET /edge/health",
            "GET /edge/openapi.json",
            "GET /edge/docs",
            "GET /edge/redoc",
            "GET /edge/models",
            "POST /edge/models",
            "POST /edge/models/uploads",
            "GET /edge/models/{model_id}",
            "PUT /edge/models/{model_id}",
            "DELETE /edge/models/{model_id}",
            "GET /edge/models/{model_id}/files",
        ),
        head=True,
    ),
    Door(
        "chalicelib.edge.geti_routes",
        (
            "GET /edge/projects",
            "GET /edge/projects/{project_id}",
            "POST /edge/projects/{project_id}/geti-models/download",
            "GET /edge/imports/{import_id}",
        ),
        head=True,
    ),
    Door(
        "chalicelib.kubeflow",
        tuple(
            f"{method} /api/model_registry/{{release}}/"
            + "/".join(["{first}", "{second}", "{third}"][:n])
            for n in range(1, 4)
            for method in ("GET", "POST", "PATCH")
        ),
    ),
    # A route per depth and not one per verb: the gateway has room for 300 resources in all, and answers
    # what it does not know by itself, which no client of FATE understands.
    Door(
        "chalicelib.fate.v1",
        tuple(
            f"{method} /v1/" + "/".join(["{first}", "{second}", "{third}", "{fourth}", "{fifth}"][:n])
            for n in range(1, 6)
            for method in ("GET", "POST")
        ),
    ),
    Door(
        "chalicelib.fate.v2",
        (
            "POST /v2/provider/register",
            "GET /v2/provider/query",
            "POST /v2/provider/delete",
            "POST /v2/model/export",
            "POST /v2/model/import",
            "POST /v2/model/delete",
            "POST /v2/model/load",
            "POST /v2/model/migrate",
            "POST /v2/model/store",
            "POST /v2/model/restore",
            "GET /v2/output/model/query",
            "GET /v2/output/model/download",
            "POST /v2/output/model/delete",
            "POST /v2/worker/model/save",
            "GET /v2/worker/model/download",
        ),
    ),
)  # fmt: skip
STREAMED = frozenset({("POST", "/edge/models")})
"""Method and path of the routes whose files may be long: what a server that streams sends on."""

JOBS = (
    "chalicelib.edge.geti_imports",
    "chalicelib.fate.v2.archives",
    "chalicelib.fate.v2.storing",
    "chalicelib.fate.work",
    "chalicelib.registry.receiving",
)
"""Modules that register kinds of jobs."""


def know_jobs() -> None:
    """Makes every kind of job known; for who works on them, and has not been asked for one."""
    for module in JOBS:
        importlib.import_module(module)


def register(app: Chalice) -> None:
    """Adds the routes of all doors."""
    for door in DOORS:
        for route in door.routes:
            method, path = route.split(" ")
            methods = ["GET", "HEAD"] if method == "GET" and door.head else [method]
            name = f"{door.module}:{route}"
            app.route(path, methods=methods, content_types=["*/*"], name=name)(
                _knocked(app, door.module, route)
            )


def _knocked(app: Chalice, module: str, route: str) -> Callable[..., Response]:
    def view(**params: str) -> Response:
        request = app.current_request
        assert request is not None
        views: Mapping[str, View] = importlib.import_module(module).VIEWS
        return views[route](request, params)

    return view
