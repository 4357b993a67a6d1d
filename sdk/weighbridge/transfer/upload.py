"""Files to blobs: hash, ask for a plan, send what is wanted, report; all of it overlapping."""

import os
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from functools import partial

from weighbridge.client import Client
from weighbridge.contract.digests import Sha256
from weighbridge.contract.errors import (
    Conflict,
    Gone,
    IntegrityError,
    NotFound,
    RegistryError,
    TransferError,
)
from weighbridge.contract.manifests import FileEntry
from weighbridge.contract.types import Part, PutDone, SignedRequest
from weighbridge.sources import Source
from weighbridge.transfer import hashing, plan, store
from weighbridge.transfer.crew import Crew
from weighbridge.transfer.hashing import Hashed
from weighbridge.transfer.journal import Journal
from weighbridge.transfer.progress import Progress, Silent
from weighbridge.transfer.tally import Tally

WORKERS = 8
_HASHERS = max(1, min(4, os.cpu_count() or 1))
_HASH_AHEAD = 64
_STRIKES = 4


@dataclass(frozen=True, slots=True)
class Sent:
    """Files whose blobs are stored; see `PushResult` for the counts."""

    entries: tuple[FileEntry, ...]
    sent_bytes: int
    reused_bytes: int
    parts_sent: int


@dataclass(slots=True)
class _Upload:
    """A multipart upload under way."""

    file: Hashed
    upload: str
    left: int = 0
    signed: bool = False
    stale: bool = False
    lock: threading.Lock = field(default_factory=threading.Lock)


class Uploader:
    """Brings files into a project's store. One `send` at a time."""

    def __init__(
        self,
        client: Client,
        project: str,
        journal: Journal,
        progress: Progress | None = None,
        workers: int = WORKERS,
    ) -> None:
        self._client = client
        self._project = project
        self._journal = journal
        self._progress = progress or Silent()
        self._workers = workers
        self._lock = threading.Lock()
        self._tally = Tally(self._progress)
        self._again: dict[str, Hashed] = {}
        self._unreported: list[PutDone] = []

    def send(self, sources: Sequence[Source], label: str = "push") -> Sent:
        """Stores every file that the project does not hold yet. Raises `FileChanged`, and leaves
        what was stored so far for the next try, if one changes meanwhile."""
        self._tally = Tally(self._progress)
        self._progress.start(sum(_size(source) for source in sources), label)
        try:
            entries = self._send(sources)
        finally:
            self._progress.finish()
        tally = self._tally
        return Sent(entries, tally.sent_bytes, tally.reused_bytes, tally.parts_sent)

    def _send(self, sources: Sequence[Source]) -> tuple[FileEntry, ...]:
        self._report_remembered()
        entries: dict[str, FileEntry] = {}
        seen: set[str] = set()
        waiting: list[Hashed] = []
        waiting_bytes = 0
        with Crew(self._workers, "send") as crew:
            left = len(sources)
            for source, file in hash_all(sources, crew):
                left -= 1
                entries[source.name] = FileEntry(source.name, file.size, file.sha256, file.blob)
                if file.blob in seen:
                    self._tally.reused(file.size)
                else:
                    seen.add(file.blob)
                    waiting.append(file)
                    waiting_bytes += file.size
                if plan.ask_now(len(waiting), waiting_bytes, left > 0):
                    self._round(crew, waiting)
                    waiting, waiting_bytes = [], 0
            crew.drain()
            self._report()
            self._repeat(crew)
        return tuple(entries[name] for name in sorted(entries))

    def _repeat(self, crew: Crew) -> None:
        """Sends once more what needs new requests, until nothing does or nothing moves."""
        strikes = 0
        while self._again:
            files, self._again = list(self._again.values()), {}
            before = self._tally.parts_sent
            for batch in plan.batches(files):
                self._round(crew, batch)
            crew.drain()
            self._report()
            strikes = 0 if self._tally.parts_sent > before else strikes + 1
            if self._again and strikes:
                delay = plan.retry_delay(strikes, _STRIKES, 1.0)
                if delay is None:
                    file = next(iter(self._again.values()))
                    raise TransferError(
                        f"the store refuses {file.path} with every new request; "
                        "is its clock right, and may the server sign for it?"
                    )
                crew.pause(delay)

    # Planning, in the calling thread

    def _round(self, crew: Crew, files: Sequence[Hashed]) -> None:
        fresh = []
        for file in files:
            if file.blob in self._journal.uploads:
                # Its upload is known: the store's list of parts says what is left.
                self._submit_parts(crew, file, self._journal.uploads[file.blob])
            else:
                fresh.append(file)
        done = self._take_done()
        if not fresh and not done:
            return
        answer = self._client.plan(self._project, [file.blob for file in fresh], done)
        self._settle(done)
        by_blob = {item.blob: item for item in answer.blobs}
        for file in fresh:
            item = by_blob.get(file.blob)
            if item is None:
                raise TransferError(f"the server's plan says nothing about {file.path}")
            if item.action == "have":
                self._journal.settled(file.blob)
                self._tally.held(file.blob, 0, file.size)
            elif item.action == "put" and item.request is not None and not file.parts:
                self._submit_put(crew, file, item.key, item.request)
            elif item.action == "multipart" and file.parts:
                self._submit_parts(crew, file, item.upload)
            else:
                raise TransferError(f"the server's plan for {file.path} cannot be carried out")

    def _submit_put(self, crew: Crew, file: Hashed, key: str, request: SignedRequest) -> None:
        def task() -> None:
            span = plan.Span(1, 0, file.size)
            self._journal.put_began(file.blob, key)
            if self._put(crew, request, file, span, file.sha256) == "again":
                self._send_again(file)
                return
            self._journal.put_done(file.blob, key)
            with self._lock:
                self._unreported.append(PutDone(file.blob, key))

        crew.submit(task)

    def _submit_parts(self, crew: Crew, file: Hashed, identifier: str) -> None:
        upload = _Upload(file, identifier)
        spans = {span.number: span for span in hashing.parts_of(file)}
        for page in plan.batches(file.parts, plan.SIGN_PARTS):
            try:
                answer = self._client.sign_parts(self._project, upload.upload, page)
            except (NotFound, Gone, Conflict):
                # The upload was completed or swept meanwhile: a new plan tells which.
                self._journal.settled(file.blob)
                upload.stale = True
                break
            self._journal.upload_began(file.blob, upload.upload)
            send, held = plan.to_send(answer, page)
            if len(send) + len(held) < len(page):
                upload.stale = True
            for part in held:
                self._tally.held(file.blob, part.number, part.size)
            with upload.lock:
                upload.left += len(send)
            for part, request in send:
                self._submit_part(crew, upload, part, spans[part.number], request)
        with upload.lock:
            upload.signed = True
            last = not upload.left
        if last:
            self._complete(upload)

    def _submit_part(
        self, crew: Crew, upload: _Upload, part: Part, span: plan.Span, request: SignedRequest
    ) -> None:
        def task() -> None:
            sha256 = Sha256(part.sha256)
            if not upload.stale and (
                self._put(crew, request, upload.file, span, sha256) == "again"
            ):
                upload.stale = True
            with upload.lock:
                upload.left -= 1
                last = upload.signed and not upload.left
            if last:
                self._complete(upload)

        crew.submit(task)

    # Sending, in the crew's threads

    def _put(
        self,
        crew: Crew,
        request: SignedRequest,
        file: Hashed,
        span: plan.Span,
        sha256: Sha256,
    ) -> str:
        outcome = store.put(
            self._client.pool,
            request,
            file,
            span,
            sha256,
            crew,
            partial(self._tally.sent, file.blob, span.number),
        )
        if outcome == "done":
            self._tally.part(file.blob, span.number, span.size)
        return outcome

    def _complete(self, upload: _Upload) -> None:
        """Joins the parts; if some are missing or the upload is gone, the file goes round again."""
        file = upload.file
        if upload.stale:
            self._send_again(file)
            return
        try:
            self._client.complete_upload(self._project, upload.upload, file.blob)
        except (NotFound, Gone):
            self._journal.settled(file.blob)
            self._send_again(file)
        except IntegrityError as error:
            if not error.details.get("missing"):
                raise
            self._send_again(file)
        except Conflict:
            self._send_again(file)
        else:
            self._journal.settled(file.blob)

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
        for item in done:
            self._journal.settled(item.blob)

    def _report(self) -> None:
        while done := self._take_done():
            self._client.plan(self._project, (), done)
            self._settle(done)

    def _report_remembered(self) -> None:
        """Tells the server of PUTs that an interrupted run could not report any more."""
        answered = [PutDone(blob, key) for blob, key in self._journal.puts.items()]
        # What was under way may have arrived too: one by one, for each may be missing on its own.
        open_ = [PutDone(blob, key) for blob, key in self._journal.begun.items()]
        for batch in (*plan.batches(answered), *([item] for item in open_)):
            try:
                self._client.plan(self._project, (), batch)
            except RegistryError as error:
                if not 400 <= error.status < 500 or error.status in (401, 403, 429):
                    raise
                # They were swept meanwhile, or never arrived: they are sent anew.
            self._settle(batch)


def hash_all(
    sources: Sequence[Source], crew: Crew | None = None
) -> Iterator[tuple[Source, Hashed]]:
    """Every file with its digests, as they become known; a few are read at the same time."""
    stopped = threading.Event()

    def stopping() -> bool:
        return stopped.is_set() or (crew is not None and crew.stopping())

    pool = ThreadPoolExecutor(_HASHERS, thread_name_prefix="weighbridge-read")
    try:
        running: dict[Future[Hashed], Source] = {}
        queue = iter(sources)
        more = True
        while True:
            while more and len(running) < _HASH_AHEAD:
                source = next(queue, None)
                if source is None:
                    more = False
                    break
                running[pool.submit(hashing.hash_file, source.path, stopping)] = source
            if not running:
                return
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                yield running.pop(future), future.result()
    finally:
        stopped.set()
        pool.shutdown(cancel_futures=True)


def _size(source: Source) -> int:
    try:
        return source.path.stat().st_size
    except OSError:
        return 0
