"""Model cards: Markdown → HTML that cannot do harm.

Raw HTML is shown as text. Links lead to `http`, `https` and `mailto` addresses only. Pictures become
links, because pages load nothing from other hosts. Headings begin below those of the page. The
front matter that cards of model hubs begin with is shown as it is.
"""

import re
from collections.abc import Sequence
from functools import cache
from urllib.parse import urlsplit

from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token
from markdown_it.utils import EnvType, OptionsDict
from markupsafe import Markup

from chalicelib.catalogue import formats

MOST_BYTES = 64_000
"""A longer card is shown as it was written."""
MOST_NESTING = 20
FIRST_HEADING = 3
_SCHEMES = frozenset(("http", "https", "mailto"))
_FRONT = re.compile(r"\A---[ \t]*\n(.{0,20000}?)\n(?:---|\.\.\.)[ \t]*(?:\n|\Z)", re.DOTALL)
_PLAIN = Markup('<pre class="card-plain">{}</pre>')
_META = Markup("<details><summary>Card metadata</summary><pre>{}</pre></details>")


class _Html(RendererHTML):
    """Markdown-it's own renderer, but for pictures and tables."""

    def image(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType) -> str:
        """A picture as a link to it, or only what it shows."""
        token = tokens[idx]
        shown = self.renderInlineAsText(token.children, options, env) or "picture"
        return str(Markup('<a href="{}" rel="noopener noreferrer nofollow">{}</a>').format(
            str(token.attrs["src"]), shown
        ))  # fmt: skip

    def table_open(
        self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType
    ) -> str:
        """A table that scrolls by itself."""
        return '<div class="scroll" tabindex="0" role="region" aria-label="Table"><table>\n'

    def table_close(
        self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType
    ) -> str:
        """The end of both."""
        return "</table></div>\n"


def _allowed(address: str) -> bool:
    try:
        return urlsplit(address.strip()).scheme.lower() in _SCHEMES
    except ValueError:
        return False


@cache
def _parser() -> MarkdownIt:
    made = MarkdownIt(
        "commonmark", {"html": False, "maxNesting": MOST_NESTING}, renderer_cls=_Html
    ).enable(["table", "strikethrough"])
    made.validateLink = _allowed  # type: ignore[method-assign, assignment]
    return made


def _tamed(tokens: Sequence[Token]) -> None:
    for token in tokens:
        if token.type in ("heading_open", "heading_close"):
            token.tag = f"h{min(6, int(token.tag[1]) + FIRST_HEADING - 1)}"
        elif token.type == "link_open":
            if _allowed(str(token.attrs["href"])):
                token.attrSet("rel", "noopener noreferrer nofollow")
            else:  # an empty address is not asked about
                del token.attrs["href"]
        elif token.type in ("th_open", "td_open"):
            token.attrs.pop("style", None)  # the policy allows no style of its own
        if token.children:
            _tamed(token.children)


def html(text: str) -> Markup:
    """A card as HTML."""
    if len(text.encode("utf-8", "surrogatepass")) > MOST_BYTES:
        return _PLAIN.format(text)
    text = formats.undirected(text)
    front = _FRONT.match(text)
    parser = _parser()
    env: EnvType = {}
    tokens = parser.parse(text[front.end() :] if front else text, env)
    _tamed(tokens)
    body = Markup(parser.renderer.render(tokens, parser.options, env))  # noqa: S704 - raw HTML is off
    return (_META.format(front[1]) if front else Markup("")) + body
