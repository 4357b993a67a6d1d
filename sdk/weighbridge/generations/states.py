"""States of generations: written one by one by whoever trained them, bound together by one commit."""

import hashlib
import threading
import uuid
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from weighbridge.client import Client
from weighbridge.contract import digests, manifests, types
from weighbridge.contract.cuts import Span
from weighbridge.contract.errors import IntegrityError, TransferError
from weighbridge.contract.manifests import FileEntry
from weighbridge.generations import names, tags
from weighbridge.generations.errors import Held, NotStaged
from weighbridge.sources import Source
from weighbridge.transfer import hashing, plan, ranges, store
from weighbridge.transfer.crew import Crew
from weighbridge.transfer.journal import open_journal
from weighbridge.transfer.upload import WORKERS, Uploader

TRIES = 4
"""So often is a link asked for anew when the store takes the last one no more."""
REMEMBERED = 64
"""Generations whose files are remembered: immutable, so only their links grow old."""
BATCH = 1000


@dataclass(frozen=True, slots=True)
class Opened:
    """The files of a generation by path, and where to fetch their blobs."""

    files: Mapping[str, FileEntry]
    downloads: Mapping[str, types.Download]


class States:
    """The states of the releases in one namespace. Usable from several threads; `spool` is a folder
    for what does not fit in one request."""

    def __init__(self, client: Client, namespace: str, spool: Path) -> None:
        self._client = client
        self._namespace = namespace
        self._spool = spool
        self._lock = threading.Lock()
        self._opened: OrderedDict[tuple[str, int, int], Opened] = OrderedDict()

    # Writing

    def write(self, model: str, version: int, sid: str, data: bytes) -> None:
        """Stores a state that belongs to no generation yet. The same again changes nothing; other
        bytes under the id of a bound state are `AlreadyExists`."""
        self._stage(model, version, names.state(sid), data)

    def _stage(
        self, model: str, version: int, name: str, data: bytes, wanted: Sequence[str] = ()
    ) -> tuple[FileEntry, tuple[FileEntry, ...]]:
        if len(data) > plan.SINGLE_PUT:
            entry = self._send_large(name, data)
            answer = self._client.stage(self._namespace, model, version, (entry,), names=wanted)
            if answer.missing:
                raise TransferError(f"{name} was stored, but the registry does not find it")
            return entry, answer.files
        digest = digests.sha256_of(data)
        entry = FileEntry(name, len(data), digest, digests.single_blob(digest, len(data)))
        done: tuple[types.PutDone, ...] = ()
        for _ in range(TRIES):
            answer = self._client.stage(
                self._namespace, model, version, (entry,), done, names=wanted
            )
            if not answer.missing:
                return entry, answer.files
            done = self._put(entry, data, answer.missing[0])
        raise TransferError(f"the store refuses {name} with every new request; is its clock right?")

    def _put(
        self, entry: FileEntry, data: bytes, item: types.BlobPlan
    ) -> tuple[types.PutDone, ...]:
        if item.action != "put" or item.request is None or item.blob != entry.blob:
            raise TransferError(f"the server's plan for {entry.path} cannot be carried out")
        span = Span(1, 0, entry.size)
        chunk = store.Chunk(
            Path(entry.path), hashing.Stamp(0, 0, 0, 0, 0), span, digests.sha256(entry.sha256),
            memoryview(data),
        )  # fmt: skip
        sent = store.put(self._client.pool, item.request, chunk, Crew(0, "state"), _nothing)
        return (types.PutDone(item.blob, item.key),) if sent == "done" else ()

    def _send_large(self, name: str, data: bytes) -> FileEntry:
        self._spool.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(prefix="state-", dir=self._spool) as folder:
            path = Path(folder) / "state.bin"
            path.write_bytes(data)
            journal = open_journal(Path(folder), "state", self._client.url, name)
            try:
                sender = Uploader(self._client, self._namespace, journal)
                [entry] = sender.send([Source(path, name)], name).entries
            finally:
                journal.close()
        return entry

    def close(
        self, model: str, version: int, generation: int, tag: bytes, sids: Sequence[str]
    ) -> types.Checkpoint:
        """Makes a generation of states that were written, under exactly this number. The same again
        is one generation; another under a taken number is `AlreadyExists`, a gap a `Conflict`."""
        wanted = [names.state(sid) for sid in dict.fromkeys(sids)]
        first, rest = wanted[:BATCH], wanted[BATCH:]
        found: list[FileEntry] = []
        # The tag has a name of its own on the way: others may close at the same time.
        draft, there = self._stage(model, version, f"tags/{uuid.uuid4()}.toml", tag, first)
        found += there
        for batch in plan.batches(rest, BATCH):
            found += self._client.stage(self._namespace, model, version, names=batch).files
        if lost := sorted(set(wanted) - {entry.path for entry in found}):
            raise NotStaged(
                f"{len(lost)} of {len(wanted)} states were never written, or their time is over "
                f"(first: {names.sid_of(lost[0])})",
                missing=[names.sid_of(path) for path in lost[:20]],
            )
        named = FileEntry(names.TAG, draft.size, draft.sha256, draft.blob)
        files = manifests.checked([named, *found])
        commit = types.CheckpointCommit(
            manifest=manifests.digest(files), files=files, step=generation,
            metrics=tags.metrics(tag), tags=tags.tags(tag), expected=generation,
            staged=tuple(wanted) if len(wanted) <= BATCH else (),
        )  # fmt: skip
        made = self._client.commit_checkpoint(self._namespace, model, version, commit)
        if made.state != "ready":
            raise Held(
                f"generation {made.number} of {model} is {made.state}: the safety policy of the "
                f"project {self._namespace} holds it back; an administrator can release it"
            )
        return made

    # Reading

    def tag(self, model: str, version: int, generation: int) -> bytes:
        """The bytes of a generation's tag."""
        data = self._read(model, version, generation, names.TAG)
        if data is None:
            raise IntegrityError(f"generation {generation} of {model} holds no {names.TAG}")
        return data

    def read(self, model: str, version: int, generation: int, sid: str) -> bytes:
        """The bytes of a state; empty if the generation has no such state."""
        return self._read(model, version, generation, names.state(sid)) or b""

    def _read(self, model: str, version: int, generation: int, path: str) -> bytes | None:
        at = (model, version, generation)
        said = ""
        for attempt in range(TRIES):
            opened = self._open(*at, fresh=attempt > 0)
            entry = opened.files.get(path)
            if entry is None:
                return None
            item = opened.downloads.get(entry.blob)
            if item is None or item.request.method != "GET":
                raise TransferError(f"the server does not say how to get {path}")
            try:
                return fetched(self._client, entry, item)
            except ranges.Expired as error:
                said = error.message
        raise TransferError(f"the store refuses {path} with every new link; {said}".strip())

    def _open(self, model: str, version: int, generation: int, *, fresh: bool) -> Opened:
        at = (model, version, generation)
        with self._lock:
            known = self._opened.get(at)
            if known is not None and not fresh:
                self._opened.move_to_end(at)
                return known
        opened = bundled(self._client, self._namespace, *at)
        with self._lock:
            self._opened[at] = opened
            while len(self._opened) > REMEMBERED:
                self._opened.popitem(last=False)
        return opened


def bundled(client: Client, project: str, model: str, version: int, point: int) -> Opened:
    """The files of a checkpoint with their links: one request, unless they are very many."""
    bundle = client.checkpoint_bundle(project, model, version, point)
    files, signed, page = list(bundle.files.items), list(bundle.downloads.items), bundle.files.next
    while page:
        part = client.checkpoint_files(project, model, version, point, page=page)
        files += part.items
        at = (project, model, version, point, [entry.blob for entry in part.items])
        signed += client.checkpoint_downloads(*at).items
        page = part.next
    checked = manifests.checked(files)
    if bundle.checkpoint is None or manifests.digest(checked) != bundle.checkpoint.manifest:
        raise IntegrityError(
            f"the list of files of {model}@{version}:{point} is not its manifest's"
        )
    return Opened({entry.path: entry for entry in checked}, {item.blob: item for item in signed})


def fetched(client: Client, entry: FileEntry, item: types.Download) -> bytes:
    """The verified bytes of a file; large ones in ranges, side by side. Raises `ranges.Expired`."""
    if not entry.size:
        return b""
    pool = client.pool.branch()
    spans = plan.reading(digests.parse_blob(entry.blob)).ranges
    buffer = bytearray(entry.size)
    view = memoryview(buffer)

    def take(offset: int, data: memoryview) -> None:
        view[offset : offset + len(data)] = data

    expected = entry.sha256 if len(spans) == 1 else ""

    def one(crew: Crew, span: Span) -> None:
        ranges.fetch(
            pool, crew, item.request, span, entry.size, entry.path, take, expected
        )  # fmt: skip

    for _ in range(ranges.WRONG):
        if len(spans) == 1:
            one(Crew(0, "state"), spans[0])
            break
        with Crew(min(WORKERS, len(spans)), "state", pool.interrupt) as crew:
            for span in spans:
                crew.submit(partial(one, crew, span))
        if hashlib.sha256(view).hexdigest() == entry.sha256:
            break
    else:
        raise IntegrityError(
            f"{entry.path}: the bytes that arrived are not those of its manifest; they were discarded",
            path=entry.path,
        )
    view.release()
    return bytes(buffer)


def _nothing(_wire: int, _position: int) -> None:
    pass
