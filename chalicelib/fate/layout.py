"""Where things lie in a FATE 1.x model: paths taken apart and built, the index of components.

A model's version holds this tree without what FATE keeps beside it: checkpoints are checkpoints of the
version, `import_model.json` is made when a model is packed, lock files are nobody's.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from chalicelib.fate import yamls
from weighbridge.contract.errors import InvalidManifest
from weighbridge.contract.manifests import FileEntry

PIPELINE = "variables/data/pipeline/pipeline/Pipeline"
PIPELINE_JSON = PIPELINE + ".json"
DEFINE = "define/define_meta.yaml"
DESCRIPTION = "import_model.json"
MARKER = "database.yaml"
_VARIABLES = "variables/data/"
_CHECKPOINTS = "checkpoint/"
MAX_STEP_DIGITS = 15


@dataclass(frozen=True, slots=True)
class Buffer:
    """A serialized buffer of a component."""

    component: str
    alias: str
    name: str

    @property
    def path(self) -> str:
        """Where it lies."""
        return f"{_VARIABLES}{self.component}/{self.alias}/{self.name}"


@dataclass(frozen=True, slots=True, order=True)
class Step:
    """Which checkpoint: folders are `checkpoint/<component>/<step_index>#<step_name>`."""

    component: str
    index: int
    name: str

    @property
    def folder(self) -> str:
        """Where its files lie."""
        return f"{_CHECKPOINTS}{self.component}/{self.index}#{self.name}/"


def ignored(path: str) -> bool:
    """Files that are not kept: locks, and the description that is made when a model is packed."""
    return path == DESCRIPTION or path.rpartition("/")[2] == ".lock"


def buffer_of(path: str) -> Buffer | None:
    """The buffer that lies at this path; None for JSON forms and all else."""
    parts = path.removeprefix(_VARIABLES).split("/")
    if not path.startswith(_VARIABLES) or len(parts) != 3 or path.endswith(".json"):
        return None
    return Buffer(*parts)


def component_of(path: str) -> str | None:
    """The component that a file belongs to; None for what is the model's as a whole."""
    for start in (_VARIABLES, "run_parameters/"):
        if path.startswith(start) and "/" in (rest := path.removeprefix(start)):
            return rest.partition("/")[0]
    return None


def buffers(entries: Iterable[FileEntry]) -> Iterator[tuple[Buffer, FileEntry]]:
    """The buffers among files."""
    for entry in entries:
        found = buffer_of(entry.path)
        if found is not None:
            yield found, entry


def step_of(path: str) -> tuple[Step, str] | None:
    """The checkpoint that a file belongs to, and its name there; None if it belongs to none.

    What lies under `checkpoint/` in another form is nothing that a reader would see.
    """
    if not is_checkpoint(path):
        return None
    parts = path.split("/")
    if len(parts) != 4:
        return None
    index, separator, name = parts[2].partition("#")
    if not separator or not index.isascii() or not index.isdigit() or len(index) > MAX_STEP_DIGITS:
        return None
    return Step(parts[1], int(index), name), parts[3]


def is_checkpoint(path: str) -> bool:
    """Whether a path lies where checkpoints do."""
    return path.startswith(_CHECKPOINTS)


@dataclass(frozen=True, slots=True)
class Index:
    """`define_meta.yaml`: the module of each component, and the classes of its buffers by alias."""

    modules: Mapping[str, str]
    classes: Mapping[str, Mapping[str, Mapping[str, str]]]


def read_index(data: bytes) -> Index:
    """The index of components; `InvalidManifest` if it is none."""
    found = yamls.read(data, DEFINE)
    define, proto = found.get("component_define") or {}, found.get("model_proto") or {}
    modules: dict[str, str] = {}
    classes: dict[str, dict[str, dict[str, str]]] = {}
    for component, told in _mapping(define, "component_define").items():
        modules[str(component)] = str(_mapping(told, component).get("module_name", ""))
    for component, aliases in _mapping(proto, "model_proto").items():
        classes[str(component)] = {
            str(alias): {str(k): str(v) for k, v in _mapping(names, alias).items()}
            for alias, names in _mapping(aliases, component).items()
        }
    return Index(modules, classes)


def _mapping(value: Any, name: object) -> dict[Any, Any]:
    if not isinstance(value, dict):
        raise InvalidManifest(f"{DEFINE}: {str(name)[:100]!r} is no mapping")
    return value


def write_index(index: Index) -> bytes:
    """The index as YAML."""
    return yamls.write({
        "component_define": {c: {"module_name": module} for c, module in index.modules.items()},
        "model_proto": index.classes,
    })  # fmt: skip


def only(index: Index, components: Iterable[str]) -> Index:
    """The index of some components."""
    kept = frozenset(components)
    return Index(
        {c: m for c, m in index.modules.items() if c in kept},
        {c: m for c, m in index.classes.items() if c in kept},
    )


@dataclass(frozen=True, slots=True)
class Marked:
    """`database.yaml` of a checkpoint: sha1 and class of each buffer, by the buffer's name."""

    step: Step
    created: str
    models: Mapping[str, tuple[str, str]]

    @property
    def files(self) -> tuple[str, ...]:
        """The files that it promises."""
        return tuple(f"{name}.{kind}" for name in self.models for kind in ("pb", "json"))


def read_marker(data: bytes, step: Step) -> Marked:
    """A checkpoint's marker, checked against the folder it lies in."""
    found = yamls.read(data, MARKER)
    if str(found.get("step_index")) != str(step.index) or str(found.get("step_name")) != step.name:
        raise InvalidManifest(f"{step.folder}{MARKER} names another step than its folder")
    listed = found.get("models")
    if not isinstance(listed, dict) or not listed:
        raise InvalidManifest(f"{step.folder}{MARKER} lists no models")
    models = {}
    for name, told in listed.items():
        told = _mapping(told, name)
        models[str(name)] = (str(told.get("sha1", "")), str(told.get("buffer_name", "")))
    return Marked(step, yamls.text(found.get("create_time", "")), models)
