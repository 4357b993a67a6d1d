"""Files that do not come from our own client: whole in a request, in a form posted to the store, or as a
stream. Each ends as a blob that the store has verified, and a file entry that a version can be made of.

Whatever is given up half way is freed: an unfinished upload at once, the rest by the sweep.
"""

import hashlib
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from chalicelib.registry import blobs, jobs, keys, parts, unfinished, uploads, usage
from chalicelib.registry.jobs import Job
from chalicelib.registry.ports import Delete, Head, Item, Precondition, Put, SignedForm
from chalicelib.registry.stores import Stores
from weighbridge.contract import codec, cuts, digests, names
from weighbridge.contract.errors import InvalidRequest, NotFound, TooLarge, Unavailable
from weighbridge.contract.manifests import FileEntry
from weighbridge.contract.types import UploadComplete

MAX_FORM = 5 * 1024**3
"""What S3 takes in one form, and copies in one request."""
QUICK = 32 * 1024 * 1024
"""Bytes of a parked file that are copied while the request waits."""
WAIT = 15.0
"""Seconds that a request waits for the copy of a larger one: a gateway gives it 29 in all."""
_UPLOAD = re.compile(r"[0-9a-f]{20}\Z")
_UNSAFE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


def file_name(text: str | None, fallback: str) -> str:
    """The last segment of a path as some client spells it, made safe to store."""
    last = re.split(r"[/\\]", text or "")[-1].strip()
    last = _UNSAFE.sub("_", re.sub(r"^(?:[A-Za-z]:)+", "", last))
    last = last.encode()[-200:].decode(errors="ignore")
    return last if last not in ("", ".", "..") else fallback


# In a request


def whole(stores: Stores, project_id: str, name: str, data: bytes) -> FileEntry:
    """Stores bytes that are in memory as a blob."""
    names.file_path(name)
    if len(data) > cuts.SINGLE_PUT:
        raise TooLarge(f"{len(data)} bytes in one request; {cuts.SINGLE_PUT} at most")
    digest = digests.sha256_of(data)
    blob = digests.single_blob(digest, len(data))
    entry = FileEntry(name, len(data), digest, blob)
    there = blobs.live(stores, project_id, [blob])
    if there and not blobs.lease(stores, project_id, there):
        return entry
    usage.require_bytes(stores, project_id, len(data))
    key = keys.blob_object(project_id, stores.random())
    blobs.note(stores, project_id, [blob])
    # Should we die behind this line: nothing names the object, and the sweep finds it as an orphan.
    stores.blobs.put(key, data, if_absent=True)
    head = blobs.verified(stores, blob, key)
    if blobs.claim(stores, project_id, blob, head):
        parts.index(stores, project_id, blob, head, parts.of_single(blob))
    return entry


# In a form posted to the store


def invite(stores: Stores, project_id: str, name: str, size: int) -> tuple[str, SignedForm]:
    """An upload id, and the form with which anybody may send a file of exactly this size."""
    if not 1 <= size <= MAX_FORM:
        raise InvalidRequest(f"a form holds 1 to {MAX_FORM} bytes, not {size}", limit=MAX_FORM)
    upload = stores.random()
    key = keys.parked_folder(project_id, upload) + file_name(name, "model.zip")
    until = int(stores.now()) + stores.lease_seconds
    stores.table.write(Put(Item(keys.free_object(project_id, key), {"until": until})))
    return upload, stores.blobs.sign_post(key, size, stores.sign_seconds)


@dataclass(frozen=True, slots=True)
class Parked:
    """A file that a form has brought."""

    key: str
    size: int
    etag: str
    start: bytes

    @property
    def name(self) -> str:
        """The file's name."""
        return self.key.rpartition("/")[2]


def parked(stores: Stores, project_id: str, upload: str) -> Parked:
    """What was sent under an upload id; `NotFound` while there is nothing."""
    found: tuple[Head, ...] = ()
    if _UPLOAD.match(upload):
        found = stores.blobs.list(keys.parked_folder(project_id, upload), limit=1).heads
    if not found:
        raise NotFound(f"there is no upload {upload[:60]!r}, or its file has not arrived")
    (head,) = found
    start = stores.blobs.read(head.key, 0, 4, head.etag)
    return Parked(head.key, head.size, head.etag, start)


def adopted(stores: Stores, project_id: str, found: Parked) -> FileEntry:
    """The parked file as a blob: copied inside the store, with a SHA-256 the store computes."""
    target = keys.blob_object(project_id, stores.random())
    try:
        copy = stores.blobs.adopt(found.key, found.etag, target)
    except (Precondition, NotFound):
        raise Unavailable("the upload was replaced meanwhile; try again") from None
    blob = digests.blob_from_checksum(copy.sha256, copy.size)
    blobs.register(stores, project_id, blob, copy)
    return FileEntry(found.name, copy.size, digests.parse_blob(blob).sha256, blob)


def settled(stores: Stores, by: str, project_id: str, found: Parked) -> FileEntry:
    """The parked file as a blob. A large one is copied by the archive worker, since it may take longer than
    a request; `Unavailable` while it does, and the same request again finds what it has made."""
    if found.size <= QUICK:
        return adopted(stores, project_id, found)
    note = stores.table.get(keys.free_object(project_id, found.key))
    if note is not None and note.doc.get("etag") == found.etag:
        entry = codec.decode(FileEntry, note.doc["entry"])
        there = blobs.live(stores, project_id, [entry.blob])
        if there and not blobs.lease(stores, project_id, there):
            return entry
    args = {"key": found.key, "etag": found.etag, "size": found.size}
    job = jobs.run(stores, project_id, ADOPT, by, args, key=f"adopt {found.key}", wait=WAIT)
    if job.state == "failed":
        raise job.failure()
    if job.state == "done":
        return codec.decode(FileEntry, job.result["entry"])
    raise Unavailable(
        "The package has arrived and is being checked in. Send the same request again in a few seconds.",
        pending=True,
    )


def adopt(stores: Stores, job: Job) -> Mapping[str, Any]:
    """Does the job of `settled`. What it made is noted beside the parked file, as long as that is kept."""
    found = Parked(str(job.args["key"]), int(job.args["size"]), str(job.args["etag"]), b"")
    entry = codec.encode(adopted(stores, job.project_id, found))
    until = int(stores.now()) + stores.lease_seconds
    key = keys.free_object(job.project_id, found.key)
    stores.table.write(Put(Item(key, {"until": until}, {"etag": found.etag, "entry": entry})))
    return {"entry": entry}


ADOPT = "upload.adopt"
jobs.register(ADOPT, "chalicelib.registry.receiving:adopt")


def unpark(stores: Stores, project_id: str, found: Parked) -> None:
    """Tells the sweep that the parked file is not needed any more."""
    due = int(stores.now())
    stores.table.write(Put(Item(keys.free_object(project_id, found.key), {"until": due})))


# As a stream


@dataclass(frozen=True, slots=True)
class Arrived:
    """A file that has come as a stream. With an `upload`, its parts are there and not yet joined."""

    blob: str
    sha256: str
    size: int
    upload: str = ""


class Incoming:
    """Takes a file of unknown size, `most` bytes at most, a part at a time. Of up to one part only the
    bytes in memory are kept; what is larger goes to the store as it comes."""

    def __init__(self, stores: Stores, by: str, project_id: str, most: int) -> None:
        self._stores, self._by, self._project_id = stores, by, project_id
        self._step = cuts.part_size(most) or cuts.PART
        self._buffer = bytearray()
        self._whole = hashlib.sha256()
        self._digests: list[digests.Sha256] = []
        self._upload = self._key = self._store_id = ""
        self.size = 0

    def write(self, data: bytes) -> None:
        """The next bytes."""
        self._whole.update(data)
        self.size += len(data)
        view = memoryview(data)
        while view:
            # A full part waits for one byte more: the last part must not be empty.
            if len(self._buffer) == self._step:
                self._send()
            taken = view[: self._step - len(self._buffer)]
            self._buffer += taken
            view = view[len(taken) :]

    def _send(self) -> None:
        usage.require_bytes(self._stores, self._project_id, self.size)
        if not self._upload:
            self._upload = unfinished.opened(
                self._stores, self._by, self._project_id, cuts.FIXED, "", ""
            )
            item = self._stores.table.get(keys.upload(self._project_id, self._upload))
            if item is None:
                raise Unavailable("the upload vanished; try again")
            self._key, self._store_id = str(item.doc["key"]), str(item.doc["store_id"])
        number = len(self._digests) + 1
        if number > cuts.MAX_PARTS:
            raise TooLarge(
                f"a file of unknown length holds {self._step * cuts.MAX_PARTS} bytes at most"
            )
        data = bytes(self._buffer)
        self._buffer.clear()
        sent = self._stores.blobs.put_part(self._key, self._store_id, number, data)
        self._digests.append(digests.Sha256(sent.sha256))

    def end(self) -> Arrived:
        """The file is complete."""
        digest = digests.Sha256(self._whole.hexdigest())
        if not self._upload:
            data = bytes(self._buffer)
            self._buffer.clear()
            if not data:
                return Arrived("", digest, 0)
            entry = whole(self._stores, self._project_id, "file", data)
            return Arrived(entry.blob, digest, entry.size)
        self._send()
        blob = digests.composite_blob(
            digests.composite(self._digests), len(self._digests), self.size, cuts.FIXED
        )
        return Arrived(blob, digest, self.size, self._upload)

    def abort(self) -> None:
        """Frees what was sent, unless somebody has joined it. Never raises what a store may."""
        self._buffer.clear()
        if self._upload:
            give_up(self._stores, self._project_id, self._upload)


def give_up(stores: Stores, project_id: str, upload: str) -> None:
    """Frees the parts of an upload that nobody joined."""
    with suppress(NotFound, Unavailable):
        item = stores.table.get(keys.upload(project_id, upload))
        if item is None:
            return
        stores.blobs.abort_multipart(str(item.doc["key"]), str(item.doc["store_id"]))
        stores.table.write(Delete(item.key))


def joined(stores: Stores, project: str, name: str, arrived: Arrived) -> FileEntry:
    """The entry of a file that came as a stream; its parts are joined first."""
    names.file_path(name)
    if arrived.upload:
        uploads.complete(stores, project, arrived.upload, UploadComplete(arrived.blob))
    return FileEntry(name, arrived.size, arrived.sha256, arrived.blob)


Opener = Callable[[int], Incoming]
"""Makes what takes a file of at most so many bytes."""
