"""A registry that ForML's posix provider kept: folders of projects, releases and generations."""

import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from weighbridge.contract import pep440
from weighbridge.contract.errors import InvalidName, InvalidRequest
from weighbridge.contract.forml_packages import MANIFEST
from weighbridge.generations import names
from weighbridge.generations.errors import BadPackage

_EPOCH = (1980, 1, 1, 0, 0, 0)
"""The time of every member of a package that was made of a folder: the same folder, the same bytes."""


@dataclass(frozen=True, slots=True)
class PosixRelease:
    """One release as it lies in a folder."""

    project: str
    label: str
    folder: Path

    def package(self, workplace: Path) -> Path:
        """The package as a file."""
        found = self.folder / names.PACKAGE
        return packed(found, workplace / names.PACKAGE) if found.is_dir() else found

    def generations(self) -> list[int]:
        """The numbers of the closed generations."""
        inside = [path for path in self.folder.iterdir() if (path / names.TAG).is_file()]
        return sorted(int(path.name) for path in inside if path.name.isdecimal())

    def tag(self, generation: int) -> bytes:
        """The bytes of a generation's tag."""
        return (self.folder / str(generation) / names.TAG).read_bytes()

    def state(self, generation: int, sid: str) -> bytes:
        """The bytes of a state."""
        return (self.folder / str(generation) / f"{sid}.bin").read_bytes()


@dataclass(frozen=True, slots=True)
class Posix:
    """The registry in a folder."""

    root: Path

    def releases(self) -> Iterator[PosixRelease]:
        """Every release, by project; those of a project in the order of their versions."""
        if not self.root.is_dir():
            raise InvalidRequest(f"{self.root} is no folder of a posix registry")
        for project in sorted(self.root.iterdir()):
            if project.name.startswith(".") or not project.is_dir():
                continue
            found = []
            for folder in project.iterdir():
                if (folder / names.PACKAGE).exists():
                    try:
                        found.append((pep440.parse(folder.name), folder))
                    except InvalidName:
                        continue  # not a release to ForML either
            for version, folder in sorted(found, key=lambda pair: pair[0]):
                yield PosixRelease(project.name, version.text, folder)


def packed(folder: Path, target: Path) -> Path:
    """A package that is a folder as a file: what ForML packs, in a fixed order."""
    if not (folder / MANIFEST).is_file():
        raise BadPackage(f"{folder} has no manifest ({MANIFEST}) at its top")
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in [folder / MANIFEST, *sorted(folder.rglob("*"))]:
            inside = path.relative_to(folder)
            if any(p == "__pycache__" or p.endswith(".dist-info") for p in inside.parts):
                continue
            if path.is_symlink():
                raise BadPackage(f"{path} is a link; a package holds none")
            if path.is_file() and (
                inside.name != MANIFEST or inside.as_posix() not in archive.NameToInfo
            ):
                info = zipfile.ZipInfo(inside.as_posix(), _EPOCH)
                info.compress_type = zipfile.ZIP_DEFLATED
                with path.open("rb") as source, archive.open(info, "w") as member:
                    while block := source.read(1024 * 1024):
                        member.write(block)
    return target
