"""The ports: what the registry needs of the world. Adapters live in `chalicelib/storage`.

`Table` is a conditional key-value store with ordered keys: what DynamoDB offers and SQLite can.
The registry's promises rest on its conditions and transactions, so both engines pass one suite
(`tests/storage`). Why one small port and not one method per domain verb:
docs/decisions/0002-one-table-two-engines.md.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

# Table: metadata


class Key(NamedTuple):
    """A partition key and a sort key; sort keys order by their UTF-8 bytes."""

    pk: str
    sk: str


ATTRIBUTES = ("state", "rev", "n", "until", "ttl", "ref")
"""The flat attributes an item may have; all else lives in `doc`. Conditions test only these.

state: str  the state of a state machine      rev: int  bumped at every update
n: int      a counter                         until: int  epoch seconds, a lease or an expiry
ttl: int    epoch seconds, the store may drop the item after it
ref: str    what the item points to
"""

Scalar = str | int


@dataclass(frozen=True, slots=True)
class Item:
    """One stored item: flat attributes for conditions, and a JSON document for the rest."""

    key: Key
    attrs: Mapping[str, Scalar] = field(default_factory=dict)
    doc: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Absent:
    """The item does not exist."""


@dataclass(frozen=True, slots=True)
class Present:
    """The item exists."""


@dataclass(frozen=True, slots=True)
class Equal:
    """The attribute exists and equals `value`."""

    attr: str
    value: Scalar


@dataclass(frozen=True, slots=True)
class Less:
    """The attribute exists and is less than `value`."""

    attr: str
    value: Scalar


@dataclass(frozen=True, slots=True)
class Missing:
    """The attribute does not exist (also true of an absent item)."""

    attr: str


Predicate = Absent | Present | Equal | Less | Missing
Condition = tuple[Predicate, ...]
"""All must hold; empty holds always."""


@dataclass(frozen=True, slots=True)
class Put:
    """Writes a whole item, replacing what is there."""

    item: Item
    condition: Condition = ()

    @property
    def key(self) -> Key:
        """The item's key."""
        return self.item.key


@dataclass(frozen=True, slots=True)
class Update:
    """Changes some attributes (and the whole doc, if given) of an item, creating it if absent.

    `add` adds to an integer attribute, which counts as 0 where it is missing.
    """

    key: Key
    set: Mapping[str, Scalar] = field(default_factory=dict)
    add: Mapping[str, int] = field(default_factory=dict)
    remove: tuple[str, ...] = ()
    doc: Mapping[str, Any] | None = None
    condition: Condition = ()


@dataclass(frozen=True, slots=True)
class Delete:
    """Removes an item; removing an absent one is no error."""

    key: Key
    condition: Condition = ()


@dataclass(frozen=True, slots=True)
class Check:
    """Only tests a condition (in transactions)."""

    key: Key
    condition: Condition


Write = Put | Update | Delete | Check
MAX_TRANSACTION = 100
MAX_ITEM = 400 * 1024


class ConditionFailed(Exception):
    """A condition did not hold: nothing was written.

    `index` is the position of the first write whose condition failed, `existing` the item that was
    in the way (None if absent).
    """

    def __init__(self, index: int, key: Key, existing: Item | None) -> None:
        super().__init__(f"condition {index} failed on {key.pk}/{key.sk}")
        self.index = index
        self.key = key
        self.existing = existing


@dataclass(frozen=True, slots=True)
class Found:
    """One page of a query; `next` is the sort key to continue after, or None at the end."""

    items: tuple[Item, ...]
    next: str | None = None


LAST = "\U0010ffff"
"""Sorts after every legal key text: `prefix + LAST` is the upper bound of a prefix."""


class Table(Protocol):
    """Metadata. Every read is strongly consistent; every write is durable when the call returns."""

    def get(self, key: Key) -> Item | None:
        """The item, or None."""

    def get_many(self, keys: Iterable[Key]) -> dict[Key, Item]:
        """Those of the items that exist, in batches of 100."""

    def query(
        self,
        pk: str,
        low: str = "",
        high: str = LAST,
        *,
        after: str | None = None,
        limit: int = 100,
        reverse: bool = False,
    ) -> Found:
        """Up to `limit` items of a partition with `low <= sk <= high`, in (reverse) key order.

        `after` excludes everything up to and including that sort key in the direction of reading.
        A page may be shorter than `limit` (stores end them at 1 MB), even empty, with `next` set;
        a full page may have `next` set at the very end.
        """

    def write(self, write: Put | Update | Delete) -> Item | None:
        """One write; the item as it is now (None after Delete). Raises `ConditionFailed` (index 0).

        After a lost answer an `add` may be done twice: use `transact` where that matters.
        """

    def transact(self, writes: Sequence[Write]) -> None:
        """All or nothing, 100 writes at most, each on another key. Raises `ConditionFailed`.

        Lost races with other transactions are retried inside; `Unavailable` after too many.
        """

    def write_many(self, writes: Sequence[Put | Delete]) -> None:
        """Unconditional writes in batches, not atomic: all are done when it returns."""

    def write_each(self, writes: Sequence[Put | Update | Delete]) -> list["ConditionFailed | None"]:
        """Each write by itself, in any order, as `write` does it; which were refused. At most one
        write per key."""

    def purge_expired(self, now: int) -> int:
        """Drops items whose `ttl` has passed, where the store does not by itself; how many."""

    def ping(self) -> None:
        """Raises `Unavailable` when the store does not answer."""


# Blobs: bytes


@dataclass(frozen=True, slots=True)
class Signed:
    """A presigned request: send exactly these headers, before `expires` (epoch seconds)."""

    method: str
    url: str
    headers: dict[str, str]
    expires: int


@dataclass(frozen=True, slots=True)
class SignedForm:
    """A presigned form upload: POST `fields`, then the file as `file`, before `expires`."""

    url: str
    fields: dict[str, str]
    expires: int


@dataclass(frozen=True, slots=True)
class Head:
    """What the store says of an object. `sha256` is its checksum as S3 writes it (base64, with
    `-N` for a composite of N parts), empty where the store has none."""

    key: str
    size: int
    etag: str
    sha256: str = ""
    modified: int = 0
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class StoredPart:
    """One part the store holds of an unfinished multipart upload. `sha256` in hex."""

    number: int
    size: int
    etag: str
    sha256: str


@dataclass(frozen=True, slots=True)
class Listed:
    """One page of a listing by key."""

    heads: tuple[Head, ...]
    next: str | None = None


@dataclass(frozen=True, slots=True)
class Stale:
    """An unfinished multipart upload."""

    key: str
    upload: str
    started: int


class Precondition(Exception):
    """The object exists already, or is not the one that was meant (S3: 412)."""


class Blobs(Protocol):
    """An object store that speaks S3. Missing objects raise `NotFound`, outages `Unavailable`."""

    verifies_sha256: bool

    def sign_put(self, key: str, sha256_base64: str, size: int, seconds: int) -> Signed:
        """A PUT of a new object; the store refuses other bytes (400) and an existing key (412)."""

    def sign_get(
        self, key: str, seconds: int, filename: str = "", content_type: str = "",
        plain: bool = False,
    ) -> Signed:  # fmt: skip
        """A GET (ranges allowed); `filename` makes a browser save under that name, `content_type` is what
        the answer says it is. With `plain` the name stands unquoted at the header's end, as FATE's
        client wants it."""

    def sign_post(self, key: str, size: int, seconds: int) -> "SignedForm":
        """A form with one file of exactly `size` bytes. Nothing verifies them: `adopt` does."""

    def sign_copy(
        self,
        key: str,
        upload: str,
        number: int,
        source: Head,
        start: int,
        length: int,
        seconds: int,
    ) -> Signed:
        """A copy of a range of `source` as one part, only while it still has that ETag; source,
        range and condition are signed, so the request opens nothing else."""

    def create_multipart(self, key: str, scheme: int = 1) -> str:
        """Starts a multipart upload with SHA-256 checksums; answers its id. The object's metadata
        will name the scheme of its cuts."""

    def sign_part(
        self, key: str, upload: str, number: int, sha256_base64: str, seconds: int
    ) -> Signed:
        """A PUT of one part; the store refuses other bytes."""

    def put_part(self, key: str, upload: str, number: int, data: bytes | bytearray) -> StoredPart:
        """Sends one part ourselves, verified by the store where it can (archives only: the bytes of
        models go between clients and the store)."""

    def parts(self, key: str, upload: str) -> list[StoredPart]:
        """The parts the store holds, by number. `NotFound` if the upload is gone."""

    def complete_multipart(self, key: str, upload: str, parts: Sequence[StoredPart]) -> None:
        """Joins the parts. A repeat after success may raise `NotFound`: look with `head`."""

    def abort_multipart(self, key: str, upload: str) -> None:
        """Frees the parts; an absent upload is no error."""

    def stale_multiparts(self, prefix: str, before: int) -> Iterator[Stale]:
        """Unfinished uploads under `prefix` that started before `before` (epoch seconds)."""

    def head(self, key: str) -> Head:
        """What the store says of the object, checksum included."""

    def read(self, key: str, start: int = 0, length: int | None = None, etag: str = "") -> bytes:
        """A range of the object's bytes; with `etag`, `Precondition` if it is another object."""

    def put(
        self,
        key: str,
        data: bytes | bytearray,
        content_type: str = "application/octet-stream",
        metadata: Mapping[str, str] | None = None,
        if_absent: bool = False,
        if_match: str = "",
        cache: str = "",
    ) -> str:
        """Stores a small object of our own (manifests, pages); answers its ETag."""

    def adopt(self, source: str, etag: str, target: str) -> Head:
        """Copies inside the store, with a SHA-256 the store computes, only if `source` still has
        `etag` (else `Precondition`), to a key never used before; answers the copy's head."""

    def list(self, prefix: str, after: str = "", limit: int = 1000) -> Listed:
        """Objects under `prefix`, paged by key; some stores go folder by folder."""

    def delete(self, keys: Sequence[str]) -> None:
        """Removes objects; absent ones are no error."""

    def ping(self) -> None:
        """Raises `Unavailable` when the store does not answer."""


class Queue(Protocol):
    """Asks a function to run soon. Losing a message is harmless: the sweep does the same work."""

    def send(self, topic: str, message: Mapping[str, Any]) -> None:
        """Topics: `index` (an object to look at), `render` (a project whose outbox has entries),
        `archive` (a job to do)."""

    def send_many(self, topic: str, messages: Sequence[Mapping[str, Any]]) -> None:
        """The same for many."""


class InboxGrants(Protocol):
    """Makes credentials that are limited to one prefix of the artifact bucket."""

    def grant(self, prefix: str, seconds: int) -> "Credentials":
        """Credentials that may put, list and abort under `prefix` and nothing else."""

    def expire(self) -> int:
        """Ends credentials whose time is over, where the store does not by itself; how many."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """Keys for an S3 client. `expires` is epoch seconds, 0 for never."""

    endpoint: str
    region: str
    bucket: str
    access_key: str
    secret_key: str
    session_token: str = ""
    expires: int = 0
