"""Ctrl-C and `kill` amid a transfer: stop at once, and say how to go on."""

import shlex
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType

from weighbridge.cli import exits


class Terminated(KeyboardInterrupt):
    """SIGTERM came. It unwinds as Ctrl-C does."""


@contextmanager
def terminable() -> Iterator[None]:
    """SIGTERM raises `Terminated` in this block, unless somebody chose otherwise."""
    there = threading.current_thread() is threading.main_thread()
    if not there or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return
    signal.signal(signal.SIGTERM, _terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _terminate(number: int, frame: FrameType | None) -> None:
    raise Terminated


def code(error: KeyboardInterrupt) -> int:
    """The exit code that shells expect."""
    return exits.TERMINATED if isinstance(error, Terminated) else exits.INTERRUPTED


def text(error: KeyboardInterrupt, words: Sequence[str], resumes: bool) -> str:
    """What happened, what is safe, and the command line that goes on from there."""
    said = "terminated" if isinstance(error, Terminated) else "interrupted"
    if not resumes:
        return said
    notes = [*getattr(error, "__notes__", ()), f"run again: {shlex.join(['weighbridge', *words])}"]
    return f"{said}: {'; '.join(notes)}"
