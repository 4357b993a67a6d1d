"""Command lines: one parser per command, built when it is needed, and the values they carry."""

import argparse
import json
import math
from collections.abc import Callable, Iterable
from importlib import import_module
from typing import Any, NoReturn, TypeVar

from weighbridge.cli.commands import Command
from weighbridge.contract.errors import InvalidRequest

T = TypeVar("T")
WIDTH = 96
Run = Callable[..., int]


class Parser(argparse.ArgumentParser):
    """Raises `InvalidRequest` where argparse would print and exit."""

    def error(self, message: str) -> NoReturn:
        """One line that names the help to read."""
        raise InvalidRequest(f"{message}; see `{self.prog} --help`")


def _formatter(prog: str) -> argparse.HelpFormatter:
    return argparse.RawDescriptionHelpFormatter(prog, max_help_position=30, width=WIDTH)


def build(command: Command) -> Parser:
    """The parser of one command, with its examples in the help."""
    module, _, function = command.home.partition(":")
    home = import_module(f"weighbridge.cli.{module}")
    parser = Parser(
        prog=f"weighbridge {command.name}",
        description=wrapped(f"{command.summary} {command.notes}".rstrip()),
        epilog="examples:\n" + "\n".join(f"  {example}" for example in command.examples),
        formatter_class=_formatter,
        allow_abbrev=False,
    )
    getattr(home, f"{function}_arguments")(parser)
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    return parser


def runner(command: Command) -> Run:
    """The function that carries the command out."""
    module, _, function = command.home.partition(":")
    run: Run = getattr(import_module(f"weighbridge.cli.{module}"), function)
    return run


def wrapped(text: str) -> str:
    """`text` in lines of the help's width."""
    import textwrap

    return "\n".join(textwrap.wrap(text, WIDTH - 2))


# What several commands share


def server(parser: argparse.ArgumentParser) -> None:
    """`--url`: which server."""
    parser.add_argument(
        "--url",
        metavar="URL",
        help="the server to use (default: $WEIGHBRIDGE_URL, else what login or serve stored)",
    )


def reads(parser: argparse.ArgumentParser) -> None:
    """The options of every command that reads."""
    server(parser)
    parser.add_argument("--json", action="store_true", help="print JSON for programs")


def changes(parser: argparse.ArgumentParser) -> None:
    """The options of every command that changes something."""
    reads(parser)
    parser.add_argument(
        "--dry-run", action="store_true", help="print what would be done, and do nothing"
    )


def lists(parser: argparse.ArgumentParser, limit: int = 50) -> None:
    """The options of commands that list."""
    parser.add_argument(
        "--limit",
        metavar="N",
        type=positive,
        default=limit,
        help=f"list so many at most (default: {limit})",
    )
    parser.add_argument("--all", action="store_true", help="list all, without a limit")


def transfers(parser: argparse.ArgumentParser) -> None:
    """The options of commands that move bytes."""
    parser.add_argument("--quiet", action="store_true", help="show no progress")


def pairs_option(
    parser: argparse.ArgumentParser,
    name: str,
    parse: Callable[[str], tuple[str, Any]],
    help: str,
    metavar: str = "K=V",
) -> None:
    """An option `--name K=V` that may be given more than once."""
    parser.add_argument(
        f"--{name}", metavar=metavar, type=parse, action="append", default=[], help=help
    )


# Values


def positive(text: str) -> int:
    """A whole number of at least 1."""
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of at least 1")
    return int(text)


def natural(text: str) -> int:
    """A whole number of at least 0."""
    if not text.isascii() or not text.isdigit():
        raise argparse.ArgumentTypeError(f"{text!r} is no number of at least 0")
    return int(text)


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form NAME=VALUE")
    return name, value


def tag(text: str) -> tuple[str, str]:
    """`k=v` with a value; an empty one would remove the tag."""
    name, value = _pair(text)
    if not value:
        raise argparse.ArgumentTypeError(f"the tag {name!r} has no value")
    return name, value


def metric(text: str) -> tuple[str, float]:
    """`k=v` where v is a number (`nan` and `inf` too)."""
    name, value = _pair(text)
    try:
        if "_" in value:
            raise ValueError
        return name, float(value)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"the metric {name!r} has the value {value!r}, which is no number"
        ) from None


def param(text: str) -> tuple[str, Any]:
    """`k=v`; a value that is JSON (`0.1`, `true`, `[1,2]`) is kept as such, else it is text."""
    name, value = _pair(text)

    def refuse(_: str) -> NoReturn:
        raise ValueError

    def finite(digits: str) -> float:
        parsed = float(digits)
        if not math.isfinite(parsed):
            raise ValueError
        return parsed

    try:
        return name, json.loads(value, parse_constant=refuse, parse_float=finite)
    except (ValueError, RecursionError):
        return name, value


def direction(text: str) -> tuple[str, str]:
    """`metric=max` or `metric=min`."""
    name, value = text.rpartition("=")[::2]
    if value not in ("max", "min") or not name:
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form METRIC=max or METRIC=min")
    return name, value


def once(noun: str, pairs: Iterable[tuple[str, T]]) -> dict[str, T]:
    """The pairs as a dictionary, or `InvalidRequest` if a name stands twice."""
    found: dict[str, T] = {}
    for name, value in pairs:
        if name in found:
            raise InvalidRequest(f"the {noun} {name!r} is given twice")
        found[name] = value
    return found
