"""Decisions about moving bytes: cuts, batches, order, retries, resuming. Pure: no I/O, no clock.

How files are cut is part of their blobs' identity, and stands in `contract.cuts`.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

from weighbridge.contract import digests, types
from weighbridge.contract.cuts import FIXED
from weighbridge.contract.cuts import MAX_PARTS as MAX_PARTS
from weighbridge.contract.cuts import MIB as MIB
from weighbridge.contract.cuts import MIN_PART as MIN_PART
from weighbridge.contract.cuts import PART as PART
from weighbridge.contract.cuts import SINGLE_PUT as SINGLE_PUT
from weighbridge.contract.cuts import Span as Span
from weighbridge.contract.cuts import cuts as cuts
from weighbridge.contract.cuts import part_size as part_size
from weighbridge.contract.digests import BlobDigest, Sha256
from weighbridge.contract.manifests import FileEntry
from weighbridge.transfer import skew

T = TypeVar("T")

PLAN_BLOBS = 2000
"""The largest number of blobs in one plan."""
PAGE = 1000
"""The largest number of parts or of blobs to fetch in one request."""
FILES = 10_000
"""The largest number of files in one request."""
FILES_BYTES = 4 * MIB
"""About as much as they may weigh there: a Lambda function is not handed more than 6 MB."""
PLAN_BYTES = 256 * MIB
"""With this much hashed, a plan is asked for although more is to come, so that sending starts."""
SIGN_PARTS = 256
"""Parts signed at a time: late enough not to expire, few enough requests."""
BACKOFF = 0.1
BACKOFF_CAP = 10.0
ASKED_CAP = 60.0
RETRIED = frozenset({429, 500, 502, 503, 504})
PASSING = RETRIED | {408, 409, 425}
"""What a store may answer in passing."""
CROWDED = frozenset({429, 503})
"""Answers of a store that wants fewer requests at a time."""
PASSING_CODES = frozenset({"RequestTimeout", "SlowDown", "InternalError", "ServiceUnavailable"})


def blob_of(
    size: int, whole: Sha256, parts: Sequence[Sha256], scheme: int = FIXED
) -> digests.BlobId:
    """The blob id of a file, from its digests; `scheme` is that of its cuts."""
    if not parts:
        return digests.single_blob(whole, size)
    return digests.composite_blob(digests.composite(parts), len(parts), size, scheme)


@dataclass(frozen=True, slots=True)
class Reading:
    """How to fetch a blob: in these ranges. `composite`: their digests yield the blob's."""

    ranges: tuple[Span, ...]
    composite: bool


def reading(blob: BlobDigest) -> Reading:
    """The ranges to fetch a blob in: its parts where its cut is known, else steps of that size."""
    if blob.parts and blob.scheme == digests.CUT_SCHEME:
        parts = cuts(blob.size)
        if len(parts) == blob.parts:
            return Reading(parts, composite=True)
    ranges = cuts(blob.size) or (Span(1, 0, blob.size),)
    return Reading(ranges, composite=False)


def batches(items: Sequence[T], most: int = PAGE) -> Iterator[Sequence[T]]:
    """`items` in order, `most` at a time."""
    for start in range(0, len(items), most):
        yield items[start : start + most]


def pages(files: Sequence[FileEntry]) -> Iterator[Sequence[FileEntry]]:
    """`files` in order, as many at a time as one request takes."""
    start, weight = 0, 0
    for at, entry in enumerate(files):
        more = 250 + 2 * len(entry.path.encode("utf-8", "surrogatepass"))
        if at > start and (weight + more > FILES_BYTES or at - start == FILES):
            yield files[start:at]
            start, weight = at, 0
        weight += more
    if start < len(files):
        yield files[start:]


def ask_now(waiting: int, waiting_bytes: int, more_to_come: bool) -> bool:
    """Whether to ask for a plan of what is hashed, or to wait for more."""
    if not waiting:
        return False
    return not more_to_come or waiting >= PLAN_BLOBS or waiting_bytes >= PLAN_BYTES


def to_send(
    answer: types.PartsPlan, parts: Iterable[types.Part]
) -> tuple[tuple[tuple[types.Part, types.SignedRequest], ...], tuple[types.Part, ...]]:
    """The parts to send with their requests, and those that the store already holds.

    A part without an answer is sent later: it is in neither list.
    """
    known = {item.number: item for item in answer.parts}
    send, held = [], []
    for part in parts:
        if item := known.get(part.number):
            if item.request is None:
                held.append(part)
            else:
                send.append((part, item.request))
    return tuple(send), tuple(held)


def retry_delay(
    attempt: int, most: int, fraction: float, *, retry_after: str = "", now: float | None = None
) -> float | None:
    """Seconds to wait after the failed `attempt` (from 1), or None to give up.

    Full jitter: `fraction` (0 to 1) of an exponentially growing bound, so that many clients that
    failed together do not come back together. Never less than a `Retry-After` header asks, up to a
    minute: seconds, or a date, which `now` (epoch seconds) is compared with.
    """
    if attempt >= most:
        return None
    delay = min(BACKOFF_CAP, BACKOFF * 2.0 ** min(attempt, 30)) * fraction
    return max(delay, min(_asked(retry_after, now), ASKED_CAP))


def _asked(retry_after: str, now: float | None) -> float:
    text = retry_after.strip()
    if text.isascii() and text.isdigit():
        return float(text[:6])
    until = skew.when(text) if text else None
    return 0.0 if until is None or now is None else max(0.0, until - now)


def retry_answer(
    status: int,
    attempt: int,
    most: int,
    fraction: float,
    *,
    retry_after: str = "",
    now: float | None = None,
    repeatable: bool = True,
) -> float | None:
    """Seconds until a request that was answered `status` is repeated, or None to accept it."""
    if status not in RETRIED or (not repeatable and status not in (429, 503)):
        return None
    return retry_delay(attempt, most, fraction, retry_after=retry_after, now=now)


Step = Literal["done", "retry", "again", "reread", "refused"]


def after_put(status: int, code: str) -> Step:
    """What an answer of the store to a PUT of a blob or part means.

    `done`: the bytes are there; `retry`: send again; `again`: ask the server for a new request
    (expired, or its upload is gone); `reread`: the store got other bytes than were signed, so look
    whether the file changed; `refused`: give up.
    """
    if status in (200, 201, 204, 412):
        # 412: the key is there already, so an earlier PUT whose answer was lost succeeded.
        return "done"
    if code in PASSING_CODES:
        return "retry"
    if status in (401, 403, 404) or code in ("ExpiredToken", "NoSuchUpload", "AccessDenied"):
        return "again"
    if status in PASSING:
        return "retry"
    if status == 400:
        return "reread"
    return "refused"


COMMITTED = ("ready", "checking", "blocked")
"""The states of a version whose files will not change any more."""
Resume = Literal["continue", "finished", "begin"]


def resume(state: str, version_manifest: str, wanted_manifest: str) -> Resume:
    """What to do with the version that an earlier, interrupted run opened.

    An open one is continued. One that has this very content already was committed just before
    the interruption: it is finished. Anything else is left alone, and a new version begun.
    """
    if state == "open":
        return "continue"
    if state in COMMITTED and version_manifest == wanted_manifest:
        return "finished"
    return "begin"
