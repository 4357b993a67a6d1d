"""The tar of one output of a task: its members, the YAML that describes each model, the models as JSON.

Read by ranges with a budget, wherever the bytes are. Strict: plain files and folders with relative paths,
no links, no devices, no holes, no compression.
"""

import json
import struct
import tarfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from weighbridge.contract import names
from weighbridge.contract.errors import IntegrityError, RegistryError, TooLarge

MAX_MEMBERS = 2000
MAX_YAML = 1024 * 1024
"""Bytes of all YAML files of a tar together: reading YAML is slow."""
MAX_MODELS = 4 * 1024**2
"""Bytes of models that one answer gives as JSON."""
MAX_READ = 8 * 1024**2
BUDGET = 64 * 1024**2
_WINDOW = 64 * 1024

Fetch = Callable[[int, int], bytes]


def of_bytes(data: bytes) -> Fetch:
    """Reads ranges of bytes in memory."""
    return lambda start, length: data[start : start + length]


class _Window:
    """The part of a file that `tarfile` needs: neighbouring reads come in one request."""

    def __init__(self, fetch: Fetch, size: int) -> None:
        self._fetch, self._size = fetch, size
        self._at, self._data, self._start, self._read = 0, b"", 0, 0

    def tell(self) -> int:
        """Where it stands."""
        return self._at

    def seek(self, offset: int, whence: int = 0) -> int:
        """Moves there, also beyond the end."""
        base = {0: 0, 1: self._at, 2: self._size}[whence]
        self._at = max(0, base + offset)
        return self._at

    def read(self, count: int = -1) -> bytes:
        """Up to so many bytes; a tar that wants too much at once, or in all, is refused."""
        left = max(0, self._size - self._at)
        count = left if count < 0 else min(count, left)
        if count > MAX_READ or self._read > BUDGET:
            raise TooLarge("the tar is not read: its headers are too large", limit=MAX_READ)
        inside = self._at - self._start
        if not 0 <= inside <= inside + count <= len(self._data):
            length = min(max(count, _WINDOW), left)
            self._data, self._start = self._fetch(self._at, length), self._at
            self._read += length
            inside = 0
        self._at += count
        return self._data[inside : inside + count]


@dataclass(frozen=True, slots=True)
class Tar:
    """What a tar holds: where each file lies, and what its YAML files say."""

    fetch: Fetch
    files: Mapping[str, tuple[int, int]]
    metas: tuple[Mapping[str, Any], ...] = field(default=())

    def models(self) -> Any:
        """The model as JSON, or a list where the YAMLs number several; what is no JSON is left out."""
        found: dict[int, Any] = {}
        left = MAX_MODELS
        for meta in self.metas:
            at = self.files.get(str(meta.get("model_key", "")))
            if at is None:
                continue
            if at[1] > left:
                raise TooLarge(
                    f"the models of this output have more than {MAX_MODELS} bytes as JSON; download "
                    "it instead",
                    limit=MAX_MODELS,
                )
            left -= at[1]
            try:
                model = json.loads(self.fetch(*at))
            except (ValueError, RecursionError):
                continue
            index = meta.get("index")
            if index is None:
                return model
            if isinstance(index, int):
                found[index] = model
        return [found[index] for index in sorted(found)]

    def said(self, *path: str) -> str:
        """What the first YAML that has it says at a path; empty if none has it."""
        for meta in self.metas:
            value: Any = meta
            for step in path:
                value = value.get(step) if isinstance(value, dict) else None
            if isinstance(value, (str, int)) and not isinstance(value, bool):
                return str(value)
        return ""


def read(fetch: Fetch, size: int, what: str) -> Tar:
    """The tar of `size` bytes; `IntegrityError` if it is none, or not of this kind. `what` names it."""
    files: dict[str, tuple[int, int]] = {}
    try:
        # All that reading a tar needs of a file.
        source = cast("Any", _Window(fetch, size))
        with tarfile.open(fileobj=source, mode="r:") as archive:
            for count, info in enumerate(archive):
                if count >= MAX_MEMBERS:
                    raise IntegrityError(f"{what} has more than {MAX_MEMBERS} members")
                _member(files, info, size, what)
    except (tarfile.TarError, EOFError, OverflowError, ValueError, struct.error) as error:
        raise IntegrityError(f"{what} is no plain tar: {error}"[:300]) from None
    found = Tar(fetch, files)
    return Tar(fetch, files, _metas(found, what))


def _member(files: dict[str, tuple[int, int]], info: tarfile.TarInfo, size: int, what: str) -> None:
    name = info.name.removeprefix("./").rstrip("/")
    if info.isdir() and name in ("", "."):
        return
    try:
        names.file_path(name)
    except RegistryError as error:
        raise IntegrityError(f"{what}: {error.message}") from None
    if info.isdir():
        return
    if not info.isreg() or info.sparse is not None:
        raise IntegrityError(f"{what}: {name!r} is no plain file")
    if name in files:
        raise IntegrityError(f"{what}: {name!r} stands twice")
    if info.size < 0 or info.offset_data + info.size > size:
        raise IntegrityError(f"{what} is cut short in {name!r}")
    files[name] = (info.offset_data, info.size)


def _metas(tar: Tar, what: str) -> tuple[Mapping[str, Any], ...]:
    import yaml  # few requests need it

    listed = [name for name in tar.files if name.endswith(".yaml")]
    if not listed:
        raise IntegrityError(f"{what} has no YAML file that describes its model")
    if (total := sum(tar.files[name][1] for name in listed)) > MAX_YAML:
        raise IntegrityError(f"{what} has {total} bytes of YAML; {MAX_YAML} at most")
    found = []
    for name in listed:
        start, size = tar.files[name]
        try:
            said = yaml.safe_load(tar.fetch(start, size))
        except (yaml.YAMLError, ValueError, TypeError, RecursionError) as error:
            raise IntegrityError(f"{what}: {name!r} cannot be read: {error}"[:300]) from None
        if not isinstance(said, dict):
            raise IntegrityError(f"{what}: {name!r} is no mapping")
        found.append(said)
    return tuple(found)
