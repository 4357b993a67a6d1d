"""`edge import`: copies a running edge model registry."""

from argparse import ArgumentParser, Namespace

from weighbridge.cli import parsing
from weighbridge.cli.context import Context
from weighbridge.cli.exits import DIFFERENT
from weighbridge.cli.screen import clean, human_size
from weighbridge.contract import names


def edge_import_arguments(parser: ArgumentParser) -> None:
    """Arguments of `edge import`."""
    parser.add_argument("source", metavar="URL", help="what its clients are configured with")
    parser.add_argument(
        "--to", metavar="PROJECT", required=True, help="the project that takes the records"
    )
    parser.add_argument(
        "--id", metavar="ID", action="append", default=[],
        help="copy this record only (may be given more than once)",
    )  # fmt: skip
    parser.add_argument(
        "--source-ca-file", metavar="FILE", default="", help="certificates to trust there"
    )
    parsing.changes(parser)


def edge_import(args: Namespace, context: Context) -> int:
    """Copies record by record, and says what became of each."""
    from weighbridge import edge

    project, screen = names.project_name(args.to), context.screen
    done: list[edge.Copied] = []
    with (
        context.registry(args) as registry,
        edge.open_source(args.source, args.source_ca_file) as source,
    ):
        for one in edge.copy(registry, source, project, args.id, dry_run=args.dry_run):
            done.append(one)
            if not args.json:
                screen.line(_line(one, args.dry_run))
        complete = source.complete
    failed = sum(one.outcome == "failed" for one in done)
    if args.json:
        screen.json({"dry_run": args.dry_run, "complete": complete, "items": tuple(done)})
    else:
        counts = {word: sum(one.outcome == word for one in done) for word in _WORDS}
        summary = ", ".join(f"{count} {word}" for word, count in counts.items() if count)
        screen.line(f"{len(done)} records: {summary or 'none'}")
        if not complete:
            screen.remark(
                f"{args.source} lists {edge.LISTED} records at most and narrower lists were cut as "
                "well: some may be missing; name them with --id"
            )
    return DIFFERENT if failed or not complete else 0


_WORDS = ("copied", "there", "changed", "failed")


def _line(one: "object", dry_run: bool) -> str:
    from weighbridge.edge import Copied

    assert isinstance(one, Copied)
    word = (
        f"would be {one.outcome}"
        if dry_run and one.outcome in ("copied", "changed")
        else one.outcome
    )
    what = f"{clean(one.name)} {clean(one.version)} ({clean(one.id)}): {word}"
    if one.message:
        return f"{what}: {clean(one.message)}"
    return f"{what}, {clean(one.reference)}, {human_size(one.size)}"
