"""`verdict` and `release`: whether loading files can execute code, and who answers for it."""

from argparse import ArgumentParser, Namespace

from weighbridge.cli import exits, parsing, targets
from weighbridge.cli.context import Context
from weighbridge.cli.screen import clean, plural
from weighbridge.contract import references, types
from weighbridge.contract.errors import Conflict, InvalidRequest
from weighbridge.contract.references import Reference


def verdict_arguments(parser: ArgumentParser) -> None:
    """Arguments of `verdict`."""
    parser.add_argument("ref", metavar="REF", help="PROJECT/MODEL@VERSION, or …:CHECKPOINT")
    parsing.reads(parser)


def verdict(args: Namespace, context: Context) -> int:
    """Shows a verdict with the files that are to blame."""
    found = references.parse(args.ref)
    ref = Reference(found.project, found.model, targets.selector(found), found.checkpoint)
    with context.registry(args) as registry:
        report = registry.client.verdict(ref)
    screen = context.screen
    code = exits.HELD if report.state in ("checking", "blocked") else 0
    if args.json:
        screen.json(report)
        return code
    screen.line(
        f"{clean(report.reference)} is {report.state}: {words(report.verdict)} "
        f"({plural(report.files, 'file')})"
    )
    screen.table(
        ("VERDICT", "FORMAT", "PATH", "FOUND"),
        [
            (item.verdict, item.format, item.path, item.problem or ", ".join(item.findings))
            for item in report.items
        ],
        indent="  ",
    )
    return code


def words(found: types.Safety) -> str:
    """A verdict in words."""
    return {
        "pending": "not every file was looked at yet",
        "safe": "loading it executes no code of its author",
        "unknown": "nobody knows whether loading it executes code of its author",
        "unsafe": "loading it can execute code of its author",
    }[found]


def release_arguments(parser: ArgumentParser) -> None:
    """Arguments of `release`."""
    parser.add_argument("ref", metavar="REF", help="PROJECT/MODEL@VERSION, or …:CHECKPOINT")
    parser.add_argument("--comment", metavar="C", default="", help="why; kept in the history")
    parsing.changes(parser)


def release(args: Namespace, context: Context) -> int:
    """Lets through what a verdict holds back."""
    found = references.parse(args.ref)
    if found.version is None:
        raise InvalidRequest(f"{args.ref!r} names no version; write PROJECT/MODEL@VERSION")
    if not args.comment.strip():
        raise InvalidRequest("say why with --comment; the history keeps it")
    screen = context.screen
    with context.registry(args) as registry:
        client = registry.client
        report = client.verdict(found)
        if report.state == "ready" and report.verdict == "safe":
            raise Conflict(f"nothing holds {report.reference} back: its verdict is safe")
        if not args.dry_run:
            if found.checkpoint is None:
                client.release_version(found, args.comment)
            else:
                client.release_checkpoint(found, args.comment)
    if args.json:
        screen.json(
            {"dry_run": args.dry_run, "reference": report.reference, "verdict": report.verdict}
        )
    else:
        verb = "would be released" if args.dry_run else "is released"
        screen.line(f"{clean(report.reference)} {verb} (was {report.state}: {report.verdict})")
    return 0
