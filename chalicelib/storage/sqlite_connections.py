"""One SQLite connection per thread, none across a fork, and one writer at a time per process."""

import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from chalicelib.storage import forks
from weighbridge.contract.errors import Unavailable, Unsupported

BUSY_SECONDS = 15.0
_VERSION = 1


class Connections:
    """Connections to the file at `path`; `schema` is run when a new file is made.

    SQLite keeps the locks of a process in memory, so a child that inherits them by fork would
    believe that it holds locks it does not have, even with a connection of its own. Therefore
    everything is closed before a fork, after running operations have ended.
    """

    _all: list[tuple[threading.Thread, sqlite3.Connection]]

    def __init__(self, path: str, schema: str) -> None:
        self._path = path
        self._schema = schema
        self._fresh()
        forks.watch(
            self,
            before=Connections._before_fork,
            in_parent=Connections._after_fork_in_parent,
            in_child=Connections._fresh,
        )

    def close(self) -> None:
        """Waits for running operations, then closes the file in every thread."""
        with self._idle:
            self._drain()

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """This thread's connection, each statement on the newest committed state."""
        with self._using() as db:
            yield db

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """One transaction: committed and on the disk when the block ends, undone if it fails."""
        # Threads queue here rather than in SQLite, whose waiting is a sleep and not a queue.
        with self._using() as db, self._writer:
            db.execute("BEGIN IMMEDIATE")
            try:
                yield db
                db.execute("COMMIT")
            except BaseException:
                with suppress(sqlite3.Error):
                    if db.in_transaction:
                        db.execute("ROLLBACK")
                raise

    @contextmanager
    def _using(self) -> Iterator[sqlite3.Connection]:
        with self._idle:
            self._running += 1
        try:
            yield self._mine()
        except sqlite3.OperationalError as error:
            raise Unavailable(f"the metadata file cannot be used: {error}") from error
        finally:
            with self._idle:
                self._running -= 1
                self._idle.notify_all()

    def _mine(self) -> sqlite3.Connection:
        db: sqlite3.Connection | None = getattr(self._local, "db", None)
        if db is None:
            with self._writer:  # or many threads would race to make the file
                db = self._open()
            self._local.db = db
            with self._idle:
                self._reap()
                self._all.append((threading.current_thread(), db))
        return db

    def _open(self) -> sqlite3.Connection:
        deadline = time.monotonic() + BUSY_SECONDS
        while True:
            db = sqlite3.connect(
                self._path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
            )
            try:
                self._prepare(db)
                return db
            except BaseException as error:
                db.close()
                # SQLite does not wait while another process is making the same file.
                if "locked" not in str(error) or time.monotonic() > deadline:
                    raise
            time.sleep(0.02)

    def _prepare(self, db: sqlite3.Connection) -> None:
        db.execute("PRAGMA synchronous = FULL")
        db.execute("PRAGMA journal_size_limit = 67108864")
        version = db.execute("PRAGMA user_version").fetchone()[0]
        if version == _VERSION:
            return
        if version > _VERSION:
            raise Unsupported(f"{self._path} was written by a newer version of Weighbridge")
        db.execute("PRAGMA page_size = 8192")
        db.execute("PRAGMA journal_mode = WAL")
        db.executescript(
            f"BEGIN IMMEDIATE; {self._schema} PRAGMA user_version = {_VERSION}; COMMIT;"
        )

    def _reap(self) -> None:
        """Closes what threads that have ended left open."""
        for thread, db in self._all:
            if not thread.is_alive():
                db.close()
        self._all = [(thread, db) for thread, db in self._all if thread.is_alive()]

    def _drain(self) -> None:
        while self._running:
            self._idle.wait()
        for _, db in self._all:
            db.close()
        self._all = []
        self._local = threading.local()

    def _fresh(self) -> None:
        self._idle = threading.Condition()
        self._writer = threading.Lock()
        self._running = 0
        self._local = threading.local()
        self._all = []

    def _before_fork(self) -> None:
        self._idle.acquire()
        self._drain()

    def _after_fork_in_parent(self) -> None:
        self._idle.release()
