"""Federated models: the parts that parties hold of one model."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Shard:
    """One party's version."""

    role: str
    party_id: str
    reference: str
    state: str
    files: int = 0
    size: int = 0


@dataclass(frozen=True, slots=True)
class FederatedVersion:
    """What the parties hold of one version of a federated model.

    `missing` are the parties (`role#party_id`) that the model id names and that have no ready version;
    a model id that names nobody (FATE 2.x) has none. `complete`: nobody is missing, all are ready.
    """

    model_id: str
    label: str
    shards: tuple[Shard, ...] = ()
    missing: tuple[str, ...] = ()
    complete: bool = False


@dataclass(frozen=True, slots=True)
class NewArchive:
    """An archive that was uploaded as `blob`, and the party's model that is to be made of it."""

    model: str
    label: str
    blob: str


@dataclass(frozen=True, slots=True)
class WaitingArchive:
    """An archive that a restore takes in. `expires` is when it is gone."""

    model: str
    label: str
    blob: str
    size: int
    expires: str


@dataclass(frozen=True, slots=True)
class FederatedPage:
    """Federated versions, those of one model together."""

    items: tuple[FederatedVersion, ...]
    next: str | None = None
