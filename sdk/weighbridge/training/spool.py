"""Snapshots on disk between the training step that took them and the push: a folder per process,
under the cache. What a killed process left behind is removed by the next one.
"""

import os
import secrets
import shutil
from collections.abc import Callable, Mapping
from io import FileIO
from pathlib import Path
from typing import Literal

from weighbridge import config
from weighbridge.contract import names
from weighbridge.contract.errors import InvalidRequest
from weighbridge.sources import PathLike, Source, collect
from weighbridge.transfer import clone

try:
    import fcntl
except ImportError:  # pragma: no cover - not on POSIX
    fcntl = None  # type: ignore[assignment]

Files = (
    PathLike
    | list[PathLike]
    | tuple[PathLike, ...]
    | Mapping[str, bytes]
    | Callable[[Path], object]
)
"""Paths, contents by file name, or a function that writes files into the folder it is given."""
Keep = Literal["copy", "link"]


class Spool:
    """The folder of one process. Nothing is made before the first snapshot."""

    def __init__(self, parent: Path | None = None) -> None:
        self._parent = parent or config.cache_folder() / "snapshots"
        self._folder: Path | None = None
        self._lock: FileIO | None = None

    def new(self) -> Path:
        """An empty folder."""
        folder = self._open() / secrets.token_hex(8)
        folder.mkdir(mode=0o700)
        return folder

    def discard(self, folder: Path) -> None:
        """Removes one snapshot."""
        if self._folder is not None and folder.parent == self._folder:
            shutil.rmtree(folder, ignore_errors=True)

    def remove(self) -> None:
        """Removes everything; the spool may be used again."""
        folder, self._folder = self._folder, None
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)
        lock, self._lock = self._lock, None
        if lock is not None:
            lock.close()

    def _open(self) -> Path:
        if self._folder is None:
            self._parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._sweep()
            folder = self._parent / f"{os.getpid()}-{secrets.token_hex(8)}"
            # Locked before it has its name, so that nobody takes it for a dead process's.
            draft = self._parent / f".{secrets.token_hex(8)}"
            draft.mkdir(mode=0o700)
            self._lock = FileIO(draft / "lock", "w")
            if fcntl is not None:
                fcntl.flock(self._lock.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._folder = draft.rename(folder)
        return self._folder

    def _sweep(self) -> None:
        if fcntl is None:
            return
        for lock in self._parent.glob("[0-9]*/lock"):
            try:
                with FileIO(lock, "r+") as stream:
                    fcntl.flock(stream.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
                    shutil.rmtree(lock.parent, ignore_errors=True)
            except OSError:
                continue


def fill(folder: Path, files: Files, keep: Keep = "copy") -> None:
    """Brings the files into a folder of ours: copied (cloned where the file system can), since a
    trainer may write over them; or hard-linked, for those that nobody changes."""
    if callable(files):
        files(folder)
    elif isinstance(files, Mapping):
        names.check_paths(files)
        for name, data in files.items():
            target = _place(folder, names.file_path(name))
            target.write_bytes(data)
    else:
        for source in collect(files):
            _take(source, _place(folder, source.name), keep)


def size_of(folder: Path) -> int:
    """Bytes of the files in a folder; `InvalidRequest` if there is none."""
    sizes = [path.stat().st_size for path in folder.rglob("*") if path.is_file()]
    if not sizes:
        raise InvalidRequest("the snapshot has no files")
    return sum(sizes)


def _place(folder: Path, name: str) -> Path:
    target = folder / name
    target.parent.mkdir(parents=True, exist_ok=True)
    return target


def _take(source: Source, target: Path, keep: Keep) -> None:
    if keep == "link":
        try:
            os.link(source.path, target)
            return
        except OSError:
            pass  # another file system, or one without links
    with FileIO(source.path) as old, FileIO(target, "x") as new:
        if not clone.reflink(old, new):
            clone.copy(old, new, os.fstat(old.fileno()).st_size)
