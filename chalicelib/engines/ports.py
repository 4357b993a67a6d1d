"""What a second store is: a place that holds archives by the names that FATE gives them.

Knows nothing of any engine. Names of keys, files and rows are the reference's, so that what it stored
can be read, and what is stored here can be read by it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from weighbridge.contract.errors import InvalidRequest

MAX_NAME = 1000


@dataclass(frozen=True, slots=True)
class Place:
    """Which archive: that of a party's model version, or of one of its components."""

    party_model_id: str
    model_version: str
    component: str = ""

    def __post_init__(self) -> None:
        for what, text in (
            ("party_model_id", self.party_model_id),
            ("model_version", self.model_version),
            ("component_name", self.component or "-"),
        ):
            if not text or len(text.encode()) > MAX_NAME or not text.isprintable():
                raise InvalidRequest(f"{what} {text[:80]!r} cannot name an archive in a store")
            if text in (".", "..") or "/" in text or "\\" in text:
                raise InvalidRequest(f"{what} {text[:80]!r} holds a path, not a name")

    @property
    def object_key(self) -> str:
        """The key in an object store, and the path in a folder."""
        if self.component:
            where = f"{self.party_model_id}/{self.model_version}/{self.component}"
            return f"FATEFlow/PipelinedComponent/{where}.zip"
        return f"FATEFlow/PipelinedModel/{self.party_model_id}/{self.model_version}.zip"

    @property
    def redis_key(self) -> str:
        """The key in Redis. The reference kept only whole models there."""
        kind = "PipelinedComponent" if self.component else "PipelinedModel"
        parts = ["FATEFlow", kind, self.party_model_id, self.model_version]
        return ":".join([*parts, self.component] if self.component else parts)

    def __str__(self) -> str:
        what = f"component {self.component} of " if self.component else ""
        return f"{what}{self.party_model_id} {self.model_version}"


class Source(Protocol):
    """An archive that is to be stored."""

    @property
    def size(self) -> int:
        """How many bytes it has."""

    def blocks(self) -> Iterator[bytes]:
        """Its bytes, some MiB at a time."""


class Engine(Protocol):
    """One store. Errors of its server come out as ours, without credentials in them.

    `Forbidden`: it refused the credentials, or what they may do. `Unavailable` with `retry=False`: no
    answer in time, or no room. `NotFound`, `AlreadyExists`, `IntegrityError`, `TooLarge`: as they say.
    """

    def exists(self, place: Place) -> bool:
        """Whether it holds the archive (or a part of it)."""

    def put(self, place: Place, source: Source, *, force: bool = False) -> None:
        """Stores an archive: whole, or not at all. `AlreadyExists` if it is there, unless forced."""

    def get(self, place: Place) -> Iterator[bytes]:
        """The bytes of an archive, some MiB at a time. `NotFound` before the first of them."""

    def delete(self, place: Place) -> bool:
        """Removes an archive; whether there was one."""

    def close(self) -> None:
        """Ends the connection."""
