"""Packages: versions that are one ZIP file, as clients of edge registries know them.

Such a client knows neither model nor number. A package has an id of its own, and an identity that no
two packages of a project share: name, version, precision, project name and project id, as texts. Both are
lock items, written with the version's last transaction, moved and removed with its changes. So no door can
get past them, and no version moves between models: a new name is an attribute.

What is said of a package are attributes of its version, under the names of `contract.edge`, and the metric
`score`; whatever stands there natively is taken as far as it makes sense.
"""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import unquote, urlsplit

from chalicelib.registry import keys
from chalicelib.registry.ports import Absent, ConditionFailed, Delete, Item, Key, Put, Write
from chalicelib.registry.stores import Stores
from weighbridge.contract import codec, names
from weighbridge.contract.edge import (
    CHANGED,
    DEFAULT_PRECISION,
    NAME,
    PRECISION,
    PROJECT_ID,
    PROJECT_NAME,
    VERSION,
    name_of,
)
from weighbridge.contract.errors import (
    AlreadyExists,
    InvalidManifest,
    InvalidName,
    InvalidRequest,
)
from weighbridge.contract.manifests import FileEntry
from weighbridge.contract.types import Package, Version

_ID = re.compile(r"[A-Za-z0-9_-]{16,128}\Z")


@dataclass(frozen=True, slots=True)
class PackageRecord:
    """A version with its package."""

    package: Package
    version: Version
    model_id: str


def identifier(text: str) -> str:
    """`text` as the id of a package."""
    if not _ID.match(text):
        raise InvalidName(f"{text[:80]!r} is no package id: 16 to 128 letters, digits, '_' or '-'")
    return text


# What a version says


def text(version: Version, name: str) -> str | None:
    """An attribute that is a text; None if it is absent, empty or anything else."""
    value = version.attributes.get(name)
    return value if isinstance(value, str) and value else None


def title(version: Version) -> str:
    """The package's name."""
    return text(version, NAME) or name_of(version.model)


def release(version: Version) -> str:
    """The package's version: a free text."""
    return text(version, VERSION) or version.label or str(version.number)


def precision(version: Version) -> tuple[str, ...]:
    """The precisions of the package."""
    value = version.attributes.get(PRECISION)
    if isinstance(value, str) and value:
        return (value,)
    if isinstance(value, (list, tuple)):
        return tuple(str(one) for one in value if isinstance(one, str)) or DEFAULT_PRECISION
    return DEFAULT_PRECISION


def identity(version: Version) -> str:
    """The digest of what no two packages of a project have in common."""
    own = [
        title(version), release(version), precision(version), text(version, PROJECT_NAME),
        text(version, PROJECT_ID),
    ]  # fmt: skip
    return hashlib.sha256(json.dumps(own).encode("ascii")).hexdigest()


# Locks


def packed(version: Version, model_id: str, files: Sequence[FileEntry], asked: str) -> Version:
    """The version with its package, if it is one: exactly one of its files is a ZIP file by its name,
    or an id was asked for and it has only one file."""
    zips = [entry for entry in files if entry.path.lower().endswith(".zip")]
    chosen = zips if zips or not asked else list(files)
    if asked:
        identifier(asked)
        if len(chosen) != 1:
            raise InvalidRequest(
                f"a package is one ZIP file; {len(chosen)} of these files could be meant"
            )
    if len(chosen) != 1:
        return version
    (entry,) = chosen
    own = asked or f"{model_id}-{version.number}"
    package = Package(own, entry.path, entry.size, entry.blob, entry.sha256)
    return replace(version, package=package)


def locks(project_id: str, model_id: str, version: Version) -> list[Write]:
    """What takes a package's id and identity, if nobody else has them."""
    if version.package is None:
        return []
    where = Item(
        keys.package(project_id, version.package.id), {"ref": model_id, "n": version.number}
    )
    return [Put(where, (Absent(),)), _lock(project_id, version, version.package.id)]


def _lock(project_id: str, version: Version, own: str) -> Put:
    key = keys.package_identity(project_id, identity(version))
    return Put(Item(key, {"ref": own}), (Absent(),))


def elsewhere(version: Version, model_id: str, uri: str) -> Version:
    """A version without files as a package whose bytes lie at an address outside this registry."""
    try:
        path = names.file_path(unquote(urlsplit(uri).path.rstrip("/").rpartition("/")[2]))
    except (ValueError, InvalidManifest):  # no address that splits, or one that ends in no name
        path = names.FilePath("model")
    return replace(version, package=Package(f"{model_id}-{version.number}", path, 0, "", "", uri))


def moved(project_id: str, model_id: str, old: Version, new: Version) -> list[Write]:
    """What moves the lock of a package whose identity changes, and takes that of one that is new."""
    if old.package is None:
        return locks(project_id, model_id, new)
    if new.package is None or identity(old) == identity(new):
        return []
    before = keys.package_identity(project_id, identity(old))
    return [Delete(before), _lock(project_id, new, new.package.id)]


def given_up(project_id: str, version: Version) -> list[Write]:
    """What frees the id and the identity of a version that goes."""
    if version.package is None:
        return []
    return [
        Delete(keys.package(project_id, version.package.id)),
        Delete(keys.package_identity(project_id, identity(version))),
    ]


def touched(version: Version, changes: Mapping[str, Any] | None, now: str) -> Version:
    """The changed version with the time of its change, where edge clients want to know it."""
    if version.package is None or CHANGED in (changes or {}):
        return version
    return replace(version, attributes={**version.attributes, CHANGED: now})


def concerns(failed: ConditionFailed) -> bool:
    """Whether a transaction failed because another has the id or the identity."""
    return failed.key.pk.startswith("Z#")


def taken(failed: ConditionFailed) -> AlreadyExists:
    """The error that names the other package."""
    kind, _, name = failed.key.sk.partition("#")
    other = name if kind == "I" else _owner(failed.existing)
    return _conflict(other)


def _owner(item: Item | None) -> str:
    return str(item.attrs.get("ref", "")) if item else ""


def _conflict(other: str) -> AlreadyExists:
    return AlreadyExists(
        f"the package '{other}' has the same id, or the same name, version, precision and project",
        package=other,
    )


# Reading


def refuse_taken(stores: Stores, project_id: str, version: Version, own: str = "") -> None:
    """`AlreadyExists` if another package than `own` has the id or the identity of `version`. Only the
    transaction is sure of it; this spares the work before it."""
    lock = stores.table.get(keys.package_identity(project_id, identity(version)))
    if lock is not None and lock.attrs.get("ref") != own:
        raise _conflict(_owner(lock))
    if version.package is not None and version.package.id != own:
        asked = version.package.id
        if stores.table.get(keys.package(project_id, asked)) is not None:
            raise _conflict(asked)


def find(stores: Stores, project_id: str, own: str) -> PackageRecord | None:
    """The package of that id, ready or held back by its verdict; None if there is none."""
    item = stores.table.get(keys.package(project_id, own))
    if item is None:
        return None
    model_id, number = str(item.attrs["ref"]), int(item.attrs["n"])
    wanted = [keys.version(model_id, kind, number) for kind in (keys.READY, keys.HELD)]
    found = stores.table.get_many(wanted)
    record = next(
        (r for key in wanted if key in found and (r := _record(found[key], model_id))), None
    )
    return record if record and record.package.id == own else None


def _record(item: Item, model_id: str) -> PackageRecord | None:
    version = codec.decode(Version, dict(item.doc))
    version = replace(version, revision=int(item.attrs.get("rev", 0)))
    return PackageRecord(version.package, version, model_id) if version.package else None


def listing(
    stores: Stores, project_id: str, after: str | None, limit: int
) -> tuple[list[PackageRecord], str | None]:
    """Ready packages by id, behind the sort key `after`; and the sort key to go on behind."""
    page = stores.table.query(
        keys.of_packages(project_id), *keys.prefix("I#"), after=after, limit=limit
    )
    wanted: dict[Key, str] = {
        keys.version(str(i.attrs["ref"]), keys.READY, int(i.attrs["n"])): str(i.attrs["ref"])
        for i in page.items
    }
    found = stores.table.get_many(wanted)
    records = [
        record
        for key, model_id in wanted.items()
        if key in found and (record := _record(found[key], model_id))
    ]
    return records, page.next
