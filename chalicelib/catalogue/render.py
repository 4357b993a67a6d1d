"""Pages → bytes. The only module that knows Jinja2; the same page always gives the same bytes."""

import hashlib
import json
import math
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from chalicelib.catalogue import cards, formats, slugs, tensors
from chalicelib.catalogue.pages import Page, document

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "font-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
"""What every answer that carries a page or a file of the site should say."""

PAGES, STATIC = "/p/", "/static/"
"""Below these addresses the site's store answers, everywhere else the API. Pages need the cookie."""

HTML = "text/html; charset=utf-8"
JSON = "application/json"
TYPES = {
    ".html": HTML,
    ".json": JSON,
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
}


def content_type(name: str) -> str:
    """The content type of a file of the site."""
    return TYPES.get(Path(name).suffix, "application/octet-stream")


def canonical(value: Any) -> bytes:
    """The canonical JSON of a document: keys sorted, no spaces, ASCII."""
    text = json.dumps(document(value), sort_keys=True, separators=(",", ":"), allow_nan=False)
    return text.encode("ascii")


def frontend() -> Path:
    """The folder with templates and static files: in the repository, in the wheel, in the zip."""
    here = Path(__file__).resolve()
    for parent in (here.parents[2], here.parents[1]):
        if (parent / "frontend" / "templates").is_dir():
            return parent / "frontend"
    raise FileNotFoundError(f"no folder frontend/templates beside {here.parents[1]}")


class Renderer:
    """Renders pages with the templates of one `frontend` folder."""

    def __init__(self, root: Path | None = None) -> None:
        self.root = root or frontend()
        self._static = _read(self.root / "static")
        self._versions = {
            name: hashlib.sha256(data).hexdigest()[:8] for name, data in self._static.items()
        }
        self._environment = Environment(
            loader=FileSystemLoader(self.root / "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        self._environment.globals["static"] = self._static_path
        self._environment.globals["compare_path"] = slugs.compare_path
        self._environment.filters.update(FILTERS)

    def _static_path(self, name: str) -> str:
        return f"/static/{name}?v={self._versions[name]}"

    def static_files(self) -> Mapping[str, bytes]:
        """The static files by their key in the site store (`static/…`)."""
        return {f"static/{name}": data for name, data in self._static.items()}

    def render(self, page: Page) -> bytes:
        """The page as HTML in UTF-8. Control characters in its data become visible signs."""
        text = self._environment.get_template(page.template).render(page=page, **page.data)
        return formats.visible(text).encode("utf-8")

    def files(self, page: Page) -> dict[str, bytes]:
        """Every object of a page by its key in the site store, `index.html` last."""
        found = {
            slugs.object_key(page.path, name): canonical(value)
            for name, value in sorted(page.documents.items(), reverse=True)
        }
        found[slugs.object_key(page.path)] = self.render(page)
        return found


def _read(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.startswith(".")
    }


# Filters: user text is isolated from its surroundings (<bdi>), values carry their exact form.

NONE = Markup('<span class="none">{}</span>').format(formats.DASH)
_TITLED = Markup('<span title="{}">{}</span>')


def _user(text: object, most: int = 0, titled: int = 1000) -> Markup:
    """User text: its direction cannot leak; with `most`, shortened with the whole (as far as `titled`
    characters reach) in the title."""
    whole = str(text)
    shown = formats.clipped(whole, most) if most else whole
    if shown == whole:
        return Markup("<bdi>{}</bdi>").format(whole)
    title = formats.flat(formats.clipped(whole, titled))
    return Markup('<bdi title="{}">{}</bdi>').format(title, shown)


def _plain(text: object, most: int = 0) -> str:
    """User text for titles and attributes."""
    flat = formats.flat(str(text))
    return formats.clipped(flat, most) if most else flat


def _shell(text: object) -> str:
    """User text as one word of a command line."""
    return shlex.quote(str(text))


def _titled(shown: str, exact: str) -> Markup:
    return escape(shown) if shown == exact else _TITLED.format(formats.flat(exact), shown)


def _size(value: int) -> Markup:
    return _titled(formats.size(value), formats.exact_size(value))


def _count(value: int) -> Markup:
    return _titled(formats.count(value), f"{value:,}")


def _number(value: float) -> Markup:
    return _titled(formats.number(value), formats.exact(value))


def _value(value: Any, most: int = 120, titled: int = 1000) -> Markup:
    """A param or attribute: numbers as numbers, text and structures shortened."""
    if isinstance(value, float):
        return _number(value)
    return _user(formats.exact(value), most, titled)


def _figure(value: Any) -> Markup:
    """A number of an index document, where those that JSON lacks are text; or a param's text."""
    if isinstance(value, str):
        number = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}.get(value)
        return _user(value, 40) if number is None else _number(number)
    return _number(value)


def _digest(text: str, length: int = 12) -> Markup:
    if not text:
        return Markup("")
    return Markup('<code class="digest" title="{}">{}</code>').format(
        formats.flat(text), text[:length]
    )


def _time(text: str) -> Markup:
    if not text:
        return NONE
    return Markup('<time datetime="{0}" title="{0}">{1}</time>').format(
        formats.flat(text), formats.flat(formats.moment(text))
    )


def _day(text: str) -> Markup:
    if not text:
        return NONE
    return Markup('<time datetime="{0}" title="{0}">{1}</time>').format(
        formats.flat(text), formats.flat(formats.day(text))
    )


FILTERS = {
    "user": _user,
    "plain": _plain,
    "shell": _shell,
    "bytes": _size,
    "count": _count,
    "num": _number,
    "value": _value,
    "figure": _figure,
    "digest": _digest,
    "time": _time,
    "day": _day,
    "shape": formats.shape,
    "figures": tensors.figures,
    "strange": tensors.strange,
    "plural": formats.plural,
    "exact": formats.exact,
    "markdown": cards.html,
}
