"""`alias` and `history`: where aliases point, who moved them when, and what else happened."""

from argparse import ArgumentParser, Namespace
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from weighbridge.cli import parsing, targets
from weighbridge.cli.context import Context
from weighbridge.cli.listing import gather, more_text
from weighbridge.cli.screen import Screen, clean, describe, moment
from weighbridge.contract import names, types
from weighbridge.contract.errors import Conflict, Forbidden, InvalidRequest, NotFound
from weighbridge.contract.references import Reference

if TYPE_CHECKING:
    from weighbridge.client import Client


def alias_arguments(parser: ArgumentParser) -> None:
    """Arguments of `alias`."""
    parser.add_argument(
        "ref", metavar="REF", help="PROJECT/MODEL@VERSION to move, else PROJECT/MODEL"
    )
    parser.add_argument("name", metavar="NAME", nargs="?", help="the alias")
    parser.add_argument("--rm", action="store_true", help="remove the alias; its history stays")
    parser.add_argument(
        "--expected",
        metavar="N",
        type=parsing.natural,
        help="move it only if it points to version N now (0: only if it is new)",
    )
    parsing.changes(parser)


def alias(args: Namespace, context: Context) -> int:
    """Lists, looks up, removes or moves aliases."""
    if args.name is not None:
        names.alias_name(args.name)
    with context.registry(args) as registry:
        client, screen = registry.client, context.screen
        if args.rm:
            _remove(args, screen, client, targets.model(args.ref))
        elif "@" in args.ref and args.name is not None:
            _move(args, screen, client, targets.version(args.ref))
        else:
            ref = targets.model(args.ref)
            if args.expected is not None or args.dry_run:
                raise InvalidRequest("to move an alias, write PROJECT/MODEL@VERSION NAME")
            _look(args, screen, client, ref)
    return 0


def _look(args: Namespace, screen: Screen, client: "Client", ref: Reference) -> None:
    if args.name is None:
        aliases = client.model(ref.project, ref.model).aliases
        if args.json:
            screen.json({"aliases": aliases})
            return
        screen.table(
            ("ALIAS", "VERSION"), [(name, str(aliases[name])) for name in sorted(aliases)], "<>"
        )
        if not aliases:
            screen.remark("no aliases")
        return
    found = client.alias(ref.project, ref.model, args.name)
    if args.json:
        screen.json(found)
    else:
        screen.line(f"{clean(str(ref))}: {args.name} -> {found.version} {_since(found)}")


def _move(args: Namespace, screen: Screen, client: "Client", ref: Reference) -> None:
    selector = targets.selector(ref)
    if args.dry_run:
        model = client.model(ref.project, ref.model)
        current = model.aliases.get(args.name, 0)
        if args.expected is not None and current != args.expected:
            raise Conflict(
                f"the alias {args.name!r} points to {current or 'nothing'}, not to "
                f"{args.expected or 'nothing'}",
                current=current,
            )
        version = targets.ready(client.version(ref.project, ref.model, selector))
        protected = any(fnmatchcase(args.name, p) for p in model.settings.protected_aliases)
        if protected and version.approval.state != "approved":
            raise Forbidden(
                f"the alias {args.name!r} is protected and version {version.number} is "
                f"{version.approval.state}: have it approved first"
            )
        if protected and version.verdict != "safe" and not version.release.by:
            raise Forbidden(
                f"the alias {args.name!r} is protected and the safety verdict on version "
                f"{version.number} is {version.verdict}"
            )
        planned = types.AliasMove(args.name, version.number, current)
        _moved(args, screen, ref, planned, "would point to")
        return
    done = client.move_alias(ref.project, ref.model, args.name, selector, args.expected)
    _moved(args, screen, ref, done, "points to")


def _remove(args: Namespace, screen: Screen, client: "Client", ref: Reference) -> None:
    if args.name is None or args.expected is not None:
        raise InvalidRequest("to remove an alias, write --rm PROJECT/MODEL NAME")
    if args.dry_run:
        current = client.alias(ref.project, ref.model, args.name).version
        _moved(args, screen, ref, types.AliasMove(args.name, 0, current), "would be removed")
        return
    done = client.remove_alias(ref.project, ref.model, args.name)
    _moved(args, screen, ref, done, "is removed")


def _moved(
    args: Namespace, screen: Screen, ref: Reference, move: types.AliasMove, verb: str
) -> None:
    if args.json:
        screen.json({"dry_run": args.dry_run, "move": move})
        return
    target = f" {move.version}" if move.version else ""
    was = f" (was {move.previous})" if move.previous else " (new)"
    screen.line(f"{ref.project}/{clean(ref.model)}: {move.alias} {verb}{target}{was}")


def _since(move: types.AliasMove) -> str:
    return f"(since {moment(move.at)}, by {clean(move.by)})"


def history_arguments(parser: ArgumentParser) -> None:
    """Arguments of `history`."""
    parser.add_argument("ref", metavar="REF", help="PROJECT, PROJECT/MODEL or PROJECT/MODEL@ALIAS")
    parser.add_argument(
        "--at",
        metavar="TIME",
        default="",
        help="with an alias: what it pointed to then (ISO 8601, UTC unless it names a zone)",
    )
    parsing.lists(parser)
    parsing.reads(parser)


def history(args: Namespace, context: Context) -> int:
    """Lists events, or the moves of an alias."""
    target = targets.anything(args.ref)
    if isinstance(target, Reference):
        selector = target.version
        if target.checkpoint is not None or (selector and selector.kind != "alias"):
            raise InvalidRequest(
                f"{args.ref!r} has no history of its own; write PROJECT/MODEL[@ALIAS]"
            )
        if selector:
            return _alias_history(args, context, target, selector.value)
    if args.at:
        raise InvalidRequest("--at needs an alias: PROJECT/MODEL@ALIAS")
    return _events(args, context, target)


def _alias_history(args: Namespace, context: Context, ref: Reference, name: str) -> int:
    at, screen = (ref.project, ref.model, name), context.screen
    with context.registry(args) as registry:
        client = registry.client
        if args.at:
            then = client.alias_history(*at, args.at, limit=1).items
            if not then or not then[0].version:
                raise NotFound(f"{ref} pointed to nothing at {args.at}")
            if args.json:
                screen.json(then[0])
            else:
                screen.line(f"{clean(str(ref))} was {then[0].version} {_since(then[0])}")
            return 0
        found = gather(lambda size, page: client.alias_history(*at, limit=size, page=page), args)
    if args.json:
        screen.json({"items": found.items, "more": found.more})
        return 0
    screen.table(
        ("AT", "FROM", "TO", "BY"),
        [
            (moment(m.at), str(m.previous or "-"), str(m.version or "removed"), m.by)
            for m in found.items
        ],
        "<><<",
    )
    if found.more:
        screen.remark(more_text(len(found.items), "move"))
    return 0


def _events(args: Namespace, context: Context, target: str | Reference) -> int:
    project, model = (
        (target.project, target.model) if isinstance(target, Reference) else (target, "")
    )
    with context.registry(args) as registry:
        found = gather(lambda size, page: registry.client.events(project, model, size, page), args)
    screen = context.screen
    if args.json:
        screen.json({"items": found.items, "more": found.more})
        return 0
    screen.table(
        ("AT", "EVENT", "SUBJECT", "BY", "DETAILS"),
        [
            (
                moment(event.at),
                event.kind,
                event.subject,
                event.by,
                ", ".join(f"{k}={describe(v)}" for k, v in sorted(event.details.items())),
            )
            for event in found.items
        ],
    )
    if not found.items:
        screen.remark("no events")
    elif found.more:
        screen.remark(more_text(len(found.items), "event"))
    return 0
