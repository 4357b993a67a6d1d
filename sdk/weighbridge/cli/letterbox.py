"""`inbox ls`: what was dropped and became nothing."""

from argparse import ArgumentParser, Namespace

from weighbridge.cli import parsing
from weighbridge.cli.context import Context
from weighbridge.cli.listing import gather, more_text
from weighbridge.cli.screen import human_size, moment
from weighbridge.contract import names


def inbox_ls_arguments(parser: ArgumentParser) -> None:
    """Arguments of `inbox ls`."""
    parser.add_argument("project", metavar="PROJECT", help="the project")
    parsing.lists(parser)
    parsing.reads(parser)


def inbox_ls(args: Namespace, context: Context) -> int:
    """Lists the folders that are no checkpoints."""
    name, screen = names.project_name(args.project), context.screen
    with context.registry(args) as registry:
        found = gather(lambda size, page: registry.client.inbox(name, size, page), args)
    if args.json:
        screen.json({"items": found.items, "more": found.more})
        return 0
    screen.table(
        ("STATE", "SINCE", "LAST FILE", "FILES", "SIZE", "FOLDER", "WHY", "MISSING"),
        [
            (
                drop.state,
                moment(drop.first),
                moment(drop.last),
                str(drop.files or "-"),
                human_size(drop.size) if drop.files else "-",
                drop.folder,
                drop.message,
                ", ".join(drop.missing),
            )
            for drop in found.items
        ],
        "<<<>><<<",
    )
    if not found.items:
        screen.remark("every complete drop became a checkpoint")
    elif found.more:
        screen.remark(more_text(len(found.items), "folder"))
    return 0
