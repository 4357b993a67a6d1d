"""Ranged GETs: one range, repeated where that helps, and the part list that ranges are checked against."""

import hashlib
import random
import time
from collections.abc import Callable

from weighbridge.contract import cuts, digests
from weighbridge.contract.digests import BlobDigest
from weighbridge.contract.errors import IntegrityError, RegistryError, TransferError
from weighbridge.contract.types import Part, SignedRequest
from weighbridge.http import Broken, Pool, Response, Unreachable
from weighbridge.transfer import hashing, plan, skew
from weighbridge.transfer.crew import Crew
from weighbridge.transfer.plan import Span

ATTEMPTS = 8
LISTS = 5
WRONG = 3
"""So often may a part arrive with another digest than its own."""

Take = Callable[[int, memoryview], None]
"""Told of each block: where in the file it stands, and its bytes."""


class Expired(TransferError):
    """The store does not take the signed request any more: ask for a new one. Its message tells of
    clocks, if they differ."""


def fetch(
    pool: Pool,
    crew: Crew,
    request: SignedRequest,
    span: Span,
    size: int,
    path: str,
    take: Take,
    expected: str = "",
) -> str:
    """Fetches a range of the file `path` of `size` bytes; its SHA-256. With `expected`, a range that
    arrives as another is fetched again, and is an `IntegrityError` after a few times."""
    for _ in range(WRONG):
        found = _fetch(pool, crew, request, span, size, path, take)
        if not expected or found == expected:
            return found
    raise IntegrityError(
        f"{path}: the bytes that arrived are not those of its manifest; they were discarded",
        path=path,
    )


def part_list(
    pool: Pool, request: SignedRequest, blob: BlobDigest, crew: Crew | None = None
) -> tuple[Part, ...]:
    """The parts of a blob, proved by its id; none if they cannot be had."""
    asked = ""
    for attempt in range(LISTS):
        if attempt:
            fraction = random.random()  # noqa: S311 - jitter
            delay = plan.retry_delay(attempt, LISTS, fraction, retry_after=asked, now=time.time())
            (crew or pool).pause(delay or 0.0)
        try:
            answer = pool.send("GET", request.url, request.headers)
            if answer.status in (401, 403, 404):
                return ()
            asked = answer.headers.get("retry-after", "")
            parts = cuts.decode(answer.body) if answer.status == 200 else ()
        except (Broken, Unreachable, IntegrityError):
            continue
        proved = len(parts) == blob.parts and (
            digests.composite(digests.sha256(part.sha256) for part in parts) == blob.sha256
        )
        if proved and sum(part.size for part in parts) == blob.size:
            return parts
    return ()


def _fetch(
    pool: Pool,
    crew: Crew,
    request: SignedRequest,
    span: Span,
    size: int,
    path: str,
    take: Take,
) -> str:
    digest = hashlib.sha256()
    at, end = span.offset, span.offset + span.size
    view = memoryview(bytearray(min(hashing.BLOCK, max(1, span.size))))
    attempt = 0
    while at < end:
        crew.check()
        attempt += 1
        start = at
        asked = ""
        failure: RegistryError
        try:
            headers = {**request.headers, "Range": f"bytes={at}-{end - 1}"}
            with pool.open("GET", request.url, headers) as answer:
                asked = answer.headers.get("retry-after", "")
                if answer.status in (401, 403):
                    answer.read()
                    raise Expired(skew.text(request.url, answer.headers.get("date", "")))
                failure = _refusal(answer, path, at, size)
                if not failure.message:
                    while at < end:
                        count = answer.readinto(view[: min(len(view), end - at)])
                        if not count:
                            break
                        digest.update(view[:count])
                        take(at, view[:count])
                        at += count
                        crew.check()
                    if at == end:
                        # Reads the end of the body, so that the connection can be kept.
                        answer.readinto(memoryview(bytearray(1)))
                        break
                    failure = Broken(f"{path} ended {end - at} bytes early")
                elif answer.status not in plan.PASSING:
                    raise failure
                elif answer.status in plan.CROWDED:
                    crew.refused()
        except (Broken, Unreachable) as error:
            if at == end:
                break
            failure = error
        if at > start:
            attempt = 1
        fraction = random.random()  # noqa: S311 - jitter
        delay = plan.retry_delay(attempt, ATTEMPTS, fraction, retry_after=asked, now=time.time())
        if delay is None:
            raise failure
        crew.pause(delay)
    return digest.hexdigest()


def _refusal(answer: Response, path: str, start: int, size: int) -> TransferError:
    """Why an answer cannot be used; with an empty message if it can."""
    if answer.status == 206:
        said = answer.headers.get("content-range", "")
        unit, _, rest = said.partition(" ")
        first, _, _ = rest.partition("-")
        if unit == "bytes" and first == str(start) and rest.endswith((f"/{size}", "/*")):
            return TransferError("")
        return TransferError(f"the store answered another range of {path}: {said!r}")
    if answer.status == 200 and start == 0:
        return TransferError("")
    return TransferError(f"the store refused {path}: status {answer.status}")
