"""`reindex`: has stored files looked at again, and shows how far that is."""

import time
from argparse import ArgumentParser, Namespace

from weighbridge.cli import parsing, targets
from weighbridge.cli.context import Context
from weighbridge.cli.screen import Screen, clean, moment
from weighbridge.contract import types
from weighbridge.contract.errors import InvalidRequest

PAUSE = 1.0


def reindex_arguments(parser: ArgumentParser) -> None:
    """Arguments of `reindex`."""
    parser.add_argument(
        "ref", metavar="REF", help="PROJECT, PROJECT/MODEL or PROJECT/MODEL@VERSION"
    )
    parser.add_argument(
        "--all", action="store_true", help="also what the present indexer looked at already"
    )
    parser.add_argument("--status", action="store_true", help="show the newest job, and start none")
    parser.add_argument(
        "--wait", metavar="SECONDS", type=parsing.natural, default=0,
        help="wait so long for the end of the job (default: 0)",
    )  # fmt: skip
    parsing.changes(parser)


def reindex(args: Namespace, context: Context) -> int:
    """Starts a job (or looks at the newest one) and shows it."""
    target = targets.anything(args.ref)
    if args.status and args.dry_run:
        raise InvalidRequest("give --status or --dry-run: asking how far a job is changes nothing")
    project, model, number = target if isinstance(target, str) else target.project, "", 0
    with context.registry(args) as registry:
        client = registry.client
        if args.status:
            job = client.reindex_job(project)
        else:
            if not isinstance(target, str):
                if target.checkpoint is not None:
                    raise InvalidRequest("a checkpoint is looked at again with its version")
                model = target.model
                if target.version is not None:
                    number = client.version(project, model, target.version).number
            job = client.reindex(project, model, number, args.all, args.dry_run)
        end = time.monotonic() + args.wait
        while job.state == "running" and time.monotonic() < end:
            time.sleep(min(PAUSE, max(0.0, end - time.monotonic())))
            job = client.reindex_job(project)
    if args.json:
        context.screen.json(job)
    else:
        _show(context.screen, job)
    return 0


def _show(screen: Screen, job: types.ReindexJob) -> None:
    name = job.project + (f"/{job.model}" if job.model else "")
    name += f"@{job.version}" if job.version else ""
    word = "would be looked at again" if job.dry_run else "looked at again"
    failed = f", {job.failed} failed" if job.failed else ""
    screen.line(
        f"{clean(name)}: {job.state}, {job.indexed} of {job.looked} files {word}{failed} "
        f"(since {moment(job.started)}, by {clean(job.started_by)})"
    )
