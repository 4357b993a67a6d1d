"""A proxy in front of S3 that fails a share of the requests, as networks, stores and clocks do.

Seeded: whether and how the n-th upload or download fails does not depend on the thread it comes on.
The Host header travels as it came, because presigned URLs sign it. `events` has what happened.
"""

import random
import socket
import struct
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from urllib.parse import urlsplit

BLOCK = 64 * 1024
LINGER_AWAY = struct.pack("ii", 1, 0)
STALL_SECONDS = 0.4

KINDS = ("error", "busy", "lost", "reset", "truncated", "slow", "expired", "flipped")
"""error, busy: 500 and 503 instead of an answer; lost: done, but the answer is a reset; reset: amid the
request's body; truncated: amid the answer's; slow: both stall; expired: 403; flipped: one bit differs."""

REFUSALS = {
    "error": (500, "InternalError", "We encountered an internal error"),
    "busy": (503, "SlowDown", "Please reduce your request rate"),
    "expired": (403, "AccessDenied", "Request has expired"),
}


class Reset(Exception):
    """The connection ends here, by a fault or by its client."""


@dataclass(slots=True)
class Event:
    """One request: what it was for, the fault it met, and the status the store gave (0: not asked)."""

    number: int
    method: str
    path: str
    part: str
    span: tuple[int, int] | None
    fault: str
    place: float = 0.0
    status: int = 0
    answered: bool = False
    """The whole answer went out."""


@dataclass(slots=True)
class Way:
    """Uploads or downloads: one request in each run of so many fails, each time in another way until
    all ways were met. So the share is exact, and every fault comes soon."""

    share: float
    rng: random.Random
    deck: list[str] = field(default_factory=list)
    passed: int = 0
    chosen: int = 0

    def fault(self, *, carries):
        """The fault of the next request, or nothing."""
        if not self.share:
            return ""
        run = round(1 / self.share)
        at = self.passed % run
        self.passed += 1
        if not at:
            self.chosen = self.rng.randrange(run)
        if at != self.chosen:
            return ""
        if not any(carries or kind != "flipped" for kind in self.deck):
            self.deck = self.rng.sample(KINDS, len(KINDS))
        kind = next(k for k in self.deck if carries or k != "flipped")
        self.deck.remove(kind)
        return kind


@dataclass(slots=True)
class Gate:
    """Once closed, it lets so many more requests pass and holds all others, which never arrive."""

    passing: int | None = None
    hanging: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)
    opened: threading.Event = field(default_factory=threading.Event)

    def close(self, passing):
        """Holds what comes after `passing` more requests."""
        with self.lock:
            self.passing, self.hanging, self.opened = passing, 0, threading.Event()

    def open(self):
        """Ends what is held, and lets everything pass."""
        with self.lock:
            self.passing = None
            self.opened.set()

    def enter(self):
        """The turn of one request."""
        with self.lock:
            opened = self.opened
            if self.passing is None:
                return
            self.passing -= 1
            if self.passing >= 0:
                return
            self.hanging += 1
        opened.wait(120)
        raise Reset


@dataclass(slots=True)
class FaultyS3:
    """The running proxy."""

    url: str
    upstream: tuple[str, int]
    share: float
    rng: random.Random
    events: list[Event] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)
    ways: dict[str, Way] = field(default_factory=dict)
    gate: Gate = field(default_factory=Gate)

    def event(self, method, path, part, span, size):
        """The next request, and what becomes of it."""
        with self.lock:
            fault = self.ways.setdefault(method, Way(self.share, self.rng)).fault(
                # A bit of a body that is empty cannot flip.
                carries=method == "GET" or size > 0
            )
            place = self.rng.random()
            found = Event(len(self.events), method, path, part, span, fault, place)
            self.events.append(found)
            return found

    def faults(self):
        """How often each fault was met."""
        return Counter(event.fault for event in self.events if event.fault)

    def flipped(self, method):
        """The requests of this method of which a bit was flipped."""
        return [e for e in self.events if e.fault == "flipped" and e.method == method]

    def later(self, event):
        """The requests for the same bytes that came after `event`."""
        wanted = (event.method, event.path, event.part)
        same = [
            e for e in self.events[event.number + 1 :] if (e.method, e.path, e.part) == wanted
        ]  # fmt: skip
        if event.span is None:
            return same
        return [e for e in same if e.span is None or _overlap(e.span, event.span)]


def _overlap(one, other):
    return one[0] <= other[1] and other[0] <= one[1]


class Stream:
    """Bytes from a socket: a head, then bodies block by block."""

    def __init__(self, connection):
        self.connection = connection
        self.left = b""

    def head(self):
        """Everything up to the empty line, and that line."""
        while b"\r\n\r\n" not in self.left:
            self.left += self._more()
        at = self.left.index(b"\r\n\r\n") + 4
        head, self.left = self.left[:at], self.left[at:]
        return head

    def body(self, size):
        """`size` bytes; None: until the other side closes."""
        while size is None or size:
            if not self.left:
                try:
                    self.left = self._more()
                except Reset:
                    if size is None:
                        return
                    raise
            block = self.left if size is None else self.left[:size]
            self.left = self.left[len(block) :]
            size = None if size is None else size - len(block)
            yield block

    def _more(self):
        data = self.connection.recv(BLOCK)
        if not data:
            raise Reset
        return data


def fields_of(head):
    """The header fields of a head."""
    lines = head.decode("latin-1").split("\r\n")[1:-2]
    return {n.strip().lower(): v.strip() for n, _, v in (line.partition(":") for line in lines)}


class Connection:
    """One client's connection; each request gets its own to the store, so that a fault stays there."""

    def __init__(self, proxy, client):
        self.proxy = proxy
        self.client = client
        self.stream = Stream(client)

    def serve(self):
        """Answers requests until a fault or the client ends it."""
        try:
            while True:
                self.request()
        except (Reset, OSError):
            with suppress(OSError):
                self.client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_AWAY)
        finally:
            self.client.close()

    def request(self):
        """One request and its answer."""
        head = self.stream.head()
        method, target, _ = head.split(b"\r\n", 1)[0].decode("latin-1").split(" ", 2)
        fields = fields_of(head)
        size = int(fields.get("content-length", 0))
        where = urlsplit(target)
        part = next((q for q in where.query.split("&") if q.startswith("partNumber=")), "")
        span = None
        if "range" in fields:
            first, _, last = fields["range"].removeprefix("bytes=").partition("-")
            span = int(first), int(last) if last else sys.maxsize
        event = self.proxy.event(method, where.path, part, span, size)
        self.proxy.gate.enter()
        if event.fault in REFUSALS:
            for _ in self.stream.body(size):
                pass
            self.refuse(*REFUSALS[event.fault])
            return
        self.forward(event, head, size)

    def refuse(self, status, code, message):
        """An error as S3 words it."""
        body = f"<Error><Code>{code}</Code><Message>{message}</Message></Error>".encode()
        head = f"HTTP/1.1 {status} {code}\r\nContent-Type: application/xml\r\n"
        self.client.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)

    def forward(self, event, head, size):
        """To the store and back, with the fault on the way."""
        with socket.create_connection(self.proxy.upstream, timeout=60) as store:
            store.sendall(once(head))
            upward = "flipped" if event.fault == "flipped" and size else ""
            upward = "reset" if event.fault == "reset" else upward
            upward = "slow" if event.fault == "slow" else upward
            for block in spoiled(self.stream.body(size), int(event.place * size), upward):
                store.sendall(block)
            if event.fault == "reset":  # there was no body to break off
                raise Reset
            answer = Stream(store)
            reply = answer.head()
            event.status = int(reply.split(b" ", 2)[1])
            if event.fault == "lost":
                raise Reset
            fields = fields_of(reply)
            length = fields.get("content-length")
            bodiless = event.method == "HEAD" or event.status in (204, 304)
            length = 0 if bodiless else int(length) if length is not None else None
            downward = "" if size else event.fault
            self.client.sendall(reply if length is not None else once(reply))
            for block in spoiled(answer.body(length), int(event.place * (length or 0)), downward):
                self.client.sendall(block)
            event.answered = True
            if event.fault == "truncated" or length is None:
                raise Reset


def spoiled(blocks, at, fault):
    """The blocks of a body, with a fault at one place of it."""
    done = 0
    for block in blocks:
        here = done <= at < done + len(block)
        if here and fault in ("reset", "truncated"):
            yield block[: at - done]
            raise Reset
        if here and fault == "slow":
            time.sleep(STALL_SECONDS)
        if here and fault == "flipped":
            changed = bytearray(block)
            changed[at - done] ^= 1 << (at % 8)
            block = bytes(changed)
        done += len(block)
        yield block


def once(head):
    """The head with a word that the connection is used once."""
    lines = head.split(b"\r\n")[:-2]
    kept = [line for line in lines if not line.lower().startswith(b"connection:")]
    return b"\r\n".join([*kept, b"Connection: close", b"", b""])


@contextmanager
def faulty_s3(upstream: str, seed: int, share: float = 0.05) -> Iterator[FaultyS3]:
    """A proxy to `upstream` on a free port; ends with the block."""
    where = urlsplit(upstream)
    listener = socket.create_server(("127.0.0.1", 0), backlog=128)
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    proxy = FaultyS3(url, (where.hostname, where.port), share, random.Random(seed))
    threads = []

    def accept():
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            thread = threading.Thread(target=Connection(proxy, client).serve, daemon=True)
            thread.start()
            threads.append((thread, client))

    accepting = threading.Thread(target=accept, daemon=True)
    accepting.start()
    try:
        yield proxy
    finally:
        proxy.gate.open()
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        accepting.join(10)
        for thread, client in threads:
            with suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)
            thread.join(10)
