"""One large file in one pass: read, cut, hashed, asked after and sent, all at the same time."""

import hashlib
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from weighbridge.contract import cuts
from weighbridge.contract.cuts import Span
from weighbridge.contract.digests import Sha256
from weighbridge.transfer import hashing
from weighbridge.transfer.crew import Interrupted
from weighbridge.transfer.hashing import Hashed, Stamp
from weighbridge.transfer.layout import Layout, layout
from weighbridge.transfer.memory import BUFFER
from weighbridge.transfer.multipart import Multiparts, Ready, Upload, open_name

BATCH = 4
"""Parts that are asked after together: they are in memory while the answer comes."""
LARGE_BATCH = 16
"""The same, where they are not in memory."""
FAMILIAR_BATCH = 32
"""The same, where everything so far was there."""


class Stream:
    """A file above the size of a single PUT. `run` reads it; then `upload` tells whether anything
    had to be sent, and `parts` what is still to be submitted if so or if a plan says so."""

    def __init__(
        self,
        path: Path,
        uploads: Multiparts,
        stopping: Callable[[], bool],
        observe: Callable[[memoryview], None] | None = None,
    ) -> None:
        self._path = path
        self._observe = observe
        self._uploads = uploads
        self._stopping = stopping
        self._stamp = Stamp(0, 0, 0, 0)
        self._layout = Layout(0, ())
        self._waiting: list[Ready] = []
        self._passed: list[Ready] = []
        """Parts that were dealt with before, without their buffers."""
        self._asking: Future[None] | None = None
        self._asker: ThreadPoolExecutor | None = None
        self.upload: Upload | None = None

    def run(self) -> Hashed:
        """Reads the file once. A file that turns out to be small is only hashed."""
        with hashing.open_file(self._path) as stream:
            self._stamp = hashing.stamp(stream)
            self._layout = layout(stream, self._stamp.size)
            if not self._layout.spans:
                return hashing.hash_file(self._path, self._stopping, self._observe)
            self.upload = self._uploads.remembered(self._path, self._stamp, self._name())
            whole = hashlib.sha256()
            parts = []
            with ThreadPoolExecutor(1, thread_name_prefix="weighbridge-ask") as self._asker:
                for read in hashing.read_parts(
                    stream, self._path, self._layout.spans, whole, self._stopping, self._take,
                    self._observe,
                ):  # fmt: skip
                    parts.append(read.part)
                    self._waiting.append(Ready(read.part, read.span, read.buffer))
                    left = len(self._layout.spans) - len(parts)
                    enough = len(self._waiting) >= self._batch(len(parts), left)
                    # The first piece of a tensor may be found next to the second.
                    if left and enough and not cuts.is_head(read.part.size):
                        self._ask()
                hashing.check_end(stream, self._path, self._stamp, whole.hexdigest())
                self._answered()
        digest = Sha256(whole.hexdigest())
        return hashing.hashed(self._path, self._stamp, digest, parts, self._layout.scheme)

    def _batch(self, asked: int, left: int) -> int:
        """How many parts to ask after at a time: few at first, so that sending begins, and few
        again near the end, so that little is left to send when the file is read."""
        if self._uploads.familiar:
            return FAMILIAR_BATCH
        if not self._uploads.direct or asked <= BATCH:
            return BATCH
        return max(BATCH, min(LARGE_BATCH, left // 2))

    @property
    def in_memory(self) -> bool:
        """Whether parts of the file still occupy buffers that others may wait for."""
        return any(item.buffer is not None for item in self._waiting)

    def rest(self) -> list[Ready]:
        """What is not submitted yet: with an upload the last few parts, else all of them."""
        rest = self._waiting if self.upload else [*self._passed, *self._waiting]
        self._waiting = []
        return rest

    def finish(self, upload: Upload, file: Hashed) -> None:
        """Submits the rest, and has the upload completed."""
        self._uploads.submit(upload, self.rest())
        self._uploads.finish(upload, file)

    def forget(self) -> None:
        """Nothing of the file needs to be sent."""
        self._uploads.release(self.rest())

    def _name(self) -> str:
        how = self._layout
        return open_name(self._path, self._stamp.size, how.scheme, how.spans)

    def _check(self) -> None:
        if self._stopping():
            raise Interrupted(f"reading {self._path} was given up")

    def _take(self, span: Span) -> memoryview | None:
        if span.size > BUFFER or self._uploads.familiar or self._uploads.direct:
            return None
        buffer = self._uploads.memory.take()
        if buffer is None:
            # Nobody may hold buffers back while waiting for one.
            self._ask()
            buffer = self._uploads.memory.wait(self._check)
        return buffer

    def _ask(self) -> None:
        self._answered()
        batch, self._waiting = self._waiting, []
        if batch and self._asker is not None:
            self._asking = self._asker.submit(self._handle, batch)

    def _answered(self) -> None:
        if self._asking is not None:
            self._asking.result()
            self._asking = None

    def _handle(self, batch: list[Ready]) -> None:
        """In the asking thread: sends a batch on its way, opening the upload if there is need."""
        uploads = self._uploads
        bare = [Ready(item.part, item.span) for item in batch]
        if self.upload is not None:
            uploads.submit(self.upload, batch)
            if not self.upload.gone:
                self._passed += bare
                return
            # It was completed or swept since it was remembered; its buffers are given back.
            self.upload = None
            batch = bare
        if uploads.known(batch):
            uploads.release(batch)
        else:
            known = [*self._passed, *batch]
            self.upload = uploads.open(
                self._path, self._stamp, self._layout.scheme, self._name(), known
            )
            uploads.submit(self.upload, known)
        self._passed += bare
