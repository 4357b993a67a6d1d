"""FATE's `model_local_cache` on disk: which party models, versions, files and checkpoints it holds.

    model_local_cache/<role>#<party id>#<model id>/<model version>/
        define/  variables/  run_parameters/         the model
        checkpoint/<component>/<step index>#<step name>/   checkpoints
        import_model.json  .lock                      not part of it

Only reads; links are refused, since they could lead anywhere.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from weighbridge.contract import federated, names
from weighbridge.contract.errors import InvalidManifest, InvalidRequest, RegistryError
from weighbridge.fate import markers
from weighbridge.sources import Source

CACHE = "model_local_cache"
CHECKPOINTS = "checkpoint"
DEFINE = "define/define_meta.yaml"
PIPELINE = "variables/data/pipeline/pipeline/Pipeline"
_NOT_FILES = frozenset({CHECKPOINTS, "import_model.json"})
_LOCK = ".lock"
DEEPEST = 32


@dataclass(frozen=True, slots=True)
class Step:
    """A folder with a marker: a checkpoint, if its hashes are right."""

    component: str
    index: int
    name: str
    folder: Path

    @property
    def key(self) -> tuple[str, int, str]:
        """Its identity in a version."""
        return self.component, self.index, self.name

    @property
    def shown(self) -> str:
        """`component/3#epoch`."""
        return f"{self.component or '-'}/{markers.folder_name(self.index, self.name)}"


@dataclass(frozen=True, slots=True)
class Tree:
    """One version of one party's model; `root` is its folder."""

    model: str
    label: str
    root: Path

    @property
    def shown(self) -> str:
        """`party model id/model version`."""
        return f"{self.model}/{self.label}"

    def sources(self) -> tuple[Source, ...]:
        """The model's files, by name; empty where nothing is written yet."""
        found: list[Source] = []
        for entry in _entries(self.root):
            if entry.name not in _NOT_FILES:
                found += _walk(entry, "", 0)
        return tuple(sorted(found, key=lambda source: source.name))

    def steps(self) -> tuple[list[Step], list[Path]]:
        """Folders of checkpoints by component and index: those with a marker, and those without."""
        marked: list[Step] = []
        unfinished: list[Path] = []
        for component in _entries(self.root / CHECKPOINTS):
            if not component.is_dir(follow_symlinks=False):
                continue
            for entry in _entries(Path(component.path)):
                parsed = markers.parse_folder(entry.name)
                if parsed is None or not entry.is_dir(follow_symlinks=False):
                    continue
                folder = Path(entry.path)
                name = "" if component.name == "-" else component.name
                if (folder / markers.MARKER).exists():
                    marked.append(Step(name, *parsed, folder))
                else:
                    unfinished.append(folder)
        return sorted(marked, key=lambda step: step.key), sorted(unfinished)

    def problems(self, sources: tuple[Source, ...]) -> list[str]:
        """Why this is no complete model; empty if it is one."""
        there = {source.name: source.path for source in sources}
        missing = [f"{name} is missing" for name in (DEFINE, PIPELINE) if name not in there]
        if missing:
            return missing
        try:
            listed = _buffers(there[DEFINE])
        except (RegistryError, OSError) as error:
            return [str(error)]
        return [
            f"{name} is missing; {DEFINE} lists it" for name in sorted(listed) if name not in there
        ]


def _buffers(define: Path) -> set[str]:
    """The paths of all buffers that `define_meta.yaml` lists."""
    proto = markers.yaml_of(markers.small(define), str(define)).get("model_proto")
    if not isinstance(proto, dict):
        raise InvalidManifest(f"{define} has no model_proto")
    found = set()
    for component, aliases in proto.items():
        for alias, buffers in (aliases if isinstance(aliases, dict) else {}).items():
            for name in buffers if isinstance(buffers, dict) else ():
                found.add(f"variables/data/{component}/{alias}/{name}")
    return found


def trees(folder: Path) -> Iterator[Tree | str]:
    """Every version below `folder` (a cache, what holds one, a party model's or a version's folder), in
    the order of names; a text for a folder that is no party model's."""
    if not folder.is_dir():
        raise InvalidRequest(f"{folder} is no folder")
    folder = folder.absolute()
    if (one := version_of(folder)) is not None:
        yield one
    elif federated.parse(folder.name):
        yield from _versions(folder)
    else:
        inner = folder / CACHE
        for entry in _entries(inner if inner.is_dir() else folder):
            if entry.name.startswith(".") or not entry.is_dir(follow_symlinks=False):
                continue
            if federated.parse(entry.name):
                yield from _versions(Path(entry.path))
            else:
                yield f"{entry.path} is no party model's folder (ROLE#PARTY_ID#MODEL_ID)"


def version_of(folder: Path) -> Tree | None:
    """The version whose folder (or folder of checkpoints) this is, by the names above it."""
    root = folder.parent if folder.name == CHECKPOINTS else folder
    if federated.parse(root.parent.name) and not root.name.startswith("."):
        return Tree(root.parent.name, root.name, root)
    return None


def _versions(folder: Path) -> Iterator[Tree | str]:
    for entry in _entries(folder):
        if entry.name.startswith(".") or not entry.is_dir(follow_symlinks=False):
            continue
        try:
            names.model_name(folder.name)
            names.label(entry.name)
        except RegistryError as error:
            yield f"{entry.path}: {error.message}"
        else:
            yield Tree(folder.name, entry.name, Path(entry.path))


def _entries(folder: Path) -> list["os.DirEntry[str]"]:
    try:
        with os.scandir(folder) as found:
            return sorted(found, key=lambda entry: entry.name)
    except (FileNotFoundError, NotADirectoryError):
        return []


def _walk(entry: "os.DirEntry[str]", above: str, depth: int) -> Iterator[Source]:
    if entry.name == _LOCK:
        return
    if entry.is_symlink():
        raise InvalidManifest(f"{entry.path} is a link; FATE's trees have none")
    name = names.file_path(above + entry.name)
    if entry.is_dir(follow_symlinks=False):
        if depth == DEEPEST:
            raise InvalidManifest(f"{entry.path} lies more than {DEEPEST} folders deep")
        for inner in _entries(Path(entry.path)):
            yield from _walk(inner, f"{name}/", depth + 1)
    elif entry.is_file(follow_symlinks=False):
        yield Source(Path(entry.path), name)
    else:
        raise InvalidManifest(f"{entry.path} is neither a file nor a folder")
