"""How many requests a token may make in a minute.

Each process counts by itself, for nothing. Only after every eighth of the limit it adds what it counted to
an item that all processes share, and learns what the others counted. So a token that stays below an
eighth costs nothing, none costs more than a few writes a minute, and what is let through too much is
bounded: an eighth per process.
"""

import threading
from contextlib import suppress

from chalicelib.registry import keys
from chalicelib.registry.ports import Table, Update
from weighbridge.contract.errors import RegistryError, Throttled

SHARE = 8
_MINUTE = 60


class Throttle:
    """The counts of one process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._minute = 0
        self._counted: dict[str, int] = {}
        self._known: dict[str, int] = {}

    def admit(self, table: Table, token: str, now: float, most: int) -> None:
        """Counts one request; `Throttled` if the token has had `most` in this minute (0: no limit)."""
        if not most:
            return
        minute, second = divmod(int(now), _MINUTE)
        step = max(1, most // SHARE)
        with self._lock:
            if minute != self._minute:
                self._minute = minute
                self._counted.clear()
                self._known.clear()
            counted = self._counted.get(token, 0) + 1
            if self._known.get(token, 0) + counted > most:
                left = _MINUTE - second
                raise Throttled(
                    f"this token has made its {most} requests of this minute; go on in {left} s, or "
                    "give each client a token of its own",
                    limit=most, retry_after=left,
                )  # fmt: skip
            share = counted >= step
            self._counted[token] = 0 if share else counted
            if share:
                self._known[token] = self._known.get(token, 0) + counted
        if share:
            self._tell(table, token, minute, counted)

    def _tell(self, table: Table, token: str, minute: int, counted: int) -> None:
        ttl = (minute + 2) * _MINUTE
        # Whoever asks is not to wait for, or fail by, a store that has trouble of its own.
        with suppress(RegistryError):
            item = table.write(
                Update(keys.requests(token, minute), set={"ttl": ttl}, add={"n": counted})
            )
            with self._lock:
                if item is not None and minute == self._minute:
                    self._known[token] = max(self._known.get(token, 0), int(item.attrs["n"]))
