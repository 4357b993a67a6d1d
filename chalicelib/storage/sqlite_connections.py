"""One SQLite connection per thread, none across a fork, and one writer at a time per process.

Writers that wait for each other share one commit: a flush of the disk takes longer than what most of them
have to do. Nobody goes on before the commit that holds their writes is on the disk.
"""

import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from types import TracebackType

from chalicelib.registry import turns
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


class _Own:
    """A thread's connection, and a lock that the thread holds while it uses it."""

    __slots__ = ("db", "lock", "thread")

    def __init__(self) -> None:
        self.thread = threading.current_thread()
        self.lock = threading.RLock()
        self.db: sqlite3.Connection | None = None


class _Reading:
    """What `Connections.reading` answers. A class, since it is entered several times in each request."""

    __slots__ = ("_from", "_own")

    def __init__(self, connections: "Connections") -> None:
        self._from = connections

    def __enter__(self) -> sqlite3.Connection:
        self._own = own = self._from.own()
        own.lock.acquire()
        try:
            return own.db or self._from.opened(own)
        except BaseException as error:
            self.__exit__(type(error), error, None)
            raise

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._own.lock.release()
        if isinstance(error, sqlite3.OperationalError):
            raise Unavailable(f"the metadata file cannot be used: {error}") from error


class Connections:
    """Connections to the file at `path`; `schema` is run when a new file is made. Without `flush` a
    commit survives the death of the process, and may be lost with the machine.

    SQLite keeps the locks of a process in memory, so a child that inherits them by fork would
    believe that it holds locks it does not have, even with a connection of its own. Therefore
    everything is closed before a fork, after running operations have ended.
    """

    _all: list[_Own]
    _writing: sqlite3.Connection | None
    _batch: _Batch | None
    _waiting: int
    _writer: threading.Lock
    _opening: threading.Lock
    _known: threading.Lock
    _counting: threading.Lock
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
        with self._known:
            self._drain()
            self._resume()

    def reading(self) -> AbstractContextManager[sqlite3.Connection]:
        """This thread's connection, each statement on the newest committed state."""
        return _Reading(self)

    @contextmanager
    def writing(self, *, whole: bool = False) -> Iterator[sqlite3.Connection]:
        """One transaction: committed and on the disk when the block ends, undone if it fails. A block that
        is `whole` fails before it has written anything, unless by SQLite's own fault.

        Threads queue here rather than in SQLite, whose waiting is a sleep and not a queue. One that
        is done leaves the commit to the next in the queue, and waits for it. What a block saw may be
        of others in the same commit, so one that fails waits for them too.
        """
        with _Reading(self):
            with self._turn() as batch:
                failure: BaseException | None = None
                db = self._database()
                changed = db.total_changes
                try:
                    if whole:
                        yield db
                    else:
                        db.execute("SAVEPOINT one")
                        yield db
                        db.execute("RELEASE one")
                except BaseException as error:
                    failure = error
                    if not whole or db.total_changes != changed:
                        self._undo(batch, error, whole)
                batch.size += 1
            if not batch.ended.is_set():
                with turns.waiting():
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
        if not self._writer.acquire(blocking=False):
            with self._counting:
                self._waiting += 1
            try:
                with turns.waiting():
                    self._writer.acquire()
            finally:
                with self._counting:
                    self._waiting -= 1
        try:
            if self._batch is None:
                self._database().execute("BEGIN IMMEDIATE")
                self._batch = _Batch()
            yield self._batch
        finally:
            self._leave()

    def _leave(self) -> None:
        """Ends a turn: with a commit, if nobody goes on."""
        batch = self._batch
        if batch and (not self._waiting or batch.size >= _MOST_TOGETHER or batch.failure):
            with turns.waiting():
                self._commit(batch)
                self._writer.release()
        else:
            self._writer.release()

    def _database(self) -> sqlite3.Connection:
        """The connection that writes; for whoever has the turn."""
        if self._writing is None:
            self._writing = self._open()
        return self._writing

    def _undo(self, batch: "_Batch", error: BaseException, whole: bool) -> None:
        """Takes back what one block wrote. Where that cannot be told from the rest, or SQLite took back
        all (a full disk), all have failed."""
        db = self._database()
        try:
            if db.in_transaction and not whole:
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

    def own(self) -> _Own:
        """This thread's entry."""
        own: _Own | None = getattr(self._local, "own", None)
        if own is None:
            with self._known:
                self._local.own = own = _Own()
                self._reap()
                self._all.append(own)
        return own

    def opened(self, own: _Own) -> sqlite3.Connection:
        """The connection of an entry that this thread has locked."""
        own.db = self._open()
        return own.db

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
        ended = [own for own in self._all if not own.thread.is_alive()]
        for own in ended:
            if own.db is not None:
                own.db.close()
        self._all = [own for own in self._all if own not in ended]

    def _drain(self) -> None:
        """Waits until no thread uses its connection, and closes them all; the locks stay taken."""
        for own in self._all:
            own.lock.acquire()
            if own.db is not None:
                own.db.close()
                own.db = None
        if self._writing is not None:
            self._writing.close()
        self._writing = None

    def _resume(self) -> None:
        for own in self._all:
            own.lock.release()

    def _fresh(self) -> None:
        self._known = threading.Lock()
        self._counting = threading.Lock()
        self._writer = threading.Lock()
        self._opening = threading.Lock()
        self._writing = None
        self._batch = None
        self._waiting = 0
        self._local = threading.local()
        self._all = []

    def _before_fork(self) -> None:
        self._known.acquire()
        self._drain()

    def _after_fork_in_parent(self) -> None:
        self._resume()
        self._known.release()
