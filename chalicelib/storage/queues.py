"""Queues that wake the event functions: SQS, one durable SQLite file, or none at all.

Delivery is at least once. A message that was received five times without being deleted goes to the
dead letters, where it can be looked at and sent again.
"""

import json
import secrets
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from weighbridge.contract.errors import Unavailable

MAX_RECEIVES = 5
_SQS_BATCH = 10
TOPICS = ("index", "render", "archive")

_SCHEMA = """
CREATE TABLE messages (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    topic TEXT NOT NULL,
    body TEXT NOT NULL,
    sent REAL NOT NULL,
    visible REAL NOT NULL,
    receives INTEGER NOT NULL DEFAULT 0,
    receipt TEXT NOT NULL DEFAULT '',
    dead INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX waiting ON messages (topic, dead, visible);
"""


@dataclass(frozen=True, slots=True)
class Message:
    """One delivery. Only its own `receipt` deletes or releases it, not that of an earlier one."""

    id: int
    topic: str
    body: str
    receives: int
    receipt: str
    sent: float


@dataclass(frozen=True, slots=True)
class Depth:
    """How many messages of a topic wait, are being worked on, and have been given up."""

    waiting: int = 0
    in_flight: int = 0
    dead: int = 0


class NoQueue:
    """Sends nowhere: the sweep does all the work."""

    def send(self, topic: str, message: Mapping[str, Any]) -> None:
        """Forgets the message."""
        _known(topic)

    def send_many(self, topic: str, messages: Sequence[Mapping[str, Any]]) -> None:
        """Forgets the messages."""
        _known(topic)


class _Sqs(Protocol):
    def send_message(self, *, QueueUrl: str, MessageBody: str) -> Any: ...

    def send_message_batch(self, *, QueueUrl: str, Entries: Any) -> Any: ...


class SqsQueue:
    """The topics as SQS queues. The client is made at the first message."""

    def __init__(
        self,
        index_url: str,
        render_url: str,
        region: str = "",
        client: _Sqs | None = None,
        archive_url: str = "",
    ) -> None:
        self._urls = {"index": index_url, "render": render_url, "archive": archive_url}
        self._region = region
        self._client = client
        self._lock = threading.Lock()

    def send(self, topic: str, message: Mapping[str, Any]) -> None:
        """Hands the message to SQS; `Unavailable` when it does not take it."""
        from botocore.exceptions import BotoCoreError, ClientError

        url = self._urls[_known(topic)]
        try:
            self._sqs().send_message(QueueUrl=url, MessageBody=_text(message))
        except (BotoCoreError, ClientError) as error:
            raise Unavailable(f"the {topic} queue did not take a message") from error

    def send_many(self, topic: str, messages: Sequence[Mapping[str, Any]]) -> None:
        """Hands messages to SQS, ten at a time; `Unavailable` when it does not take one."""
        from botocore.exceptions import BotoCoreError, ClientError

        url = self._urls[_known(topic)]
        for start in range(0, len(messages), _SQS_BATCH):
            batch = messages[start : start + _SQS_BATCH]
            entries = [{"Id": str(n), "MessageBody": _text(m)} for n, m in enumerate(batch)]
            try:
                answer = self._sqs().send_message_batch(QueueUrl=url, Entries=entries)
            except (BotoCoreError, ClientError) as error:
                raise Unavailable(f"the {topic} queue did not take messages") from error
            if answer.get("Failed"):
                raise Unavailable(
                    f"the {topic} queue did not take {len(answer['Failed'])} messages"
                )

    def _sqs(self) -> _Sqs:
        with self._lock:
            if self._client is None:
                import botocore.session

                session: Any = botocore.session.Session()
                self._client = session.create_client("sqs", region_name=self._region or None)
            return self._client


LOOKS = ("render",)
"""Topics whose messages say that there is something to look at, not what."""


class SqliteQueue:
    """A queue in one file, shared by threads and processes. What was sent survives the death of any
    process, and may be lost with the machine: then the sweep does the same work.

    `recover`, `receive`, `delete`, `release` are for the one worker process; `wait` wakes at once
    for messages sent in the same process and polls for others.
    """

    def __init__(self, path: str, now: Callable[[], float] = time.time) -> None:
        # Here, because a Lambda function never needs SQLite.
        from chalicelib.storage.sqlite_connections import Connections

        self._now = now
        self._connections = Connections(path, _SCHEMA, flush=False)
        self._bell = _bell(path)

    def close(self) -> None:
        """Closes the file in every thread."""
        self._connections.close()

    def send(self, topic: str, message: Mapping[str, Any]) -> None:
        """Stores the message and wakes whoever waits. One that says what another said, which nobody has
        received yet, is left out where messages say no more than to look."""
        if topic not in LOOKS or not self._said(topic, _text(message)):
            self.send_many(topic, [message])

    def send_many(self, topic: str, messages: Sequence[Mapping[str, Any]]) -> None:
        """Stores messages, all or none, and wakes whoever waits."""
        now = self._now()
        rows = [(_known(topic), _text(message), now, now) for message in messages]
        insert = "INSERT INTO messages (topic, body, sent, visible) VALUES (?, ?, ?, ?)"
        with self._connections.writing() as db:
            db.executemany(insert, rows)
        self._bell.ring()

    def receive(self, topic: str, limit: int = 10, visibility: float = 60.0) -> list[Message]:
        """Up to `limit` messages, oldest first, hidden from others for `visibility` seconds."""
        now = self._now()
        if not self._any(topic, now):
            return []
        with self._connections.writing() as db:
            where = "topic = ? AND dead = 0 AND visible <= ?"
            db.execute(
                f"UPDATE messages SET dead = 1 WHERE {where} AND receives >= ?",  # noqa: S608
                (topic, now, MAX_RECEIVES),
            )
            rows = db.execute(
                f"SELECT id, body, receives, sent FROM messages WHERE {where} "  # noqa: S608
                "ORDER BY id LIMIT ?",
                (topic, now, limit),
            ).fetchall()
            found = [
                Message(row[0], topic, row[1], row[2] + 1, secrets.token_hex(8), row[3])
                for row in rows
            ]
            db.executemany(
                "UPDATE messages SET visible = ?, receipt = ?, receives = receives + 1 "
                "WHERE id = ?",
                [(now + visibility, message.receipt, message.id) for message in found],
            )
        return found

    def delete(self, messages: Iterable[Message]) -> None:
        """Forgets messages that were dealt with; a stale receipt deletes nothing."""
        rows = [(message.id, message.receipt) for message in messages]
        if rows:
            with self._connections.writing() as db:
                db.executemany("DELETE FROM messages WHERE id = ? AND receipt = ?", rows)

    def release(self, messages: Iterable[Message], seconds: float) -> None:
        """Makes messages visible again after `seconds`; a stale receipt changes nothing."""
        until = self._now() + seconds
        rows = [(until, message.id, message.receipt) for message in messages]
        if rows:
            with self._connections.writing() as db:
                db.executemany("UPDATE messages SET visible = ? WHERE id = ? AND receipt = ?", rows)

    def recover(self) -> None:
        """Makes everything visible that a worker which died was working on."""
        with self._connections.writing() as db:
            db.execute("UPDATE messages SET visible = ?, receipt = '' WHERE dead = 0", (0,))

    def dead(self, topic: str | None = None, limit: int = 100) -> list[Message]:
        """The dead letters, oldest first."""
        with self._connections.reading() as db:
            rows = db.execute(
                "SELECT id, topic, body, receives, receipt, sent FROM messages "
                "WHERE dead = 1 AND (? IS NULL OR topic = ?) ORDER BY id LIMIT ?",
                (topic, topic, limit),
            ).fetchall()
        return [Message(*row) for row in rows]

    def redrive(self, topic: str | None = None) -> int:
        """Sends the dead letters again, with a fresh count; answers how many."""
        with self._connections.writing() as db:
            changed = db.execute(
                "UPDATE messages SET dead = 0, receives = 0, receipt = '', visible = ? "
                "WHERE dead = 1 AND (? IS NULL OR topic = ?)",
                (self._now(), topic, topic),
            ).rowcount
        self._bell.ring()
        return changed

    def depth(self, topic: str) -> Depth:
        """How full the queue is."""
        with self._connections.reading() as db:
            row = db.execute(
                "SELECT COALESCE(SUM(dead = 0 AND visible <= ?1), 0), "
                "COALESCE(SUM(dead = 0 AND visible > ?1), 0), COALESCE(SUM(dead), 0) "
                "FROM messages WHERE topic = ?2",
                (self._now(), topic),
            ).fetchone()
        return Depth(*row)

    def wait(self, seen: int, seconds: float) -> int:
        """Blocks for `seconds`, or until something is sent after `seen`, the last call's answer."""
        return self._bell.wait(seen, seconds)

    def wake(self) -> None:
        """Ends all waiting in this process."""
        self._bell.ring()

    def _said(self, topic: str, body: str) -> bool:
        """Whether a message waits that will be received for the first time from now on."""
        with self._connections.reading() as db:
            row = db.execute(
                "SELECT 1 FROM messages WHERE topic = ? AND body = ? AND dead = 0 AND receives = 0",
                (topic, body),
            ).fetchone()
        return row is not None

    def _any(self, topic: str, now: float) -> bool:
        with self._connections.reading() as db:
            row = db.execute(
                "SELECT 1 FROM messages WHERE topic = ? AND dead = 0 AND visible <= ? LIMIT 1",
                (topic, now),
            ).fetchone()
        return row is not None


class _Bell:
    """Counts what was sent in this process, and wakes threads that wait for more."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._count = 0

    def ring(self) -> None:
        with self._condition:
            self._count += 1
            self._condition.notify_all()

    def wait(self, seen: int, seconds: float) -> int:
        with self._condition:
            self._condition.wait_for(lambda: self._count != seen, seconds)
            return self._count


_bells: dict[str, _Bell] = {}
_bells_lock = threading.Lock()


def _bell(path: str) -> _Bell:
    # Two queues on one file in one process wake each other.
    key = str(Path(path).resolve())
    with _bells_lock:
        return _bells.setdefault(key, _Bell())


def _known(topic: str) -> str:
    if topic not in TOPICS:
        raise ValueError(f"there is no topic {topic!r}")
    return topic


def _text(message: Mapping[str, Any]) -> str:
    return json.dumps(message, separators=(",", ":"), sort_keys=True)
