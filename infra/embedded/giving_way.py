"""Rendering gives way to requests: on AWS it has processors of its own, here it shares them.

A page that shows a moment later is what nobody notices; a request that waits is what somebody waits for.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

from chalicelib.registry import turns
from chalicelib.registry.ports import Blobs

REST = 10.0
"""While requests are being answered, rendering rests so many times as long as it computed: a tenth of a
processor is left to it, so that it ends however long they go on."""
_LONGEST = 1.0


class Traffic:
    """How many requests are being answered. Any thread may ask or wait."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._open = 0

    @contextmanager
    def request(self) -> Iterator[None]:
        """One request, as long as the block."""
        with self._changed:
            self._open += 1
        try:
            yield
        finally:
            with self._changed:
                self._open -= 1
                if not self._open:
                    self._changed.notify_all()

    def pause(self, seconds: float) -> None:
        """Returns when no request is being answered, or after `seconds`."""
        with self._changed:
            self._changed.wait_for(lambda: not self._open, seconds)


class GivingWay:
    """The site as it is given to a renderer: before an object is put, requests are let pass."""

    def __init__(self, site: Blobs, traffic: Traffic) -> None:
        self._site = site
        self._traffic = traffic
        self._local = threading.local()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._site, name)

    def put(self, *args: Any, **more: Any) -> str:
        """`Blobs.put`, after a rest in proportion to what this thread computed since the one before."""
        computed = time.thread_time() - getattr(self._local, "rested", 0.0)
        with turns.waiting():
            self._traffic.pause(min(_LONGEST, REST * computed))
        self._local.rested = time.thread_time()
        return self._site.put(*args, **more)


def giving_way(site: Blobs, traffic: Traffic) -> Blobs:
    """`site`, with puts that give way."""
    return cast("Blobs", GivingWay(site, traffic))
