"""The whole site as a folder of files, for any web server."""

from collections.abc import Iterator
from pathlib import Path

from chalicelib.catalogue import enumerating, pages
from chalicelib.catalogue.publish import renderer, static_files
from chalicelib.catalogue.reading import Source
from chalicelib.catalogue.render import Renderer
from chalicelib.catalogue.searching import answering, shards
from chalicelib.catalogue.views import HomeView
from weighbridge.contract.errors import InvalidRequest

MARK = ".weighbridge-site"


def stored(source: Source, render: Renderer) -> Iterator[tuple[str, bytes]]:
    """Every object that a site in a store should hold, by key; home and search are the API's."""
    yield from static_files(render).items()
    for project_id, summary in source.summaries():
        for page in enumerating.project_pages(source, project_id):
            yield from render.files(page).items()
        yield from shards.documents(source, project_id, summary.project.name)


def built(source: Source, render: Renderer) -> Iterator[tuple[str, bytes]]:
    """Every file of a site in a folder: as `stored`, and the pages that the API renders otherwise."""
    keys: list[str] = []
    for key, data in stored(source, render):
        keys.append(key)
        yield key, data
    summaries = source.summaries()
    home = pages.home_page(HomeView(None, tuple(summary for _, summary in summaries)))
    names = [summary.project.name for _, summary in summaries]
    for page in (answering.static_page(keys, names), home):
        yield from render.files(page).items()


def build(source: Source, out: Path, render: Renderer | None = None) -> list[str]:
    """Renders everything into a folder, for any web server; answers the paths written.

    The folder must be new, empty, or one that was built before. Pages that no longer exist go.
    """
    if out.exists() and any(out.iterdir()) and not (out / MARK).exists():
        raise InvalidRequest(
            f"{out} is not empty and was not built before; name another folder", out=str(out)
        )
    out.mkdir(parents=True, exist_ok=True)
    (out / MARK).touch()
    kept: set[str] = set()
    for key, data in built(source, render or renderer()):
        kept.add(key)
        _write(out, key, data)
    for path in sorted(out.rglob("*"), reverse=True):
        if path.is_dir():
            if not any(path.iterdir()):
                path.rmdir()
        elif path.name != MARK and path.relative_to(out).as_posix() not in kept:
            path.unlink()
    return sorted(kept)


def _write(out: Path, key: str, data: bytes) -> None:
    path = out / key
    if path.is_file() and path.read_bytes() == data:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    part.write_bytes(data)
    part.replace(path)
