"""`site`: hands over to the server's own program, which renders pages from a registry's data."""

import subprocess
import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path

from weighbridge.cli import exits
from weighbridge.cli.context import Context
from weighbridge.contract.errors import RegistryError, Unavailable


def build_arguments(parser: ArgumentParser) -> None:
    """Arguments of `site build`."""
    parser.add_argument(
        "--out", metavar="FOLDER", required=True, help="new, empty, or built before"
    )
    _data(parser)


def check_arguments(parser: ArgumentParser) -> None:
    """Arguments of `site check`."""
    parser.add_argument("--out", metavar="FOLDER", help="a folder that `site build` made")
    parser.add_argument(
        "--repair", action="store_true", help="render anew what is wrong, and check again"
    )
    parser.add_argument("--json", action="store_true", help="print all findings as JSON")
    _data(parser)


def _data(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--data",
        metavar="DIR",
        help="the data folder of a `serve` that is not running (~/.local/share/weighbridge)",
    )


def build(args: Namespace, context: Context) -> int:
    """Renders everything into a folder."""
    return run(["build", *_words(args)])


def check(args: Namespace, context: Context) -> int:
    """Looks for pages that are missing, stale or too many, and links that lead nowhere; 1 if any."""
    flags = [f"--{name}" for name in ("repair", "json") if getattr(args, name)]
    return run(["check", *flags, *_words(args)])


def _words(args: Namespace) -> list[str]:
    given = ((name, getattr(args, name)) for name in ("out", "data"))
    return [f"--{name}={Path(value).expanduser().absolute()}" for name, value in given if value]


def run(words: list[str]) -> int:
    """Runs the server's program on these words; answers its exit code."""
    from weighbridge.cli import serve_command

    # -P: the folder we happen to be in must not provide modules.
    command = [sys.executable, "-P", "-m", "infra.embedded.site", *words]
    code = subprocess.run(command, env=serve_command.environment(), check=False).returncode
    return code if code >= 0 else exits.of(_ended(code))


def _ended(code: int) -> RegistryError:
    return Unavailable(f"the program was ended by signal {-code}")
