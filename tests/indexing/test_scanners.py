"""What public scanners say of the same corpus: docs/safety.md lists what each of them lets pass.

UPDATE_SAFETY=1 writes the list anew.
"""

import io
import logging
import os
import warnings
from pathlib import Path

import pytest

from tests.indexing import corpus

DOCUMENT = Path(__file__).parents[2] / "docs" / "safety.md"
BEGIN, END = "<!-- what scanners say: begin -->", "<!-- what scanners say: end -->"
MOST = 64 * 1024
"""Bytes of a file that both scanners are given: beyond, one of them takes minutes."""


def picklescan(name, data):
    """`found`, `suspicious`, `error`, or `nothing`."""
    from picklescan.scanner import SafetyLevel, scan_bytes

    try:
        result = scan_bytes(io.BytesIO(data), name)
    except Exception:
        return "error"
    if result.issues_count:
        return "found"
    if any(found.safety == SafetyLevel.Suspicious for found in result.globals):
        return "suspicious"
    return "error" if result.scan_err else "nothing"


def fickling(name, data):
    """The same of the other one, which reads one pickle and no archive."""
    from fickling.analysis import Severity, check_safety
    from fickling.fickle import Pickled

    try:
        severity = check_safety(Pickled.load(data)).severity
    except Exception:
        return "error"
    if severity == Severity.LIKELY_SAFE:
        return "nothing"
    return "suspicious" if severity == Severity.SUSPICIOUS else "found"


@pytest.fixture(scope="module")
def verdicts():
    """Both verdicts on every small file of the corpus."""
    logging.disable(logging.CRITICAL)
    seen = []
    with warnings.catch_warnings(action="ignore"):
        for what, name, data in corpus.hostile():
            if len(data) <= MOST:
                name = name or "model.pkl"
                seen.append((what, picklescan(name, data), fickling(name, data)))
    logging.disable(logging.NOTSET)
    return seen


def table(seen):
    """The counts, and the files that a scanner finds nothing in, as Markdown."""
    lines = ["| verdict | picklescan 1.0.5 | fickling 0.1.12 |", "|---|--:|--:|"]
    for verdict in ("found", "suspicious", "error", "nothing"):
        counts = [sum(line[n] == verdict for line in seen) for n in (1, 2)]
        lines.append(f"| {verdict} | {counts[0]} | {counts[1]} |")
    lines += ["", f"Of {len(seen)} files. Nothing is found in:", ""]
    lines += ["| file | picklescan | fickling |", "|---|---|---|"]
    lines += [
        f"| {what} | {one} | {other} |" for what, one, other in seen if "nothing" in (one, other)
    ]
    return "\n".join(lines) + "\n"


def test_the_list_of_the_documentation_is_what_they_say(verdicts):
    """docs/safety.md says what each scanner misses of the corpus."""
    new = table(verdicts)
    text = DOCUMENT.read_text(encoding="utf-8")
    if os.environ.get("UPDATE_SAFETY"):
        head, rest = text.split(BEGIN + "\n")
        text = head + BEGIN + "\n" + new + END + rest.split(END)[1]
        DOCUMENT.write_text(text, encoding="utf-8")
    assert text.split(BEGIN + "\n")[1].split(END)[0] == new


def test_the_scanners_agree_where_they_should(verdicts):
    """The corpus is hostile by their measure, too: most of it, one of them names."""
    named = [line for line in verdicts if "found" in line[1:] or "suspicious" in line[1:]]
    assert len(named) > 0.7 * len(verdicts)
