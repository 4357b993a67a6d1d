"""`push` and `checkpoint push`: files from disk to the registry."""

from argparse import ArgumentParser, Namespace
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from weighbridge.cli import exits, parsing, targets
from weighbridge.cli.context import Context
from weighbridge.cli.safety import words
from weighbridge.cli.screen import Screen, clean, human_size, plural
from weighbridge.contract import names, references, types

if TYPE_CHECKING:
    from weighbridge.registry import Registry
    from weighbridge.results import PushResult


MOMENT = 2.0
"""Seconds that a push waits for a verdict that changes nothing but what is printed."""


def _arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "paths", metavar="PATH", nargs="+", help="a file, or a folder with all that is in it"
    )
    parser.add_argument(
        "--as",
        dest="as_name",
        metavar="NAME",
        help="the path under which a single file, or the content of a single folder, is stored",
    )
    parsing.pairs_option(parser, "metric", parsing.metric, "a metric, such as accuracy=0.97")
    parsing.pairs_option(parser, "tag", parsing.tag, "a tag, such as team=vision")
    stats = parser.add_mutually_exclusive_group()
    stats.add_argument(
        "--stats", action="store_true", help="statistics of all numbers, even if that takes longer"
    )
    stats.add_argument(
        "--no-stats", action="store_true", help="make no statistics of tensors while reading"
    )
    parser.add_argument(
        "--no-fingerprints",
        action="store_true",
        help="make no fingerprints of tensors while reading",
    )


def push_arguments(parser: ArgumentParser) -> None:
    """Arguments of `push`."""
    parser.add_argument("model", metavar="PROJECT/MODEL", help="created if it is missing")
    _arguments(parser)
    parsing.pairs_option(
        parser, "param", parsing.param, "a parameter; JSON values keep their type: lr=0.01"
    )
    parser.add_argument("--label", metavar="L", help="a unique name, such as 1.4.2")
    parser.add_argument(
        "--alias",
        metavar="A",
        action="append",
        default=[],
        help="point this alias to the new version (may be given more than once)",
    )
    parser.add_argument(
        "--parent",
        metavar="REF",
        action="append",
        default=[],
        help="a version that this one comes from (may be given more than once)",
    )
    parser.add_argument("--description", metavar="D", default="", help="what this version is")
    _wait(parser)
    parser.add_argument(
        "--no-create", action="store_true", help="fail if the project or model is missing"
    )
    parsing.transfers(parser)
    parsing.changes(parser)


def push(args: Namespace, context: Context) -> int:
    """Publishes files as the next version."""
    model = targets.model(args.model)
    for alias in args.alias:
        names.alias_name(alias)
    metrics, params = parsing.once("metric", args.metric), parsing.once("param", args.param)
    with context.registry(args) as registry:
        done = registry.push(
            str(model),
            args.paths,
            as_name=args.as_name,
            label=args.label,
            metrics=metrics,
            params=params,
            tags=parsing.once("tag", args.tag),
            alias=tuple(args.alias),
            parents=tuple(str(references.parse(parent)) for parent in args.parent),
            description=args.description,
            progress=context.progress(args),
            dry_run=args.dry_run,
            create=not args.no_create,
            stats=False if args.no_stats else args.stats or None,
            fingerprints=False if args.no_fingerprints else None,
            wait=args.wait,
        )
        done = _looked_at(registry, args, done)
    _report(context.screen, args, done, {"aliases": args.alias})
    if not args.json:
        for alias in args.alias:
            would = "would point" if args.dry_run else "points"
            context.screen.line(f"alias {alias} {would} to it")
    return judged(context.screen, done.reference, done.state, done.verdict)


def _wait(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--wait",
        metavar="SECONDS",
        type=parsing.natural,
        help="how long to wait for the safety verdict (default: 60 where the project blocks, else 2)",
    )


def _looked_at(registry: "Registry", args: Namespace, done: "PushResult") -> "PushResult":
    """The result with the verdict, if it comes soon: a warning is worth a moment, not more."""
    if args.wait is not None or args.dry_run or (done.state, done.verdict) != ("ready", "pending"):
        return done
    from weighbridge import verdicts

    client, ref = registry.client, references.parse(done.reference)
    at = (ref.project, ref.model, done.version)
    found: types.Version | types.Checkpoint
    if done.checkpoint:
        found = verdicts.checkpoint(client, client.checkpoint(*at, done.checkpoint), MOMENT)
    else:
        found = verdicts.version(client, client.version(*at), MOMENT)
    return replace(done, state=found.state, verdict=found.verdict)


def judged(screen: Screen, reference: str, state: str, verdict: types.Safety) -> int:
    """Warns of what can execute code; the exit code of what is held back."""
    name = clean(reference)
    if state == "checking":
        screen.remark(f"{name} is still being checked; it appears when it is found to be safe")
        return exits.HELD
    if state == "blocked":
        screen.remark(
            f"{name} is blocked: its safety verdict is {verdict}; "
            f"`weighbridge verdict {name}` says why"
        )
        return exits.HELD
    if verdict in ("unsafe", "unknown"):
        screen.remark(f"warning: {words(verdict)}; `weighbridge verdict {name}` names the files")
    return 0


def checkpoint_push_arguments(parser: ArgumentParser) -> None:
    """Arguments of `checkpoint push`."""
    parser.add_argument("ref", metavar="REF", help="the version, such as PROJECT/MODEL@3")
    _arguments(parser)
    parser.add_argument(
        "--step", metavar="N", type=parsing.natural, required=True, help="the step, from 0"
    )
    parser.add_argument("--component", metavar="C", default="", help="the part of the model")
    parser.add_argument("--name", metavar="N", default="", help="the name of the step")
    _wait(parser)
    parsing.transfers(parser)
    parsing.changes(parser)


def checkpoint_push(args: Namespace, context: Context) -> int:
    """Publishes files as a checkpoint."""
    ref = targets.version(args.ref)
    names.component(args.component)
    names.step_name(args.name)
    with context.registry(args) as registry:
        done = registry.push_checkpoint(
            str(ref),
            args.paths,
            args.step,
            args.component,
            args.name,
            parsing.once("metric", args.metric),
            parsing.once("tag", args.tag),
            as_name=args.as_name,
            progress=context.progress(args),
            dry_run=args.dry_run,
            stats=False if args.no_stats else args.stats or None,
            fingerprints=False if args.no_fingerprints else None,
            wait=args.wait,
        )
        done = _looked_at(registry, args, done)
    _report(context.screen, args, done, {"checkpoint": done.checkpoint})
    return judged(context.screen, done.reference, done.state, done.verdict)


def _report(screen: Screen, args: Namespace, done: "PushResult", more: dict[str, Any]) -> None:
    for warning in done.warnings:
        screen.remark(f"warning: {clean(warning)}")
    size = sum(entry.size for entry in done.entries)
    if args.json:
        dry = {"entries": done.entries} if args.dry_run else {}
        screen.json(
            {
                "reference": done.reference,
                "version": done.version,
                **more,
                "sent_bytes": done.sent_bytes,
                "reused_bytes": done.reused_bytes,
                "seconds": done.seconds,
                "files": done.files,
                "manifest": done.manifest,
                "requests": done.requests,
                "parts_sent": done.parts_sent,
                "warnings": done.warnings,
                "sampled": done.sampled,
                "state": done.state,
                "verdict": done.verdict,
                "dry_run": args.dry_run,
                **dry,
            }
        )
    elif args.dry_run:
        what = "a checkpoint" if "checkpoint" in more else "the next version"
        screen.line(
            f"would publish {what} of {clean(done.reference)}: {plural(done.files, 'file')}, "
            f"{human_size(size)}, manifest {done.manifest}"
        )
        screen.table(
            ("", "", ""),
            [(human_size(e.size), e.sha256[:12], e.path) for e in done.entries],
            "><<",
            indent="  ",
        )
    else:
        verb = "published" if done.state == "ready" else "stored"
        screen.line(
            f"{verb} {clean(done.reference)}: {plural(done.files, 'file')} "
            f"(sent {human_size(done.sent_bytes)}, reused {human_size(done.reused_bytes)}) "
            f"in {done.seconds:.1f} s"
        )
