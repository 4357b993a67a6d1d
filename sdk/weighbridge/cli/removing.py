"""`rm`: deletes what is named, after asking; a dry run says what would stand in the way."""

from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from weighbridge.cli import parsing, targets
from weighbridge.cli.context import Context
from weighbridge.cli.screen import clean, human_size, plural
from weighbridge.contract import types
from weighbridge.contract.errors import InUse, InvalidRequest
from weighbridge.contract.references import Reference

if TYPE_CHECKING:
    from weighbridge.client import Client


@dataclass(frozen=True, slots=True)
class _Doomed:
    """What is to be deleted: its name for people, what holds it, and how to delete it."""

    what: str
    held: tuple[str, ...]
    delete: Callable[[], types.Deleted]


def options(parser: ArgumentParser) -> None:
    """The options of commands that delete."""
    parser.add_argument("--yes", action="store_true", help="do not ask")
    parsing.changes(parser)


def rm_arguments(parser: ArgumentParser) -> None:
    """Arguments of `rm`."""
    parser.add_argument(
        "ref",
        metavar="REF",
        help="PROJECT/MODEL@VERSION:CHECKPOINT, PROJECT/MODEL@VERSION, PROJECT/MODEL or PROJECT",
    )
    options(parser)


def rm(args: Namespace, context: Context) -> int:
    """Deletes what the reference names."""
    target = targets.anything(args.ref)
    if isinstance(target, Reference) and target.checkpoint and not target.version:
        raise InvalidRequest("name the version of the checkpoint: PROJECT/MODEL@VERSION:CHECKPOINT")
    return remove(target, args, context)


def remove(target: str | Reference, args: Namespace, context: Context) -> int:
    """Looks, asks, deletes."""
    screen = context.screen
    with context.registry(args) as registry:
        doomed = _doomed(registry.client, target)
        if args.dry_run:
            if doomed.held:
                raise InUse(f"{doomed.what} is still in use: {', '.join(doomed.held)}")
            if args.json:
                screen.json({"dry_run": True, "would_delete": doomed.what})
            else:
                screen.line(f"would delete {clean(doomed.what)}")
            return 0
        if not context.confirm(clean(doomed.what), args):
            screen.remark("nothing was deleted")
            return 0
        done = doomed.delete()
    if args.json:
        screen.json({"dry_run": False, "deleted": done.deleted, "bytes": done.bytes})
    else:
        free = f", {human_size(done.bytes)} no longer in use there" if done.bytes else ""
        screen.line(f"deleted {clean(done.deleted)}{free}")
    return 0


def _doomed(client: "Client", target: str | Reference) -> _Doomed:
    """Resolved to numbers first, so that an alias that moves meanwhile deletes nothing else."""
    if isinstance(target, str):
        name = client.project(target).name
        models = client.models(name, limit=3).items
        held = tuple(f"model {model.name}" for model in models)
        return _Doomed(f"the project {name}", held, lambda: client.delete_project(name))
    project, model = target.project, target.model
    if target.version is None:
        client.model(project, model)
        ready = client.versions(project, model, limit=3).items
        opened = client.versions(project, model, "open", limit=3).items
        held = tuple(f"{'open ' * (v.state == 'open')}version {v.number}" for v in ready + opened)
        return _Doomed(
            f"the model {project}/{model}", held, lambda: client.delete_model(project, model)
        )
    version = client.version(project, model, target.version)
    number = version.number
    if target.checkpoint is None:
        return _Doomed(
            f"{targets.numbered(project, model, number)} "
            f"({version.state}, {plural(version.files, 'file')}, {human_size(version.size)})",
            tuple(f"alias {alias}" for alias in version.aliases),
            lambda: client.delete_version(project, model, number),
        )
    found = client.checkpoint(project, model, number, target.checkpoint)
    return _Doomed(
        f"{targets.numbered(project, model, number, found.number)} "
        f"(step {found.step}, {plural(found.files, 'file')}, {human_size(found.size)})",
        (),
        lambda: client.delete_checkpoint(project, model, number, found.number),
    )
