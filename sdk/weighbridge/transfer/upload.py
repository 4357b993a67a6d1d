"""Files to blobs: hash, ask for a plan, send what is wanted, report; all of it overlapping."""

import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property, partial
from itertools import islice
from pathlib import Path
from queue import SimpleQueue

from weighbridge.client import Client
from weighbridge.contract import manifests
from weighbridge.contract.cuts import Span
from weighbridge.contract.digests import Sha256
from weighbridge.contract.errors import RegistryError, TransferError
from weighbridge.contract.manifests import FileEntry
from weighbridge.contract.types import PutDone, SignedRequest, TensorClaim
from weighbridge.sources import Source
from weighbridge.transfer import hashing, plan, store
from weighbridge.transfer.crew import Crew, Interrupted
from weighbridge.transfer.fingerprints import Wanted
from weighbridge.transfer.hashing import Hashed
from weighbridge.transfer.journal import Journal
from weighbridge.transfer.multipart import Multiparts, Upload, open_name, ready_parts
from weighbridge.transfer.notes import NOTHING, Notes
from weighbridge.transfer.progress import Progress, Silent
from weighbridge.transfer.small import Small
from weighbridge.transfer.statcache import StatCache
from weighbridge.transfer.stream import Stream
from weighbridge.transfer.tally import Tally
from weighbridge.turns import SMALL, in_turn

WORKERS = 8
"""Connections at the beginning; see `pace`."""
_HASHERS = max(1, min(4, os.cpu_count() or 1))
_HASH_AHEAD = 64
_GROUP = 32
"""Small files that are read one after the other: to hand over each takes longer than to read it."""
_STRIKES = 4
_LOOK_SECONDS = 0.2


@dataclass(frozen=True)
class Sent:
    """Files whose blobs are stored; see `PushResult` for the counts. `claims` are by path."""

    entries: tuple[FileEntry, ...]
    sent_bytes: int
    reused_bytes: int
    parts_sent: int
    claims: Mapping[str, Sequence[TensorClaim]] = field(default_factory=dict)

    @cached_property
    def manifest(self) -> Sha256:
        """The digest that names the files."""
        return manifests.digest(self.entries)


class Uploader:
    """Brings files into a project's store. One `send` at a time."""

    def __init__(
        self,
        client: Client,
        project: str,
        journal: Journal,
        progress: Progress | None = None,
        stats: StatCache | None = None,
        wanted: Wanted = NOTHING,
    ) -> None:
        self._home = self._client = client
        self._project = project
        self._journal = journal
        self._progress = progress or Silent()
        self._most = client.pool.most
        self._stats = stats or StatCache(None)
        self._notes = Notes(wanted, self._stats)
        self._lock = threading.Lock()
        self._tally = Tally(self._progress)
        self._again: dict[str, Hashed] = {}
        self._streams: dict[Path, Stream] = {}
        self._small = Small()
        self._unreported: list[PutDone] = []

    def send(self, sources: Sequence[Source], label: str = "push") -> Sent:
        """Stores every file that the project does not hold yet. Raises `FileChanged`, and leaves
        what was stored so far for the next try, if one changes meanwhile."""
        total = sum(_size(source) for source in sources)
        self._tally = Tally(self._progress, total)
        self._client = self._home.branch()
        self._progress.start(total, label)
        self._tally.begin()
        try:
            entries = self._send(sources)
        except KeyboardInterrupt as error:
            error.add_note(self._tally.so_far(total, "stored"))
            raise
        finally:
            self._progress.finish()
        tally = self._tally
        claims = {s.name: found for s in sources if (found := self._notes.of(s.path))}
        return Sent(entries, tally.sent_bytes, tally.reused_bytes, tally.parts_sent, claims)

    def _send(self, sources: Sequence[Source]) -> tuple[FileEntry, ...]:
        self._report_remembered()
        entries: dict[str, FileEntry] = {}
        seen: set[str] = set()
        waiting: list[Hashed] = []
        waiting_bytes = 0
        with Crew(
            min(WORKERS, self._most), "send", self._client.pool.interrupt, self._most
        ) as crew:
            uploads = Multiparts(
                self._client, self._project, self._journal, self._tally, crew, self._send_again
            )
            self._streams = {}
            self._small = Small()
            left = len(sources)
            for source, file in hash_all(sources, crew, partial(self._read, uploads)):
                left -= 1
                entries[source.name] = FileEntry(source.name, file.size, file.sha256, file.blob)
                stream = self._streams.get(file.path)
                if stream is not None and stream.upload is not None:
                    seen.add(file.blob)
                    stream.finish(stream.upload, file)
                elif file.blob in seen:
                    self._tally.reused(file.size)
                    self._small.forget(file)
                    if stream is not None:
                        stream.forget()
                else:
                    seen.add(file.blob)
                    waiting.append(file)
                    waiting_bytes += file.size
                # Others may wait for the buffers that a file occupies.
                hurry = stream is not None and stream.in_memory
                if hurry or plan.ask_now(len(waiting), waiting_bytes, left > 0):
                    self._round(uploads, waiting)
                    waiting, waiting_bytes = [], 0
            if waiting:
                self._round(uploads, waiting)
            while not crew.settled(_LOOK_SECONDS):
                # Little is left to report when the last file has arrived.
                self._report(least=plan.PLAN_BLOBS * 3 // 4)
            self._report()
            self._repeat(uploads)
            uploads.memory.clear()
        return tuple(entries[name] for name in sorted(entries))

    def _read(self, uploads: Multiparts, path: Path, stopping: Callable[[], bool]) -> Hashed:
        """Reads one file, in a thread of its own; a large one is sent meanwhile."""
        size = hashing.size_at(path)
        if size <= SMALL and (small := self._small.read(path)) is not None:
            return small
        if (known := self._stats.find(path)) is not None:
            self._notes.recall(known)
            return known
        began = time.time_ns()
        with self._notes.watch(path) as watch:
            if size <= plan.SINGLE_PUT:
                file = hashing.hash_file(path, stopping, watch.observe)
            else:
                stream = Stream(path, uploads, stopping, watch.observe)
                file = stream.run()
                if file.parts:
                    self._streams[path] = stream
            claims = self._notes.keep(watch, file)
        self._stats.note(file, began, claims)
        return file

    def _repeat(self, uploads: Multiparts) -> None:
        """Sends once more what needs new requests, until nothing does or nothing moves."""
        strikes = 0
        while self._again:
            files, self._again = list(self._again.values()), {}
            before = self._tally.parts_sent
            for batch in plan.batches(files, plan.PLAN_BLOBS):
                self._round(uploads, batch)
            uploads.crew.drain()
            self._report()
            strikes = 0 if self._tally.parts_sent > before else strikes + 1
            if self._again and strikes:
                delay = plan.retry_delay(strikes, _STRIKES, 1.0)
                if delay is None:
                    file = next(iter(self._again.values()))
                    why = uploads.crew.said or "is its clock right, and may the server sign for it?"
                    raise TransferError(
                        f"the store refuses {file.path} with every new request; {why}"
                    )
                uploads.crew.pause(delay)

    # Planning, in the calling thread

    def _round(self, uploads: Multiparts, files: Sequence[Hashed]) -> None:
        fresh = []
        for file in files:
            if (upload := self._remembered(uploads, file)) is not None:
                # Its upload is known: the store's list of parts says what is left.
                self._submit_parts(uploads, upload, file)
            else:
                fresh.append(file)
        done = self._take_done()
        if not fresh and not done:
            return
        answer = self._client.plan(self._project, [file.blob for file in fresh], done)
        self._settle(done)
        by_blob = {item.blob: item for item in answer.blobs}
        self._journal.puts_began({i.blob: i.key for i in answer.blobs if i.action == "put"})
        for file in fresh:
            item = by_blob.get(file.blob)
            if item is None:
                raise TransferError(f"the server's plan says nothing about {file.path}")
            if item.action == "have":
                self._journal.settled(file.blob)
                uploads.familiar = True
                self._small.forget(file)
                self._tally.held(str(file.path), 0, file.size)
                if (stream := self._streams.pop(file.path, None)) is not None:
                    stream.forget()
            elif item.action == "put" and item.request is not None and not file.parts:
                self._submit_put(uploads.crew, file, item.key, item.request)
            elif item.action == "multipart" and file.parts:
                uploads.familiar = False
                self._submit_parts(uploads, uploads.planned(file, item.upload), file)
            else:
                raise TransferError(f"the server's plan for {file.path} cannot be carried out")

    def _remembered(self, uploads: Multiparts, file: Hashed) -> Upload | None:
        if not file.parts:
            return None
        name = open_name(file.path, file.size, file.scheme, hashing.parts_of(file))
        return uploads.remembered(file.path, file.stamp, file.blob) or uploads.remembered(
            file.path, file.stamp, name
        )

    def _submit_parts(self, uploads: Multiparts, upload: Upload, file: Hashed) -> None:
        stream = self._streams.pop(file.path, None)
        if stream is not None and stream.upload is None:
            stream.finish(upload, file)
            return
        uploads.submit(upload, ready_parts(file))
        uploads.finish(upload, file)

    def _submit_put(self, crew: Crew, file: Hashed, key: str, request: SignedRequest) -> None:
        def task() -> None:
            name = str(file.path)
            span, data = Span(1, 0, file.size), self._small.data(file)
            if data is not None and not hashing.still(file):
                raise hashing.changed(file.path)
            chunk = store.Chunk(file.path, file.stamp, span, file.sha256, data)
            sent = partial(self._tally.sent, name, 1)
            if store.put(self._client.pool, request, chunk, crew, sent) == "again":
                self._send_again(file)
                return
            self._small.forget(file)
            self._tally.part(name, 1, file.size)
            with self._lock:
                self._unreported.append(PutDone(file.blob, key))

        # So many may wait that the next plan is made meanwhile.
        crew.submit(in_turn(task) if file.size <= SMALL else task, plan.PLAN_BLOBS, file.size)

    def _send_again(self, file: Hashed) -> None:
        with self._lock:
            self._again[file.blob] = file

    # Reporting

    def _take_done(self) -> list[PutDone]:
        with self._lock:
            done = self._unreported[: plan.PLAN_BLOBS]
            del self._unreported[: plan.PLAN_BLOBS]
        return done

    def _settle(self, done: Sequence[PutDone]) -> None:
        self._journal.settled(*(item.blob for item in done))

    def _report(self, least: int = 1) -> None:
        while len(self._unreported) >= least:
            done = self._take_done()
            self._client.plan(self._project, (), done)
            self._settle(done)

    def _report_remembered(self) -> None:
        """Tells the server of PUTs that an interrupted run could not report any more. Some may never
        have arrived: the server takes those that did, and says that others are missing."""
        begun = [PutDone(blob, key) for blob, key in self._journal.puts.items()]
        for batch in plan.batches(begun, plan.PLAN_BLOBS):
            try:
                self._client.plan(self._project, (), batch)
            except RegistryError as error:
                if not 400 <= error.status < 500 or error.status in (401, 403, 429):
                    raise
            self._settle(batch)


def hash_all(
    sources: Sequence[Source],
    crew: Crew | None = None,
    read: Callable[[Path, Callable[[], bool]], Hashed] = hashing.hash_file,
) -> Iterator[tuple[Source, Hashed]]:
    """Every file with its digests, as they become known; a few are read at the same time."""
    stopped = threading.Event()

    def stopping() -> bool:
        return stopped.is_set() or (crew is not None and crew.stopping())

    pool = ThreadPoolExecutor(_HASHERS, thread_name_prefix="weighbridge-read")
    patient = True
    try:
        queue = _grouped(sources)
        ready: SimpleQueue[Future[list[tuple[Source, Hashed]]]] = SimpleQueue()
        running = 0
        while True:
            for group in islice(queue, _HASH_AHEAD - running):
                future = pool.submit(_read_group, group, read, stopping)
                future.add_done_callback(ready.put)
                running += 1
            if not running:
                return
            future = ready.get()
            running -= 1
            yield from future.result()
    except BaseException as error:
        if crew is not None:
            crew.stop()
        patient = isinstance(error, Exception)
        raise
    finally:
        stopped.set()
        pool.shutdown(wait=patient, cancel_futures=True)


def _grouped(sources: Sequence[Source]) -> Iterator[list[Source]]:
    """Small files by groups, any other by itself."""
    group: list[Source] = []
    for source in sources:
        if _size(source) > SMALL:
            yield [source]
            continue
        group.append(source)
        if len(group) == _GROUP:
            yield group
            group = []
    if group:
        yield group


def _read_group(
    group: Sequence[Source],
    read: Callable[[Path, Callable[[], bool]], Hashed],
    stopping: Callable[[], bool],
) -> list[tuple[Source, Hashed]]:
    found = []
    for source in group:
        if stopping():
            raise Interrupted(f"reading {source.path} was given up")
        found.append((source, read(source.path, stopping)))
    return found


def _size(source: Source) -> int:
    try:
        return source.path.stat().st_size
    except OSError:
        return 0
