"""What commands print, to the letter: each file of golden/ holds commands and their output.

`UPDATE_GOLDEN=1 pytest tests/sdk/cli/test_cli_golden.py` writes the files anew; read the difference.
"""

import os
import shlex
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent / "golden"


@pytest.mark.parametrize("name", sorted(p.stem for p in FOLDER.glob("*.txt")))
def test_commands_print_what_is_recorded(line, name):
    """Tables align, times are UTC, remarks and errors (marked `!`) go to the error stream."""
    file = FOLDER / f"{name}.txt"
    recorded = file.read_text("utf-8")
    found = []
    for words in [row[2:] for row in recorded.splitlines() if row.startswith("$ ")]:
        code = line.run(*shlex.split(words)[1:])
        found.append(f"$ {words}")
        found += line.out.splitlines()
        found += [f"! {row}" for row in line.err.splitlines()]
        found.append(f"[{code}]")
        found.append("")
    text = "\n".join(found)
    if os.environ.get("UPDATE_GOLDEN"):
        file.write_text(text, "utf-8")
    assert text == recorded
