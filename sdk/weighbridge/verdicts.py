"""Waiting for the verdict on what was published: bounded, and only where somebody wants it."""

import time
from collections.abc import Callable
from typing import Protocol, TypeVar

from weighbridge.client import Client
from weighbridge.contract import types

HELD_SECONDS = 60.0
"""How long a push waits by default where the project's policy holds back what is being checked."""


class _Judged(Protocol):
    @property
    def verdict(self) -> types.Safety: ...

    @property
    def state(self) -> str: ...


T = TypeVar("T", bound=_Judged)


def settled(found: T, again: Callable[[], T], wait: float | None = None) -> T:
    """What was published once its verdict is there; as it is when `wait` seconds are over.

    By default (None) what is held back is waited for, `HELD_SECONDS` at most, and nothing else.
    """
    if wait is None:
        wait = HELD_SECONDS if found.state == "checking" else 0.0
    deadline = time.monotonic() + wait
    pause = 0.1
    while found.verdict == "pending" and (left := deadline - time.monotonic()) > 0:
        time.sleep(min(pause, left))
        pause = min(2 * pause, 2.0)
        found = again()
    return found


def version(client: Client, found: types.Version, wait: float | None = None) -> types.Version:
    """A version that was committed just now, after waiting for its verdict."""
    return settled(found, lambda: client.version(found.project, found.model, found.number), wait)


def checkpoint(
    client: Client, found: types.Checkpoint, wait: float | None = None
) -> types.Checkpoint:
    """A checkpoint that was committed just now, after waiting for its verdict."""
    at = (found.project, found.model, found.version, found.number)
    return settled(found, lambda: client.checkpoint(*at), wait)
