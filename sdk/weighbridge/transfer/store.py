"""One file, or a part of it, to the object store: retries, and what each answer means."""

import hashlib
import random
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from weighbridge.bodies import Body, Bytes, FileBody
from weighbridge.contract.cuts import Span
from weighbridge.contract.digests import Sha256, to_base64
from weighbridge.contract.errors import IntegrityError, TransferError
from weighbridge.contract.types import SignedRequest
from weighbridge.http import Broken, Pool, Unreachable
from weighbridge.transfer import hashing, plan, skew
from weighbridge.transfer.crew import Crew
from weighbridge.transfer.hashing import Stamp

ATTEMPTS = 8
_SMALL = 64 * 1024
_CODE = re.compile(rb"<Code>([^<]{1,100})</Code>")
_CHECKSUM = re.compile(rb"<ChecksumSHA256>\s*([A-Za-z0-9+/=]{44})\s*</ChecksumSHA256>")
_MESSAGE = re.compile(rb"<Message>([^<]{1,300})</Message>")


@dataclass(frozen=True, slots=True)
class Chunk:
    """A part of a file, or all of it, to be sent: from `data` where that holds it, else read anew."""

    path: Path
    stamp: Stamp
    span: Span
    sha256: Sha256
    data: memoryview | None = None

    def changed(self) -> bool:
        """Whether the bytes are no longer those that were hashed."""
        if self.data is not None:
            return hashlib.sha256(self.data).hexdigest() != self.sha256
        return hashing.hash_range(self.path, self.stamp, self.span) != self.sha256

    def body(self, sent: Callable[[int, int], None]) -> Body:
        """The bytes as a request's body. `sent` is told the size of what went out, and how far into
        the chunk that was."""
        if self.data is not None:
            return MemoryBody(self.data, sent)
        return FileBody(
            partial(hashing.open_same, self.path, self.stamp), self.span.offset, self.span.size,
            sent, partial(hashing.changed, self.path),
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class MemoryBody:
    """A chunk that is in memory."""

    data: memoryview
    sent: Callable[[int, int], None]

    @property
    def size(self) -> int:
        """Bytes in all."""
        return len(self.data)

    def blocks(self) -> Iterator[memoryview | bytes]:
        """The bytes, from the beginning."""
        for start in range(0, self.size, hashing.BLOCK):
            block = self.data[start : start + hashing.BLOCK]
            yield block
            self.sent(len(block), start + len(block))


def put(
    pool: Pool,
    request: SignedRequest,
    chunk: Chunk,
    crew: Crew,
    sent: Callable[[int, int], None],
    fraction: Callable[[], float] = random.random,
) -> Literal["done", "again"]:
    """Sends `chunk`, repeating what fails in passing.

    `done`: the store has it; `again`: a new request must be asked for. `sent(wire, position)` is
    told of bytes that went out, and how far into the chunk that was. Raises `FileChanged` if
    the file changed, `IntegrityError` if the bytes are damaged on every way, else `TransferError`.
    """
    path = chunk.path
    if request.method != "PUT":
        raise TransferError(f"the server asks for a {request.method!r} where a PUT is meant")

    def count(wire: int, position: int) -> None:
        sent(wire, position)
        crew.check()

    attempt = 0
    while True:
        crew.check()
        attempt += 1
        asked = ""
        failure: Exception
        try:
            body = chunk.body(count)
            if body.size <= _SMALL:
                # In one piece with the headers: one packet instead of two.
                data = b"".join(bytes(block) for block in body.blocks())
                reply = pool.send("PUT", request.url, request.headers, Bytes(data))
            else:
                reply = pool.send("PUT", request.url, request.headers, body)
            code = _found(_CODE, reply.body)
            step = plan.after_put(reply.status, code)
            asked = reply.headers.get("retry-after", "")
            if reply.status in plan.CROWDED:
                crew.refused()
            if step == "again":
                crew.said = skew.text(request.url, reply.headers.get("date", ""))
            failure = TransferError(
                f"the store refused {path}: {reply.status} {code} "
                f"{_found(_MESSAGE, reply.body)}".strip()
            )
        except (Broken, Unreachable) as error:
            step, failure = "retry", error
        if step == "reread":
            if chunk.changed():
                raise hashing.changed(path)
            failure = IntegrityError(
                f"the store received other bytes of {path} than were sent, {attempt} times: "
                f"{failure}"
            )
            step = "retry"
        if step == "done":
            return "done"
        if step == "again":
            return "again"
        delay = None
        if step == "retry":
            delay = plan.retry_delay(
                attempt, ATTEMPTS, fraction(), retry_after=asked, now=time.time()
            )
        if delay is None:
            raise failure
        crew.pause(delay)


def copy(
    pool: Pool,
    request: SignedRequest,
    sha256: Sha256,
    crew: Crew,
    fraction: Callable[[], float] = random.random,
) -> Literal["done", "again", "send"]:
    """Has the store copy a part from another object of the same project.

    `done`: the part is there, and has this SHA-256; `again`: a new request must be asked for;
    `send`: the part cannot be copied, send its bytes.
    """
    if request.method != "PUT":
        raise TransferError(f"the server asks for a {request.method!r} where a PUT is meant")
    attempt = 0
    while True:
        crew.check()
        attempt += 1
        asked = ""
        try:
            reply = pool.send("PUT", request.url, request.headers, b"")
            asked = reply.headers.get("retry-after", "")
            # The store may find out that it failed when it has already said 200.
            code = _found(_CODE, reply.body)
            if reply.status == 200 and not code:
                found = _found(_CHECKSUM, reply.body)
                return "done" if found == to_base64(sha256) else "send"
            if reply.status in (401, 403):
                crew.said = skew.text(request.url, reply.headers.get("date", ""))
                return "again"
            passing = reply.status in plan.PASSING or code in plan.PASSING_CODES
            if reply.status in plan.CROWDED:
                crew.refused()
        except (Broken, Unreachable):
            passing = True
        delay = None
        if passing:
            delay = plan.retry_delay(
                attempt, ATTEMPTS, fraction(), retry_after=asked, now=time.time()
            )
        if delay is None:
            return "send"
        crew.pause(delay)


def _found(pattern: re.Pattern[bytes], body: bytes) -> str:
    match = pattern.search(body[:4096])
    return match[1].decode("utf-8", "replace") if match else ""
