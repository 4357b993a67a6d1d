"""`retention show`, `set`, `clear` and `checkpoint prune`: which checkpoints are kept."""

import argparse
from argparse import ArgumentParser, Namespace
from typing import TYPE_CHECKING

from weighbridge.cli import parsing, removing
from weighbridge.cli.context import Context
from weighbridge.cli.screen import Screen, clean, human_size, plural
from weighbridge.contract import references, types
from weighbridge.contract.errors import InvalidName, InvalidRequest
from weighbridge.contract.references import Reference

if TYPE_CHECKING:
    from weighbridge.registry import Registry

UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
SHOWN = 20
"""Kept checkpoints that a pruning lists; evicted ones are all listed."""


def age(text: str) -> int:
    """Seconds of `90`, `90s`, `30m`, `12h`, `30d` or `8w`."""
    digits, unit = (text[:-1], text[-1:]) if text[-1:] in UNITS else (text, "s")
    if not digits.isascii() or not digits.isdigit() or int(digits) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no age: write for example 30d or 12h")
    return int(digits) * UNITS[unit]


def age_text(seconds: int) -> str:
    """`30d`: the largest unit that divides."""
    for unit, size in reversed(UNITS.items()):
        if seconds % size == 0:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


def best(text: str) -> types.KeepBest:
    """`METRIC=max|min[:COUNT]`."""
    rule, colon, count = text.rpartition(":")
    if not colon or not (count.isascii() and count.isdigit()):
        rule, count = text, "1"
    metric, mode = parsing.direction(rule)
    kept: types.Mode = "max" if mode == "max" else "min"
    return types.KeepBest(metric, kept, parsing.positive(count))


def show_arguments(parser: ArgumentParser) -> None:
    """Arguments of `retention show`."""
    parser.add_argument("ref", metavar="REF", help="PROJECT/MODEL@VERSION, or PROJECT/MODEL")
    parsing.reads(parser)


def change_arguments(parser: ArgumentParser) -> None:
    """Arguments of `retention set`."""
    parser.add_argument("ref", metavar="REF", help="PROJECT/MODEL@VERSION, or PROJECT/MODEL")
    parser.add_argument(
        "--keep-last", metavar="N", type=parsing.positive, default=0, help="the newest N"
    )
    parser.add_argument(
        "--keep-best",
        metavar="METRIC=max|min[:N]",
        type=best,
        action="append",
        default=[],
        help="the best N (default: 1) by a metric (may be given more than once)",
    )
    parser.add_argument(
        "--keep-every",
        metavar="N",
        type=parsing.positive,
        default=0,
        help="every step that N divides",
    )
    parser.add_argument(
        "--max-age", metavar="AGE", type=age, default=0, help="what is younger, such as 30d or 12h"
    )
    parser.add_argument("--keep-all", action="store_true", help="of a version: all of them")
    parsing.changes(parser)


def clear_arguments(parser: ArgumentParser) -> None:
    """Arguments of `retention clear`."""
    parser.add_argument("ref", metavar="REF", help="PROJECT/MODEL@VERSION, or PROJECT/MODEL")
    parsing.changes(parser)


def show(args: Namespace, context: Context) -> int:
    """Shows which checkpoints are kept."""
    ref = _target(args.ref)
    with context.registry(args) as registry:
        state = registry.retention(str(ref))
    _tell(context.screen, args, ref, state, False)
    return 0


def change(args: Namespace, context: Context) -> int:
    """Says which checkpoints are kept."""
    ref = _target(args.ref)
    policy = types.Retention(args.keep_last, tuple(args.keep_best), args.keep_every, args.max_age)
    if args.keep_all and (ref.version is None or policy != types.Retention()):
        raise InvalidRequest("--keep-all stands alone, for a version whose model has rules")
    if policy == types.Retention() and not args.keep_all:
        raise InvalidRequest("name at least one rule; `weighbridge retention clear` takes all back")
    return _change(args, context, ref, policy)


def clear(args: Namespace, context: Context) -> int:
    """Takes the rules back."""
    return _change(args, context, _target(args.ref), None)


def _change(
    args: Namespace, context: Context, ref: Reference, policy: types.Retention | None
) -> int:
    with context.registry(args) as registry:
        act = _planned if args.dry_run else _really
        state = act(registry, ref, policy)
    _tell(context.screen, args, ref, state, args.dry_run)
    return 0


def _really(
    registry: "Registry", ref: Reference, policy: types.Retention | None
) -> types.RetentionState:
    return registry.set_retention(str(ref), policy)


def _planned(
    registry: "Registry", ref: Reference, policy: types.Retention | None
) -> types.RetentionState:
    registry.retention(str(ref))  # it must be there
    if policy is not None:
        return types.RetentionState(policy, "version" if ref.version else "model")
    if ref.version is None:
        return types.RetentionState()
    return registry.retention(f"{ref.project}/{ref.model}")


def _target(text: str) -> Reference:
    ref = references.parse(text)
    if ref.checkpoint is not None:
        raise InvalidName(f"{text!r} names a checkpoint; write PROJECT/MODEL[@VERSION]")
    return ref


def _tell(
    screen: Screen, args: Namespace, ref: Reference, state: types.RetentionState, dry_run: bool
) -> None:
    if args.json:
        screen.json({"dry_run": dry_run, "retention": state.retention, "source": state.source})
        return
    whose = {"version": "its own", "model": "the model's", "none": "no retention"}[state.source]
    would = "would keep" if dry_run else "keeps"
    rules = list(_rules(state.retention))
    if not rules:
        screen.line(clean(f"{ref} {would} every checkpoint ({whose})"))
        return
    screen.line(clean(f"{ref} {would}, of each component ({whose}):"))
    for rule in rules:
        screen.line(clean(f"  {rule}"))
    screen.line("and the last one, the best by the main metric, and what is pinned")


def _rules(policy: types.Retention) -> list[str]:
    found = [f"the last {policy.keep_last}"] if policy.keep_last else []
    for rule in policy.keep_best:
        word = "largest" if rule.mode == "max" else "smallest"
        found.append(f"the {rule.count} with the {word} {rule.metric}")
    if policy.keep_every:
        found.append(f"every step that {policy.keep_every} divides")
    if policy.max_age:
        found.append(f"what is younger than {age_text(policy.max_age)}")
    return found


def prune_arguments(parser: ArgumentParser) -> None:
    """Arguments of `checkpoint prune`."""
    parser.add_argument("ref", metavar="REF", help="the version, such as PROJECT/MODEL@3")
    removing.options(parser)


def prune(args: Namespace, context: Context) -> int:
    """Evicts what the retention does not keep, after asking."""
    ref = _target(args.ref)
    if ref.version is None:
        raise InvalidName(f"{args.ref!r} names no version; write PROJECT/MODEL@VERSION")
    screen = context.screen
    with context.registry(args) as registry:
        if registry.retention(str(ref)).retention == types.Retention():
            screen.remark(f"{clean(str(ref))} has no retention: every checkpoint is kept")
        done = registry.prune(str(ref), dry_run=True)
        if not args.dry_run:
            what = f"{plural(done.evicted, 'checkpoint')} of {ref}"
            if done.evicted and not context.confirm(clean(what), args):
                screen.remark("nothing was evicted")
                return 0
            done = registry.prune(str(ref)) if done.evicted else done
    if args.json:
        screen.json({**_plain(done), "dry_run": args.dry_run})
        return 0
    _pruned(screen, done, args.dry_run)
    return 0


def _plain(done: types.Pruned) -> dict[str, object]:
    return {
        "items": done.items,
        "evicted": done.evicted,
        "freed_blobs": done.freed_blobs,
        "freed_bytes": done.freed_bytes,
        "shared_bytes": done.shared_bytes,
    }


def _pruned(screen: Screen, done: types.Pruned, dry_run: bool) -> None:
    kept = [one for one in done.items if one.keep]
    shown = [*(one for one in done.items if not one.keep), *kept[-SHOWN:]]
    gone = "evict" if dry_run else "evicted"
    screen.table(
        ("CHECKPOINT", "STEP", "COMPONENT", "SIZE", "", "WHY"),
        [
            (
                str(one.number),
                str(one.step),
                one.component or "-",
                human_size(one.size),
                "keep" if one.keep else gone,
                one.reason,
            )
            for one in sorted(shown, key=lambda one: one.number)
        ],
        ">><><<",
    )
    if len(kept) > SHOWN:
        screen.remark(f"{len(kept) - SHOWN:,} older ones that are kept are not shown")
    would = "would be " if dry_run else ""
    screen.line(
        f"{would}evicted: {plural(done.evicted, 'checkpoint')}; {would}free: "
        f"{plural(done.freed_blobs, 'blob')}, {human_size(done.freed_bytes)}; "
        f"shared with others and kept: {human_size(done.shared_bytes)}"
    )
