"""`database.yaml`: the file that makes a folder a checkpoint, with the SHA-1 of each of its buffers."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from weighbridge.contract import names
from weighbridge.contract.errors import IntegrityError, InvalidManifest, Unsupported
from weighbridge.fate import digests
from weighbridge.fate.digests import Digest
from weighbridge.training.extras import library

MARKER = "database.yaml"
MOST = 1024**2
"""Bytes of a YAML file that is read."""


@dataclass(frozen=True, slots=True)
class Buffer:
    """One buffer of a checkpoint: the SHA-1 of its bytes, and the name of its class."""

    sha1: str
    buffer_name: str


@dataclass(frozen=True, slots=True)
class Marker:
    """What `database.yaml` says. `create_time` is UTC in ISO 8601, without a zone."""

    step_index: int
    step_name: str
    create_time: str
    models: Mapping[str, Buffer]

    def files(self) -> tuple[str, ...]:
        """The files of the checkpoint; the marker is the last."""
        pairs = [f"{name}.{kind}" for name in self.models for kind in ("pb", "json")]
        return (*pairs, MARKER)


def folder_name(index: int, name: str) -> str:
    """The folder of a checkpoint below its component's."""
    return f"{index}#{name}"


def parse_folder(folder: str) -> tuple[int, str] | None:
    """Step index and name of a checkpoint's folder; None for another folder."""
    index, separator, name = folder.partition("#")
    if not separator or not index.isascii() or not index.isdigit() or len(index) > 15:
        return None
    return int(index), name


def now() -> str:
    """The present time as FATE writes it."""
    return datetime.now(UTC).replace(tzinfo=None).isoformat()


def yaml_needed() -> Any:
    """PyYAML; `Unsupported` names the extra that installs it."""
    try:
        return library("yaml", "fate")
    except ImportError as error:
        raise Unsupported(str(error)) from None


def yaml_of(data: bytes, what: str) -> dict[str, Any]:
    """A YAML mapping, or `InvalidManifest` that names the file."""
    yaml = yaml_needed()
    try:
        found = yaml.safe_load(data)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise InvalidManifest(f"{what} cannot be read: {error}"[:300]) from None
    if not isinstance(found, dict):
        raise InvalidManifest(f"{what} is no mapping")
    return found


def small(path: Path) -> bytes:
    """The bytes of a YAML file, which must not be large."""
    if path.is_symlink():
        raise InvalidManifest(f"{path} is a link; FATE's trees have none")
    with path.open("rb") as stream:
        data = stream.read(MOST + 1)
    if len(data) > MOST:
        raise InvalidManifest(f"{path} has more than {MOST} bytes")
    return data


def parse(data: bytes, what: str = MARKER) -> Marker:
    """The marker in these bytes, or `InvalidManifest`."""
    found = yaml_of(data, what)
    models = found.get("models")
    try:
        index = int(found.get("step_index", -1))
    except (TypeError, ValueError):
        index = -1
    if index < 0:
        raise InvalidManifest(f"{what} has no step_index that is a number from 0")
    if not isinstance(models, dict) or not models:
        raise InvalidManifest(f"{what} lists no models")
    buffers = {}
    for name, said in models.items():
        if not isinstance(name, str) or "/" in name or not isinstance(said, dict):
            raise InvalidManifest(f"{what} has an entry {str(name)[:80]!r} that is no buffer")
        names.file_path(f"{name}.json")
        buffers[name] = Buffer(str(said.get("sha1", "")), str(said.get("buffer_name", "")))
    step, created = str(found.get("step_name")), str(found.get("create_time", ""))
    return Marker(index, step, created, buffers)


def encode(marker: Marker) -> bytes:
    """The bytes of `database.yaml`. Texts are quoted as JSON quotes them, which YAML reads alike, so
    that a SHA-1 of digits stays a text."""
    lines = [
        f"step_index: {marker.step_index}",
        f"step_name: {_text(marker.step_name)}",
        f"create_time: {_text(marker.create_time)}",
        "models:",
    ]
    for name, buffer in marker.models.items():
        lines.append(f"  {_text(name)}:")
        lines.append(f"    sha1: {_text(buffer.sha1)}")
        lines.append(f"    buffer_name: {_text(buffer.buffer_name)}")
    return ("\n".join(lines) + "\n").encode()


def _text(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def check(folder: Path, index: int, name: str) -> dict[str, Digest]:
    """The digests of a complete checkpoint's files, the marker's last. `InvalidManifest` where the
    marker names another step or a file is missing, `IntegrityError` where a SHA-1 is wrong."""
    marker = parse(small(folder / MARKER), str(folder / MARKER))
    if (marker.step_index, marker.step_name) != (index, name):
        raise InvalidManifest(
            f"{folder / MARKER} names step {folder_name(marker.step_index, marker.step_name)!r}, "
            f"its folder {folder_name(index, name)!r}"
        )
    found = {}
    for file in marker.files():
        try:
            found[file] = digests.read(folder / file)
        except FileNotFoundError:
            if not (folder / MARKER).exists():
                raise  # the whole folder is being removed
            raise InvalidManifest(f"{folder / file} is missing; {MARKER} lists it") from None
    for model, buffer in marker.models.items():
        if found[f"{model}.pb"].sha1 != buffer.sha1:
            raise IntegrityError(
                f"{folder / model}.pb does not have the SHA-1 that {MARKER} gives "
                f"({found[f'{model}.pb'].sha1[:12]}, not {buffer.sha1[:12] or 'none'})"
            )
    return found
