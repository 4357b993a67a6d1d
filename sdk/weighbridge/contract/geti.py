"""Projects and models of a Geti server, and the edge record that stands for an optimised model.

What a server sends is read strictly where we need it and ignored elsewhere; who has sent it does not
matter, so all sources give equal values.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from weighbridge.contract import edge
from weighbridge.contract.errors import TransferError

FORMAT, ORIGIN = "openvino", "Geti"
CONTENT = "content_digest"
"""The attribute with the digest of a package's files: the same model, packed twice, has other bytes."""
_NOT_TRAINABLE = frozenset({"dataset", "crop"})
_LABEL = ("id", "name", "color", "group", "is_empty", "hotkey", "parent_id", "is_anomalous")
_ID = re.compile(r"[A-Za-z0-9_-]{1,128}\Z")
_SLUG = re.compile(r"[^a-z0-9]+")
Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Optimised:
    """A model as it is deployed. Only those in OpenVINO's form are kept."""

    id: str
    name: str
    version: str
    created: str = ""
    precision: tuple[str, ...] = ()
    score: float | None = None
    target_device: str = ""
    target_device_type: str = ""


@dataclass(frozen=True, slots=True)
class Trained:
    """A trained model: one version of its group."""

    id: str
    name: str
    version: int
    architecture: str = ""
    labels: tuple[Json, ...] = ()
    optimised: tuple[Optimised, ...] = ()


@dataclass(frozen=True, slots=True)
class Group:
    """Models of one architecture for one task."""

    id: str
    name: str
    task: str = ""
    models: tuple[Trained, ...] = ()


@dataclass(frozen=True, slots=True)
class Task:
    """A step of a project's pipeline that is trained."""

    id: str
    kind: str
    labels: tuple[Json, ...] = ()


@dataclass(frozen=True, slots=True)
class Project:
    """A project with its groups."""

    id: str
    name: str
    created: str = ""
    tasks: tuple[Task, ...] = ()
    groups: tuple[Group, ...] = ()

    @property
    def file_name(self) -> str:
        """The name of its packages."""
        return f"{_SLUG.sub('-', self.name.lower()).strip('-')[:100] or 'model'}.zip"

    def found(self) -> Iterator["Found"]:
        """Its optimised models, in the server's order."""
        for group in self.groups:
            for model in group.models:
                for one in model.optimised:
                    yield Found(self, group, model, one)


@dataclass(frozen=True, slots=True)
class Found:
    """An optimised model with all that it belongs to."""

    project: Project
    group: Group
    trained: Trained
    model: Optimised


def shown(project: Project) -> dict[str, Any]:
    """A project as edge clients know it."""
    return {
        "id": project.id, "name": project.name, "creation_time": project.created,
        "model_groups": [
            {"id": group.id, "name": group.name, "model_versions": [
                {"id": model.id, "name": model.name, "version": model.version, "openvino_models": [
                    {"id": one.id, "name": one.name} for one in model.optimised
                ]} for model in group.models
            ]} for group in project.groups
        ],
    }  # fmt: skip


def described(found: Found) -> tuple[dict[str, Any], dict[str, float]]:
    """Attributes and metrics of the version that an optimised model becomes."""
    project, model = found.project, found.model
    said: dict[str, Any] = {
        edge.VERSION: model.version,
        edge.PRECISION: [one.lower() for one in model.precision] or list(edge.DEFAULT_PRECISION),
        "format": FORMAT, "origin": ORIGIN, edge.CREATED: model.created,
        edge.PROJECT_ID: project.id, edge.PROJECT_NAME: project.name,
        "category": category(project), "architecture": found.trained.architecture,
        "target_device": model.target_device, "target_device_type": model.target_device_type,
        "labels": [dict(label) for label in labels(found)],
    }  # fmt: skip
    score = model.score
    return (
        {name: value for name, value in said.items() if value},
        {} if score is None else {edge.SCORE: score},
    )


def labels(found: Found) -> tuple[Json, ...]:
    """The labels of a model, or of its task where the model names none."""
    if found.trained.labels:
        return found.trained.labels
    mine = [task for task in found.project.tasks if task.id == found.group.task]
    return tuple(label for task in mine or found.project.tasks for label in task.labels)


def category(project: Project) -> str:
    """What its trained tasks do: `Detection`, `Detection_Classification`."""
    words = [word for task in project.tasks for word in task.kind.split("_") if word]
    return "_".join(word.capitalize() for word in words)


# What a server sends


def project(sent: Any) -> Project:
    """A project without its groups."""
    given = _object(sent, "a project")
    tasks = _list(_object(given.get("pipeline"), "the pipeline of a project"), "tasks")
    read = [
        Task(_text(task, "id"), _text(task, "task_type").lower(), _labels(task.get("labels")))
        for task in (_object(one, "a task") for one in tasks)
    ]
    kept = tuple(task for task in read if task.kind not in _NOT_TRAINABLE)
    return Project(identifier(given), _text(given, "name"), _text(given, "creation_time"), kept)


def group(sent: Any, models: tuple[Trained, ...] = ()) -> Group:
    """A group with these models."""
    given = _object(sent, "a model group")
    return Group(identifier(given), _text(given, "name"), _text(given, "task_id"), models)


def trained(sent: Any) -> Trained:
    """A trained model with those of its optimised models that are OpenVINO's."""
    given = _object(sent, "a model")
    version = given.get("version")
    kept = tuple(
        _optimised(one)
        for one in (_object(o, "an optimised model") for o in _list(given, "optimized_models"))
        if _text(one, "model_format").lower() == FORMAT
    )
    return Trained(
        identifier(given), _text(given, "name"), version if isinstance(version, int) else 1,
        _text(given, "architecture"), _labels(given.get("labels")), kept,
    )  # fmt: skip


def identifier(given: Json) -> str:
    """The id of something; it becomes part of addresses."""
    found = given.get("id")
    if not isinstance(found, str) or not _ID.match(found):
        raise TransferError(f"Geti sends an id that is none: {str(found)[:80]!r}")
    return found


def _optimised(given: Json) -> Optimised:
    version = given.get("version")
    precision = given.get("precision")
    return Optimised(
        identifier(given), _text(given, "name"), "1" if version is None else str(version),
        _text(given, "creation_date"),
        tuple(str(one) for one in precision) if isinstance(precision, (list, tuple)) else (),
        _score(given.get("performance")), _text(given, "target_device"),
        _text(given, "target_device_type"),
    )  # fmt: skip


def _score(sent: Any) -> float | None:
    found = sent.get("score") if isinstance(sent, Mapping) else None
    if isinstance(found, bool) or not isinstance(found, (int, float)):
        return None
    return float(found) if found - found == 0 else None


def _labels(sent: Any) -> tuple[Json, ...]:
    if not isinstance(sent, (list, tuple)):
        return ()
    return tuple(
        {name: one[name] for name in _LABEL if one.get(name) not in (None, "")}
        for one in sent
        if isinstance(one, Mapping)
    )


def _object(sent: Any, what: str) -> Json:
    if not isinstance(sent, Mapping):
        raise TransferError(f"Geti sends {type(sent).__name__} for {what}")
    return sent


def _list(given: Json, name: str) -> list[Any]:
    found = given.get(name)
    if found is None:
        return []
    if not isinstance(found, (list, tuple)):
        raise TransferError(f"Geti sends {name} that are no list")
    return list(found)


def _text(given: Json, name: str) -> str:
    found = given.get(name)
    return found if isinstance(found, str) else ""
