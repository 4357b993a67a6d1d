"""Every example in every help text is a command that works; the reference page is up to date."""

import re
import shlex
from pathlib import Path

import pytest

from weighbridge import config
from weighbridge.cli import commands, exits, parsing, reference
from weighbridge.cli.main import overview

PAGE = Path(__file__).parents[3] / "docs" / "cli.md"
EXAMPLES = [(c, example) for c in commands.COMMANDS for example in c.examples]
BLOCKING = (
    "serve",
    "proxy",
    "edge import",
    "geti ls",
    "geti show",
    "geti import",
    "site build",
    "site check",
    "doctor",
    "backup",
    "restore",
)
"""These run until they are stopped, or speak with another server or with the data of one, so their examples
are only parsed here."""
TREES = ("fate import", "fate sync", "fate restore-checkpoints", "fate upload")
"""These need a store that takes their files: tests/e2e/test_fate_import.py and tests/fate/test_flow1.py run
them."""


def _words(command, example):
    words = shlex.split(example)
    assert words[0] == "weighbridge"
    name = command.name.split()
    assert words[1 : 1 + len(name)] == name, "an example shows the command whose help it stands in"
    return words[1:]


@pytest.mark.parametrize(("command", "example"), EXAMPLES, ids=[e for _, e in EXAMPLES])
def test_each_example_parses(command, example):
    """The parser of the command takes its own examples."""
    rest = _words(command, example)[len(command.name.split()) :]
    assert parsing.build(command).parse_intermixed_args(rest).debug is False


@pytest.mark.parametrize(
    ("command", "example"),
    [pair for pair in EXAMPLES if pair[0].name not in BLOCKING + TREES],
    ids=[e for c, e in EXAMPLES if c.name not in BLOCKING + TREES],
)
def test_each_example_runs(line, command, example):
    """Run on the registry that the examples speak of, each does its work and says so."""
    config.save_server("https://models.example.org", "wb_1_x")
    code = line.run(*_words(command, example), stdin="wb_3f9a1c_secret\n")
    assert code == (exits.DIFFERENT if command.name == "diff" else 0), line.err
    assert line.out


@pytest.mark.parametrize("name", ["", *commands.BY_NAME, *commands.families()])
def test_each_help_is_printed_without_a_server(line, name):
    """Help needs neither a server nor a configuration, and ends with 0."""
    assert line.run(*name.split(), "--help") == 0
    assert line.out.startswith("usage: weighbridge")
    assert line.asked == []


@pytest.mark.parametrize("command", commands.COMMANDS, ids=lambda c: c.name)
def test_each_command_has_the_options_that_its_group_promises(command):
    """What changes something takes --dry-run; what reads takes --json; each has an example."""
    text = parsing.build(command).format_help()
    if command.group == "change" or command.name in ("login", "logout"):
        assert "--dry-run" in text
    if command.group != "connect":
        assert "--json" in text
    assert command.examples
    assert all(example in text for example in command.examples)
    assert re.fullmatch(r"[A-Z][^.]*\.", command.summary)


def test_the_overview_names_every_command_once():
    """`weighbridge --help` lists each command with its sentence, under its group."""
    text = overview()
    for command in commands.COMMANDS:
        assert len(re.findall(rf"^  {re.escape(command.name)} +\S", text, re.M)) == 1
        assert command.summary in text
    assert max(map(len, text.splitlines())) <= 110


def test_the_reference_page_is_up_to_date():
    """docs/cli.md is what the program says: python -m weighbridge.cli.reference > docs/cli.md."""
    assert PAGE.read_text("utf-8") == reference.page()


def test_the_reference_page_has_every_command_and_exit_code():
    """Nothing that the program can do or answer is left out of the page."""
    page = PAGE.read_text("utf-8")
    for command in commands.COMMANDS:
        assert f"\n### {command.name}\n" in page
    for code in exits.MEANINGS:
        assert f"\n| {code} | " in page
