"""One examination: where it goes, what it may do there, and what it has found so far."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import urlsplit

from weighbridge.client import Client
from weighbridge.config import Config
from weighbridge.contract import origins
from weighbridge.contract.types import SignedRequest, Who
from weighbridge.http import Pool, Reply

Level = Literal["ok", "warning", "fail", "skipped"]
PROJECT = "weighbridge-doctor"
CONNECT_SECONDS = 5.0
IDLE_SECONDS = 20.0
_POLL = 0.25


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check saw. `remedy` says what to do where it is not `ok`."""

    check: str
    level: Level
    seen: str
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Options:
    """How far an examination goes. `wait` is how long an event or a page may take; with `read_only`
    nothing is written; `project` is where the scratch model is made."""

    project: str = PROJECT
    wait: float = 60.0
    read_only: bool = False


@dataclass(slots=True)
class Visit:
    """The address that is examined, as its user reaches it."""

    config: Config
    options: Options = field(default_factory=Options)
    tell: Callable[[Finding], None] = lambda finding: None
    findings: list[Finding] = field(default_factory=list)
    who: Who | None = None
    ahead: float = 0.0
    """By how many seconds the server's clock is ahead of ours."""
    pool: Pool = field(init=False)
    client: Client = field(init=False)
    stranger: Client = field(init=False)

    def __post_init__(self) -> None:
        self.pool = Pool(self.config.ca_file, timeout=IDLE_SECONDS, connect_timeout=CONNECT_SECONDS)
        self.client = Client(self.config.url, self.config.token, pool=self.pool)
        self.stranger = Client(self.config.url, "", pool=self.pool)

    @property
    def url(self) -> str:
        """The address, without a slash at its end."""
        return self.config.url

    @property
    def secure(self) -> bool:
        """Whether the way there is encrypted."""
        return self.url.startswith("https:")

    @property
    def local(self) -> bool:
        """Whether the server is on this machine."""
        return origins.loopback(urlsplit(self.url).hostname or "")

    @property
    def origin(self) -> str:
        """What a browser calls the address."""
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc}"

    def note(self, check: str, level: Level, seen: str, remedy: str = "") -> None:
        """Writes a finding down."""
        finding = Finding(check, level, seen, remedy)
        self.findings.append(finding)
        self.tell(finding)

    def ok(self, check: str, seen: str) -> None:
        """All is as it should be."""
        self.note(check, "ok", seen)

    def warn(self, check: str, seen: str, remedy: str) -> None:
        """It works, but not as well or as safely as it could."""
        self.note(check, "warning", seen, remedy)

    def fail(self, check: str, seen: str, remedy: str) -> None:
        """Something does not work, or stands open."""
        self.note(check, "fail", seen, remedy)

    def skip(self, check: str, why: str) -> None:
        """It could not be looked at."""
        self.note(check, "skipped", why)

    def get(self, path: str, cookie: str = "", method: str = "GET") -> Reply:
        """An answer to a request without a token, redirects not followed."""
        headers = {"Accept": "text/html,application/json"} | ({"Cookie": cookie} if cookie else {})
        return self.pool.send(method, self.url + path, headers)

    def send(
        self, request: SignedRequest, body: bytes | None = None, extra: dict[str, str] | None = None
    ) -> Reply:
        """The store's answer to a signed request."""
        return self.pool.send(
            request.method, request.url, {**request.headers, **(extra or {})}, body
        )

    def until(self, condition: Callable[[], bool], since: float) -> float | None:
        """Seconds from `since` (monotonic) until the condition held; None if it did not in time."""
        while True:
            if condition():
                return time.monotonic() - since
            if time.monotonic() - since > self.options.wait:
                return None
            self.pool.pause(_POLL)
