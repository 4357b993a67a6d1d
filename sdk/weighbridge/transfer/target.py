"""Where a pulled file goes: never outside the folder, through a link, or over other content."""

import os
import stat
from pathlib import Path

from weighbridge.contract import names
from weighbridge.contract.errors import AlreadyExists, IntegrityError, InvalidManifest
from weighbridge.contract.manifests import FileEntry
from weighbridge.transfer import hashing


def place(folder: Path, path: str) -> Path:
    """Where `path` of a version stands under `folder`. Raises `InvalidManifest` if that could be
    anywhere else, whatever the server says."""
    names.file_path(path)
    at = folder
    parts = path.split("/")
    for name in parts[:-1]:
        at = at / name
        if at.is_symlink():
            raise InvalidManifest(f"{at} is a link; a pull does not write through it", path=path)
        if at.exists() and not at.is_dir():
            raise AlreadyExists(f"{at} is a file, where the folder of {path} should be", path=path)
    return at / parts[-1]


def present(target: Path, entry: FileEntry) -> bool:
    """Whether `target` is there; True only for a regular file with exactly the wanted content."""
    try:
        mode = target.lstat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return False
    return stat.S_ISREG(mode) and hashing.same_content(target, entry.size, entry.sha256)


def occupied(target: Path) -> bool:
    """Whether anything at all is at `target`."""
    return os.path.lexists(target)


def refuse(target: Path) -> AlreadyExists:
    """The error of a target that holds something else."""
    return AlreadyExists(
        f"{target} is there already, with other content; pull with --force to replace it, or into "
        "another folder",
        path=str(target),
    )


def install(draft: Path, target: Path, *, force: bool) -> None:
    """Gives a verified file its name in one step; without `force` never over another's file."""
    if target.is_dir() and not target.is_symlink():
        raise AlreadyExists(f"{target} is a folder, where a file should be", path=str(target))
    if force:
        draft.replace(target)
        return
    try:
        os.link(draft, target, follow_symlinks=False)
    except FileExistsError:
        raise refuse(target) from None
    except OSError:
        # A file system without hard links: the check and the step are then two.
        if occupied(target):
            raise refuse(target) from None
        draft.replace(target)
        return
    draft.unlink()


def mismatch(entry: FileEntry) -> IntegrityError:
    """The error of bytes that are not what the manifest promised."""
    return IntegrityError(
        f"{entry.path}: the bytes that arrived are not those of its manifest; they were discarded",
        path=entry.path,
    )
