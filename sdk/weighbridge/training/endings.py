"""The ends of a process: SIGTERM, SIGINT, the interpreter's exit, and forks, where nothing ends.

Open checkpointers register here. A signal's handler gives each of them a limited time to push what
waits, then does what would have happened without it. A child process made by fork inherits the
handler, but none of the work.
"""

import atexit
import concurrent.futures.thread  # noqa: F401 - registers its exit hook before ours does
import contextlib
import logging
import os
import signal
import threading
import time
import weakref
from collections.abc import Callable
from types import FrameType
from typing import Any, Protocol

log = logging.getLogger("weighbridge.training")

SIGNALS = (signal.SIGTERM, signal.SIGINT)
Handler = Callable[[int, FrameType | None], Any] | int | None


class Ending(Protocol):
    """What has to be brought to an end."""

    stop_seconds: float

    def drain(self, seconds: float) -> bool:
        """Waits for what is under way; raises nothing."""

    def hurry(self) -> None:
        """Stops waiting."""

    def abandon(self) -> None:
        """Removes what is on disk; the process dies next."""

    def close(self) -> None:
        """The orderly end."""


_open: weakref.WeakSet[Any] = weakref.WeakSet()
_former: dict[int, Handler] = {}
_owner = os.getpid()
_under_way = False
_hooked = False


def watch(ending: Ending, *, signals: bool = True) -> None:
    """From now on, `ending` is closed when the interpreter exits and, in the main thread and where
    wanted, flushed when a signal would end the process."""
    global _owner, _hooked
    if _owner != os.getpid():
        _forget_all()
    _open.add(ending)
    if not _hooked:
        # The pool of threads that pushes is shut before atexit's functions run; this runs before
        # both, as hooks run in reverse order. A Python without it needs `close` before the exit.
        register = getattr(threading, "_register_atexit", atexit.register)
        register(_at_exit)
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=_forget_all)
        _hooked = True
    if signals and threading.current_thread() is threading.main_thread():
        for number in SIGNALS:
            _install(number)


def forget(ending: Ending) -> None:
    """`ending` was closed. The last one gives the signals back."""
    _open.discard(ending)
    if not _open and threading.current_thread() is threading.main_thread():
        for number, former in list(_former.items()):
            # Whoever came after us may call us still, and then we only hand on.
            if signal.getsignal(number) is _handle:
                signal.signal(number, former)
                del _former[number]


def _install(number: int) -> None:
    former = signal.getsignal(number)
    if former is _handle or former is signal.SIG_IGN or former is None:
        return  # ignored on purpose, or installed from C and not to be called from here
    if former is signal.default_int_handler or number in _former:
        return  # KeyboardInterrupt unwinds to the interpreter's exit, which flushes
    _former[number] = former
    signal.signal(number, _handle)


def _handle(number: int, frame: FrameType | None) -> None:
    global _under_way
    if _owner == os.getpid():
        if _under_way:
            for ending in list(_open):
                ending.hurry()
            return
        _under_way = True
        try:
            _flush_all()
        finally:
            _under_way = False
    former = _former.get(number, signal.SIG_DFL)
    if callable(former):
        former(number, frame)
    elif former == signal.SIG_DFL:
        if _owner == os.getpid():
            for ending in list(_open):
                ending.abandon()
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)


def _flush_all() -> None:
    endings = list(_open)
    deadline = time.monotonic() + max((e.stop_seconds for e in endings), default=0.0)
    for ending in endings:
        # A log line may be refused when the signal came in the middle of another one.
        with contextlib.suppress(RuntimeError):
            ending.drain(max(0.0, deadline - time.monotonic()))


def _at_exit() -> None:
    if _owner == os.getpid():
        for ending in list(_open):
            try:
                ending.close()
            except Exception:
                log.exception("a run could not be closed")


def _forget_all() -> None:
    global _owner
    _owner = os.getpid()
    _open.clear()
