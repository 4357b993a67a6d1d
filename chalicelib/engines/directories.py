"""A second store in a folder: the keys of an object store as paths. Confined to one root."""

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

from chalicelib.engines.ports import Place, Source
from weighbridge.contract.errors import (
    AlreadyExists,
    Forbidden,
    InvalidRequest,
    NotFound,
    RegistryError,
    Unavailable,
)

_BLOCK = 4 * 1024 * 1024
_MAX_SEGMENT = 255
_KEPT = "#@=+,~ ()[]{}!$&';"


def confined(path: str, root: str) -> Path:
    """`path` as a folder below `root`; `InvalidRequest` if it is not."""
    if not root:
        raise InvalidRequest(
            "this server keeps no models in folders: WEIGHBRIDGE_FATE_STORE_ROOT is not set"
        )
    base = Path(root).resolve()
    folder = (base / path).resolve()
    if not folder.is_relative_to(base):
        raise InvalidRequest(f"the folder {path[:200]!r} is outside of where stores may be")
    return folder


class DirectoryEngine:
    """Archives as files; each appears whole, under its name, or not at all."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def exists(self, place: Place) -> bool:
        """Whether the file is there."""
        with _translated(self._folder):
            return self._file(place).is_file()

    def put(self, place: Place, source: Source, *, force: bool = False) -> None:
        """Writes a draft beside the file, then gives it the name."""
        file = self._file(place)
        if not force and self.exists(place):
            raise _taken(place)
        draft = file.with_name(f".{secrets.token_hex(8)}.draft")
        with _translated(self._folder):
            self._folder.mkdir(parents=True, exist_ok=True)
            file.parent.mkdir(parents=True, exist_ok=True)
            if not file.parent.resolve().is_relative_to(self._folder.resolve()):
                raise Forbidden(f"{file.parent} leads out of the store's folder")
            try:
                with draft.open("xb") as out:
                    for block in source.blocks():
                        out.write(block)
                    out.flush()
                    os.fsync(out.fileno())
                if force:
                    draft.replace(file)
                else:
                    file.hardlink_to(draft)  # fails where the name is taken meanwhile
            except FileExistsError:
                raise _taken(place) from None
            finally:
                draft.unlink(missing_ok=True)

    def get(self, place: Place) -> Iterator[bytes]:
        """Reads the file."""
        with _translated(self._folder):
            try:
                file = self._file(place).open("rb")
            except (FileNotFoundError, IsADirectoryError):
                raise NotFound(f"the store has no archive of {place}") from None
        return self._blocks(file.fileno(), file)

    def _blocks(self, descriptor: int, file: object) -> Iterator[bytes]:
        at = 0
        while True:
            with _translated(self._folder):
                block = os.pread(descriptor, _BLOCK, at)
            if not block:
                file.close()  # type: ignore[attr-defined]
                return
            at += len(block)
            yield block

    def delete(self, place: Place) -> bool:
        """Removes the file, and the folders that are empty then."""
        file = self._file(place)
        with _translated(self._folder):
            try:
                file.unlink()
            except FileNotFoundError:
                return False
            for folder in list(file.parents)[: 2 + bool(place.component)]:
                with contextlib.suppress(OSError):
                    folder.rmdir()
        return True

    def close(self) -> None:
        """Nothing is held."""

    def _file(self, place: Place) -> Path:
        segments = [quote(part, safe=_KEPT) for part in place.object_key.split("/")]
        if too_long := [part for part in segments if len(part) > _MAX_SEGMENT]:
            raise InvalidRequest(f"{too_long[0][:60]!r}... is too long for a file name")
        return self._folder.joinpath(*segments)


@contextlib.contextmanager
def _translated(folder: Path) -> Iterator[None]:
    try:
        yield
    except RegistryError:
        raise
    except PermissionError as error:
        raise Forbidden(f"the folder {folder} of the store: {error.strerror}") from None
    except OSError as error:
        raise Unavailable(
            f"the folder {folder} of the store: {error.strerror}", retry=False
        ) from None


def _taken(place: Place) -> AlreadyExists:
    return AlreadyExists(f"the store has an archive of {place} already; force_update replaces it")
