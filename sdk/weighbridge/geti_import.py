"""Imports optimised models of a Geti server into a project: each becomes a version that is one ZIP file.

The server is only read. What is there already is left alone, so an import can be repeated; every package is
looked through before it is kept, and compared with what the registry holds afterwards.
"""

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from weighbridge import packages as kept
from weighbridge.contract import edge, geti, types
from weighbridge.contract.errors import IntegrityError, NotFound, RegistryError
from weighbridge.contract.geti import Found, Project
from weighbridge.geti import packages
from weighbridge.geti.source import Source
from weighbridge.registry import Registry

Outcome = Literal["imported", "there", "failed"]


@dataclass(frozen=True, slots=True)
class Imported:
    """What became of one optimised model."""

    id: str
    name: str
    project: str
    outcome: Outcome
    reference: str = ""
    size: int = 0
    message: str = ""


def found(source: Source, projects: Sequence[str], ids: Sequence[str]) -> list[Found]:
    """The optimised models of those projects (none named: of all), or those of them with these ids."""
    read: list[Project] = (
        [source.get_project(own) for own in dict.fromkeys(projects)]
        if projects
        else source.list_projects()
    )
    models = [one for project in read for one in project.found()]
    if not ids:
        return models
    known = {one.model.id: one for one in models}
    if unknown := [own for own in ids if own not in known]:
        raise NotFound(
            f"no OpenVINO model has the id {unknown[0]!r}; `weighbridge geti show` lists those there are"
        )
    return [known[own] for own in dict.fromkeys(ids)]


def copy(
    registry: Registry,
    source: Source,
    project: str,
    models: Sequence[Found],
    *,
    dry_run: bool = False,
    compare: bool = False,
) -> Iterator[Imported]:
    """Imports the models one by one. One that fails does not stop the others.

    With `compare`, what is there already is fetched again, and fails if Geti has other content by now.
    """
    for one in models:
        try:
            yield _one(registry, source, project, one, dry_run, compare)
        except (RegistryError, OSError) as error:
            text = error.message if isinstance(error, RegistryError) else str(error)
            yield Imported(
                one.model.id, one.model.name, one.project.name, "failed", message=text
            )  # fmt: skip


def _one(
    registry: Registry, source: Source, project: str, one: Found, dry_run: bool, compare: bool
) -> Imported:
    own, name = one.model.id, one.model.name
    model = f"{project}/{edge.model_of(name)}"
    try:
        there: types.Version | None = registry.client.package(project, own)
    except NotFound:
        there = None
    if there is not None and (dry_run or not compare):
        return _there(one, there)
    if dry_run:
        return Imported(own, name, one.project.name, "imported", model)
    with tempfile.TemporaryDirectory(prefix="weighbridge-geti-") as folder:
        path, content = packages.fetched(source, one, Path(folder))
        if there is not None:
            if there.attributes.get(geti.CONTENT) != content:
                raise IntegrityError("Geti has other content under this id than what was imported")
            return _there(one, there)
        attributes, metrics = geti.described(one)
        attributes[geti.CONTENT] = content
        digest, size = kept.sha256_of(path), path.stat().st_size
        done = registry.push(
            model, path, attributes=attributes, metrics=metrics, package=own,
            provenance=types.Provenance(), fingerprints=False, stats=False, wait=0,
        )  # fmt: skip
    kept.check(registry.client, project, own, digest, size, attributes, "Geti")
    return Imported(own, name, one.project.name, "imported", done.reference, size)


def _there(one: Found, there: types.Version) -> Imported:
    reference = f"{there.project}/{there.model}@{there.number}"
    size = there.package.size if there.package else 0
    return Imported(one.model.id, one.model.name, one.project.name, "there", reference, size)
