"""`token create|ls|revoke`."""

from argparse import ArgumentParser, Namespace

from weighbridge.cli import parsing
from weighbridge.cli.context import Context
from weighbridge.cli.listing import gather, more_text
from weighbridge.cli.screen import moment
from weighbridge.contract import types
from weighbridge.contract.errors import InvalidRequest, NotFound


def create_arguments(parser: ArgumentParser) -> None:
    """Arguments of `token create`."""
    parser.add_argument("name", metavar="NAME", help="who or what will use it")
    parser.add_argument(
        "--verb",
        choices=types.VERBS,
        action="append",
        default=[],
        help="what it may do besides reading: write, alias, approve, delete, admin "
        "(may be given more than once)",
        metavar="V",
    )
    parser.add_argument(
        "--project", metavar="P", default="*", help="only in projects that match (default: all)"
    )
    parser.add_argument(
        "--model", metavar="M", default="*", help="only on models that match (default: all)"
    )
    parser.add_argument(
        "--alias", metavar="A", default="*", help="only aliases that match (default: all)"
    )
    parser.add_argument(
        "--days",
        metavar="N",
        type=parsing.natural,
        default=90,
        help="how long it is good (default: 90; 0: until it is revoked)",
    )
    parser.add_argument(
        "--signing",
        choices=types.SIGNING,
        action="append",
        default=[],
        help="print a second secret, with which clients of fate-v1 or fate-v2 sign their requests "
        "(may be given more than once)",
        metavar="DOOR",
    )
    parsing.changes(parser)


def scopes(args: Namespace) -> tuple[types.Scope, ...]:
    """Reading covers whole projects, so it has a scope of its own where a model is named."""
    verbs: tuple[types.Verb, ...] = tuple(v for v in types.VERBS if v in {"read", *args.verb})
    if args.model == "*" and args.alias == "*":
        return (types.Scope(verbs, args.project),)
    rest = verbs[1:]
    if not rest:
        raise InvalidRequest(
            "reading covers whole projects: give --model or --alias with a --verb besides read"
        )
    if args.alias != "*" and "alias" not in rest:
        raise InvalidRequest("--alias needs --verb alias")
    reading = types.Scope(("read",), args.project)
    return (reading, types.Scope(rest, args.project, args.model, args.alias))


def create(args: Namespace, context: Context) -> int:
    """Makes a token; the secret alone goes to the output, so that `$(…)` takes it."""
    wanted, screen = scopes(args), context.screen
    if args.dry_run:
        planned = types.NewToken(args.name, wanted, args.days, tuple(args.signing))
        if args.json:
            screen.json({"dry_run": True, "token": planned})
        else:
            until = f"good for {args.days} days" if args.days else "good until it is revoked"
            screen.line(f"would create the token {args.name}, {until}:")
            _scope_table(context, wanted)
        return 0
    with context.registry(args) as registry:
        made = registry.client.create_token(args.name, wanted, args.days, args.signing)
    if args.json:
        shown = {"token": made.token, "secret": made.secret, "signing": made.signing}
        screen.json({"dry_run": False, **shown})
        return 0
    screen.line(made.secret)
    for door, secret in made.signing.items():
        screen.remark(f"{door}: the key is {made.token.id}, its secret is {secret}")
    expires = made.token.expires
    screen.remark(
        f"token {made.token.id} ({made.token.name}), "
        + (f"good until {moment(expires)} (UTC)" if expires else "good until it is revoked")
        + "; the line above is its secret, shown this once"
    )
    return 0


def ls_arguments(parser: ArgumentParser) -> None:
    """Arguments of `token ls`."""
    parsing.lists(parser)
    parsing.reads(parser)


def ls(args: Namespace, context: Context) -> int:
    """Lists tokens."""
    with context.registry(args) as registry:
        found = gather(registry.client.tokens, args)
    screen = context.screen
    if args.json:
        screen.json({"items": found.items, "more": found.more})
        return 0
    screen.table(
        ("ID", "NAME", "SCOPES", "EXPIRES", "LAST USED"),
        [
            (
                token.id,
                token.name,
                "; ".join(scope_text(scope) for scope in token.scopes),
                moment(token.expires) or "never",
                moment(token.last_used) or "never",
            )
            for token in found.items
        ],
    )
    if found.more:
        screen.remark(more_text(len(found.items), "token"))
    return 0


def revoke_arguments(parser: ArgumentParser) -> None:
    """Arguments of `token revoke`."""
    parser.add_argument("id", metavar="ID", help="as `token ls` shows it")
    parsing.changes(parser)


def revoke(args: Namespace, context: Context) -> int:
    """Revokes a token."""
    with context.registry(args) as registry:
        client = registry.client
        if args.dry_run:
            token = next((t for t in client.iter_tokens() if t.id == args.id), None)
            if token is None:
                raise NotFound(f"there is no token {args.id!r}")
            revoked = token.id
        else:
            revoked = client.revoke_token(args.id).deleted
    if args.json:
        context.screen.json({"dry_run": args.dry_run, "revoked": revoked})
    else:
        verb = "would revoke" if args.dry_run else "revoked"
        context.screen.line(f"{verb} the token {revoked}")
    return 0


def scope_text(scope: types.Scope) -> str:
    """`read,write on vision/dig*, alias prod*`."""
    where = scope.project if scope.model == "*" else f"{scope.project}/{scope.model}"
    alias = f", alias {scope.alias}" if scope.alias != "*" else ""
    return f"{','.join(scope.verbs)} on {'everything' if where == '*' else where}{alias}"


def _scope_table(context: Context, wanted: tuple[types.Scope, ...]) -> None:
    context.screen.table(
        ("VERBS", "PROJECT", "MODEL", "ALIAS"),
        [(",".join(s.verbs), s.project, s.model, s.alias) for s in wanted],
        indent="  ",
    )
