"""Writing pages so that an older one never replaces a newer, whoever writes at the same time."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from chalicelib.catalogue.render import content_type
from chalicelib.registry.ports import Blobs, Head, Precondition
from weighbridge.contract.errors import NotFound, Unavailable

PAGE_CACHE = "private, no-cache"
STATIC_CACHE = "private, max-age=86400"
RACES = 12
Outcome = Literal["created", "written", "same", "newer"]


@dataclass(slots=True)
class Report:
    """What a publication did, by key."""

    created: list[str] = field(default_factory=list)
    written: list[str] = field(default_factory=list)
    same: list[str] = field(default_factory=list)
    newer: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)

    def note(self, outcome: Outcome, key: str) -> None:
        """Adds one object."""
        getattr(self, outcome).append(key)

    @property
    def writes(self) -> int:
        """How many objects were put."""
        return len(self.created) + len(self.written)


def _revision(head: Head) -> int:
    text = head.metadata.get("revision", "")
    return int(text) if text.isdigit() else 0


def put(site: Blobs, key: str, data: bytes, revision: int, cache: str = PAGE_CACHE) -> Outcome:
    """Stores `data`, read at `revision` (milliseconds), unless the stored object is newer.

    Equal bytes of the same or a newer revision are left alone. Equal bytes of an older one are
    written once more, to carry the newer revision: otherwise a slower publisher, that read a state
    in between, could still replace them (the page would go A, A, B while the data went A, B, A).
    """
    digest = hashlib.sha256(data).hexdigest()
    metadata = {"revision": str(revision), "sha256": digest}
    for _ in range(RACES):
        try:
            head = site.head(key)
        except NotFound:
            head = None
        if head is not None:
            stored = _revision(head)
            if stored >= revision and head.metadata.get("sha256") == digest:
                return "same"
            if stored > revision:
                return "newer"
        try:
            site.put(
                key, data, content_type(key), metadata,
                if_absent=head is None, if_match=head.etag if head else "", cache=cache,
            )  # fmt: skip
        except Precondition:
            continue  # somebody else wrote since: look again
        return "created" if head is None else "written"
    raise Unavailable(f"too many others wrote {key} at once; try again")


@dataclass(frozen=True, slots=True)
class Stored:
    """An object as it was read: its bytes, the revision they carry, and the ETag that says whether it is
    still the same."""

    data: bytes
    revision: int
    etag: str


def read(site: Blobs, key: str) -> Stored | None:
    """The object; None if it is not there."""
    for _ in range(RACES):
        try:
            head = site.head(key)
            return Stored(site.read(key, etag=head.etag), _revision(head), head.etag)
        except NotFound:
            return None
        except Precondition:
            continue  # replaced between the two
    raise Unavailable(f"too many others write {key} at once; try again")


def replace(site: Blobs, key: str, data: bytes, revision: int, before: Stored | None) -> Outcome:
    """Stores `data` in place of what was read before; raises `Precondition` if that is not there any
    more. Equal bytes that carry as high a revision are left alone."""
    if before is not None and before.data == data and before.revision >= revision:
        return "same"
    metadata = {"revision": str(revision), "sha256": hashlib.sha256(data).hexdigest()}
    site.put(
        key, data, content_type(key), metadata,
        if_absent=before is None, if_match=before.etag if before else "", cache=PAGE_CACHE,
    )  # fmt: skip
    return "created" if before is None else "written"


def put_all(
    site: Blobs, files: Mapping[str, bytes], revision: int, report: Report
) -> list[Outcome]:
    """Stores the files in the order given, noting each in `report`."""
    outcomes = []
    for key, data in files.items():
        outcome = put(site, key, data, revision)
        report.note(outcome, key)
        outcomes.append(outcome)
    return outcomes


def exists(site: Blobs, key: str) -> bool:
    """Whether the object is there."""
    try:
        site.head(key)
    except NotFound:
        return False
    return True


def keys_under(site: Blobs, prefix: str) -> Iterable[str]:
    """Every key that begins with `prefix`."""
    after = ""
    while True:
        listed = site.list(prefix, after)
        for head in listed.heads:
            yield head.key
        if listed.next is None:
            return
        after = listed.next


def remove_under(site: Blobs, prefix: str, report: Report) -> None:
    """Removes a page and all below it."""
    found = list(keys_under(site, prefix))
    for start in range(0, len(found), 1000):
        site.delete(found[start : start + 1000])
    report.removed += found


def older(site: Blobs, key: str, revision: int) -> bool:
    """Whether the object is there and was read before `revision`."""
    try:
        return _revision(site.head(key)) < revision
    except NotFound:
        return False


def put_if_different(site: Blobs, key: str, data: bytes) -> Outcome:
    """Stores a file that belongs to the program, not to the data, unless it is there already."""
    digest = hashlib.sha256(data).hexdigest()
    try:
        head = site.head(key)
    except NotFound:
        head = None
    if head is not None and head.metadata.get("sha256") == digest:
        return "same"
    site.put(key, data, content_type(key), {"sha256": digest}, cache=STATIC_CACHE)
    return "created" if head is None else "written"
