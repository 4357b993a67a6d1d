"""The page on compatibility names every verb and every field, and no others."""

import re
from pathlib import Path

from chalicelib.fate.v1 import VERBS
from chalicelib.fate.v1.reading import DOCUMENTS, PLAIN

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "compat" / "fate.md").read_text()


def test_every_verb_stands_on_the_page():
    """Once, and nothing that is not served."""
    rows = re.findall(
        r"^\| `((?:model|checkpoint|provider|component)(?:/[a-z_/]+)?)` \|", PAGE, re.MULTILINE
    )
    assert sorted(rows) == sorted(VERBS)


def test_every_field_of_a_record_stands_on_the_page():
    """And nothing that is not answered."""
    assert set(re.findall(r"`f_([a-z_0-9]+)`", PAGE.partition("## Fields")[2])) == {
        *PLAIN,
        *DOCUMENTS,
    }
