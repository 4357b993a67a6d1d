"""A queue in memory, for unit tests."""

import copy
from collections.abc import Mapping, Sequence
from threading import RLock
from typing import Any


class MemoryQueue:
    """Keeps what was sent, in order; safe to use from threads."""

    def __init__(self) -> None:
        self._lock = RLock()
        self._sent: list[tuple[str, dict[str, Any]]] = []

    def send(self, topic: str, message: Mapping[str, Any]) -> None:
        """Records the message."""
        with self._lock:
            self._sent.append((topic, copy.deepcopy(dict(message))))

    def send_many(self, topic: str, messages: Sequence[Mapping[str, Any]]) -> None:
        """Records messages."""
        for message in messages:
            self.send(topic, message)

    @property
    def sent(self) -> list[tuple[str, dict[str, Any]]]:
        """Every message not taken yet, with its topic."""
        with self._lock:
            return list(self._sent)

    def take(self, topic: str) -> list[dict[str, Any]]:
        """Removes and answers the messages of a topic."""
        with self._lock:
            taken = [message for name, message in self._sent if name == topic]
            self._sent = [entry for entry in self._sent if entry[0] != topic]
            return taken
