"""`geti ls`, `show`, `import`: the models of a Geti server."""

import os
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from weighbridge.cli import parsing
from weighbridge.cli.context import Context
from weighbridge.cli.exits import DIFFERENT
from weighbridge.cli.screen import clean, human_size, plural
from weighbridge.contract import names
from weighbridge.contract.errors import InvalidRequest

if TYPE_CHECKING:
    from weighbridge.geti.source import Source
    from weighbridge.geti_import import Imported


def ls_arguments(parser: ArgumentParser) -> None:
    """Arguments of `geti ls`."""
    _server(parser)
    parser.add_argument("--json", action="store_true", help="print JSON for programs")


def ls(args: Namespace, context: Context) -> int:
    """One line for each project."""
    from weighbridge.contract import geti

    with _source(args, context) as source:
        projects = source.list_projects()
    if args.json:
        context.screen.json({"items": [geti.shown(one) for one in projects]})
        return 0
    rows = [(one.id, one.name, geti.category(one), str(len(list(one.found())))) for one in projects]
    if rows:
        context.screen.table(("project", "name", "category", "models"), rows, "<<<>")
    else:
        context.screen.remark(f"{clean(_host(args))} has no projects that this token sees")
    return 0


def show_arguments(parser: ArgumentParser) -> None:
    """Arguments of `geti show`."""
    parser.add_argument("project", metavar="PROJECT_ID", help="as `geti ls` lists it")
    _server(parser)
    parser.add_argument("--json", action="store_true", help="print JSON for programs")


def show(args: Namespace, context: Context) -> int:
    """One line for each optimised model."""
    from weighbridge.contract import geti

    with _source(args, context) as source:
        project = source.get_project(args.project)
    if args.json:
        context.screen.json(geti.shown(project))
        return 0
    screen = context.screen
    screen.line(screen.bold(clean(f"{project.name} ({project.id})")))
    rows = [
        (
            one.model.id, one.model.name, one.model.version, ", ".join(one.model.precision),
            "" if one.model.score is None else f"{one.model.score:g}", one.trained.architecture,
        )
        for one in project.found()
    ]  # fmt: skip
    if rows:
        titles = ("model", "name", "version", "precision", "score", "architecture")
        screen.table(titles, rows, "<<<<>")
    else:
        screen.remark("it has no optimised OpenVINO models")
    return 0


def import_models_arguments(parser: ArgumentParser) -> None:
    """Arguments of `geti import`."""
    parser.add_argument(
        "projects", metavar="PROJECT_ID", nargs="*",
        help="projects of Geti, as `geti ls` lists them (default: all)",
    )  # fmt: skip
    parser.add_argument(
        "--to", metavar="PROJECT", required=True, help="the project that takes the models"
    )
    parser.add_argument(
        "--id", metavar="ID", action="append", default=[],
        help="import this optimised model only (may be given more than once)",
    )  # fmt: skip
    parser.add_argument(
        "--compare", action="store_true", help="fetch what was imported before, and compare it"
    )
    _server(parser)
    parsing.changes(parser)


def import_models(args: Namespace, context: Context) -> int:
    """Imports model by model, and says what became of each."""
    from weighbridge import geti_import

    project, screen = names.project_name(args.to), context.screen
    done: list[Imported] = []
    with _source(args, context) as source, context.registry(args) as registry:
        models = geti_import.found(source, args.projects, args.id)
        for one in geti_import.copy(
            registry, source, project, models, dry_run=args.dry_run, compare=args.compare
        ):
            done.append(one)
            if not args.json:
                screen.line(_line(one, args.dry_run))
    if args.json:
        screen.json({"dry_run": args.dry_run, "items": tuple(done)})
    else:
        counts = {word: sum(one.outcome == word for one in done) for word in _WORDS}
        summary = ", ".join(f"{count} {word}" for word, count in counts.items() if count)
        screen.line(f"{plural(len(done), 'model')}: {summary or 'none'}")
    return DIFFERENT if any(one.outcome == "failed" for one in done) else 0


_WORDS = ("imported", "there", "failed")


def _line(one: "Imported", dry_run: bool) -> str:
    word = "would be imported" if dry_run and one.outcome == "imported" else one.outcome
    what = f"{clean(one.project)}: {clean(one.name)} ({clean(one.id)}): {word}"
    if one.message:
        return f"{what}: {clean(one.message)}"
    return f"{what}, {clean(one.reference)}" + (f", {human_size(one.size)}" if one.size else "")


def _server(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--host", metavar="URL", default="", help="the Geti server (default: $GETI_HOST)"
    )
    parser.add_argument(
        "--workspace", metavar="ID", default="", help="its workspace (default: $GETI_WORKSPACE_ID)"
    )
    parser.add_argument(
        "--geti-ca-file", metavar="FILE", default="",
        help="certificates to trust there (default: $GETI_CA_FILE)",
    )  # fmt: skip
    parser.add_argument(
        "--sdk", action="store_true", help="go through geti-sdk: pip install 'weighbridge[geti]'"
    )


def _host(args: Namespace) -> str:
    return args.host or os.environ.get("GETI_HOST", "")


@contextmanager
def _source(args: Namespace, context: Context) -> "Iterator[Source]":
    from weighbridge.contract import geti_access

    known = geti_access.read(os.environ)
    if args.host and args.host != known.host and known.host:
        raise InvalidRequest("--host and $GETI_HOST differ; a token is for one server")
    access = replace(
        known, host=args.host or known.host, workspace=args.workspace or known.workspace,
        ca_file=args.geti_ca_file or known.ca_file,
    )  # fmt: skip
    if not access.verify:
        context.screen.remark("the certificate of the Geti server is not verified")
    source: Source
    if args.sdk:
        from weighbridge.geti.sdk import SdkSource

        source = SdkSource(access)
    else:
        from weighbridge.geti.rest import RestSource

        source = RestSource(access)
    try:
        yield source
    finally:
        source.close()
