"""Waiting for something outside of this process, where requests take turns to compute.

Threads of Python that compute at the same time take the interpreter from each other at each call that lets go of
it, dozens of times in a request: two are slower together than one after the other. A server with many threads
(`weighbridge/turns.py`) lets one request compute at a time; so whoever waits for a store says so here, and
others go on. A Lambda serves one request at a time: there nothing happens.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

Waiting = Callable[[], AbstractContextManager[None]]
_waiting: list[Waiting] = [nullcontext]


def waiting() -> AbstractContextManager[None]:
    """Around what waits and does not compute: others may compute meanwhile."""
    return _waiting[0]()


def taken_by(how: Waiting) -> Waiting:
    """Has `how` called wherever somebody waits; answers what was called before."""
    before, _waiting[0] = _waiting[0], how
    return before
