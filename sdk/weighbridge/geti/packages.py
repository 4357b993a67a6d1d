"""Deployment packages as Geti makes them: looked through before they are kept.

Edge clients look at the first entry alone; where that is not below `deployment/`, the package is written
anew with those entries in front.
"""

import hashlib
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from weighbridge.contract.errors import IntegrityError, TooLarge
from weighbridge.contract.geti import Found
from weighbridge.geti.source import MAX_PACKAGE, Source

FOLDER = "deployment/"
MAX_ENTRIES = 10_000
MAX_CONTENT = 16 * 1024**3
_BLOCK = 1024 * 1024
_DATE = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class Checked:
    """`content` is the digest of the entries: names and bytes, whatever their order and compression."""

    content: str
    entries: int
    in_order: bool


def check(file: BinaryIO, most: int = MAX_CONTENT) -> Checked:
    """Reads every entry of a package. `IntegrityError` for what is broken, or would leave its folder."""
    whole = hashlib.sha256()
    with _opened(file) as archive:
        entries = archive.infolist()
        if len(entries) > MAX_ENTRIES:
            raise TooLarge(f"the package has {len(entries)} entries; {MAX_ENTRIES} at most")
        if sum(entry.file_size for entry in entries) > most:
            raise TooLarge(f"the package unpacks to more than {most} bytes", limit=most)
        names = [entry.filename for entry in entries]
        for entry in entries:
            _fitting(entry)
        if len({name.rstrip("/") for name in names}) != len(names):
            raise IntegrityError("the package holds two entries of one name")
        for entry in sorted(entries, key=lambda e: e.filename):
            if not entry.is_dir():
                whole.update(f"{entry.filename}\0{_digest(archive, entry)}\n".encode())
    kept = [name for name in names if name.startswith(FOLDER) and not name.endswith("/")]
    if not kept:
        raise IntegrityError(f"the package holds nothing below {FOLDER}")
    return Checked(f"sha256:{whole.hexdigest()}", len(entries), names[0].startswith(FOLDER))


def reorder(file: BinaryIO, target: BinaryIO) -> None:
    """Writes a package that was checked with `deployment/` in front; the same entries, the same bytes."""
    with _opened(file) as archive, zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as made:
        entries = [entry for entry in archive.infolist() if not entry.is_dir()]
        for entry in sorted(entries, key=lambda e: (not e.filename.startswith(FOLDER), e.filename)):
            info = zipfile.ZipInfo(entry.filename, _DATE)
            info.compress_type, info.external_attr = zipfile.ZIP_DEFLATED, 0o100644 << 16
            info.file_size = entry.file_size
            with archive.open(entry) as source, made.open(info, "w") as out:
                while block := source.read(_BLOCK):
                    out.write(block)


def fetched(
    source: Source, found: Found, folder: Path, most: int = MAX_PACKAGE
) -> tuple[Path, str]:
    """A model's package in a folder, looked through and in the order that edge clients need; and the digest
    of its content."""
    sent, path = folder / "sent", folder / found.project.file_name
    with sent.open("w+b") as file:
        source.fetch_package(found, file, most)
        checked = check(file)
        if not checked.in_order:
            with path.open("wb") as made:
                reorder(file, made)
    if checked.in_order:
        sent.rename(path)
    else:
        sent.unlink()
    return path, checked.content


def _opened(file: BinaryIO) -> zipfile.ZipFile:
    file.seek(0)
    if file.read(4) != b"PK\x03\x04":
        raise IntegrityError("what Geti sends as a package is no ZIP archive")
    try:
        return zipfile.ZipFile(file)
    except (zipfile.BadZipFile, NotImplementedError, ValueError, OSError) as error:
        raise IntegrityError(f"the package is a broken ZIP archive: {error}") from None


def _fitting(entry: zipfile.ZipInfo) -> None:
    name = entry.filename
    steps = name.removesuffix("/").split("/")
    if (
        any(step in ("", ".", "..") for step in steps)
        or any(c in name for c in "\\:")
        or not name.isprintable()
        or (entry.external_attr >> 16) & 0o170000 == 0o120000
    ):
        raise IntegrityError(
            f"the package holds an entry that would leave its folder: {name!r:.120}"
        )
    if entry.flag_bits & 1:
        raise IntegrityError(f"the package holds an encrypted entry: {name!r:.120}")
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise IntegrityError(f"the package holds an entry packed in an unusual way: {name!r:.120}")


def _digest(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> str:
    found = hashlib.sha256()
    try:
        with archive.open(entry) as source:
            while block := source.read(_BLOCK):
                found.update(block)
    except (
        zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, ValueError, OSError,
    ) as error:  # fmt: skip
        raise IntegrityError(f"the package's {entry.filename!r:.120} is broken: {error}") from None
    return found.hexdigest()
