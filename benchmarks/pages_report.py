"""The table of `docs/catalogue.md` from `benchmarks/results/pages.json`.

python -m benchmarks.pages_report
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
RESULT = ROOT / "benchmarks" / "results" / "pages.json"
PAGE = ROOT / "docs" / "catalogue.md"
BEGIN = "<!-- measured: written by python -m benchmarks.pages_report -->"
END = "<!-- end of what is measured -->"


def lines(found: Mapping[str, Any]) -> Iterator[str]:
    """What was measured, in Markdown."""
    bars, site = found["bars"], found["site"]
    yield (
        f"Measured by `python -m benchmarks.pages` ({found['machine']}, load {found['load']}) on a registry of "
        f"{found['models']} models and {found['versions']:,} versions, {found['long']:,} of them of one model, "
        f"and one series of {found['series']:,} checkpoints: {site['pages']:,} pages, {site['objects']:,} "
        f"objects, {site['bytes'] / 1e6:,.0f} MB. Headless Chromium over loopback, coming from another page, "
        "with its cache switched off; first paint is the median of seven. Bold is beyond the bar; the load says "
        "how much else ran on the machine."
    )
    yield ""
    yield (
        f"| page | first paint (bar {bars['paint_ms']:.0f} ms) | transferred "
        f"(bar {bars['transfer'] / 1000:.0f} kB) | HTML (bar {bars['html'] / 1000:.0f} kB) |"
    )
    yield "|---|---:|---:|---:|"
    for name, page in found["pages"].items():
        cells = (
            _cell(f"{page['paint_ms']:.0f} ms", page["paint_ms"] <= bars["paint_ms"]),
            _cell(f"{page['transfer'] / 1000:.1f} kB", page["transfer"] <= bars["transfer"]),
            _cell(f"{page['html'] / 1000:.1f} kB", page["html"] <= bars["html"]),
        )
        yield f"| {name} | {' | '.join(cells)} |"
    yield ""
    for reference, more in found["one_more"].items():
        yield (
            f"- One more version, `{reference}`: {more['objects']} objects written, "
            f"rendered in {more['seconds']:.2f} s."
        )
    for model, took in found["seconds_until_shown"].items():
        yield (
            f"- From the end of a push until the page of `{model}` shows it, on the local stack: "
            f"{took['alone']:.2f} s (median of {took['pushes']}, worst {took['worst']:.2f} s); right behind "
            f"another push, {took['behind']:.2f} s."
        )
    yield (
        f"- The site as changes made it, beside the same site rendered from nothing: {site['different']} objects "
        f"differ, {site['missing']} are missing, {site['strays']} too many; {site['broken_links']} links lead "
        f"nowhere. Rendering all of it takes {site['seconds_anew']:.0f} s."
    )
    largest = site["largest_html"]
    yield f"- The largest page has {largest['bytes'] / 1000:.0f} kB of HTML (`{largest['key']}`)."


def _cell(text: str, met: bool) -> str:
    """A figure; bold where it is beyond its bar."""
    return text if met else f"**{text}**"


def written(text: str, found: Mapping[str, Any]) -> str:
    """The page with what was measured between its marks."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise SystemExit(f"{PAGE.name} has no place for what was measured: {BEGIN} … {END}")
    return "\n".join([before + BEGIN, "", *lines(found), "", END + after])


def write(page: Path = PAGE, result: Path = RESULT) -> None:
    """Writes the page anew."""
    found = json.loads(result.read_text())
    page.write_text(written(page.read_text(), found))


if __name__ == "__main__":
    write()
