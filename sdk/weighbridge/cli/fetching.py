"""`pull` and `checkpoint pull`: files from the registry to a folder, verified."""

from argparse import ArgumentParser, Namespace

from weighbridge.cli import parsing, targets
from weighbridge.cli.context import Context
from weighbridge.cli.screen import clean, human_size, plural
from weighbridge.contract import references
from weighbridge.contract.errors import InvalidRequest


def _arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--to", metavar="DIR", help="the folder to write to (default: MODEL-VERSION, here)"
    )
    parser.add_argument(
        "--file",
        metavar="PATTERN",
        action="append",
        default=[],
        help="only files that match, such as '*.json' (may be given more than once)",
    )
    parser.add_argument(
        "--exclude",
        metavar="PATTERN",
        action="append",
        default=[],
        help="no files that match (may be given more than once)",
    )
    parser.add_argument(
        "--link",
        choices=("auto", "copy", "hard", "reflink"),
        default="auto",
        help="how files share bytes with the cache (default: auto: clones where there are any)",
    )
    parser.add_argument(
        "--verify",
        choices=("whole", "parts"),
        help="what proves a large file: its SHA-256 (whole, the default), or that of each part, "
        "which takes half the hashing",
    )
    parser.add_argument("--force", action="store_true", help="replace files that differ")
    parsing.transfers(parser)
    parsing.reads(parser)


def pull_arguments(parser: ArgumentParser) -> None:
    """Arguments of `pull`."""
    parser.add_argument(
        "ref", metavar="REF", help="the version (without @: the latest) or checkpoint"
    )
    parser.add_argument(
        "--tensor",
        metavar="NAME",
        action="append",
        default=[],
        help="only this tensor, into the safetensors file --to (may be given more than once)",
    )
    _arguments(parser)


def checkpoint_pull_arguments(parser: ArgumentParser) -> None:
    """Arguments of `checkpoint pull`."""
    parser.add_argument(
        "ref", metavar="REF", help="such as PROJECT/MODEL@3:best (default: the last)"
    )
    _arguments(parser)


def pull(args: Namespace, context: Context) -> int:
    """Downloads a version or checkpoint, or some of its tensors."""
    if args.tensor:
        return _pull_tensors(str(references.parse(args.ref)), args, context)
    return _pull(str(references.parse(args.ref)), args, context)


def checkpoint_pull(args: Namespace, context: Context) -> int:
    """Downloads a checkpoint."""
    return _pull(str(targets.checkpoint(args.ref)), args, context)


def _pull_tensors(ref: str, args: Namespace, context: Context) -> int:
    if args.exclude or args.link != "auto" or args.verify:
        raise InvalidRequest("--tensor goes with --file, --force and --to only")
    with context.registry(args) as registry:
        done = registry.pull_tensors(ref, tuple(args.tensor), args.to, tuple(args.file), args.force)
    screen = context.screen
    if args.json:
        screen.json(
            {
                "reference": done.reference,
                "path": str(done.path),
                "size": done.size,
                "verified": done.verified,
                "received_bytes": done.received_bytes,
                "seconds": done.seconds,
                "requests": done.requests,
                "tensors": done.tensors,
            }
        )
        return 0
    screen.line(
        f"pulled {plural(len(done.tensors), 'tensor')} of {clean(done.reference)} to "
        f"{clean(str(done.path))}: {human_size(done.size)} "
        f"(received {human_size(done.received_bytes)}) in {done.seconds:.1f} s"
    )
    if not done.verified:
        screen.remark("not verified by digests: the server has no part list of that file")
    return 0


def _pull(ref: str, args: Namespace, context: Context) -> int:
    with context.registry(args) as registry:
        done = registry.pull(
            ref,
            args.to,
            tuple(args.file),
            args.force,
            progress=context.progress(args),
            exclude=tuple(args.exclude),
            link=args.link,
            verify=args.verify,
        )
    screen = context.screen
    if args.json:
        screen.json(
            {
                "reference": done.reference,
                "version": done.version,
                "checkpoint": done.checkpoint,
                "folder": str(done.folder),
                "manifest": done.manifest,
                "received_bytes": done.received_bytes,
                "reused_bytes": done.reused_bytes,
                "seconds": done.seconds,
                "requests": done.requests,
                "files": done.files,
            }
        )
        return 0
    size = sum(file.size for file in done.files)
    screen.line(
        f"pulled {clean(done.reference)} to {clean(str(done.folder))}: "
        f"{plural(len(done.files), 'file')}, {human_size(size)} "
        f"(received {human_size(done.received_bytes)}, there already "
        f"{human_size(done.reused_bytes)}) in {done.seconds:.1f} s"
    )
    return 0
