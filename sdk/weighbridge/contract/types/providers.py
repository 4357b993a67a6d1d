"""Providers: what runs the components of federated jobs; and which of them runs which task."""

from dataclasses import dataclass, field
from typing import Any, Literal

Device = Literal["local", "docker", "k8s"]
Protocol = Literal["fate", "bfia"]
Level = Literal[
    "default",
    "dag.conf.task",
    "dag.tasks.conf",
    "dag.party_tasks.conf",
    "dag.party_tasks.tasks.conf",
]
"""Where the provider of a task is set, from the weakest place to the strongest."""


@dataclass(frozen=True, slots=True)
class Provider:
    """A provider `name:version@device`: one version of a package or image that implements components.

    `metadata` depends on the device; `components` maps the name of each component to its description.
    """

    provider_name: str
    name: str
    version: str
    device: Device
    metadata: dict[str, Any] = field(default_factory=dict)
    protocol: Protocol = "fate"
    components: dict[str, Any] = field(default_factory=dict)
    created: str = ""
    created_by: str = ""
    updated: str = ""
    updated_by: str = ""
    revision: int = 0


@dataclass(frozen=True, slots=True)
class NewProvider:
    """Registers a provider, or replaces what is known of it."""

    name: str
    version: str
    device: str
    metadata: dict[str, Any]
    protocol: str = "fate"
    components: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ProviderPage:
    """Providers by name. A filtered page may be short, even empty, while `next` goes on."""

    items: tuple[Provider, ...]
    next: str | None = None


@dataclass(frozen=True, slots=True)
class Component:
    """What one provider says of one of its components."""

    name: str
    provider_name: str
    protocol: Protocol
    description: Any = None


@dataclass(frozen=True, slots=True)
class ComponentPage:
    """Components by provider."""

    items: tuple[Component, ...]
    next: str | None = None


@dataclass(frozen=True, slots=True)
class ResolveRequest:
    """Asks which provider runs each task of a DAG, given as JSON. `default` is used where the DAG names
    none; empty: the server's."""

    dag: Any
    default: str = ""


@dataclass(frozen=True, slots=True)
class Assignment:
    """Which provider runs a task at a party. `place` is where in the DAG that is said (empty: nowhere, it
    is the default); `value` what is said there."""

    task: str
    role: str
    party_id: str
    provider: str
    level: Level
    place: str = ""
    value: str = ""
    registered: bool = True


@dataclass(frozen=True, slots=True)
class DagProblem:
    """What is wrong with a DAG, and where."""

    place: str
    message: str


@dataclass(frozen=True, slots=True)
class Resolution:
    """One assignment per task and party, in the order of the DAG. With `problems` it cannot run as it is;
    what could be told all the same is there."""

    items: tuple[Assignment, ...]
    problems: tuple[DagProblem, ...] = ()
    default: str = ""
