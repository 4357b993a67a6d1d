"""Releases: a package published as the next version of a model, and fetched again."""

import uuid
from collections.abc import Sequence
from pathlib import Path

from weighbridge.client import Client
from weighbridge.contract import manifests, types
from weighbridge.contract import names as grammar
from weighbridge.contract.errors import AlreadyExists, NotFound, RegistryError
from weighbridge.contract.manifests import FileEntry
from weighbridge.contract.references import Reference
from weighbridge.generations import names
from weighbridge.generations.errors import BadPackage, Held
from weighbridge.sources import Source
from weighbridge.transfer.cache import Cache
from weighbridge.transfer.download import Downloader
from weighbridge.transfer.journal import open_journal
from weighbridge.transfer.upload import Uploader
from weighbridge.writing import Draft, commit_version, journal_folder


def push(
    client: Client,
    project: str,
    model: str,
    version: str,
    package: Path,
    provenance: types.Provenance,
) -> types.Version:
    """Publishes a package. `AlreadyExists` or `Conflict` unless the version is strictly greater than
    every one before it. What the project holds already is not sent again."""
    at = Reference(grammar.project_name(project), grammar.model_name(model), None, None)
    label = names.label(version)
    opened = _begin(client, at, label)
    try:
        journal = open_journal(
            journal_folder(), "release", client.url, str(at), label, str(package)
        )
        try:
            sender = Uploader(client, project, journal)
            sent = sender.send([Source(package, names.PACKAGE)], str(at))
            draft = Draft.of(label=label, provenance=provenance)
            made = commit_version(client, at, opened.number, draft, sent)
            journal.finish()
        finally:
            journal.close()
    except RegistryError:
        _give_up(client, at, opened.number)
        raise
    if made.state != "ready":
        raise Held(
            f"{model} {label} is {made.state}: the safety policy of the project {project} holds it "
            f"back; `weighbridge verdict {at}@{made.number}` says why"
        )
    return made


def _begin(client: Client, at: Reference, label: str) -> types.Version:
    key = str(uuid.uuid4())
    for attempt in range(2):
        try:
            return client.begin_version(at.project, at.model, key, label)
        except NotFound as error:
            if attempt or error.foreign:
                raise
            ensure(client, at)
    raise NotFound(f"{at} is deleted as soon as it is created")


def ensure(client: Client, at: Reference) -> None:
    """Makes sure that the model is there, with ordered labels, and its project."""
    for attempt in range(2):
        try:
            client.create_model(at.project, at.model, settings=names.SETTINGS)
        except AlreadyExists:
            return
        except NotFound as error:
            if attempt or error.foreign:
                raise
            try:
                client.create_project(at.project)
            except AlreadyExists:
                continue
        else:
            return


def _give_up(client: Client, at: Reference, number: int) -> None:
    """Aborts what cannot be published. If that fails too, the registry does it after a while."""
    try:
        client.abort_version(at.project, at.model, number)
    except RegistryError:
        return


def fetch(
    client: Client, project: str, model: str, number: int, folder: Path, cache: Cache | None = None
) -> Path:
    """The package of a release as a verified file in `folder`."""
    bundle = client.version_bundle(project, model, number)
    files = manifests.checked(bundle.files.items)
    if manifests.digest(files) != bundle.version.manifest:
        raise BadPackage(f"the list of files of {model}@{number} is not what its manifest says")
    entry = next((entry for entry in files if entry.path == names.PACKAGE), None)
    if entry is None:
        raise BadPackage(f"{project}/{model}@{number} holds no {names.PACKAGE}: it is no release")
    first: list[types.Downloads] = [bundle.downloads]

    def sign(blobs: Sequence[str]) -> types.Downloads:
        # What came with the bundle, then whatever is asked for anew.
        return first.pop() if first else client.version_downloads(project, model, number, blobs)

    wanted: list[FileEntry] = [entry]
    Downloader(sign, client.pool, cache=cache).fetch(wanted, folder, label=f"{model}@{number}")
    return folder / names.PACKAGE
