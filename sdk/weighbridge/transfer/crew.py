"""A few threads with a short queue in front of them; the first failure stops everything."""

import threading
import time
from collections import deque
from collections.abc import Callable
from types import TracebackType

from weighbridge.http import Interrupted as Interrupted

_GRACE = 2.0


def _nothing() -> None:
    pass


class Crew:
    """Runs tasks in `workers` threads. Use it in a `with` block: leaving it waits for all tasks,
    or, after an exception, drops those that have not begun and tells the others to stop; `cut` is
    called then, to end what they wait for."""

    def __init__(self, workers: int, name: str, cut: Callable[[], object] = _nothing) -> None:
        self._cut = cut
        self.said = ""
        """What a store's last refusal told of clocks; see `skew`."""
        self._most_waiting = 2 * workers
        self._tasks: deque[Callable[[], None]] = deque()
        self._change = threading.Condition()
        self._busy = 0
        self._closed = False
        self._failure: BaseException | None = None
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._work, name=f"weighbridge-{name}-{i}", daemon=True)
            for i in range(workers)
        ]
        for thread in self._threads:
            thread.start()

    def submit(self, task: Callable[[], None], most_waiting: int = 0) -> None:
        """Queues a task; waits while the queue is full, or longer than `most_waiting` if that is
        more. Raises what an earlier task raised."""
        limit = max(self._most_waiting, most_waiting)
        with self._change:
            self._change.wait_for(
                lambda: len(self._tasks) < limit or self._failure is not None or self._stop.is_set()
            )
            self._raise()
            self.check()
            self._tasks.append(task)
            self._change.notify_all()

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

    def stopping(self) -> bool:
        """Whether tasks should give up."""
        return self._stop.is_set()

    def pause(self, seconds: float) -> None:
        """Waits, or raises `Interrupted` as soon as the crew is told to stop."""
        if self._stop.wait(seconds):
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
            with self._change:
                self._change.wait_for(lambda: bool(self._tasks) or self._closed)
                if not self._tasks:
                    return
                task = self._tasks.popleft()
                self._busy += 1
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
                if failure is not None and self._failure is None:
                    self._failure = failure
                    self._tasks.clear()
                    self._stop.set()
                self._change.notify_all()
            if failure is not None:
                self._cut()
