"""Packages on this machine: looked into without running any of it, and unpacked where they cannot harm."""

import os
import re
import secrets
import shutil
import stat
import zipfile
from pathlib import Path

from weighbridge.contract.forml_packages import (
    MANIFEST,
    MAX_MANIFEST,
    BadManifest,
    Manifest,
    parse,
    rival,
)
from weighbridge.generations.errors import BadPackage

MAX_ENTRIES = 100_000
MAX_UNPACKED = 50 * 1024**3
MAX_RATIO = 200
BIG = 1024**3
"""A package that unpacks to less than this is no bomb, whatever its ratio."""
_BLOCK = 1024 * 1024


def manifest_of(path: Path) -> Manifest:
    """The manifest of a package, which may be a file or a folder. Raises `BadPackage`."""
    try:
        if path.is_dir():
            file = path / MANIFEST
            if file.is_symlink() or file.stat().st_size > MAX_MANIFEST:
                raise BadPackage(
                    f"{path}: its manifest is a link, or larger than {MAX_MANIFEST} bytes"
                )
            return parse(file.read_bytes())
        with zipfile.ZipFile(path) as archive:
            checked(path, archive)
            return parse(archive.read(MANIFEST))
    except BadManifest as error:
        raise BadPackage(f"{path}: {error}") from None
    except (zipfile.BadZipFile, FileNotFoundError, NotImplementedError, EOFError) as error:
        raise BadPackage(f"{path} is no package: {error}") from None


def checked(path: Path, archive: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    """The members of a package, or `BadPackage` where unpacking or loading them could do harm."""
    members = archive.infolist()
    if len(members) > MAX_ENTRIES:
        raise BadPackage(f"{path} has {len(members)} members; {MAX_ENTRIES} at most")
    seen: set[str] = set()
    folders: set[str] = set()
    for member in members:
        name = member.filename
        if reason := _wrong(name):
            raise BadPackage(f"{path}: the member {name[:120]!r} {reason}")
        if stat.S_ISLNK(member.external_attr >> 16):
            raise BadPackage(f"{path}: the member {name[:120]!r} is a link")
        if member.flag_bits & 0x1:
            raise BadPackage(f"{path}: the member {name[:120]!r} is encrypted")
        if rival(name):
            raise BadPackage(f"{path}: {name[:120]!r} would be imported as the manifest")
        key = name.rstrip("/")
        if key in seen:
            raise BadPackage(f"{path}: the name {name[:120]!r} stands twice")
        seen.add(key)
        if name.endswith("/"):
            folders.add(key)
        parts = key.split("/")
        folders.update("/".join(parts[:n]) for n in range(1, len(parts)))
    if both := sorted((seen & folders) - {m.filename.rstrip("/") for m in members if m.is_dir()}):
        raise BadPackage(f"{path}: {both[0][:120]!r} is both a file and a folder")
    if MANIFEST not in seen:
        raise BadPackage(f"{path} has no manifest ({MANIFEST}) at its top")
    if archive.getinfo(MANIFEST).file_size > MAX_MANIFEST:
        raise BadPackage(f"{path}: its manifest has more than {MAX_MANIFEST} bytes")
    unpacked, stored = sum(m.file_size for m in members), sum(m.compress_size for m in members)
    if unpacked > MAX_UNPACKED or (unpacked > BIG and unpacked > MAX_RATIO * max(stored, 1)):
        raise BadPackage(
            f"{path} would unpack to {unpacked:,} bytes, {stored:,} as it lies: a bomb"
        )
    return members


def _wrong(name: str) -> str:
    if not name or "\0" in name or name.startswith(("/", "\\")) or re.match("[A-Za-z]:", name):
        return "has no relative path"
    if "\\" in name or any(part in ("", ".", "..") for part in name.rstrip("/").split("/")):
        return "could lead out of its folder"
    return ""


def unpack(package: Path, target: Path, wanted: Manifest) -> None:
    """Makes `target` the content of a package whose manifest is `wanted`: in one step, so that nobody
    meets half of it. Whoever comes second discards his copy."""
    if target.is_dir():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = target.with_name(f".{secrets.token_hex(8)}.draft")
    try:
        _extract(package, draft)
        found = manifest_of(draft)
        if found != wanted:
            raise BadPackage(f"{package}: its manifest is of {found.name} {found.version}")
        try:
            draft.rename(target)
        except OSError:
            if not target.is_dir():
                raise
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _extract(package: Path, folder: Path) -> None:
    """Always as files: a zip on the path of modules cannot hold namespace packages."""
    try:
        with zipfile.ZipFile(package) as archive:
            folder.mkdir()
            for member in checked(package, archive):
                place = folder.joinpath(*member.filename.rstrip("/").split("/"))
                if member.is_dir():
                    place.mkdir(parents=True, exist_ok=True)
                    continue
                place.parent.mkdir(parents=True, exist_ok=True)
                flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
                with (
                    archive.open(member) as source,
                    os.fdopen(os.open(place, flags, 0o666), "wb") as to,
                ):
                    shutil.copyfileobj(source, to, _BLOCK)
    except (zipfile.BadZipFile, NotImplementedError, EOFError) as error:
        raise BadPackage(f"{package} is damaged: {error}") from None
