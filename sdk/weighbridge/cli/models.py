"""`model create` and `model set`: description, card, tags, and how versions are judged."""

from argparse import ArgumentParser, Namespace
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from weighbridge.cli import parsing, targets
from weighbridge.cli.context import Context
from weighbridge.cli.screen import Screen, clean, describe
from weighbridge.contract import codec, types
from weighbridge.contract.errors import AlreadyExists, InvalidRequest, NotFound
from weighbridge.contract.references import Reference

if TYPE_CHECKING:
    from weighbridge.client import Client


def _arguments(parser: ArgumentParser) -> None:
    parser.add_argument("model", metavar="PROJECT/MODEL", help="the model")
    parser.add_argument("--description", metavar="D", help="what it is, in a sentence")
    parser.add_argument("--main-metric", metavar="M", help="the metric that `best` means")
    parsing.pairs_option(
        parser,
        "direction",
        parsing.direction,
        "whether larger (max) or smaller (min) is better",
        "METRIC=max|min",
    )
    parser.add_argument(
        "--protect",
        metavar="PATTERN",
        action="append",
        default=[],
        help="aliases that match, such as 'prod*', may only point to approved versions",
    )
    parser.add_argument(
        "--label-order",
        choices=("none", "pep440"),
        help="pep440: labels are versions, each published one greater than all before it",
    )
    parsing.pairs_option(parser, "tag", parsing.tag, "a tag, such as owner=ada")
    parser.add_argument("--card", metavar="FILE", help="the card in Markdown (`-`: standard input)")


def create_arguments(parser: ArgumentParser) -> None:
    """Arguments of `model create`."""
    _arguments(parser)
    parsing.changes(parser)


def change_arguments(parser: ArgumentParser) -> None:
    """Arguments of `model set`."""
    _arguments(parser)
    parser.add_argument(
        "--unprotect",
        metavar="PATTERN",
        action="append",
        default=[],
        help="take a pattern of --protect back",
    )
    parsing.changes(parser)


def create(args: Namespace, context: Context) -> int:
    """Creates a model."""
    ref = targets.model(args.model)
    settings = _settings(types.ModelSettings(), args, ())
    tags = parsing.once("tag", args.tag)
    card = _card(args, context)
    with context.registry(args) as registry:
        client = registry.client
        made = types.Model(ref.project, ref.model, "", args.description or "", tags, settings)
        if args.dry_run:
            _missing(client, ref)
        else:
            made = client.create_model(*ref_pair(ref), made.description, tags, settings)
            if card is not None:
                client.set_card(*ref_pair(ref), card)
    if args.json:
        context.screen.json({"dry_run": args.dry_run, "model": made})
    else:
        verb = "would create" if args.dry_run else "created"
        context.screen.line(f"{verb} the model {clean(str(ref))}")
    return 0


def change(args: Namespace, context: Context) -> int:
    """Changes a model; what is not named stays."""
    ref = targets.model(args.model)
    tags = parsing.once("tag", args.tag)
    card = _card(args, context)
    judged = bool(
        args.main_metric is not None or args.direction or args.protect or args.unprotect
        or args.label_order
    )  # fmt: skip
    if not judged and not tags and args.description is None and card is None:
        raise InvalidRequest("there is nothing to change; see `weighbridge model set --help`")
    with context.registry(args) as registry:
        client = registry.client
        old = client.model(*ref_pair(ref))
        settings = _settings(old.settings, args, tuple(args.unprotect)) if judged else None
        new = replace(
            old,
            description=old.description if args.description is None else args.description,
            tags={**old.tags, **tags},
            settings=settings or old.settings,
        )
        if not args.dry_run:
            if judged or tags or args.description is not None:
                new = client.change_model(*ref_pair(ref), args.description, tags or None, settings)
            if card is not None:
                client.set_card(*ref_pair(ref), card)
    if args.json:
        context.screen.json({"dry_run": args.dry_run, "model": new})
        return 0
    _changes(context.screen, old, new, args.dry_run)
    if card is not None:
        verb = "would be replaced" if args.dry_run else "replaced"
        context.screen.line(f"card: {verb} ({len(card):,} characters)")
    return 0


def _missing(client: "Client", ref: Reference) -> None:
    client.project(ref.project)
    with suppress(NotFound):
        client.model(*ref_pair(ref))
        raise AlreadyExists(f"there is a model {ref} already")


def ref_pair(ref: Reference) -> tuple[str, str]:
    """Project and model of a reference."""
    return ref.project, ref.model


def _settings(
    old: types.ModelSettings, args: Namespace, unprotect: tuple[str, ...]
) -> types.ModelSettings:
    for pattern in unprotect:
        if pattern not in old.protected_aliases:
            raise InvalidRequest(f"{pattern!r} protects nothing; see `weighbridge show`")
    kept = [p for p in old.protected_aliases if p not in unprotect]
    directions: dict[str, types.Direction] = {
        **old.directions,
        **parsing.once("direction", args.direction),
    }
    return replace(
        old,
        main_metric=old.main_metric if args.main_metric is None else args.main_metric,
        directions=directions,
        label_order=args.label_order or old.label_order,
        protected_aliases=tuple(dict.fromkeys([*kept, *args.protect])),
    )


def _card(args: Namespace, context: Context) -> str | None:
    if args.card is None:
        return None
    try:
        if args.card == "-":
            return context.stdin.read()
        return Path(args.card).read_text("utf-8")
    except UnicodeDecodeError:
        raise InvalidRequest(f"the card {args.card} is not UTF-8 text") from None


def _changes(screen: Screen, old: types.Model, new: types.Model, dry_run: bool) -> None:
    before, after = _flat(old), _flat(new)
    verb = "would become" if dry_run else "is now"
    changed = [name for name in after if before.get(name) != after[name]]
    for name in changed:
        value, was = (describe(side.get(name) or None) for side in (after, before))
        screen.line(clean(f"{name} {verb} {value} (was {was})"))
    if not changed:
        would = "would differ" if dry_run else "differs"
        screen.line(f"nothing {would} from what it was")


def _flat(model: types.Model) -> dict[str, Any]:
    plain: dict[str, Any] = codec.encode(model)
    settings = plain["settings"]
    return {
        "description": plain["description"],
        "main metric": settings["main_metric"],
        **{f"direction of {k}": v for k, v in settings["directions"].items()},
        "protected aliases": settings["protected_aliases"],
        "label order": settings["label_order"],
        **{f"tag {k}": v for k, v in plain["tags"].items()},
    }
