"""The catalogue's page in the docs: its pictures are there and small, its table is what was measured."""

import json
import re

import pytest

from benchmarks import pages_report
from infra import screenshots

PAGE = pages_report.PAGE


def test_every_picture_is_shown_and_every_shot_is_a_picture():
    """The page shows each picture that `infra.screenshots` takes, and none that it does not."""
    shown = set(re.findall(r"images/([a-z-]+)\.webp", PAGE.read_text()))
    assert shown == {shot.name for shot in screenshots.SHOTS}
    assert {path.stem for path in screenshots.FOLDER.glob("*.webp")} == shown


@pytest.mark.parametrize("shot", screenshots.SHOTS, ids=lambda shot: shot.name)
def test_pictures_are_small_and_of_the_size_that_was_asked_for(shot):
    """A page with all of them loads quickly."""
    data = (screenshots.FOLDER / f"{shot.name}.webp").read_bytes()
    assert data[:4] + data[8:16] == b"RIFFWEBPVP8X"
    assert len(data) <= screenshots.MOST
    width, height = (1 + int.from_bytes(data[at : at + 3], "little") for at in (24, 27))
    assert (width, height) == (shot.width, shot.height)


def test_the_table_is_what_was_measured():
    """`python -m benchmarks.pages_report` would change nothing."""
    found = json.loads(pages_report.RESULT.read_text())
    text = PAGE.read_text()
    assert pages_report.written(text, found) == text
    assert f"| {found['pages']['sign-in']['paint_ms']:.0f} ms | " in text.replace("**", "")


def test_what_is_beyond_its_bar_stands_out():
    """In bold, whichever of the three it is."""
    found = json.loads(pages_report.RESULT.read_text())
    found["pages"] = {"slow": {"paint_ms": 301, "transfer": 1000, "html": 300_001}}
    rows = [line for line in pages_report.lines(found) if line.startswith("| slow")]
    assert rows == ["| slow | **301 ms** | 1.0 kB | **300.0 kB** |"]


def test_a_page_without_a_place_is_refused():
    """Nothing is written where the marks are gone."""
    found = json.loads(pages_report.RESULT.read_text())
    with pytest.raises(SystemExit, match="no place"):
        pages_report.written("# The catalogue\n", found)
