"""`fate ls` and `fate show`: federated versions and the parties that hold them."""

from argparse import ArgumentParser, Namespace

from weighbridge.cli import parsing
from weighbridge.cli.context import Context
from weighbridge.cli.listing import gather, more_text
from weighbridge.cli.screen import clean, human_size, plural
from weighbridge.contract import names
from weighbridge.contract.types import FederatedVersion

_NAMED = 4


def ls_arguments(parser: ArgumentParser) -> None:
    """Arguments of `fate ls`."""
    parser.add_argument("project", metavar="PROJECT", help="the project")
    parser.add_argument("--model-id", metavar="ID", default="", help="only of this federated model")
    parsing.lists(parser)
    parsing.reads(parser)


def ls(args: Namespace, context: Context) -> int:
    """Lists federated versions."""
    name, screen = names.project_name(args.project), context.screen
    with context.registry(args) as registry:
        client = registry.client
        found = gather(lambda size, page: client.federated(name, args.model_id, size, page), args)
    if args.json:
        screen.json({"items": found.items, "more": found.more})
        return 0
    screen.table(
        ("MODEL ID", "VERSION", "PARTIES", "SIZE", "STATE"),
        [
            (
                item.model_id,
                item.label,
                str(len(item.shards)),
                human_size(sum(shard.size for shard in item.shards)),
                _state(item),
            )
            for item in found.items
        ],
        "<<>><",
    )
    if not found.items:
        screen.remark("no party has a labelled version")
    elif found.more:
        screen.remark(more_text(len(found.items), "version"))
    return 0


def show_arguments(parser: ArgumentParser) -> None:
    """Arguments of `fate show`."""
    parser.add_argument("project", metavar="PROJECT", help="the project")
    parser.add_argument(
        "model_id", metavar="MODEL_ID", help="the id that the parties share, in quotes"
    )
    parser.add_argument("label", metavar="LABEL", help="the model version")
    parsing.reads(parser)


def show(args: Namespace, context: Context) -> int:
    """Shows one federated version."""
    name, screen = names.project_name(args.project), context.screen
    with context.registry(args) as registry:
        found = registry.client.federated_version(name, args.model_id, args.label)
    if args.json:
        screen.json(found)
        return 0
    screen.line(screen.bold(clean(f"{found.model_id} {found.label}")))
    screen.fields((("state", _state(found)), ("parties", str(len(found.shards)))))
    screen.heading("Parties")
    rows = [
        (s.role, s.party_id, s.state, str(s.files), human_size(s.size), s.reference)
        for s in found.shards
    ]
    rows += [
        (*_split(party), "missing", "-", "-", "") for party in found.missing if _gone(found, party)
    ]
    screen.table(
        ("ROLE", "PARTY", "STATE", "FILES", "SIZE", "REFERENCE"), rows, "<<<>><", indent="  "
    )
    return 0


def _split(party: str) -> tuple[str, str]:
    role, _, party_id = party.partition("#")
    return role, party_id


def _gone(found: FederatedVersion, party: str) -> bool:
    """Whether nothing of that party is there, not even an open version."""
    return all(f"{shard.role}#{shard.party_id}" != party for shard in found.shards)


def _state(found: FederatedVersion) -> str:
    if found.complete:
        return "complete"
    if not found.missing:
        waiting = sum(shard.state != "ready" for shard in found.shards)
        return f"{plural(waiting, 'part')} not ready"
    named = ", ".join(found.missing[:_NAMED])
    more = f" and {len(found.missing) - _NAMED} more" if len(found.missing) > _NAMED else ""
    return f"missing {named}{more}"
