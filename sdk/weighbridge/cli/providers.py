"""`providers ls|resolve|register|rm`: what runs the components of federated jobs."""

import json
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import Any, get_args

from weighbridge.cli import exits, parsing
from weighbridge.cli.context import Context
from weighbridge.cli.listing import gather, more_text
from weighbridge.cli.screen import clean, describe, moment, plural
from weighbridge.contract import providers, types
from weighbridge.contract.errors import InvalidRequest, NotFound, Unsupported

LEVELS: tuple[str, ...] = get_args(types.Level)
MAX_FILE = 8 * 1024 * 1024


def _project(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--project", metavar="P", default="providers", help="where they are (default: providers)"
    )


def ls_arguments(parser: ArgumentParser) -> None:
    """Arguments of `providers ls`."""
    parser.add_argument(
        "provider", metavar="PROVIDER", nargs="?", help="shows one, with its components"
    )
    for part in ("name", "version", "device"):
        parser.add_argument(
            f"--{part}", metavar=part[0].upper(), default="", help=f"only this {part}"
        )
    _project(parser)
    parsing.lists(parser)
    parsing.reads(parser)


def ls(args: Namespace, context: Context) -> int:
    """Lists providers, or shows one."""
    screen = context.screen
    with context.registry(args) as registry:
        client = registry.client
        if args.provider is not None:
            one = client.provider(str(providers.parse(args.provider)), args.project)
        else:
            found = gather(
                lambda size, page: client.providers(
                    args.project, args.name, args.version, args.device, size, page
                ),
                args,
            )
    if args.provider is not None:
        _show(context, args, one)
        return 0
    if args.json:
        screen.json({"items": found.items, "more": found.more})
        return 0
    screen.table(
        ("PROVIDER", "PROTOCOL", "COMPONENTS", "UPDATED", "METADATA"),
        [
            (
                p.provider_name,
                p.protocol,
                str(len(p.components)),
                moment(p.updated),
                ", ".join(f"{key}={describe(value)}" for key, value in p.metadata.items()),
            )
            for p in found.items
        ],
        "<<><<",
    )
    if found.more:
        screen.remark(more_text(len(found.items), "provider"))
    return 0


def _show(context: Context, args: Namespace, one: types.Provider) -> None:
    screen = context.screen
    if args.json:
        screen.json(one)
        return
    screen.heading(clean(one.provider_name))
    screen.fields(
        [
            ("protocol", one.protocol),
            *((key, describe(value)) for key, value in one.metadata.items()),
            ("registered", f"{moment(one.created)} by {one.created_by}"),
            ("updated", f"{moment(one.updated)} by {one.updated_by}"),
        ]
    )
    screen.table(
        ("COMPONENT", "DESCRIPTION"),
        [(name, describe(text)[:80]) for name, text in sorted(one.components.items())],
        indent="  ",
    )


def register_arguments(parser: ArgumentParser) -> None:
    """Arguments of `providers register`."""
    parser.add_argument("provider", metavar="PROVIDER", help="name:version@device")
    parsing.pairs_option(
        parser, "metadata", parsing.param, "what its device needs; JSON values keep their type"
    )
    parser.add_argument(
        "--protocol", choices=providers.PROTOCOLS, default="fate", help="(default: fate)"
    )
    parser.add_argument(
        "--components", metavar="FILE", help="a JSON object: component name to description"
    )
    _project(parser)
    parsing.changes(parser)


def register(args: Namespace, context: Context) -> int:
    """Registers a provider."""
    name = providers.parse(args.provider)
    metadata = parsing.once("metadata", args.metadata)
    for key in ("path", "venv", "base_url", "image", "namespace"):
        if key in metadata and not isinstance(metadata[key], str):
            metadata[key] = json.dumps(metadata[key])  # a path or image that looks like a number
    components = _document(args.components) if args.components else {}
    if not isinstance(components, dict):
        raise InvalidRequest(f"{args.components} must hold a JSON object: component to description")
    new = types.NewProvider(
        name.name, name.version, name.device, metadata, args.protocol, components
    )
    if wrong := providers.problems(new):
        raise InvalidRequest("; ".join(f"{place} {said[0]}" for place, said in wrong.items()))
    screen = context.screen
    if args.dry_run:
        if args.json:
            screen.json({"dry_run": True, "provider": new})
        else:
            count = plural(len(components), "component")
            screen.line(f"would register {clean(str(name))} with {count} in {clean(args.project)}")
        return 0
    with context.registry(args) as registry:
        made = registry.client.register_provider(
            name.name, name.version, name.device, metadata, args.protocol, components, args.project
        )
    if args.json:
        screen.json({"dry_run": False, "provider": made})
    else:
        word = "registered" if made.revision == 1 else "replaced"
        count = plural(len(made.components), "component")
        screen.line(f"{word} {clean(made.provider_name)} with {count}")
    return 0


def remove_arguments(parser: ArgumentParser) -> None:
    """Arguments of `providers rm`."""
    parser.add_argument("provider", metavar="PROVIDER", help="name:version@device")
    parser.add_argument("--yes", action="store_true", help="do not ask")
    _project(parser)
    parsing.changes(parser)


def remove(args: Namespace, context: Context) -> int:
    """Removes a provider."""
    name = str(providers.parse(args.provider))
    if not args.dry_run and not context.confirm(f"the provider {clean(name)}", args):
        raise InvalidRequest("nothing was removed")
    with context.registry(args) as registry:
        if args.dry_run:
            removed = registry.client.provider(name, args.project).provider_name
        else:
            removed = registry.client.delete_provider(name, args.project).deleted
    if args.json:
        context.screen.json({"dry_run": args.dry_run, "removed": removed})
    else:
        context.screen.line(f"{'would remove' if args.dry_run else 'removed'} {clean(removed)}")
    return 0


def resolve_arguments(parser: ArgumentParser) -> None:
    """Arguments of `providers resolve`."""
    parser.add_argument("dag", metavar="DAG", help="a DAG, as YAML or JSON")
    parser.add_argument(
        "--default", metavar="PROVIDER", default="", help="what runs a task that names none"
    )
    _project(parser)
    parsing.reads(parser)


def resolve(args: Namespace, context: Context) -> int:
    """Resolves the providers of a DAG."""
    document = _document(args.dag)
    with context.registry(args) as registry:
        found = registry.client.resolve_providers(document, args.default, args.project)
    code = exits.USAGE if found.problems else 0
    screen = context.screen
    if args.json:
        screen.json(found)
        return code
    screen.table(
        ("TASK", "PARTY", "PROVIDER", "LEVEL", "SAID AT"),
        [
            (
                item.task,
                f"{item.role} {item.party_id}",
                item.provider if item.registered else f"{item.provider} (not registered)",
                str(LEVELS.index(item.level)) if item.level in LEVELS else "?",
                item.place or f"the default, {found.default}",
            )
            for item in found.items
        ],
        "<<<><",
    )
    for problem in found.problems:
        screen.remark(f"problem: {problem.place}: {problem.message}")
    return code


def _document(name: str) -> Any:
    """What a file holds, as JSON values."""
    path = Path(name)
    if not path.is_file():
        raise NotFound(f"there is no file {name!r}")
    if path.stat().st_size > MAX_FILE:
        raise InvalidRequest(f"{name} is larger than {MAX_FILE} bytes")
    text = path.read_text("utf-8", errors="strict")
    if path.suffix.lower() == ".json":
        try:
            return json.loads(text)
        except (ValueError, RecursionError) as error:
            raise InvalidRequest(f"{name} is no JSON: {error}") from None
    try:
        import yaml
    except ImportError:
        raise Unsupported(
            "reading YAML needs the extra `fate`: pip install 'weighbridge[fate]'; or give JSON"
        ) from None
    try:
        return json.loads(json.dumps(yaml.safe_load(text), default=str))
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise InvalidRequest(f"{name} is no YAML: {error}") from None
