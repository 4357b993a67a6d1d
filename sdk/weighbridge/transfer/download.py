"""Blobs to files: ranges in parallel, written in place, verified, resumed. Never leaves a half file
under its name."""

import random
import shutil
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from weighbridge.contract.digests import parse_blob
from weighbridge.contract.errors import RegistryError, TransferError
from weighbridge.contract.manifests import FileEntry, checked
from weighbridge.contract.types import Downloads, SignedRequest
from weighbridge.http import Broken, Pool, Response, Unreachable
from weighbridge.transfer import hashing, plan, target
from weighbridge.transfer.crew import Crew
from weighbridge.transfer.partial import Partial
from weighbridge.transfer.progress import Progress, Silent
from weighbridge.transfer.tally import Tally

WORKERS = 8
ATTEMPTS = 8
_HASHERS = 2
_STRIKES = 3

Sign = Callable[[Sequence[str]], Downloads]


@dataclass(frozen=True, slots=True)
class Received:
    """What came over the wire, and what was there."""

    received_bytes: int
    reused_bytes: int


class Downloader:
    """Fetches files of one version or checkpoint; `sign` asks its server for downloads."""

    def __init__(
        self,
        sign: Sign,
        pool: Pool,
        progress: Progress | None = None,
        workers: int = WORKERS,
    ) -> None:
        self._sign = sign
        self._pool = pool
        self._progress = progress or Silent()
        self._workers = workers
        self._tally = Tally(self._progress)
        self._lock = threading.Lock()
        self._again: list[FileEntry] = []

    def fetch(
        self, files: Sequence[FileEntry], folder: Path, *, force: bool = False, label: str = "pull"
    ) -> Received:
        """Brings `files` under `folder`. Before anything is written, every target is looked at:
        one that holds other content is an error unless `force`."""
        files = checked(files)
        self._tally = Tally(self._progress)
        self._progress.start(sum(entry.size for entry in files), label)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            missing = self._missing(files, folder, force)
            first: dict[str, FileEntry] = {}
            for entry in missing:
                first.setdefault(entry.blob, entry)
            self._fetch(list(first.values()), folder, force)
            for entry in missing:
                if first[entry.blob] is not entry:
                    self._copy(folder, first[entry.blob], entry, force)
        except OSError as error:
            raise TransferError(f"a file cannot be written: {error}") from error
        finally:
            self._progress.finish()
        return Received(self._tally.sent_bytes, self._tally.reused_bytes)

    def _missing(self, files: Sequence[FileEntry], folder: Path, force: bool) -> list[FileEntry]:
        places = [target.place(folder, entry.path) for entry in files]
        there = [(p, e) for p, e in zip(places, files, strict=True) if target.occupied(p)]
        same: set[str] = set()
        with ThreadPoolExecutor(_HASHERS, thread_name_prefix="weighbridge-read") as pool:
            found = pool.map(lambda pair: target.present(*pair), there)
            for (place, entry), equal in zip(there, found, strict=True):
                if equal:
                    same.add(entry.path)
                    self._tally.reused(entry.size)
                elif not force:
                    raise target.refuse(place)
        return [entry for entry in files if entry.path not in same]

    def _fetch(self, files: Sequence[FileEntry], folder: Path, force: bool) -> None:
        strikes = 0
        while files:
            self._again = []
            before = self._tally.sent_bytes
            with Crew(self._workers, "fetch") as crew:
                for batch in plan.batches(files):
                    answer = self._sign([entry.blob for entry in batch])
                    requests = {item.blob: item.request for item in answer.items}
                    for entry in batch:
                        request = requests.get(entry.blob)
                        if request is None or request.method != "GET":
                            raise TransferError(f"the server does not say how to get {entry.path}")
                        self._begin(crew, entry, folder, request, force)
            files = self._again
            strikes = 0 if self._tally.sent_bytes > before else strikes + 1
            if files and strikes >= _STRIKES:
                raise TransferError(
                    f"the store refuses {files[0].path} with every new request; is its clock right?"
                )

    def _begin(
        self, crew: Crew, entry: FileEntry, folder: Path, request: SignedRequest, force: bool
    ) -> None:
        file = Partial(entry, parse_blob(entry.blob), target.place(folder, entry.path))
        ranges = file.begin()
        left = _Left(len(ranges))
        self._tally.reused(entry.size - sum(span.size for span in ranges))
        if not ranges:
            crew.submit(partial(self._follow, crew, file, force))
        for span in ranges:
            crew.submit(partial(self._range, crew, file, span, request, left, force))

    def _range(
        self,
        crew: Crew,
        file: Partial,
        span: plan.Span,
        request: SignedRequest,
        left: "_Left",
        force: bool,
    ) -> None:
        if not left.stale:
            if self._get(crew, file, span, request):
                file.wrote(span.number)
            else:
                left.stale = True
        if left.last() and left.stale:
            with self._lock:
                self._again.append(file.entry)
        elif not left.stale:
            self._follow(crew, file, force)

    def _follow(self, crew: Crew, file: Partial, force: bool) -> None:
        if not file.follow(crew.stopping):
            return
        if file.right():
            file.forget()
            target.install(file.draft, file.target, force=force)
            return
        file.discard()
        if not file.resumed:
            raise target.mismatch(file.entry)
        # What an earlier run left was damaged meanwhile: once more, from nothing.
        with self._lock:
            self._again.append(file.entry)

    def _get(self, crew: Crew, file: Partial, span: plan.Span, request: SignedRequest) -> bool:
        """Fetches one range into the draft; False if a new request must be asked for."""
        if not span.size:
            return True
        at, end = span.offset, span.offset + span.size
        view = memoryview(bytearray(min(hashing.BLOCK, span.size)))
        attempt = 0
        while True:
            crew.check()
            attempt += 1
            start = at
            failure: RegistryError
            try:
                with self._pool.open("GET", request.url, _ranged(request, at, end)) as answer:
                    if answer.status in (401, 403):
                        answer.read()
                        return False
                    failure = _refusal(answer, file.entry, at, file.entry.size)
                    if not failure.message:
                        while at < end:
                            count = answer.readinto(view[: min(len(view), end - at)])
                            if not count:
                                break
                            file.write(at, view[:count])
                            self._tally.received(count)
                            at += count
                            crew.check()
                        if at == end:
                            # Reads the end of the body, so that the connection can be kept.
                            answer.readinto(memoryview(bytearray(1)))
                            return True
                        failure = Broken(f"{file.entry.path} ended {end - at} bytes early")
                    elif answer.status not in plan.RETRIED:
                        raise failure
            except (Broken, Unreachable) as error:
                failure = error
            if at > start:
                attempt = 1
            delay = plan.retry_delay(attempt, ATTEMPTS, random.random())  # noqa: S311 - jitter
            if delay is None:
                raise failure
            crew.pause(delay)

    def _copy(self, folder: Path, source: FileEntry, entry: FileEntry, force: bool) -> None:
        """A second file with the same content: from the first one, which was just verified."""
        place = target.place(folder, entry.path)
        file = Partial(entry, parse_blob(entry.blob), place)
        file.discard()
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(target.place(folder, source.path), file.draft)
        if not target.present(file.draft, entry):
            file.discard()
            raise target.mismatch(entry)
        target.install(file.draft, place, force=force)
        self._tally.reused(entry.size)


class _Left:
    """How many ranges of a file are still under way."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._lock = threading.Lock()
        self.stale = False

    def last(self) -> bool:
        """One less; whether that was the last."""
        with self._lock:
            self._count -= 1
            return not self._count


def _ranged(request: SignedRequest, start: int, end: int) -> dict[str, str]:
    return {**request.headers, "Range": f"bytes={start}-{end - 1}"}


def _refusal(answer: Response, entry: FileEntry, start: int, size: int) -> TransferError:
    """Why an answer cannot be used; with an empty message if it can."""
    if answer.status == 206:
        said = answer.headers.get("content-range", "")
        unit, _, rest = said.partition(" ")
        first, _, _ = rest.partition("-")
        if unit == "bytes" and first == str(start) and rest.endswith((f"/{size}", "/*")):
            return TransferError("")
        return TransferError(f"the store answered another range of {entry.path}: {said!r}")
    if answer.status == 200 and start == 0:
        return TransferError("")
    return TransferError(f"the store refused {entry.path}: status {answer.status}")
