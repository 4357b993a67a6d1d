"""Blobs to files: ranges in parallel, written in place, verified, resumed. Never leaves a half file
under its name."""

import secrets
import shutil
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from weighbridge.config import Verify
from weighbridge.contract.digests import parse_blob
from weighbridge.contract.errors import AlreadyExists, IntegrityError, TransferError
from weighbridge.contract.manifests import FileEntry, checked
from weighbridge.contract.types import Download, Downloads, Part, SignedRequest
from weighbridge.http import Pool
from weighbridge.transfer import places, plan, ranges, target
from weighbridge.transfer.cache import Cache
from weighbridge.transfer.crew import Crew
from weighbridge.transfer.hedge import Hedge, Wanted
from weighbridge.transfer.partial import Partial
from weighbridge.transfer.progress import PULL, Progress, Silent
from weighbridge.transfer.tally import Tally
from weighbridge.turns import SMALL, in_turn

WORKERS = 8
"""Connections at the beginning; see `pace`."""
_HASHERS = 2
_STRIKES = 3

Sign = Callable[[Sequence[str]], Downloads]


@dataclass(frozen=True, slots=True)
class Received:
    """What came over the wire, and what was there."""

    received_bytes: int
    reused_bytes: int


class Downloader:
    """Fetches files of one version or checkpoint; `sign` asks its server for downloads. With a
    `cache`, what this machine has already is not fetched."""

    def __init__(
        self,
        sign: Sign,
        pool: Pool,
        progress: Progress | None = None,
        cache: Cache | None = None,
        verify: Verify = "whole",
    ) -> None:
        self._sign = sign
        self._home = self._pool = pool
        self._progress = progress or Silent()
        self._most = pool.most
        self._cache = cache
        self._verify: Verify = verify
        self._tally = Tally(self._progress)
        self._hedge = Hedge(pool, self._tally.received)
        self._lock = threading.Lock()
        self._again: list[FileEntry] = []
        self._wrong: Counter[str] = Counter()
        self._open: list[Partial] = []

    def fetch(
        self, files: Sequence[FileEntry], folder: Path, *, force: bool = False, label: str = "pull"
    ) -> Received:
        """Brings `files` under `folder`. Before anything is written, every target is looked at:
        one that holds other content is an error unless `force`."""
        files = checked(files)
        total = sum(entry.size for entry in files)
        self._tally = Tally(self._progress, total, PULL)
        self._wrong.clear()
        self._pool = self._home.branch()
        self._progress.start(total, label)
        self._tally.begin()
        try:
            folder.mkdir(parents=True, exist_ok=True)
            missing = self._missing(files, folder, force)
            if missing and self._cache is not None:
                self._cache.prepare(folder)
                missing = [e for e in missing if not self._from_cache(e, folder, force)]
            first: dict[str, FileEntry] = {}
            for entry in missing:
                first.setdefault(entry.blob, entry)
            self._fetch(list(first.values()), folder, force)
            for entry in missing:
                if first[entry.blob] is not entry:
                    self._copy(folder, first[entry.blob], entry, force)
            if missing and self._cache is not None:
                self._cache.trim()
        except OSError as error:
            raise TransferError(f"a file cannot be written: {error}") from error
        except KeyboardInterrupt as error:
            error.add_note(self._tally.so_far(total, "here"))
            raise
        finally:
            self._progress.finish()
        return Received(self._tally.sent_bytes, self._tally.reused_bytes)

    def _missing(self, files: Sequence[FileEntry], folder: Path, force: bool) -> list[FileEntry]:
        standing = [target.place(folder, entry.path) for entry in files]
        there = [(p, e) for p, e in zip(standing, files, strict=True) if target.occupied(p)]
        same: set[str] = set()
        pool = ThreadPoolExecutor(_HASHERS, thread_name_prefix="weighbridge-read")
        patient = True
        try:
            found = pool.map(lambda pair: self._present(*pair), there)
            for (place, entry), equal in zip(there, found, strict=True):
                if equal:
                    same.add(entry.path)
                    self._tally.reused(entry.size)
                elif not force:
                    raise target.refuse(place)
        except KeyboardInterrupt:
            patient = False
            raise
        finally:
            pool.shutdown(wait=patient, cancel_futures=True)
        return [entry for entry in files if entry.path not in same]

    def _present(self, place: Path, entry: FileEntry) -> bool:
        if self._cache is not None and self._cache.holds(place, entry):
            return True
        if not target.present(place, entry):
            return False
        if self._cache is not None:
            self._cache.note(place, entry)
        return True

    def _from_cache(self, entry: FileEntry, folder: Path, force: bool) -> bool:
        assert self._cache is not None
        place = target.place(folder, entry.path)
        place.parent.mkdir(parents=True, exist_ok=True)
        draft = place.with_name(f".{secrets.token_hex(12)}.part")
        try:
            if not self._cache.take(entry, draft):
                return False
            self._install(draft, place, entry, force)
        finally:
            draft.unlink(missing_ok=True)
        self._cache.note(place, entry)
        self._tally.reused(entry.size)
        return True

    def _fetch(self, files: Sequence[FileEntry], folder: Path, force: bool) -> None:
        strikes = 0
        while files:
            self._again = []
            before = self._tally.sent_bytes
            try:
                self._hedge = Hedge(self._pool, self._tally.received)
                with Crew(
                    min(WORKERS, self._most), "fetch", self._hedge.interrupt, self._most
                ) as crew:
                    self._submit(crew, files, folder, force)
                    self._hedge.watch(crew)
            finally:
                for file in self._open:
                    file.close()
                self._open = []
            files = self._again
            strikes = 0 if self._tally.sent_bytes > before else strikes + 1
            if files and strikes >= _STRIKES:
                raise TransferError(
                    f"the store refuses {files[0].path} with every new request; "
                    f"{crew.said or 'is its clock right?'}"
                )

    def _submit(self, crew: Crew, files: Sequence[FileEntry], folder: Path, force: bool) -> None:
        for batch in plan.batches(files):
            offered = {item.blob: item for item in self._sign([e.blob for e in batch]).items}
            for entry in batch:
                item = offered.get(entry.blob)
                if item is None or item.request.method != "GET":
                    raise TransferError(f"the server does not say how to get {entry.path}")
                self._begin(crew, entry, folder, item, force)

    def _begin(
        self, crew: Crew, entry: FileEntry, folder: Path, item: Download, force: bool
    ) -> None:
        blob = parse_blob(entry.blob)
        if not blob.parts and entry.size <= SMALL:
            task = partial(self._small, crew, entry, folder, item, force)
            crew.submit(in_turn(task), size=entry.size)
            return
        parts: tuple[Part, ...] = ()
        if item.parts is not None and blob.parts:
            parts = ranges.part_list(self._pool, item.parts, blob, crew)
        place = target.place(folder, entry.path)
        file, spans = self._draft(Partial(entry, blob, place, parts, self._verify))
        left = _Left(len(spans))
        if not spans:
            crew.submit(partial(self._follow, crew, file, force))
        for span in spans:
            task = partial(self._range, crew, file, span, item.request, left, force)
            crew.submit(task, size=span.size)

    def _small(
        self, crew: Crew, entry: FileEntry, folder: Path, item: Download, force: bool
    ) -> None:
        """A small file from its beginning to its end."""
        blob = parse_blob(entry.blob)
        file, spans = self._draft(Partial(entry, blob, target.place(folder, entry.path)))
        left = _Left(len(spans))
        if not spans:
            self._follow(crew, file, force)
        for span in spans:
            self._range(crew, file, span, item.request, left, force)

    def _draft(self, file: Partial) -> tuple[Partial, list[plan.Span]]:
        """The file, its draft begun or found, and the ranges that are still to be fetched."""
        try:
            spans = file.begin()
        except BaseException:
            file.close()
            raise
        with self._lock:
            self._open = [*(other for other in self._open if other.busy), file]
        self._tally.reused(file.entry.size - sum(span.size for span in spans))
        return file, spans

    def _range(
        self,
        crew: Crew,
        file: Partial,
        span: plan.Span,
        request: SignedRequest,
        left: "_Left",
        force: bool,
    ) -> None:
        file.wait(span, crew.workers, lambda: left.stale or crew.stopping())
        if not left.stale:
            try:
                file.wrote(span, self._get(crew, file, span, request))
                self._tally.landed(span.size)
            except ranges.Expired as error:
                left.stale = True
                crew.said = error.message
            except IntegrityError:
                if len(file.reading.ranges) == 1:
                    file.discard()
                raise
        if left.last() and left.stale:
            file.close()
            with self._lock:
                self._again.append(file.entry)
        elif not left.stale:
            self._follow(crew, file, force)

    def _get(self, crew: Crew, file: Partial, span: plan.Span, request: SignedRequest) -> str:
        entry = file.entry
        wanted = Wanted(request, span, entry.size, entry.path, file.expected(span))
        return self._hedge.fetch(crew, wanted, file.write)

    def _follow(self, crew: Crew, file: Partial, force: bool) -> None:
        if not file.follow(crew.stopping):
            return
        entry = file.entry
        if file.right():
            places.set_back(file.draft)
            # The cache's names are the SHA-256 of whole files: what was not confirmed has none.
            cache = self._cache if file.confirms else None
            if cache is not None:
                cache.keep(file.draft, entry)
            self._install(file.draft, file.target, entry, force)
            file.forget()
            if cache is not None:
                cache.note(file.target, entry)
            return
        file.discard()
        with self._lock:
            # A wrong byte may come from the wire, or from a draft that was damaged meanwhile.
            self._wrong[entry.path] += 1
            if self._wrong[entry.path] >= ranges.WRONG:
                raise target.mismatch(entry)
            self._again.append(entry)

    def _install(self, draft: Path, place: Path, entry: FileEntry, force: bool) -> None:
        try:
            target.install(draft, place, force=force)
        except AlreadyExists:
            # Another process may have pulled the same meanwhile.
            if not target.present(place, entry):
                raise
            draft.unlink(missing_ok=True)

    def _copy(self, folder: Path, source: FileEntry, entry: FileEntry, force: bool) -> None:
        """A second file with the same content: from the first one, which was just verified."""
        place = target.place(folder, entry.path)
        place.parent.mkdir(parents=True, exist_ok=True)
        draft = place.with_name(f".{secrets.token_hex(12)}.part")
        try:
            shutil.copyfile(target.place(folder, source.path), draft)
            if not target.present(draft, entry):
                raise target.mismatch(entry)
            places.set_back(draft)
            self._install(draft, place, entry, force)
        finally:
            draft.unlink(missing_ok=True)
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
