"""One file, or a part of it, to the object store: retries, and what each answer means."""

import random
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from weighbridge.contract.digests import Sha256
from weighbridge.contract.errors import IntegrityError, TransferError
from weighbridge.contract.types import SignedRequest
from weighbridge.http import Broken, Bytes, Pool, Unreachable
from weighbridge.transfer import hashing, plan
from weighbridge.transfer.crew import Crew
from weighbridge.transfer.hashing import Hashed

ATTEMPTS = 8
_SMALL = 64 * 1024
_CODE = re.compile(rb"<Code>([^<]{1,100})</Code>")
_MESSAGE = re.compile(rb"<Message>([^<]{1,300})</Message>")


@dataclass(frozen=True, slots=True)
class FileBody:
    """A part of a file as a request's body. `sent` is told the size of each block that went out,
    and how far into the part that was."""

    file: Hashed
    span: plan.Span
    sent: Callable[[int, int], None]

    @property
    def size(self) -> int:
        """Bytes in all."""
        return self.span.size

    def blocks(self) -> Iterator[memoryview | bytes]:
        """The part's bytes, read anew; `FileChanged` if the file is not what it was."""
        with hashing.open_same(self.file.path, self.file.stamp) as stream:
            stream.seek(self.span.offset)
            view = memoryview(bytearray(min(hashing.BLOCK, self.span.size)))
            left = self.span.size
            while left:
                count = stream.readinto(view[: min(left, len(view))])
                if not count:
                    raise hashing.changed(self.file.path)
                yield view[:count]
                left -= count
                self.sent(count, self.span.size - left)


def put(
    pool: Pool,
    request: SignedRequest,
    file: Hashed,
    span: plan.Span,
    sha256: Sha256,
    crew: Crew,
    sent: Callable[[int, int], None],
    fraction: Callable[[], float] = random.random,
) -> Literal["done", "again"]:
    """Sends `span` of `file`, repeating what fails in passing.

    `done`: the store has it; `again`: a new request must be asked for. `sent(wire, position)` is
    told of bytes that went out, and how far into the span that was. Raises `FileChanged` if
    the file changed, `IntegrityError` if the bytes are damaged on every way, else `TransferError`.
    """
    if request.method != "PUT":
        raise TransferError(f"the server asks for a {request.method!r} where a PUT is meant")

    def count(wire: int, position: int) -> None:
        sent(wire, position)
        crew.check()

    attempt = 0
    while True:
        crew.check()
        attempt += 1
        failure: Exception
        try:
            body = FileBody(file, span, count)
            if span.size <= _SMALL:
                # In one piece with the headers: one packet instead of two.
                data = b"".join(bytes(block) for block in body.blocks())
                reply = pool.send("PUT", request.url, request.headers, Bytes(data))
            else:
                reply = pool.send("PUT", request.url, request.headers, body)
            code = _found(_CODE, reply.body)
            step = plan.after_put(reply.status, code)
            failure = TransferError(
                f"the store refused {file.path}: {reply.status} {code} "
                f"{_found(_MESSAGE, reply.body)}".strip()
            )
        except (Broken, Unreachable) as error:
            step, failure = "retry", error
        if step == "reread":
            if hashing.hash_range(file.path, file.stamp, span) != sha256:
                raise hashing.changed(file.path)
            failure = IntegrityError(
                f"the store received other bytes of {file.path} than were sent, {attempt} times: "
                f"{failure}"
            )
            step = "retry"
        if step == "done":
            return "done"
        if step == "again":
            return "again"
        delay = None
        if step == "retry":
            delay = plan.retry_delay(attempt, ATTEMPTS, fraction())
        if delay is None:
            raise failure
        crew.pause(delay)


def _found(pattern: re.Pattern[bytes], body: bytes) -> str:
    match = pattern.search(body[:4096])
    return match[1].decode("utf-8", "replace") if match else ""
