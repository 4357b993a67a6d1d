"""From paths on disk to the files of a version: which ones, under which names."""

import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from weighbridge.contract import names
from weighbridge.contract.errors import InvalidManifest, InvalidRequest

PathLike = str | os.PathLike[str]


@dataclass(frozen=True, slots=True)
class Source:
    """A file on disk and its path inside the version."""

    path: Path
    name: str


def collect(paths: PathLike | Iterable[PathLike], as_name: str | None = None) -> tuple[Source, ...]:
    """The files that `paths` mean, ordered by name. Raises `InvalidManifest` where a name cannot be
    stored, stands twice, or a link leads out of the folder that was named."""
    given = [Path(p) for p in ([paths] if isinstance(paths, (str, os.PathLike)) else paths)]
    if not given:
        raise InvalidManifest("there is nothing to push: name at least one file or folder")
    if as_name is not None:
        names.file_path(as_name)
        if len(given) != 1:
            raise InvalidRequest("a new name needs exactly one path")
    found: list[Source] = []
    for path in given:
        try:
            mode = path.stat().st_mode
        except OSError as error:
            raise InvalidRequest(f"{path} cannot be read: {error.strerror or error}") from None
        if stat.S_ISDIR(mode):
            root = Path(os.path.realpath(path))
            prefix = f"{as_name}/" if as_name else ""
            inside = [Source(file, prefix + name) for file, name in _walk(path, "", root, (root,))]
            if not inside:
                raise InvalidManifest(f"there is no file in {path}")
            found += inside
        elif stat.S_ISREG(mode):
            # `..` and `.` have no name of their own, but then they are folders.
            found.append(Source(path, as_name or path.name))
        else:
            raise InvalidManifest(f"{path} is neither a file nor a folder")
    for source in found:
        names.file_path(source.name)
    names.check_paths(source.name for source in found)
    return tuple(sorted(found, key=lambda source: source.name))


def _walk(
    folder: Path, below: str, root: Path, above: tuple[Path, ...]
) -> Iterator[tuple[Path, str]]:
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        raise InvalidRequest(f"{folder} cannot be read: {error.strerror or error}") from None
    for entry in entries:
        path, name = Path(entry.path), below + entry.name
        real = Path(os.path.realpath(path)) if entry.is_symlink() else None
        if real is not None and not real.is_relative_to(root):
            raise InvalidManifest(
                f"{path} is a link that leads out of {root}; name its target instead"
            )
        if entry.is_dir():
            here = real or Path(os.path.realpath(path))
            if here in above:
                raise InvalidManifest(f"{path} is a link to a folder that contains it")
            yield from _walk(path, name + "/", root, (*above, here))
        elif entry.is_file():
            yield path, name
        else:
            raise InvalidManifest(f"{path} is neither a file nor a folder, or a broken link")
