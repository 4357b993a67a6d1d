"""A few threads with a short queue in front of them; the first failure stops everything."""

import threading
import time
from collections import deque
from collections.abc import Callable
from types import TracebackType

from weighbridge.http import Interrupted as Interrupted
from weighbridge.transfer.pace import Pace
from weighbridge.transfer.processors import Processors
from weighbridge.turns import SENDING

_GRACE = 2.0


def _nothing() -> None:
    pass


class Crew:
    """Runs tasks in `workers` threads, and in more, up to `most`, while that is worth it (`Pace`). Use it
    in a `with` block: leaving it waits for all tasks, or, after an exception, drops those that have not
    begun and tells the others to stop; `cut` is called then, to end what they wait for. `spare` tells the
    share of idle processors, by default that of this machine."""

    def __init__(
        self,
        workers: int,
        name: str,
        cut: Callable[[], object] = _nothing,
        most: int = 0,
        spare: Callable[[], float | None] | None = None,
    ) -> None:
        self._cut = cut
        self.said = ""
        """What a store's last refusal told of clocks; see `skew`."""
        self._name = name
        self._pace = Pace(workers, max(workers, most), spare=spare or Processors().spare)
        self._tasks: deque[tuple[Callable[[], None], int]] = deque()
        lock = threading.Lock()
        self._change = threading.Condition(lock)
        """A task ended or was begun, or there is an end to all."""
        self._more = threading.Condition(lock)
        """There is a task to begin."""
        self._busy = 0
        self._closed = False
        self._failure: BaseException | None = None
        self._stop = threading.Event()
        self._room = 0
        """Somebody waits until fewer tasks than this have not begun."""
        self._threads: list[threading.Thread] = []
        self._working = 0
        with lock:
            self._hire()

    @property
    def workers(self) -> int:
        """How many threads there are now."""
        return self._working

    def _hire(self) -> None:
        while not self._closed and self._working < self._pace.allowed:
            name = f"weighbridge-{self._name}-{len(self._threads)}"
            thread = threading.Thread(target=self._work, name=name, daemon=True)
            thread.start()
            self._threads.append(thread)
            self._working += 1

    def submit(self, task: Callable[[], None], most_waiting: int = 0, size: int = 0) -> None:
        """Queues a task that moves `size` bytes; waits while the queue is full, or longer than
        `most_waiting` if that is more. Raises what an earlier task raised."""

        with self._change:
            limit = max(2 * self._pace.allowed, most_waiting)
            if len(self._tasks) >= limit:
                self._wait_for_room(limit - limit // 4)
            self._raise()
            self.check()
            self._tasks.append((task, size))
            self._more.notify()

    def _wait_for_room(self, most: int) -> None:
        # Not for one place: each time somebody is woken takes time from those who work.
        def room() -> bool:
            self._room = max(self._room, most)
            return len(self._tasks) < most or self._failure is not None or self._stop.is_set()

        self._change.wait_for(room)

    def drain(self) -> None:
        """Waits until every task is done. Raises what one of them raised."""
        with self._change:
            self._change.wait_for(
                lambda: (not self._tasks and not self._busy) or self._failure is not None
            )
            self._raise()

    def settled(self, seconds: float) -> bool:
        """`drain`, for no longer than this; whether every task is done."""
        with self._change:
            done = self._change.wait_for(
                lambda: (not self._tasks and not self._busy) or self._failure is not None, seconds
            )
            self._raise()
            return done

    def waiting(self) -> int:
        """How many tasks have not begun."""
        return len(self._tasks)

    def stop(self) -> None:
        """Drops the tasks that have not begun, and tells the others to give up."""
        with self._change:
            self._tasks.clear()
            self._stop.set()
            self._change.notify_all()
        self._cut()

    def refused(self) -> None:
        """The store asked for fewer requests at a time."""
        with self._change:
            self._pace.refused()

    def stopping(self) -> bool:
        """Whether tasks should give up."""
        return self._stop.is_set()

    def pause(self, seconds: float) -> None:
        """Waits, or raises `Interrupted` as soon as the crew is told to stop."""
        with SENDING.waiting():
            stopped = self._stop.wait(seconds)
        if stopped:
            raise Interrupted("stopped")

    def check(self) -> None:
        """Raises `Interrupted` when the crew is told to stop."""
        if self._stop.is_set():
            raise Interrupted("stopped")

    def __enter__(self) -> "Crew":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if error is None:
                self.drain()
        finally:
            with self._change:
                if error is not None or self._failure is not None:
                    self._tasks.clear()
                    self._stop.set()
                self._closed = True
                self._change.notify_all()
                self._more.notify_all()
            if self._stop.is_set():
                self._cut()
            # A thread that is stuck in a dead connection must not hold up the error.
            deadline = time.monotonic() + _GRACE
            for thread in self._threads:
                thread.join(max(0.0, deadline - time.monotonic()))
        if isinstance(error, Interrupted):
            self._raise()

    def _raise(self) -> None:
        if self._failure is not None:
            raise self._failure

    def _work(self) -> None:
        while True:
            with self._more:
                if not self._tasks and not self._closed:
                    self._pace.idle()
                    self._more.wait_for(lambda: bool(self._tasks) or self._closed)
                if not self._tasks or self._working > self._pace.allowed:
                    self._leave()
                    return
                task, size = self._tasks.popleft()
                self._busy += 1
                if len(self._tasks) < self._room:
                    self._room = 0
                    self._change.notify_all()
            failure: BaseException | None = None
            try:
                task()
            except Interrupted:
                pass
            except BaseException as error:
                failure = error
            del task
            with self._change:
                self._busy -= 1
                self._pace.done(size)
                if failure is not None and self._failure is None:
                    self._failure = failure
                    self._tasks.clear()
                    self._stop.set()
                self._hire()
                if failure is not None or not (self._tasks or self._busy):
                    self._change.notify_all()
            if failure is not None:
                self._cut()

    def _leave(self) -> None:
        self._working -= 1
        if self._tasks:
            self._more.notify()
