"""`forml import`: takes over a registry that ForML kept elsewhere."""

from argparse import ArgumentParser, Namespace
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from weighbridge.cli import exits, parsing
from weighbridge.cli.context import Context
from weighbridge.cli.screen import clean, plural
from weighbridge.contract import names
from weighbridge.contract.errors import IntegrityError

if TYPE_CHECKING:
    from weighbridge.generations.importing import Step


def forml_import_arguments(parser: ArgumentParser) -> None:
    """Arguments of `forml import`."""
    parser.add_argument(
        "source", metavar="PATH_OR_URL",
        help="the folder of a posix registry, or the address of an MLflow tracking server",
    )  # fmt: skip
    parser.add_argument(
        "--namespace", metavar="PROJECT", default="forml",
        help="the project to import into (default: forml)",
    )  # fmt: skip
    parser.add_argument(
        "--only", metavar="NAME", action="append", default=[], help="only this project of ForML"
    )
    parser.add_argument(
        "--repoid", metavar="ID", default="", help="the virtual registry on the tracking server"
    )
    parser.add_argument(
        "--renumber", action="store_true",
        help="take generations over as 1, 2, 3… where the old registry lost some",
    )  # fmt: skip
    parsing.changes(parser)


def forml_import(args: Namespace, context: Context) -> int:
    """Imports all projects, releases and generations; compares what is there already."""
    from weighbridge.generations.importing import Importer, Source
    from weighbridge.generations.mlflow import Mlflow
    from weighbridge.generations.posix import Posix

    namespace = names.project_name(args.namespace)
    remote = args.source.startswith(("http://", "https://"))
    source: Source = Mlflow(args.source, args.repoid) if remote else Posix(Path(args.source))

    def told(step: "Step") -> None:
        if not args.json:
            context.screen.line(clean(_line(step)))

    with context.registry(args) as registry:
        importer = Importer(registry.client, namespace, args.renumber, args.dry_run)
        steps = importer.run(source, args.only, told)
    problems = sum(step.outcome == "problem" for step in steps)
    if args.json:
        context.screen.json({"dry_run": args.dry_run, "steps": steps, "problems": problems})
    else:
        _sum(context, steps, args.dry_run)
    return exits.BY_ERROR[IntegrityError] if problems else 0


def _line(step: "Step") -> str:
    what = f"{step.project} {step.release}"
    what += f" generation {step.generation}" if step.generation else ""
    if step.problem:
        return f"{what}: {step.problem}"
    words = {"there": "is there", "imported": "imported", "missing": "would be imported"}
    return f"{what}: {words[step.outcome]} ({step.bytes:,} bytes)"


def _sum(context: Context, steps: "list[Step]", dry_run: bool) -> None:
    counts = Counter(step.outcome for step in steps)
    new = f"{counts['missing']} would be" if dry_run else f"{counts['imported']}"
    context.screen.line(
        f"{new} imported, {counts['there']} there already, {plural(counts['problem'], 'problem')}"
    )
