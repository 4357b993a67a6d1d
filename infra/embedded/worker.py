"""Runs the event functions of `app.py`: as Lambda does for SQS messages and for the schedule."""

import logging
import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime
from typing import Any, Protocol

from chalice.local import LambdaContext

from chalicelib.storage.queues import LOOKS, Message
from weighbridge.contract.errors import RegistryError

_log = logging.getLogger("weighbridge.worker")
BATCH = 10
VISIBILITY = 120.0
SLOW = {"archive": 3}
"""Topics whose messages are work of minutes: how many threads take them, one message at a time."""
SLOW_VISIBILITY = 960.0
GATHERED = dict.fromkeys(LOOKS, 5.0)
"""After a batch of these topics the next one is not begun for so many seconds, so that a burst is done in a few
batches. The first message of a burst waits for nothing."""
GATHERED_BATCH = 1000
_POLL = 1.0
_PATIENCE = 10.0
_LOOK = 0.1

Handler = Callable[[dict[str, Any], Any], Any]
"""A Lambda function: event and context to answer."""


class Deliveries(Protocol):
    """The receiving end of a queue."""

    def receive(self, topic: str, limit: int, visibility: float) -> list[Message]: ...

    def delete(self, messages: Sequence[Message]) -> None: ...

    def release(self, messages: Sequence[Message], seconds: float) -> None: ...

    def wait(self, seen: int, seconds: float) -> int: ...

    def wake(self) -> None: ...


def sqs_event(messages: Sequence[Message]) -> dict[str, Any]:
    """What Lambda hands to a function that is subscribed to an SQS queue."""
    return {
        "Records": [
            {
                "messageId": str(message.id),
                "receiptHandle": message.receipt,
                "body": message.body,
                "attributes": {
                    "ApproximateReceiveCount": str(message.receives),
                    "SentTimestamp": str(int(message.sent * 1000)),
                },
                "messageAttributes": {},
                "eventSource": "aws:sqs",
                "eventSourceARN": f"arn:aws:sqs:local:000000000000:weighbridge-{message.topic}",
                "awsRegion": "local",
            }
            for message in messages
        ]
    }


def scheduled_event() -> dict[str, Any]:
    """What EventBridge hands to a function on a schedule."""
    return {
        "version": "0",
        "id": str(uuid.uuid4()),
        "detail-type": "Scheduled Event",
        "source": "aws.events",
        "account": "000000000000",
        "time": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "region": "local",
        "resources": ["arn:aws:events:local:000000000000:rule/sweep"],
        "detail": {},
    }


def object_created(bucket: str, key: str) -> dict[str, Any]:
    """What EventBridge says when S3 has a new object, as far as a handler may believe it."""
    return {
        "version": "0",
        "detail-type": "Object Created",
        "source": "aws.s3",
        "detail": {
            "bucket": {"name": bucket},
            "object": {"key": key, "size": 0, "etag": "", "sequencer": ""},
        },
    }


def failed(messages: Sequence[Message], answer: Any) -> list[Message]:
    """Which messages come back, by the rules of partial batch failure: those that the answer names;
    all of them if it names one that was not in the batch."""
    items = answer.get("batchItemFailures") if isinstance(answer, dict) else None
    if not items:
        return []
    named = {item.get("itemIdentifier") if isinstance(item, dict) else None for item in items}
    known = {str(message.id) for message in messages}
    return [m for m in messages if str(m.id) in named or not named <= known]


def retry_seconds(receives: int) -> float:
    """How long a message rests after its n-th failure."""
    return float(min(60, 2**receives))


class Worker:
    """Threads that receive and a timer that sweeps; from `start` until `stop`."""

    def __init__(
        self,
        queue: Deliveries,
        handlers: Mapping[str, Handler],
        sweep: Handler,
        *,
        sweep_seconds: float = 300.0,
        first_sweep: float = 5.0,
        rest: Callable[[int], float] = retry_seconds,
        pushing: Callable[[], bool] = lambda: False,
        gathered: Mapping[str, float] = GATHERED,
        turn: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> None:
        self._turn = turn
        self._queue = queue
        self._sweep = sweep
        self._sweep_seconds = sweep_seconds
        self._first_sweep = first_sweep
        self._rest = rest
        self._pushing = pushing
        self._gathered = gathered
        self._stopping = threading.Event()
        self._threads = [
            threading.Thread(target=self._receive, args=(topic, handler), name=f"worker-{topic}")
            for topic, handler in handlers.items()
            for _ in range(SLOW.get(topic, 1))
        ]
        self._threads.append(threading.Thread(target=self._tick, name="worker-sweep"))
        for thread in self._threads:
            thread.daemon = True

    def start(self) -> None:
        """Begins to work."""
        for thread in self._threads:
            thread.start()

    def stop(self, seconds: float) -> bool:
        """Lets what is running end; says whether it did within `seconds`."""
        self._stopping.set()
        self._queue.wake()
        deadline = time.monotonic() + seconds
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        return not any(thread.is_alive() for thread in self._threads)

    def _receive(self, topic: str, handler: Handler) -> None:
        seen, quiet = 0, 0.0
        between = self._gathered.get(topic, 0.0)
        while not self._stopping.is_set():
            if topic == "index":
                self._let_pushes_pass()
            self._stopping.wait(max(0.0, quiet - time.monotonic()))
            try:
                batch, visibility = (1, SLOW_VISIBILITY) if topic in SLOW else (BATCH, VISIBILITY)
                batch = GATHERED_BATCH if between else batch
                messages = self._queue.receive(topic, batch, visibility)
                if messages:
                    quiet = time.monotonic() + between
                    self._deal(topic, handler, messages)
                else:
                    seen = self._queue.wait(seen, _POLL)
            except RegistryError as error:
                _log.error("the %s queue cannot be used: %s", topic, error.message)
                self._stopping.wait(_POLL)

    def _let_pushes_pass(self) -> None:
        """Indexing shares the processors with the push that it is about, and nobody waits for it
        before that is done. On AWS it has its own."""
        until = time.monotonic() + _PATIENCE
        while self._pushing() and time.monotonic() < until and not self._stopping.is_set():
            self._stopping.wait(_LOOK)

    def _deal(self, topic: str, handler: Handler, messages: list[Message]) -> None:
        try:
            with self._turn() if topic in self._gathered else nullcontext():
                back = failed(messages, handler(sqs_event(messages), _context(topic)))
        except Exception:
            _log.exception("the %s function failed", topic)
            back = messages
        done = {m.id for m in messages} - {m.id for m in back}
        self._queue.delete([m for m in messages if m.id in done])
        for message in back:
            self._queue.release([message], self._rest(message.receives))

    def _tick(self) -> None:
        rest = self._first_sweep
        while not self._stopping.wait(rest):
            rest = self._sweep_seconds
            try:
                self._sweep(scheduled_event(), _context("sweep"))
            except Exception:
                _log.exception("the sweep failed; it runs again in %d s", rest)


def _context(name: str) -> LambdaContext:
    seconds = SLOW_VISIBILITY if name in SLOW else VISIBILITY
    return LambdaContext(f"weighbridge-local-{name}", 512, int(seconds * 1000))
