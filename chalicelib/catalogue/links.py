"""Links and commands that pages show, built in one place so that both are always well quoted."""

import re
import shlex
from dataclasses import dataclass

from chalicelib.catalogue import slugs
from weighbridge.contract import federated, references
from weighbridge.contract.errors import RegistryError
from weighbridge.contract.types import Model, Version

_FOLDER = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,39}\Z")


@dataclass(frozen=True, slots=True)
class Crumb:
    """One step of the path shown above a page."""

    text: str
    path: str


@dataclass(frozen=True, slots=True)
class Link:
    """A reference, with the address of its page where it has one that is known to exist."""

    text: str
    path: str = ""


@dataclass(frozen=True, slots=True)
class Pull:
    """How to get a version's files, ready to be pasted: every part is quoted for its language."""

    cli: str
    python: str
    curl: str


def reference(version: Version) -> str:
    """`project/model@7`."""
    return f"{version.project}/{version.model}@{version.number}"


def pull(project: str, model: str, selector: str) -> Pull:
    """The commands that pull a version."""
    ref = f"{project}/{model}@{selector}"
    name = model if _FOLDER.match(model) else "model"
    api = shlex.quote(f"{slugs.api_path(project, model)}/versions/{selector}/files")
    address = f'"$WEIGHBRIDGE_URL"{api}'
    return Pull(
        f"weighbridge pull {shlex.quote(ref)} --to {shlex.quote(name)}",
        f"import weighbridge\n\nweighbridge.Registry().pull({_python(ref)}, to={_python(name)})",
        f'curl -sSf -H "Authorization: Bearer $WEIGHBRIDGE_TOKEN" \\\n  {address}',
    )


def _python(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def model_link(model: Model) -> str:
    """The address of a model's page."""
    return slugs.model_path(model.project, model.name, model.id)


def version_link(model: Model, number: int) -> str:
    """The address of a version's page."""
    return slugs.version_path(model.project, model.name, model.id, number)


def checkpoint_link(model: Model, number: int, point: int) -> str:
    """The address of a checkpoint's page."""
    return slugs.checkpoint_path(model.project, model.name, model.id, number, point)


HOME = (Crumb("Projects", "/"),)


def crumbs(project: str, model: Model | None = None, number: int = 0) -> tuple[Crumb, ...]:
    steps = [*HOME, Crumb(project, slugs.project_path(project))]
    if model is not None:
        steps.append(Crumb(model.name, model_link(model)))
        if number:
            steps.append(Crumb(f"@{number}", version_link(model, number)))
    return tuple(steps)


def federated_link(model: Model, labelled: bool) -> Link | None:
    """The page of the federated model that a party's model belongs to; None for other models, and where
    no version has a label, since there is no such page then."""
    party = federated.parse(model.name) if labelled else None
    if party is None:
        return None
    path = slugs.federated_path(model.project, party.model_id)
    return Link(f"{party.role} {party.party_id}", path)


def lineage_link(ref: str, model: Model) -> Link:
    """A parent or child with its address, where the reference alone tells it.

    A long name's folder carries the model's id, which only a version of the same model shares.
    """
    try:
        found = references.parse(ref)
    except RegistryError:
        return Link(ref)
    if found.version is None or found.version.kind != "number":
        return Link(ref)
    same = (found.project, found.model) == (model.project, model.name)
    slug = slugs.model_slug(found.model, model.id if same else "")
    if slug == "~~":
        return Link(ref)
    return Link(ref, f"{slugs.project_path(found.project)}{slug}/{found.version.number}/")
