"""The page of a federated model: its versions, and which party holds which part."""

from chalicelib.catalogue import slugs
from chalicelib.catalogue.links import crumbs, model_link, version_link
from chalicelib.catalogue.pages import INDEX, Page
from chalicelib.catalogue.views import FederatedView

MOST_MISSING = 8
"""Missing parties that are named per version; `weighbridge fate show` names them all."""


def federated_page(view: FederatedView) -> Page:
    """A federated model, with links to the parties' models and versions."""
    parts = [part for row in view.rows for part in row.parts]
    return Page(
        slugs.federated_path(view.project, view.model_id), "federated.html",
        {"title": f"{view.project}: {view.model_id}", "view": view, "crumbs": crumbs(view.project),
         "models": {part.model.id: model_link(part.model) for part in parts},
         "versions": {(part.model.id, part.version.number):
                      version_link(part.model, part.version.number) for part in parts},
         "most_missing": MOST_MISSING},
        {INDEX: {"kind": "federated", "project": view.project, "model_id": view.model_id,
                 "versions": [row.version for row in view.rows], "more": view.more}},
    )  # fmt: skip
