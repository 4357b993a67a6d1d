"""Reads rendered pages strictly: which elements, attributes and links they have."""

from html.parser import HTMLParser

OVERRIDES = set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
VOID = {"meta", "link", "img", "input", "br", "hr"}
OUTSIDE = ("http://", "https://", "mailto:")
SVG = {"svg", "path", "g", "title", "circle", "text", "tspan"}
ELEMENTS = {
    "html", "head", "meta", "title", "link", "script", "body", "a", "header", "span", "nav", "ol",
    "li", "form", "button", "main", "footer", "p", "div", "h1", "h2", "section", "table", "caption",
    "thead", "tbody", "tr", "th", "td", "bdi", "time", "code", "pre", "details", "summary", "aside",
    "h3", "h4", "h5", "h6", "em", "s", "hr", "blockquote",
    "ul", "dl", "dt", "dd", "figure", "figcaption", "strong", "label", "input", "kbd", "img", "b", "br",
    *SVG,
}  # fmt: skip


class Found(HTMLParser):
    """What a page consists of; problems are what a well-formed, harmless page never has."""

    def __init__(self):
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.problems: list[str] = []
        self.links: list[str] = []
        self.ids: list[str] = []
        self.refers: list[str] = []
        self.title: list[str] = []
        self.headings: list[str] = []
        self.scripts: list[str] = []
        self.loose: list[str] = []

    def handle_starttag(self, tag, attrs):
        if tag not in ELEMENTS:
            self.problems.append(f"<{tag}>")
        given = dict(attrs)
        for name, value in attrs:
            if name.startswith("on") or name in ("style", "srcdoc", "formaction"):
                self.problems.append(f"{tag} {name}={value}")
            if name in ("href", "src", "action"):
                if value.startswith(OUTSIDE) and given.get("rel") == "noopener noreferrer nofollow":
                    continue  # out of a model's card
                self.links.append(value)
                if not value.startswith(("/", "#")) and value not in ("index.json", "tensors.json"):
                    self.problems.append(f"{tag} {name}={value}")
                if value.startswith("//"):
                    self.problems.append(f"{tag} {name}={value}")
            if name in ("title", "aria-label", "placeholder") and OVERRIDES & set(value):
                self.loose.append(value)
            if name == "id":
                self.ids.append(value)
            if name in ("aria-labelledby", "aria-describedby", "for"):
                self.refers.append(value)
        if tag == "script":
            self.scripts.append(given.get("src", ""))
        if tag == "img" and "alt" not in given:
            self.problems.append("img without alt")
        if tag in ("h1", "h2"):
            self.headings.append(tag)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.handle_endtag(tag)

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.problems.append(f"</{tag}> out of place")

    def handle_data(self, data):
        isolated = {"bdi", "pre", "code"} & set(self.open)
        if OVERRIDES & set(data) and not isolated:
            self.loose.append(data)
        if self.open and self.open[-1] == "script" and data.strip():
            self.problems.append(f"inline script {data[:40]}")
        if self.open == ["html", "head", "title"]:
            self.title.append(data)

    def handle_comment(self, data):
        self.problems.append(f"comment {data[:40]}")


def read(data: bytes) -> Found:
    """The page, taken apart."""
    found = Found()
    found.feed(data.decode("utf-8"))
    found.close()
    if found.open:
        found.problems.append(f"never closed: {found.open}")
    doubled = {name for name in found.ids if found.ids.count(name) > 1}
    found.problems += [f"id twice: {name}" for name in sorted(doubled)]
    found.problems += [f"no id {name}" for name in found.refers if name not in found.ids]
    if found.headings.count("h1") != 1:
        found.problems.append(f"{found.headings.count('h1')} h1")
    return found
