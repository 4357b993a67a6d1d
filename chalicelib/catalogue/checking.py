"""Is a site what it should be: every page there, none old, none too many, and every link leading somewhere.

What should be there is rendered again from the registry; whatever differs is told. Only `repair` writes.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Protocol
from urllib.parse import unquote, urlsplit

from chalicelib.catalogue import publish, shelf, slugs
from chalicelib.catalogue.building import MARK
from chalicelib.catalogue.reading import Source
from chalicelib.catalogue.render import Renderer
from chalicelib.registry.ports import Blobs

RENDERED = frozenset({"/activity", "/search", "/compare", "/sign-in", "/sign-out"})
"""Addresses that the API answers."""
OUTSIDE = ("http://", "https://", "mailto:")
Expected = Iterable[tuple[str, bytes]]


@dataclass(frozen=True, slots=True, order=True)
class Broken:
    """A link on a page that leads nowhere."""

    page: str
    link: str


@dataclass(slots=True)
class Findings:
    """What is wrong, by key. `pages` were read."""

    pages: int = 0
    missing: list[str] = field(default_factory=list)
    stale: list[str] = field(default_factory=list)
    strays: list[str] = field(default_factory=list)
    broken: list[Broken] = field(default_factory=list)

    @property
    def clean(self) -> bool:
        """Whether nothing is wrong."""
        return not (self.missing or self.stale or self.strays or self.broken)


class Site(Protocol):
    """The objects of a site, wherever they are."""

    def keys(self) -> Iterator[str]:
        """Every key."""

    def read(self, key: str) -> tuple[bytes, int] | None:
        """An object and the time (milliseconds) its data was read; None where there is none."""


@dataclass(frozen=True, slots=True)
class Folder:
    """A site that was built into a folder."""

    root: Path

    def keys(self) -> Iterator[str]:
        """Every file but the mark of a built site."""
        for path in sorted(self.root.rglob("*")):
            if path.is_file() and path.name != MARK:
                yield path.relative_to(self.root).as_posix()

    def read(self, key: str) -> tuple[bytes, int] | None:
        """A file; it has no time of its own."""
        path = self.root / key
        return (path.read_bytes(), 0) if path.is_file() else None


@dataclass(frozen=True, slots=True)
class Store:
    """The site that is kept in a store and changed while it is read."""

    blobs: Blobs

    def keys(self) -> Iterator[str]:
        """Every key."""
        yield from shelf.keys_under(self.blobs, "")

    def read(self, key: str) -> tuple[bytes, int] | None:
        """An object with its revision."""
        found = shelf.read(self.blobs, key)
        return (found.data, found.revision) if found else None


class _Links(HTMLParser):
    """The links and anchors of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []
        self.anchors: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name in ("href", "src", "action") and value:
                self.links.append(value)
            elif name == "id" and value:
                self.anchors.add(value)


def check(site: Site, expected: Expected, revision: int, home: bool) -> Findings:
    """Holds a site against what it should hold.

    What was written from data read after `revision` is newer than `expected`, not wrong; and what was
    rendered meanwhile is looked at once more. `home`: the site has a page at `/`, not the API.
    """
    found = Findings()
    there = set(site.keys())
    wanted: set[str] = set()
    for key, data in expected:
        wanted.add(key)
        stored = site.read(key)
        if stored is None:
            found.missing.append(key)
        elif stored[0] != data and stored[1] <= revision:
            found.stale.append(key)
    for key in sorted(there - wanted):
        stored = site.read(key)
        if stored is not None and stored[1] <= revision:
            found.strays.append(key)
    _links(site, sorted(there & wanted), lambda key: key in there, home, found)
    return found


def _links(
    site: Site, keys: Iterable[str], exists: Callable[[str], bool], home: bool, found: Findings
) -> None:
    elsewhere: list[tuple[str, str, str, str]] = []
    for key in keys:
        stored = site.read(key) if key.endswith(".html") else None
        if stored is None:
            continue
        found.pages += 1
        page = _parsed(stored[0])
        for link in dict.fromkeys(page.links):
            target, anchor = _target(key, link)
            if target is None or (target == "index.html" and not home):
                continue
            if target == key:
                if anchor and anchor not in page.anchors:
                    found.broken.append(Broken(key, link))
            elif not exists(target):
                found.broken.append(Broken(key, link))
            elif anchor:
                elsewhere.append((target, anchor, key, link))
    anchors: dict[str, set[str]] = {}
    for target, anchor, key, link in elsewhere:
        if target not in anchors:
            stored = site.read(target)
            anchors[target] = _parsed(stored[0]).anchors if stored else set()
        if anchor not in anchors[target]:
            found.broken.append(Broken(key, link))
    found.broken.sort()


def _parsed(data: bytes) -> _Links:
    page = _Links()
    page.feed(data.decode("utf-8", "replace"))
    page.close()
    return page


def _target(page: str, link: str) -> tuple[str | None, str]:
    """The key that a link leads to (None: no object of the site), and the anchor in it."""
    if link.startswith(OUTSIDE):
        return None, ""
    parts = urlsplit(link)
    if parts.path in RENDERED:
        return None, ""
    path = unquote(parts.path)
    anchor = unquote(parts.fragment)
    if not path:
        return page, anchor
    if not path.startswith("/"):
        path = f"/{page.rpartition('/')[0]}/{path}".replace("//", "/")
    return (path + "index.html" if path.endswith("/") else path).lstrip("/"), anchor


def repair(source: Source, blobs: Blobs, found: Findings, render: Renderer) -> None:
    """Renders every project anew whose pages are not right, and removes what belongs to none."""
    wrong = [*found.missing, *found.stale, *found.strays, *(one.page for one in found.broken)]
    publish.publish_static(blobs, render)
    known = set()
    for project_id, summary in source.summaries():
        folder = slugs.folder(slugs.project_path(summary.project.name))
        known.add(folder)
        if any(key.startswith(folder) for key in wrong):
            publish.publish_all(source, blobs, project_id, render)
    left = [k for k in found.strays if not any(k.startswith(folder) for folder in known)]
    for start in range(0, len(left), 1000):
        blobs.delete(left[start : start + 1000])
