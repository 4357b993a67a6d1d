"""Multipart uploads under way: parts are signed, copied inside the store or sent, then joined."""

import hashlib
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from weighbridge import bodies
from weighbridge.client import Client
from weighbridge.contract import cuts
from weighbridge.contract.cuts import Span
from weighbridge.contract.digests import Sha256
from weighbridge.contract.errors import Conflict, Gone, IntegrityError, NotFound, TransferError
from weighbridge.contract.types import KnownPart, Part, PartPlan, SignedRequest
from weighbridge.transfer import hashing, plan, store
from weighbridge.transfer.crew import Crew
from weighbridge.transfer.hashing import Hashed, Stamp
from weighbridge.transfer.journal import Journal
from weighbridge.transfer.memory import Memory
from weighbridge.transfer.tally import Tally

_SPOILS = 2
SAME_SECOND = 1.05
"""SeaweedFS keeps a part that is sent again beside the old one, and dates both to the second: which of
two parts of one second counts is chance. So what replaces a wrong copy comes a second later."""
_LAST = 100
"""Of very many parts that are known, the first ones and so many of the last are told."""


@dataclass(frozen=True, slots=True)
class Ready:
    """A part whose digest is known, and the buffer that still holds it, if any."""

    part: Part
    span: Span
    buffer: memoryview | None = None

    def data(self) -> memoryview | None:
        """Its bytes, where they are in memory."""
        return None if self.buffer is None else self.buffer[: self.span.size]


@dataclass(slots=True)
class Upload:
    """A multipart upload of the file at `path`. `remembered` is its name in the journal; `file` is
    known once the file was read to its end."""

    path: Path
    stamp: Stamp
    identifier: str
    remembered: str
    keep: bool = False
    """Another client opened it, and may still be at it: what it sent is not replaced."""
    file: Hashed | None = None
    left: int = 0
    stale: bool = False
    """Something has to be asked for again, so this round will not complete it."""
    expired: bool = False
    """An address was refused: those that were signed with it will be, too."""
    gone: bool = False
    lock: threading.Lock = field(default_factory=threading.Lock)


class Multiparts:
    """All multipart uploads of one push. `again` is told of files that need another round."""

    def __init__(
        self,
        client: Client,
        project: str,
        journal: Journal,
        tally: Tally,
        crew: Crew,
        again: Callable[[Hashed], None],
    ) -> None:
        self._client = client
        self._project = project
        self._journal = journal
        self._tally = tally
        self._again = again
        self._sendonly: set[tuple[Path, int]] = set()
        self._refused: set[tuple[Path, int]] = set()
        self._copied: dict[tuple[Path, int], float] = {}
        """When a copy ended that is not what was wanted."""
        self._spoils: Counter[Path] = Counter()
        self.crew = crew
        self.memory = Memory()
        self.familiar = False
        """What was asked after last was there: then parts are not kept in memory."""
        self.direct = True
        """Parts go from file to socket inside the system, which TLS rules out: then they are not
        kept in memory either. Taken for granted until the first address says otherwise."""

    # Asking

    def known(self, parts: Sequence[Ready]) -> bool:
        """Whether the project holds all of these parts in some object."""
        wanted = [KnownPart(item.part.sha256, item.part.size) for item in parts]
        for page in plan.batches(wanted):
            answer = self._client.look_parts(self._project, page)
            self.familiar = len(answer.known) == len(page) and all(answer.known)
            if not self.familiar:
                return False
        return True

    def open(
        self, path: Path, stamp: Stamp, scheme: int, remembered: str, known: Sequence[Ready]
    ) -> Upload:
        """Opens an upload of a file that is not read to its end yet, of which these first parts are
        known; or goes on with one that was left of it, on this machine or another."""
        parts = [item.part for item in known[: plan.PAGE - _LAST]]
        parts += [item.part for item in known[len(parts) :][-_LAST:]]
        opened = self._client.open_upload(self._project, stamp.size, scheme, parts)
        self._journal.upload_began(remembered, opened.upload)
        return Upload(path, stamp, opened.upload, remembered, keep=opened.resumed)

    def remembered(self, path: Path, stamp: Stamp, name: str) -> Upload | None:
        """The upload that an interrupted push left under this name."""
        identifier = self._journal.uploads.get(name)
        return Upload(path, stamp, identifier, name) if identifier else None

    def planned(self, file: Hashed, identifier: str) -> Upload:
        """The upload that the server's plan names for a file."""
        self._journal.upload_began(file.blob, identifier)
        return Upload(file.path, file.stamp, identifier, file.blob)

    # Moving parts

    def submit(self, upload: Upload, parts: Sequence[Ready]) -> None:
        """Has parts signed, and the crew move them."""
        sendonly = [r for r in parts if (upload.path, r.part.number) in self._sendonly]
        others = [r for r in parts if (upload.path, r.part.number) not in self._sendonly]
        for group, only in ((others, False), (sendonly, True)):
            for page in _pages(group):
                if upload.gone:
                    self.release(page)
                    continue
                try:
                    answer = self._client.sign_parts(
                        self._project,
                        upload.identifier,
                        [item.part for item in page],
                        only,
                        upload.keep,
                    )
                except (NotFound, Gone, Conflict):
                    # The upload was completed or swept meanwhile: a new plan tells which.
                    self._journal.settled(upload.remembered)
                    upload.gone = upload.stale = True
                    self.release(page)
                    continue
                plans = {item.number: item for item in answer.parts}
                for item in page:
                    self._act(upload, item, plans.get(item.part.number))

    def _act(self, upload: Upload, item: Ready, found: PartPlan | None) -> None:
        if found is None:
            upload.stale = True
        elif found.request is None:
            self._tally.held(str(upload.path), item.part.number, item.part.size)
        else:
            self.direct = bodies.direct(found.request.url)
            with upload.lock:
                upload.left += 1
            if found.action == "copy":
                self._drop(item)
                task = partial(self._copy, upload, item, found.request)
            else:
                task = partial(self._send, upload, item, found.request)
            self.crew.submit(partial(self._task, upload, task), size=item.part.size)
            return
        self._drop(item)

    def _task(self, upload: Upload, task: Callable[[], None]) -> None:
        task()
        with upload.lock:
            upload.left -= 1
            file = None if upload.left else upload.file
        if file is not None:
            self._complete(upload, file)

    def _send(self, upload: Upload, item: Ready, request: SignedRequest) -> None:
        number = item.part.number
        key = str(upload.path)
        sent = partial(self._tally.sent, key, number)
        sha256 = Sha256(item.part.sha256)
        chunk = store.Chunk(upload.path, upload.stamp, item.span, sha256, item.data())
        try:
            # With one address expired, the others are not worth reading the file for.
            if upload.gone or (upload.expired and chunk.data is None):
                upload.stale = True
                return
            if copied := self._copied.pop((upload.path, number), 0.0):
                self.crew.pause(max(0.0, copied + SAME_SECOND - time.monotonic()))
            if store.put(self._client.pool, request, chunk, self.crew, sent) == "done":
                self._tally.part(key, number, item.part.size)
            else:
                upload.stale = upload.expired = True
        finally:
            self._drop(item)

    def _copy(self, upload: Upload, item: Ready, request: SignedRequest) -> None:
        if upload.gone:
            return
        part = (upload.path, item.part.number)
        outcome = store.copy(self._client.pool, request, Sha256(item.part.sha256), self.crew)
        if outcome == "done":
            self._tally.held(str(upload.path), item.part.number, item.part.size)
            return
        upload.stale = True
        upload.expired = upload.expired or outcome == "again"
        # A second refusal is no expired address any more.
        if outcome == "send":
            self._copied[part] = time.monotonic()
        if outcome == "send" or part in self._refused:
            self._sendonly.add(part)
        self._refused.add(part)

    def release(self, parts: Sequence[Ready]) -> None:
        """Gives back the buffers of parts that are not sent from them."""
        for item in parts:
            self._drop(item)

    def _drop(self, item: Ready) -> None:
        self.memory.give(item.buffer)

    # Joining

    def finish(self, upload: Upload, file: Hashed) -> None:
        """All parts were submitted: the last one that is done completes the upload."""
        with upload.lock:
            upload.file = file
            last = not upload.left
        if last:
            self._complete(upload, file)

    def _complete(self, upload: Upload, file: Hashed) -> None:
        """Joins the parts; if some are missing or the upload is gone, the file goes round again."""
        now = hashing.stamp_at(upload.path)
        if not hashing.unchanged(upload.path, upload.stamp, file.sha256, now):
            raise hashing.changed(upload.path)
        if upload.stale:
            self._again(file)
            return
        try:
            self._client.complete_upload(self._project, upload.identifier, file.blob)
        except (NotFound, Gone):
            self._journal.settled(upload.remembered)
            self._again(file)
        except IntegrityError as error:
            if not error.details.get("missing"):
                self._spoiled(upload, error)
            self._again(file)
        except Conflict:
            self._again(file)
        else:
            self._journal.settled(upload.remembered)

    def _spoiled(self, upload: Upload, error: IntegrityError) -> None:
        """The upload holds other parts than these: another client, which went on with it, had another
        file after all. What is sent under a new one is only ours."""
        self._spoils[upload.path] += 1
        if not error.details.get("blob") or self._spoils[upload.path] > _SPOILS:
            raise error
        self._journal.settled(upload.remembered)


def _pages(parts: Sequence[Ready]) -> Iterator[Sequence[Ready]]:
    """The parts that are signed together. A first piece of a tensor stays with the second, next to
    which it is found."""
    start = 0
    while start < len(parts):
        end, most = start + plan.SIGN_PARTS, start + plan.PAGE
        while end < min(len(parts), most) and cuts.is_head(parts[end - 1].part.size):
            end += 1
        yield parts[start:end]
        start = end


def open_name(path: Path, size: int, scheme: int, spans: Sequence[Span]) -> str:
    """What the journal calls an upload that is opened before its blob is known: the file's path,
    and how it is cut."""
    text = "\0".join([str(path), str(size), str(scheme), *(str(span.size) for span in spans)])
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
    return f"open-{digest[:32]}"


def ready_parts(file: Hashed) -> list[Ready]:
    """The parts of a file that is read again where they are sent."""
    if not file.parts:
        raise TransferError(f"{file.path} is no file of parts")
    spans = hashing.parts_of(file)
    return [Ready(part, span) for part, span in zip(file.parts, spans, strict=True)]
