"""The page of a project's providers: who runs which component of a federated job, and on what."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from chalicelib.catalogue import formats, slugs
from chalicelib.catalogue.links import crumbs
from chalicelib.catalogue.pages import INDEX, Page
from chalicelib.catalogue.views import ProvidersView
from weighbridge.contract.types import Provider

MOST_COMPONENTS = 500
"""Components that the page lists in all; the JSON beside it has those of every provider it lists."""
LONGEST = 200


@dataclass(frozen=True, slots=True)
class Shown:
    """A provider as the page shows it: pairs of name and text; `more` components are not listed."""

    provider: Provider
    components: tuple[tuple[str, str], ...]
    more: int
    metadata: tuple[tuple[str, Any], ...]


def _text(description: Any) -> str:
    """What a component's description says in one line: its own words if it has some."""
    if isinstance(description, Mapping):
        description = description.get("description", description)
    if description in (None, "", {}, []):
        return ""
    return formats.clipped(formats.exact(description), LONGEST)


def providers_page(view: ProvidersView) -> Page:
    """All providers with their components."""
    room, shown = MOST_COMPONENTS, []
    for provider in view.providers:
        names = sorted(provider.components)
        listed = names[:room]
        room -= len(listed)
        shown.append(Shown(
            provider, tuple((name, _text(provider.components[name])) for name in listed),
            len(names) - len(listed), tuple(sorted(provider.metadata.items())),
        ))  # fmt: skip
    return Page(
        slugs.providers_path(view.project), "providers.html",
        {"title": f"Providers of {view.project}", "view": view, "shown": tuple(shown),
         "crumbs": crumbs(view.project)},
        {INDEX: {"kind": "providers", "project": view.project, "providers": view.providers,
                 "more": view.more}},
    )  # fmt: skip
