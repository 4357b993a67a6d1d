"""Model cards are Markdown, and cannot do harm."""

import re
import time

import pytest

from chalicelib.catalogue import cards
from tests.catalogue.hostile import STRINGS

TAG = re.compile(r"<(/?)([a-zA-Z0-9]+)([^>]*)>")
HARMLESS = {
    "a", "blockquote", "br", "code", "details", "div", "em", "h3", "h4", "h5", "h6", "hr", "li", "ol",
    "p", "pre", "s", "strong", "summary", "table", "tbody", "td", "th", "thead", "tr", "ul",
}  # fmt: skip
ATTRIBUTES = re.compile(
    r"""(?:\s+(?:rel="noopener noreferrer nofollow"|href="(?:https?|mailto):[^"<>]*"|title="[^"<>]*"|"""
    r"""class="(?:scroll|card-plain|language-[^"<>]*)"|start="\d+"|tabindex="0"|role="region"|"""
    r"""aria-label="Table"))*\s*/?\Z"""
)


def safe(html):
    """Every tag is one of ours, with attributes that can do nothing."""
    for _, name, attributes in TAG.findall(html):
        assert name in HARMLESS, name
        assert ATTRIBUTES.match(attributes), attributes
    assert html.count("<") == len(TAG.findall(html)), html


def test_markdown_becomes_what_people_expect():
    """Headings below the page's own, tables, code, emphasis, links."""
    html = cards.html(
        "# Title\n\nSome *text* with `code` and [a link](https://example.org/a?b=1&c=2).\n\n"
        "| a | b |\n|:--|--:|\n| 1 | ~~2~~ |\n\n```python\nx < 1\n```\n\n- one\n- two\n"
    )
    assert "<h3>Title</h3>" in html
    assert "<em>text</em>" in html
    assert 'href="https://example.org/a?b=1&amp;c=2"' in html
    assert "<td>1</td>" in html
    assert '<code class="language-python">x &lt; 1' in html
    assert "<li>one</li>" in html
    safe(html)


def test_front_matter_is_shown_apart():
    """Cards of model hubs begin with YAML."""
    html = cards.html("---\nlicense: mit\ntags: [a]\n---\n# Title\n")
    assert "<summary>Card metadata</summary><pre>license: mit\ntags: [a]</pre>" in html
    assert "<h3>Title</h3>" in html


@pytest.mark.parametrize(
    "text",
    [
        "[x](javascript:alert(1))", "[x](JaVaScRiPt:alert(1))", "[x](data:text/html,<script>)",
        "[x](\x01javascript:alert(1))", "[x](vbscript:x)", "[x](//example.invalid)", "[x](file:///etc)",
        "![x](javascript:alert(1))", "<javascript:alert(1)>", "[x]: javascript:alert(1)\n\n[x]",
        "[x](&#106;avascript:alert(1))", "[x](/p/other/)",
    ],
)  # fmt: skip
def test_only_harmless_addresses_are_links(text):
    """Anything else stays text."""
    html = cards.html(text)
    assert "href" not in html
    safe(html)


def test_pictures_are_links():
    """A page loads nothing from other hosts."""
    html = cards.html('![a "cat"](https://example.org/cat.png "title")')
    assert "<img" not in html
    assert 'href="https://example.org/cat.png"' in html
    safe(html)


@pytest.mark.parametrize("text", STRINGS)
@pytest.mark.parametrize(
    "form", ["{}", "# {}", "[{}]({})", "```{}\n{}", "| {} |\n|--|\n| {} |", "---\n{}\n---\n"]
)
def test_hostile_text_stays_text(text, form):
    """In every place that Markdown has for it."""
    safe(cards.html(form.replace("{}", text)))


@pytest.mark.parametrize(
    "text",
    ["[" * 60_000, "*" * 60_000, "> " * 20_000, "`" * 60_000, "a\n" * 30_000, "![[]" * 20_000,
     "|a" * 15_000 + "\n" + "|-" * 15_000, "- " * 30_000, "_a_*b" * 15_000, "<a " * 30_000, "x" * 63_999,
     "[a](" * 20_000, "\\" * 60_000, "&" * 60_000],
)  # fmt: skip
def test_no_card_takes_long(text):
    """However it was made to be."""
    began = time.process_time()
    safe(cards.html(text))
    assert time.process_time() - began < 5


def test_a_very_long_card_is_shown_as_it_is():
    """Rather than cut."""
    html = cards.html("# x\n" + "word " * 30_000)
    assert html.startswith('<pre class="card-plain"># x')
