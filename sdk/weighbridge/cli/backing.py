"""`backup` and `restore`: hand over to the server's own program, which works at the registry's stores."""

import subprocess
import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path

from weighbridge.cli import exits
from weighbridge.cli.context import Context
from weighbridge.contract.errors import Unavailable


def backup_arguments(parser: ArgumentParser) -> None:
    """Arguments of `backup`."""
    _place(parser)
    parser.add_argument("--list", action="store_true", help="list the backups that are there")
    parser.add_argument(
        "--verify", action="store_true", help="read a backup that is there, and take none"
    )
    _shared(parser)


def restore_arguments(parser: ArgumentParser) -> None:
    """Arguments of `restore`."""
    _place(parser)
    parser.add_argument(
        "--dry-run", action="store_true", help="read and verify the backup, and write nothing"
    )
    _shared(parser)


def _place(parser: ArgumentParser) -> None:
    parser.add_argument("place", metavar="PLACE", help="a folder, or s3://BUCKET/PREFIX")


def _shared(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--backup", metavar="NAME", default="", help="this one (default: the newest)"
    )
    parser.add_argument(
        "--data",
        metavar="DIR",
        help="the data folder of a `serve` (~/.local/share/weighbridge)",
    )
    parser.add_argument("--json", action="store_true", help="print JSON for programs")


def backup(args: Namespace, context: Context) -> int:
    """Takes a backup, or looks at those that are there."""
    what = "list" if args.list else "verify" if args.verify else "backup"
    return _run(what, args)


def restore(args: Namespace, context: Context) -> int:
    """Restores a backup into an empty registry."""
    return _run("verify" if args.dry_run else "restore", args)


def _run(what: str, args: Namespace) -> int:
    from weighbridge.cli import serve_command

    place = args.place
    if "://" not in place:
        place = str(Path(place).expanduser().absolute())
    words = [what, place]
    words += [f"--backup={args.backup}"] if args.backup else []
    words += [f"--data={Path(args.data).expanduser().absolute()}"] if args.data else []
    words += ["--json"] if args.json else []
    # -P: the folder we happen to be in must not provide modules.
    command = [sys.executable, "-P", "-m", "infra.embedded.backup", *words]
    code = subprocess.run(command, env=serve_command.environment(), check=False).returncode
    return code if code >= 0 else exits.of(Unavailable(f"it was ended by signal {-code}"))
