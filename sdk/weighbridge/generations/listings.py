"""Listings, remembered for seconds, then asked again with their entity tags.

What is listed never disappears, so an old listing is only ever too short. An empty one is trusted less:
who takes it for "no generation yet" begins from nothing.
"""

import threading
import time
from collections.abc import Callable, Hashable, Sequence
from typing import Any, TypeVar

from weighbridge.client import Client
from weighbridge.client.session import PAGE, Known
from weighbridge.contract import types

FULL_SECONDS = 10.0
EMPTY_SECONDS = 2.0

P = TypeVar("P", types.ModelPage, types.VersionPage, types.CheckpointPage)


class _Entry:
    """One listing: its pages, and until when they are taken as they are."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.pages: list[Known[Any]] = []
        self.until = 0.0


class Listings:
    """The listings of one namespace. Usable from several threads."""

    def __init__(
        self,
        client: Client,
        namespace: str,
        full: float = FULL_SECONDS,
        empty: float = EMPTY_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._namespace = namespace
        self._full, self._empty, self._clock = full, empty, clock
        self._lock = threading.Lock()
        self._entries: dict[Hashable, _Entry] = {}

    def models(self) -> tuple[types.Model, ...]:
        """The models that have a release: those with ordered labels of which one was published."""
        pages = self._pages(types.ModelPage, (), {})
        return tuple(
            model
            for page in pages
            for model in page.items
            if model.settings.label_order == "pep440" and model.greatest
        )

    def releases(self, model: str, *, fresh: bool = False) -> tuple[types.Version, ...]:
        """The published versions of a model, oldest first."""
        pages = self._pages(types.VersionPage, (model, "versions"), {"order": "oldest"}, fresh)
        return tuple(version for page in pages for version in page.items if version.label)

    def generations(self, model: str, version: int) -> tuple[int, ...]:
        """The numbers of a version's checkpoints."""
        at = (model, "versions", str(version), "checkpoints")
        pages = self._pages(types.CheckpointPage, at, {"order": "oldest"})
        return tuple(point.number for page in pages for point in page.items)

    def drop(self) -> None:
        """Forgets how long listings were good for: the next one is asked for."""
        with self._lock:
            entries = list(self._entries.values())
        for entry in entries:
            entry.until = 0.0

    def _pages(
        self,
        answer: type[P],
        at: tuple[str, ...],
        query: dict[str, object],
        fresh: bool = False,
    ) -> Sequence[P]:
        with self._lock:
            entry = self._entries.setdefault(at, _Entry())
        with entry.lock:  # several threads ask once
            if fresh or self._clock() >= entry.until:
                asked = self._clock()
                pages = self._ask(answer, at, query, entry.pages)
                entry.pages = pages
                some = any(page.value.items for page in pages)
                entry.until = asked + (self._full if some else self._empty)
            return [page.value for page in entry.pages]

    def _ask(
        self,
        answer: type[P],
        at: tuple[str, ...],
        query: dict[str, object],
        known: Sequence[Known[P]],
    ) -> list[Known[P]]:
        pages: list[Known[P]] = []
        following: str | None = None
        while True:
            before = known[len(pages)] if len(pages) < len(known) else None
            page = self._client.revisit(
                answer, "projects", self._namespace, "models", *at,
                query={**query, "limit": PAGE, "page": following}, known=before,
            )  # fmt: skip
            pages.append(page)
            following = page.value.next
            if not following:
                return pages
