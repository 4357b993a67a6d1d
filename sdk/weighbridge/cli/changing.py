"""`approve` and `tag`: what may change of a version after it was published."""

from argparse import ArgumentParser, Namespace

from weighbridge.cli import parsing, targets
from weighbridge.cli.context import Context
from weighbridge.cli.screen import clean
from weighbridge.contract import references, types
from weighbridge.contract.errors import InvalidRequest


def approve_arguments(parser: ArgumentParser) -> None:
    """Arguments of `approve`."""
    parser.add_argument("ref", metavar="REF", help="the version, such as PROJECT/MODEL@3")
    parser.add_argument("--reject", action="store_true", help="reject it instead")
    parser.add_argument("--comment", metavar="C", default="", help="why")
    parsing.changes(parser)


def approve(args: Namespace, context: Context) -> int:
    """Signs a version off, or rejects it."""
    ref = targets.version(args.ref)
    at = (ref.project, ref.model, targets.selector(ref))
    state: types.ApprovalState = "rejected" if args.reject else "approved"
    screen = context.screen
    with context.registry(args) as registry:
        client = registry.client
        version = targets.ready(client.version(*at))
        if not args.dry_run:
            version = client.approve(ref.project, ref.model, version.number, state, args.comment)
    if args.json:
        shown = {"state": state, "comment": args.comment} if args.dry_run else version.approval
        screen.json({"dry_run": args.dry_run, "version": version.number, "approval": shown})
        return 0
    name = clean(targets.numbered(version.project, version.model, version.number))
    if args.dry_run:
        screen.line(f"{name} would be {state} (is {version.approval.state})")
    else:
        screen.line(f"{name} is {state}")
    return 0


def tag_arguments(parser: ArgumentParser) -> None:
    """Arguments of `tag`."""
    parser.add_argument("ref", metavar="REF", help="PROJECT/MODEL@VERSION, or PROJECT/MODEL")
    parser.add_argument(
        "tags", metavar="K=V", nargs="*", type=parsing.tag, help="tags to set, such as team=vision"
    )
    parser.add_argument(
        "--rm",
        metavar="K",
        action="append",
        default=[],
        help="a tag to remove (may be given more than once)",
    )
    parsing.changes(parser)


def tag(args: Namespace, context: Context) -> int:
    """Sets and removes tags."""
    ref = references.parse(args.ref)
    if ref.checkpoint is not None:
        raise InvalidRequest("the tags of a checkpoint are given when it is pushed, and stay")
    wanted = parsing.once("tag", [*args.tags, *((name, "") for name in args.rm)])
    if not wanted:
        raise InvalidRequest("name at least one tag: K=V to set it, --rm K to remove it")
    screen = context.screen
    changed: types.Version | types.Model
    with context.registry(args) as registry:
        client = registry.client
        if ref.version is None:
            current: types.Version | types.Model = client.model(ref.project, ref.model)
            if not args.dry_run:
                changed = client.change_model(ref.project, ref.model, tags=wanted)
        else:
            current = targets.ready(client.version(ref.project, ref.model, ref.version))
            if not args.dry_run:
                changed = client.change_version(ref.project, ref.model, ref.version, tags=wanted)
    planned = {k: v for k, v in {**current.tags, **wanted}.items() if v}
    after = planned if args.dry_run else changed.tags
    if args.json:
        screen.json({"dry_run": args.dry_run, "tags": after})
        return 0
    would = "would be " if args.dry_run else ""
    for name, value in wanted.items():
        old = current.tags.get(name)
        was = "" if old is None or old == value else f" (was {old})"
        if value:
            screen.line(clean(f"{would}set: {name}={value}{was}"))
        elif old is None:
            screen.line(clean(f"not there: {name}"))
        else:
            screen.line(clean(f"{would}removed: {name}{was}"))
    return 0
