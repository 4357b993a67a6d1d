"""A search answered by the server, for readers without scripts: over the same index documents, within a
budget. What the budget left out is counted, never silently dropped."""

import json
import time
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from chalicelib.catalogue import shelf, slugs, views
from chalicelib.catalogue.pages import Page
from chalicelib.catalogue.searching import index, matching, query
from chalicelib.catalogue.searching.matching import Entry
from chalicelib.catalogue.searching.query import Query
from chalicelib.catalogue.views import SearchHit, SearchView
from chalicelib.registry import turns
from chalicelib.registry.ports import Blobs
from weighbridge.contract.errors import NotFound
from weighbridge.contract.types import Who

SHOWN = 50
DOCUMENTS = 400
"""Index documents of versions that one answer reads."""
MAX_BYTES = 24 * 1024 * 1024
SECONDS = 3.0
QUICK = 0.08
"""Seconds of reading before a page is shown at first: typing, or a click on it, reads the rest."""
AT_ONCE = 8
SHOWN_METRICS = 4


def shards(site: Blobs, projects: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """Each project with the letters of its shards (`"03f"`), as far as it has any."""

    def keys(project: str) -> list[str]:
        return list(shelf.keys_under(site, slugs.folder(slugs.index_path(project))))

    with turns.waiting(), ThreadPoolExecutor(AT_ONCE) as pool:
        return among({key for found in pool.map(keys, projects) for key in found}, projects)


def among(keys: Container[str], projects: Iterable[str]) -> tuple[tuple[str, str], ...]:
    """Each project with the letters of its shards among the keys of a site."""
    named = ((p, "".join(s for s in index.SHARDS if index.shard_key(p, s) in keys))
             for p in projects)  # fmt: skip
    return tuple(pair for pair in named if pair[1])


def answer(
    site: Blobs,
    projects: Sequence[str],
    text: str,
    who: Who | None = None,
    more: bool = False,
    clock: Callable[[], float] = time.monotonic,
    *,
    thorough: bool = False,
) -> SearchView:
    """What a query finds in these projects: in their newest versions, or, if `thorough`, in as many as the
    budget lets it read."""
    asked = query.parse(text)
    indexes = shards(site, projects)
    if not asked.terms:
        shown = text if len(text) <= query.MAX_QUERY else ""
        return SearchView(who, shown, asked.problem, indexes=indexes, more=more)
    reading = _Reading(site, clock() + (SECONDS if thorough else QUICK), clock)
    found = matching.ranked(asked, reading.found(asked, indexes), SHOWN)
    hits = tuple(hit(entry, asked) for entry in found.entries)
    return SearchView(
        who, text, "", hits, found.total, reading.unread, indexes, more, thorough=thorough
    )


def hit(entry: Entry, asked: Query) -> SearchHit:
    """An entry as it is shown."""
    said = entry.shown
    if entry.model is None:
        value = said.get("value")
        metrics = () if value is None else ((str(said["metric"]), value),)
        return SearchHit(entry.path, entry.owner, said["name"], 0, said, metrics)
    wanted = {term.name for term in asked.terms if term.kind == "number"}
    named = sorted(
        said.get("metrics", {}).items(), key=lambda pair: query.fold(pair[0]) not in wanted
    )
    params = [p for p in said.get("params", {}).items() if query.fold(p[0]) in wanted]
    metrics = tuple((*params, *named)[:SHOWN_METRICS])
    name = entry.model.shown["name"]
    return SearchHit(entry.path, entry.owner, name, entry.number, said, metrics)


class _Reading:
    """Reads index documents, and looks for a query in them, until all are read or the budget is used up."""

    def __init__(self, site: Blobs, end: float, clock: Callable[[], float]) -> None:
        self._site, self._end, self._clock = site, end, clock
        self._left = MAX_BYTES
        self.unread = 0
        """Documents that the budget left out."""

    def found(self, asked: Query, indexes: Iterable[tuple[str, str]]) -> list[Entry]:
        """The entries that a query finds in what is read."""
        keys = [
            index.shard_key(name, shard)
            for name, letters in indexes
            if matching.concerns(asked, name)
            for shard in letters
        ]
        models = [entry for one in self._documents(keys) for entry in matching.model_entries(one)]
        hits = [entry for entry in models if matching.found(asked, entry)]
        wanted = [
            (model, number)
            for model in models
            if matching.reachable(asked, model)
            for number in range(1, int(model.shown.get("highest", 0)) + 1, views.RANGE)
        ]
        # The newest range of every model first, then the next older of each.
        wanted.sort(key=lambda pair: int(pair[0].shown["highest"]) - pair[1])
        chosen = wanted[:DOCUMENTS]
        self.unread += len(wanted) - len(chosen)
        paths = [index.versions_path(model.path, number) for model, number in chosen]
        by_name = {f"{model.owner}/{model.shown['name']}": model for model, _ in chosen}
        for one in self._documents([slugs.object_key(path, "") for path in paths]):
            if (model := by_name.get(one["model"])) is not None:
                hits += [
                    entry
                    for entry in matching.version_entries(one, model)
                    if matching.found(asked, entry)
                ]
        return hits

    def _documents(self, keys: Sequence[str]) -> Iterator[dict[str, Any]]:
        """A few at a time: what is done with them counts for the budget too."""
        with ThreadPoolExecutor(AT_ONCE) as pool:
            for start in range(0, len(keys), AT_ONCE):
                # The first ones are read in any case: a slow store is no reason to find nothing.
                if start and (self._left <= 0 or self._clock() >= self._end):
                    self.unread += len(keys) - start
                    return
                with turns.waiting():
                    read = list(pool.map(self._read, keys[start : start + AT_ONCE]))
                for data in read:
                    self._left -= len(data)
                    document = json.loads(data) if data else {}
                    if document.get("format") == index.FORMAT:
                        yield document

    def _read(self, key: str) -> bytes:
        try:
            return self._site.read(key)
        except NotFound:
            return b""  # deleted since; a range that nothing was ever published in


def static_page(keys: Container[str], projects: Iterable[str]) -> Page:
    """The search page of a site of files: scripts find everything by themselves."""
    return search_page(SearchView(None, indexes=among(keys, projects), static=True))


def search_page(view: SearchView) -> Page:
    """The search page: what was found, and from where scripts can find more by themselves."""
    path = "/search/" if view.static else "/search"
    places = [[slugs.index_path(name), letters] for name, letters in view.indexes]
    return Page(
        path, "search.html",
        {"title": f"{view.text}: search" if view.text else "Search", "view": view, "crumbs": (),
         "who": view.who, "places": places},
    )  # fmt: skip
