"""`fate import`, `fate sync` and `fate restore-checkpoints`: FATE's model cache and the registry."""

import json
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from typing import TYPE_CHECKING, Any

from weighbridge.cli import exits, parsing
from weighbridge.cli.context import Context
from weighbridge.cli.screen import Screen, clean, human_size, plural
from weighbridge.contract import codec, errors, names
from weighbridge.contract.errors import InvalidRequest, RegistryError

if TYPE_CHECKING:
    from weighbridge.fate.reports import ImportReport, StepReport, SyncReport, TreeReport
    from weighbridge.fate.syncing import Syncing
    from weighbridge.registry import Registry

PROJECT = "models"
"""Where FATE's names live unless a token or the server says otherwise."""
FAILED = exits.BY_ERROR[errors.IntegrityError]
MOST_STEPS = 20


def _project(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--project",
        metavar="P",
        help=f"the project (default: {PROJECT}); it is made if it is missing",
    )


def import__arguments(parser: ArgumentParser) -> None:
    """Arguments of `fate import`."""
    parser.add_argument("folder", metavar="DIR", help="FATE's model_local_cache, or a part of it")
    _project(parser)
    parsing.changes(parser)


def import_(args: Namespace, context: Context) -> int:
    """Imports a cache, model by model."""
    from weighbridge.fate.importing import import_cache

    screen = context.screen
    project = names.project_name(args.project or PROJECT)
    with context.registry(args) as registry:
        report = import_cache(
            registry, args.folder, project, dry_run=args.dry_run,
            told=None if args.json else lambda tree: _tree(screen, tree, args.dry_run),
        )  # fmt: skip
    if args.json:
        screen.json(_document(report))
    else:
        _summary(screen, report)
    return 0 if report.ok else FAILED


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0.05 <= value <= 86400:
        raise ArgumentTypeError(f"{text!r} is no number of seconds from 0.05 to 86400")
    return value


def sync_arguments(parser: ArgumentParser) -> None:
    """Arguments of `fate sync`."""
    parser.add_argument("folder", metavar="DIR", help="the worker's model_local_cache, or a part")
    _project(parser)
    parser.add_argument(
        "--ref",
        metavar="P/MODEL@=L",
        help="DIR is the folder of this one version, whatever it is called",
    )
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--once", action="store_true", help="one look, and the end (the default)")
    how.add_argument("--watch", action="store_true", help="go on until the version is published")
    parser.add_argument(
        "--interval",
        metavar="S",
        type=_seconds,
        default=2.0,
        help="with --watch: seconds between two looks (default: 2)",
    )
    parser.add_argument(
        "--max-to-keep",
        metavar="N",
        type=parsing.positive,
        help="keep the newest N checkpoints of each component in the registry (default: all)",
    )
    parser.add_argument(
        "--pull", action="store_true", help="first write the registry's checkpoints back to DIR"
    )
    parsing.changes(parser)


def sync(args: Namespace, context: Context) -> int:
    """Sends what is complete."""
    from weighbridge.fate.syncing import Syncing, checked_max, named

    if args.dry_run and (args.watch or args.pull):
        raise InvalidRequest(
            "a dry run looks once and writes nothing: leave --watch and --pull out"
        )
    if args.ref and args.project:
        raise InvalidRequest("give --ref or --project: --ref names its project")
    try:
        checked_max(args.max_to_keep)
    except ValueError as error:
        raise InvalidRequest(str(error)) from None
    project, model, label = named(args.ref) if args.ref else (args.project or PROJECT, "", "")
    screen = context.screen

    def told(tree: "TreeReport") -> None:
        if args.json:  # --watch only: a line per change, for programs that read along
            screen.line(json.dumps(codec.encode(tree), ensure_ascii=True))
            screen.out.flush()
        else:
            _tree(screen, tree, args.dry_run)

    with context.registry(args) as registry:
        syncing = Syncing(
            registry, args.folder, project, model=model, label=label,
            max_to_keep=args.max_to_keep, dry_run=args.dry_run,
            told=None if args.json and not args.watch else told,
        )  # fmt: skip
        if args.pull:
            _pull(registry, syncing, screen)
        if args.watch:
            report = syncing.watch(args.interval, failed=lambda error: _passing(screen, error))
        else:
            report = syncing.once()
    if args.json and not args.watch:
        screen.json(_document(report))
    elif not args.json:
        _summary(screen, report)
    return 0 if report.ok else FAILED


def _pull(registry: "Registry", syncing: "Syncing", screen: Screen) -> None:
    from weighbridge.fate.layout import CHECKPOINTS
    from weighbridge.fate.restoring import restore_checkpoints

    for tree in syncing.trees()[0]:
        ref = syncing.reference(tree)
        if ref is None:
            continue
        folder, steps = restore_checkpoints(registry, ref, tree.root / CHECKPOINTS)
        failed = [step for step in steps if step.outcome == "failed"]
        if failed:
            raise errors.IntegrityError("; ".join(step.problem for step in failed[:3]))
        count = sum(step.outcome == "restored" for step in steps)
        if count:
            screen.remark(clean(f"{plural(count, 'checkpoint')} written to {folder}"))


def _passing(screen: Screen, error: RegistryError) -> None:
    screen.remark(clean(f"trying again: {error.message}"))


def restore_checkpoints_arguments(parser: ArgumentParser) -> None:
    """Arguments of `fate restore-checkpoints`."""
    parser.add_argument("ref", metavar="REF", help="the version, such as PROJECT/MODEL@=LABEL")
    parser.add_argument("folder", metavar="DIR", help="where FATE's folders are, or are to be")
    parser.add_argument("--component", metavar="C", default="", help="only of this component")
    parser.add_argument(
        "--last", action="store_true", help="only the highest step of each component"
    )
    parsing.reads(parser)


def restore_checkpoints(args: Namespace, context: Context) -> int:
    """Writes checkpoints back."""
    from weighbridge.fate.restoring import restore_checkpoints as restore

    screen = context.screen
    with context.registry(args) as registry:
        folder, steps = restore(
            registry, args.ref, args.folder, component=args.component, last=args.last
        )
    ok = all(step.outcome != "failed" for step in steps)
    if args.json:
        screen.json({"folder": str(folder), "checkpoints": steps, "ok": ok})
        return 0 if ok else FAILED
    done = sum(step.outcome == "restored" for step in steps)
    same = sum(step.outcome == "same" for step in steps)
    screen.line(clean(f"{plural(done, 'checkpoint')} written to {folder}, {same} there already"))
    _steps(screen, steps)
    return 0 if ok else FAILED


def upload_arguments(parser: ArgumentParser) -> None:
    """Arguments of `fate upload`."""
    parser.add_argument("file", metavar="FILE", help="a zip that FATE exported")
    parser.add_argument(
        "ref", metavar="REF", help="what it becomes: P/ROLE#PARTY_ID#MODEL_ID@=VERSION"
    )
    parsing.transfers(parser)
    parsing.changes(parser)


def upload(args: Namespace, context: Context) -> int:
    """Sends an archive and says how to go on."""
    from weighbridge.fate.uploading import upload_archive

    screen = context.screen
    with context.registry(args) as registry:
        found = upload_archive(
            registry, args.file, args.ref, dry_run=args.dry_run, progress=context.progress(args)
        )
    if args.json:
        screen.json(found)
        return 0
    if args.dry_run:
        screen.line(clean(f"{args.file}: {human_size(found.size)} would wait for {args.ref}"))
        return 0
    screen.line(
        clean(f"{args.file}: {human_size(found.size)} wait for {args.ref} until {found.expires}")
    )
    screen.remark(
        "take it in with `flow model import --from-database` (2.x: `flow model restore`) for that "
        "role, party, model id and version"
    )
    return 0


# What is printed


def _document(report: "ImportReport | SyncReport") -> dict[str, Any]:
    return {
        "ok": report.ok,
        "dry_run": report.dry_run,
        "models": report.trees,
        "problems": report.problems,
    }


def _tree(screen: Screen, tree: "TreeReport", dry_run: bool) -> None:
    word = {"published": "imported", "same": "there already", "open": "open", "failed": "failed"}
    done = word[tree.outcome]
    if dry_run and tree.outcome == "published":
        done = "would be imported"
    counts = [
        f"{tree.counted('pushed')} {'to send' if dry_run else 'sent'}",
        f"{tree.counted('same')} there already",
        *(f"{n} {w}" for w in ("failed", "unfinished", "evicted") if (n := tree.counted(w))),
    ]
    files = f", {plural(tree.files, 'file')} ({human_size(tree.size)})" if tree.files else ""
    steps = f"; checkpoints: {', '.join(counts)}" if tree.steps else ""
    where = f" as {tree.reference}" if tree.reference else ""
    screen.line(clean(f"{tree.model}/{tree.label}: {done}{where}{files}{steps}"))
    for problem in tree.problems:
        screen.remark(clean(f"  {problem}"))
    _steps(screen, tree.steps)
    screen.out.flush()


def _steps(screen: Screen, steps: "tuple[StepReport, ...]") -> None:
    told = [step for step in steps if step.problem]
    for step in told[:MOST_STEPS]:
        word = "" if step.outcome == "failed" else f"{step.outcome}: "
        name = f"{step.component or '-'}/{step.step}#{step.name}: "
        text = step.problem if step.problem.startswith(name) else name + step.problem
        screen.remark(clean(f"  {word}{text}"))
    if len(told) > MOST_STEPS:
        screen.remark(f"  and {plural(len(told) - MOST_STEPS, 'checkpoint')} more")


def _summary(screen: Screen, report: "ImportReport | SyncReport") -> None:
    for problem in report.problems:
        screen.remark(clean(problem))
    failed = sum(not tree.ok for tree in report.trees)
    points = sum(len(tree.steps) for tree in report.trees)
    sent = sum(tree.sent_bytes for tree in report.trees)
    screen.line(
        f"{plural(len(report.trees), 'model')}, {plural(points, 'checkpoint')}, "
        f"{failed} failed, {human_size(sent)} sent"
    )
