"""What every service needs: the ports, a clock, randomness and the limits that are settings."""

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from chalicelib.registry.inspection import Inspector
from chalicelib.registry.ports import Blobs, InboxGrants, Queue, Table
from chalicelib.registry.throttling import Throttle


def _random() -> str:
    return secrets.token_hex(10)


@dataclass(frozen=True, slots=True)
class Stores:
    """The world, as the registry sees it. Tests pass a clock of their own."""

    table: Table
    blobs: Blobs
    queue: Queue
    site: Blobs
    grants: InboxGrants | None = None
    now: Callable[[], float] = time.time
    random: Callable[[], str] = _random
    sign_seconds: int = 3600
    lease_seconds: int = 86400
    stale_seconds: int = 7 * 86400
    inbox_seconds: int = 14 * 86400
    open_uploads: int = 1000
    requests_per_minute: int = 0
    announce: bool = False
    """Whether the index queue is told of new blobs from here, since the store sends no events."""
    throttle: Throttle = field(default_factory=Throttle)
    bucket: str = field(default="")
    inspect: Inspector | None = None


def iso(seconds: float) -> str:
    """Epoch seconds as `2026-11-21T09:10:11.123Z`."""
    moment = datetime.fromtimestamp(seconds, UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"


def event_id(seconds: float, random: str) -> str:
    """An id that sorts by time: 12 hex digits of milliseconds, then randomness."""
    return f"{int(seconds * 1000):012x}{random[:12]}"


def event_time(identifier: str) -> float:
    """The time an event id carries."""
    return int(identifier[:12], 16) / 1000


def epoch(text: str) -> float:
    """Epoch seconds of an ISO 8601 time (UTC where it names no zone); ValueError if it is none."""
    moment = datetime.fromisoformat(text)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
