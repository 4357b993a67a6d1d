"""One SQLite connection per thread, none across a fork, and one writer at a time per process.

Writers that wait for each other share one commit: a flush of the disk takes longer than what most of them
have to do. Nobody goes on before the commit that holds their writes is on the disk.
"""

import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from chalicelib.storage import forks
from weighbridge.contract.errors import Unavailable, Unsupported

BUSY_SECONDS = 15.0
_VERSION = 1
_MOST_TOGETHER = 64
_LOOK_SECONDS = 0.05


class _Batch:
    """Blocks that share a commit: how many so far, whether it ended, and why it failed."""

    def __init__(self) -> None:
        self.size = 0
        self.ended = threading.Event()
        self.failure: BaseException | None = None


class Connections:
    """Connections to the file at `path`; `schema` is run when a new file is made. Without `flush` a
    commit survives the death of the process, and may be lost with the machine.

    SQLite keeps the locks of a process in memory, so a child that inherits them by fork would
    believe that it holds locks it does not have, even with a connection of its own. Therefore
    everything is closed before a fork, after running operations have ended.
    """

    _all: list[tuple[threading.Thread, sqlite3.Connection]]
    _own: sqlite3.Connection | None
    _batch: _Batch | None
    _waiting: int
    _running: int
    _writer: threading.Lock
    _opening: threading.Lock
    _idle: threading.Condition
    _local: threading.local

    def __init__(self, path: str, schema: str, *, flush: bool = True) -> None:
        self._path = path
        self._synchronous = "FULL" if flush else "NORMAL"
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
        with self._using():
            yield self._mine()

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """One transaction: committed and on the disk when the block ends, undone if it fails.

        Threads queue here rather than in SQLite, whose waiting is a sleep and not a queue. One that
        is done leaves the commit to the next in the queue, and waits for it. What a block saw may be
        of others in the same commit, so one that fails waits for them too.
        """
        with self._using():
            with self._turn() as batch:
                failure: BaseException | None = None
                self._database().execute("SAVEPOINT one")
                try:
                    yield self._database()
                    self._database().execute("RELEASE one")
                except BaseException as error:
                    failure = error
                    self._undo(batch, error)
                batch.size += 1
            while not batch.ended.wait(_LOOK_SECONDS):
                self._commit_forgotten(batch)
            if batch.failure is not None and failure is not batch.failure:
                raise sqlite3.OperationalError(str(batch.failure)) from batch.failure
            if failure is not None:
                raise failure

    @contextmanager
    def _turn(self) -> Iterator["_Batch"]:
        """The right to write, in a transaction that others may have begun. Whoever leaves commits it,
        unless somebody waits."""
        with self._idle:
            self._waiting += 1
        try:
            self._writer.acquire()
        finally:
            with self._idle:
                self._waiting -= 1
        try:
            if self._batch is None:
                self._database().execute("BEGIN IMMEDIATE")
                self._batch = _Batch()
            batch = self._batch
            try:
                yield batch
            finally:
                if not self._waiting or batch.size >= _MOST_TOGETHER or batch.failure:
                    self._commit(batch)
        finally:
            self._writer.release()

    def _database(self) -> sqlite3.Connection:
        """The connection that writes; for whoever has the turn."""
        if self._own is None:
            self._own = self._open()
        return self._own

    def _undo(self, batch: "_Batch", error: BaseException) -> None:
        """Takes back what one block wrote. Where SQLite took back all (a full disk), all have failed."""
        db = self._database()
        try:
            if db.in_transaction:
                db.execute("ROLLBACK TO one")
                db.execute("RELEASE one")
                return
        except sqlite3.Error as worse:
            error = worse
        batch.failure = error

    def _commit(self, batch: "_Batch") -> None:
        db = self._database()
        try:
            if batch.failure is None:
                db.execute("COMMIT")
        except BaseException as error:
            batch.failure = error
        finally:
            if db.in_transaction:
                with suppress(sqlite3.Error):
                    db.execute("ROLLBACK")
            self._batch = None
            batch.ended.set()

    def _commit_forgotten(self, batch: "_Batch") -> None:
        """Commits for somebody who was to, and was interrupted while waiting for the turn."""
        if self._writer.acquire(blocking=False):
            try:
                if self._batch is batch:
                    self._commit(batch)
            finally:
                self._writer.release()

    @contextmanager
    def _using(self) -> Iterator[None]:
        with self._idle:
            self._running += 1
        try:
            yield
        except sqlite3.OperationalError as error:
            raise Unavailable(f"the metadata file cannot be used: {error}") from error
        finally:
            with self._idle:
                self._running -= 1
                self._idle.notify_all()

    def _mine(self) -> sqlite3.Connection:
        db: sqlite3.Connection | None = getattr(self._local, "db", None)
        if db is None:
            db = self._open()
            self._local.db = db
            with self._idle:
                self._reap()
                self._all.append((threading.current_thread(), db))
        return db

    def _open(self) -> sqlite3.Connection:
        deadline = time.monotonic() + BUSY_SECONDS
        while True:
            with self._opening:  # or many threads would race to make the file
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
        db.execute(f"PRAGMA synchronous = {self._synchronous}")
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
        if self._own is not None:
            self._own.close()
        self._own = None
        self._all = []
        self._local = threading.local()

    def _fresh(self) -> None:
        self._idle = threading.Condition()
        self._writer = threading.Lock()
        self._opening = threading.Lock()
        self._own = None
        self._batch = None
        self._waiting = 0
        self._running = 0
        self._local = threading.local()
        self._all = []

    def _before_fork(self) -> None:
        self._idle.acquire()
        self._drain()

    def _after_fork_in_parent(self) -> None:
        self._idle.release()
