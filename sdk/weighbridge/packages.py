"""What an import brought, compared with what the registry holds afterwards."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from weighbridge.client import Client
from weighbridge.contract import codec
from weighbridge.contract.errors import IntegrityError
from weighbridge.transfer import hashing


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file."""
    return hashing.hash_file(path).sha256


def check(
    client: Client,
    project: str,
    own: str,
    digest: str,
    size: int,
    attributes: Mapping[str, Any],
    whose: str,
) -> None:
    """`IntegrityError` unless the package `own` has this SHA-256 and size, and its version these
    attributes; `whose` names where they come from."""
    kept = client.package(project, own)
    package = kept.package
    if package is None or (package.id, package.sha256, package.size) != (own, digest, size):
        raise IntegrityError("the registry holds another package than the one that was fetched")
    for name, value in attributes.items():
        if kept.attributes.get(name) != codec.encode(value):
            raise IntegrityError(f"the registry holds another {name} than {whose} has")
