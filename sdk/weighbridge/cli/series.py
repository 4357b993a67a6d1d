"""`checkpoint resume`, `promote`, `pin` and `unpin`: what a version's checkpoints are good for."""

from argparse import ArgumentParser, Namespace

from weighbridge.cli import exits, parsing, targets
from weighbridge.cli.context import Context
from weighbridge.cli.publishing import judged
from weighbridge.cli.screen import clean, human_size, number, plural
from weighbridge.contract import names, references
from weighbridge.contract.errors import InvalidName
from weighbridge.contract.references import Reference


def resume_arguments(parser: ArgumentParser) -> None:
    """Arguments of `checkpoint resume`."""
    parser.add_argument("ref", metavar="REF", help="the version, such as PROJECT/MODEL@=run-7")
    parser.add_argument("--component", metavar="C", default="", help="only of this component")
    parser.add_argument(
        "--to", metavar="DIR", help="the folder to write to (default: MODEL-VERSION-N, here)"
    )
    parsing.transfers(parser)
    parsing.reads(parser)


def resume(args: Namespace, context: Context) -> int:
    """Pulls the last checkpoint, if there is one."""
    ref = targets.versioned(args.ref)
    screen = context.screen
    with context.registry(args) as registry:
        found = registry.resume(str(ref), args.component, args.to, progress=context.progress(args))
    if args.json:
        shown = None
        if found is not None:
            files = [str(path) for path in found.files]
            shown = {"reference": found.reference, "step": found.step, "files": files,
                     "folder": str(found.folder), "metrics": found.metrics}  # fmt: skip
        screen.json({"resumed": shown})
    elif found is None:
        screen.line(f"{clean(str(ref))} has no checkpoint yet: start from the beginning")
    else:
        metrics = "".join(f", {k}={number(v)}" for k, v in sorted(found.metrics.items()))
        screen.line(
            clean(
                f"go on from {found.reference} (step {found.step}{metrics}): "
                f"{plural(len(found.files), 'file')} in {found.folder}"
            )
        )
    return 0


def promote_arguments(parser: ArgumentParser) -> None:
    """Arguments of `checkpoint promote`."""
    parser.add_argument("ref", metavar="REF", help="the checkpoint, such as PROJECT/MODEL@3:best")
    parser.add_argument("--label", metavar="L", default="", help="a unique name, such as 1.4.2")
    parser.add_argument(
        "--alias",
        metavar="A",
        action="append",
        default=[],
        help="point this alias to the new version (may be given more than once)",
    )
    parser.add_argument("--description", metavar="D", default="", help="what this version is")
    parsing.pairs_option(parser, "tag", parsing.tag, "a tag, such as team=vision")
    parsing.changes(parser)


def promote(args: Namespace, context: Context) -> int:
    """Makes a version of a checkpoint."""
    ref = _checkpoint(args.ref)
    for alias in args.alias:
        names.alias_name(alias)
    if args.label:
        names.label(args.label)
    tags = parsing.once("tag", args.tag)
    screen = context.screen
    with context.registry(args) as registry:
        point = registry.checkpoint(str(ref))
        source = targets.numbered(point.project, point.model, point.version, point.number)
        made = None
        if not args.dry_run:  # by its number: `best` may mean another meanwhile
            made = registry.promote(source, args.label, tuple(args.alias), args.description, tags)
    if args.json:
        screen.json({"dry_run": args.dry_run, "checkpoint": point, "version": made})
        return exits.HELD if made and made.state != "ready" else 0
    held = f"{plural(point.files, 'file')}, {human_size(point.size)}, nothing copied"
    if made is None:
        screen.line(
            clean(f"would make {source} the next version of {ref.project}/{ref.model} ({held})")
        )
    else:
        name = targets.numbered(made.project, made.model, made.number)
        screen.line(clean(f"{source} is now {name} ({held})"))
    for alias in args.alias:
        screen.line(f"alias {alias} {'would point' if args.dry_run else 'points'} to it")
    return judged(screen, name, made.state, made.verdict) if made is not None else 0


def pin_arguments(parser: ArgumentParser) -> None:
    """Arguments of `checkpoint pin`."""
    parser.add_argument("ref", metavar="REF", help="the checkpoint, such as PROJECT/MODEL@3:12")
    parsing.changes(parser)


unpin_arguments = pin_arguments


def pin(args: Namespace, context: Context) -> int:
    """Keeps a checkpoint whatever the retention says."""
    return _pin(args, context, True)


def unpin(args: Namespace, context: Context) -> int:
    """Gives a checkpoint back to the retention."""
    return _pin(args, context, False)


def _pin(args: Namespace, context: Context, pinned: bool) -> int:
    ref = _checkpoint(args.ref)
    screen = context.screen
    with context.registry(args) as registry:
        point = registry.checkpoint(str(ref))
        name = targets.numbered(point.project, point.model, point.version, point.number)
        if not args.dry_run:
            point = registry.pin(name, pinned)
    if args.json:
        screen.json({"dry_run": args.dry_run, "checkpoint": point})
    else:
        is_now = "would be" if args.dry_run else "is"
        screen.line(clean(f"{name} {is_now} {'pinned' if pinned else 'left to the retention'}"))
    return 0


def _checkpoint(text: str) -> Reference:
    ref = references.parse(text)
    if ref.version is None or ref.checkpoint is None:
        raise InvalidName(f"{text!r} names no checkpoint; write PROJECT/MODEL@VERSION:CHECKPOINT")
    return ref
