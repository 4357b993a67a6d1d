"""Settings, decisions and documents are where the reader is told that they are."""

import re
from pathlib import Path

import pytest

from chalicelib.settings import Settings, read
from weighbridge.contract import geti_access
from weighbridge.contract.errors import InvalidRequest

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
SOURCES = [
    p
    for folder in ("sdk/weighbridge", "chalicelib", "app.py")
    for p in ([ROOT / folder] if folder.endswith(".py") else (ROOT / folder).rglob("*.py"))
]


def test_every_setting_is_documented():
    """docs/settings.md has a row for every variable that the code reads."""
    text = (ROOT / "docs" / "settings.md").read_text()
    documented = set(re.findall(r"^\| `(WEIGHBRIDGE_\w+)`", text, re.M))
    known = {f"WEIGHBRIDGE_{name.upper()}" for name in Settings.__slots__}
    used = set()
    for path in SOURCES:
        used |= set(re.findall(r"\"(WEIGHBRIDGE_[A-Z_]+)\"", path.read_text()))
    assert all(f"`{name}`" in text for name in geti_access.VARIABLES)
    assert documented >= known | used
    assert documented <= known | used


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_links_between_documents_lead_somewhere(page):
    """No link of the documentation is broken."""
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text()):
        if not target.startswith(("http:", "https:", "mailto:")):
            assert (page.parent / target).exists(), target


def test_a_setting_that_cannot_be_used_is_named():
    """A bad value stops the server with the variable's name."""
    for name, value in (
        ("WEIGHBRIDGE_ANONYMOUS", "everyone"), ("WEIGHBRIDGE_SIGN_SECONDS", "soon"),
        ("WEIGHBRIDGE_CATALOG", "mysql:x"),
    ):  # fmt: skip
        with pytest.raises(InvalidRequest, match=name):
            read({name: value})
