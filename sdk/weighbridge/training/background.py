"""A bounded queue of snapshots and the thread that pushes them, one after the other.

It knows nothing of registries: it is given the function that pushes. Locks are reentrant, because a
signal's handler runs in the middle of whatever the main thread is doing.
"""

import logging
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from weighbridge.contract.errors import InvalidRequest, Throttled, TransferError, Unavailable

log = logging.getLogger("weighbridge.training")

Policy = Literal["drop_oldest", "skip", "wait"]
_POLICIES = ("drop_oldest", "skip", "wait")
_PASSING = (TransferError, Throttled, Unavailable)
_NICE = 10
"""How much the pushing threads give way to training where both want the processor."""


@dataclass(slots=True)
class Snapshot:
    """What is to become a checkpoint; with `write`, its files are still to be written."""

    step: int
    name: str
    metrics: dict[str, float]
    tags: dict[str, str]
    folder: Path
    size: int
    write: Callable[[Path], object] | None = field(default=None)


class Background:
    """Pushes snapshots in the order they were taken. At most `waiting` of them, and of `most_bytes`
    bytes, wait (one may always wait); the one under way is not counted. What fails in passing is
    tried again after each of the `pauses`."""

    def __init__(
        self,
        push: Callable[[Snapshot], object],
        dropped: Callable[[Snapshot], object],
        failed: Callable[[Snapshot, Exception], object],
        *,
        waiting: int = 2,
        most_bytes: int = 4 * 1024**3,
        when_full: Policy = "drop_oldest",
        pauses: Sequence[float] = (2.0, 10.0, 30.0),
    ) -> None:
        if waiting < 1 or most_bytes < 0:
            raise InvalidRequest(
                f"at least one snapshot must be able to wait, not {waiting} of {most_bytes} bytes"
            )
        if when_full not in _POLICIES:
            raise InvalidRequest(f"when_full is one of {', '.join(_POLICIES)}, not {when_full!r}")
        self._push = push
        self._dropped = dropped
        self._failed = failed
        self._limit = waiting
        self._most = most_bytes
        self._policy = when_full
        self._pauses = tuple(pauses)
        self._changed = threading.Condition(threading.RLock())
        self._queue: deque[Snapshot] = deque()
        self._busy: Snapshot | None = None
        self._thread: threading.Thread | None = None
        self._stopping = threading.Event()
        self._hurry = False

    def admits(self) -> bool:
        """Whether a snapshot should be taken now. Waits for room where that is the policy."""
        with self._changed:
            if self._policy == "wait":
                while not self._fits(0) and not self._stopping.is_set():
                    self._changed.wait()
            return self._policy != "skip" or self._fits(0)

    def put(self, snapshot: Snapshot) -> None:
        """Queues a snapshot; the oldest that wait make room for it."""
        given_up = []
        with self._changed:
            while not self._fits(snapshot.size) and not self._stopping.is_set():
                if self._policy == "wait":
                    self._changed.wait()
                else:
                    given_up.append(self._queue.popleft())
            self._queue.append(snapshot)
            self._hurry = False  # whoever hurried has let the training go on
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._run, name="weighbridge-push", daemon=True
                )
                self._thread.start()
            self._changed.notify_all()
        for old in given_up:
            self._dropped(old)

    def flush(self, seconds: float | None = None) -> bool:
        """Waits until nothing is left to push; False if that takes longer, or somebody hurries."""
        deadline = None if seconds is None else time.monotonic() + seconds
        with self._changed:
            while self._queue or self._busy is not None:
                left = None if deadline is None else deadline - time.monotonic()
                if self._hurry or (left is not None and left <= 0):
                    return False
                self._changed.wait(left)
            return True

    def hurry(self) -> None:
        """Ends every wait of `flush`."""
        with self._changed:
            self._hurry = True
            self._changed.notify_all()

    def stop(self) -> list[Snapshot]:
        """Ends the thread after what it is doing; answers what will not be pushed. For good."""
        self._stopping.set()
        with self._changed:
            left = list(self._queue)
            self._queue.clear()
            self._changed.notify_all()
            thread = self._thread if self._busy is None else None
        if thread is not None:
            thread.join(10)
        return left

    def _fits(self, size: int) -> bool:
        if not self._queue:
            return True
        total = sum(snapshot.size for snapshot in self._queue) + size
        return len(self._queue) < self._limit and total <= self._most

    def _run(self) -> None:
        _give_way()
        while True:
            with self._changed:
                while not self._queue and not self._stopping.is_set():
                    self._changed.wait()
                if not self._queue:
                    return
                snapshot = self._busy = self._queue.popleft()
                self._changed.notify_all()
            try:
                self._attempt(snapshot)
            except Exception as error:
                self._failed(snapshot, error)
            finally:
                with self._changed:
                    self._busy = None
                    self._changed.notify_all()

    def _attempt(self, snapshot: Snapshot) -> None:
        for pause in self._pauses:
            try:
                self._push(snapshot)
                return
            except _PASSING as error:
                log.warning(
                    "step %d is not pushed yet (%s); trying again in %.0f s",
                    snapshot.step, error, pause,
                )  # fmt: skip
            if self._stopping.wait(pause):
                break
        self._push(snapshot)


def _give_way() -> None:
    """Linux knows a priority for each thread, and those that this one starts take it over."""
    if sys.platform.startswith("linux"):
        try:
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICE)
        except OSError:
            log.debug("the pushing thread keeps its priority")
