"""The model that an examination makes, and its removal. Nothing of it stays, whatever failed."""

import json
import secrets
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime

from weighbridge.contract import digests
from weighbridge.contract.errors import AlreadyExists, Gone, InUse, NotFound, RegistryError
from weighbridge.contract.manifests import FileEntry
from weighbridge.doctor.visit import PROJECT, Visit

PREFIX = "check-"
FORGOTTEN = 3600.0
"""A scratch model that is older belongs to an examination that was killed."""
FILE = "check.safetensors"
_FLOATS = 4096


def weights() -> bytes:
    """A small safetensors file that no store has seen before."""
    data = secrets.token_bytes(_FLOATS * 4)
    tensor = {"dtype": "F32", "shape": [_FLOATS], "data_offsets": [0, len(data)]}
    header = json.dumps({"check.weight": tensor}).encode("ascii")
    header += b" " * (-len(header) % 8)
    return struct.pack("<Q", len(header)) + header + data


@dataclass(slots=True)
class Scratch:
    """The model, its one version, and the file of it."""

    project: str
    model: str
    version: int
    data: bytes
    entry: FileEntry
    published: float = 0.0
    """When its commit was answered (monotonic); 0 before."""

    @property
    def path(self) -> str:
        """Where the version's page is."""
        return f"/p/{self.project.lower()}/{self.model}/{self.version}/"


def name() -> str:
    """A name for a scratch model."""
    return PREFIX + secrets.token_hex(6)


@contextmanager
def made(visit: Visit, model: str) -> Iterator[Scratch]:
    """A model with an open version for the length of a block, removed whatever happens."""
    project, client = visit.options.project, visit.client
    own = project == PROJECT
    try:
        if own:
            try:
                client.create_project(project, "Made by `weighbridge doctor`, and removed by it")
            except AlreadyExists:
                _forgotten(visit, project)
        client.create_model(project, model)
        number = client.begin_version(project, model, secrets.token_hex(16)).number
        data = weights()
        digest = digests.sha256_of(data)
        blob = digests.single_blob(digest, len(data))
        yield Scratch(project, model, number, data, FileEntry(FILE, len(data), digest, blob))
    finally:
        _remove(visit, project, model, own)


def _remove(visit: Visit, project: str, model: str, own: bool) -> None:
    try:
        _remove_model(visit, project, model)
        if own:
            with suppress(NotFound, InUse):  # another examination is at work
                visit.client.delete_project(project)
    except RegistryError as error:
        visit.fail(
            "cleanup", f"{project}/{model} was left behind: {error.message}",
            f"`weighbridge rm {project}/{model}` once the cause is gone",
        )  # fmt: skip
        return
    visit.ok("cleanup", "what was written is deleted; the sweep frees its bytes")


def _remove_model(visit: Visit, project: str, model: str) -> None:
    client = visit.client
    try:
        for state in ("ready", "open", "held"):
            for version in list(client.iter_versions(project, model, state)):
                try:
                    client.delete_version(project, model, version.number)
                except (NotFound, Gone):
                    continue
        client.delete_model(project, model)
    except (NotFound, Gone):
        return


def _forgotten(visit: Visit, project: str) -> None:
    """Removes what an examination left that was killed an hour ago or more."""
    for model in list(visit.client.iter_models(project, PREFIX)):
        made_at = datetime.fromisoformat(model.created).timestamp()
        if time.time() + visit.ahead - made_at > FORGOTTEN:
            _remove_model(visit, project, model.name)
