"""`ls` and `checkpoint ls`: what there is, as tables."""

from argparse import ArgumentParser, Namespace
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from weighbridge.cli import parsing, targets
from weighbridge.cli.context import Context
from weighbridge.cli.screen import Screen, human_size, moment, number, plural
from weighbridge.contract import codec, types
from weighbridge.contract.errors import InvalidRequest, NotFound
from weighbridge.contract.manifests import FileEntry
from weighbridge.contract.references import Reference

if TYPE_CHECKING:
    from weighbridge.client import Client
    from weighbridge.client.session import Page

T = TypeVar("T")
PAGE = 1000
COLUMNS = 4
"""How many metrics a list of versions shows."""


@dataclass(frozen=True, slots=True)
class Listed(Generic[T]):
    """The first items of a list, and whether there are more."""

    items: tuple[T, ...]
    more: bool


def gather(
    fetch: Callable[[int, str | None], "Page[T]"],
    args: Namespace,
    wanted: Callable[[T], bool] | None = None,
) -> Listed[T]:
    """Items of a paged list up to `--limit`; asks for no more of the server than it shows, unless
    only some are `wanted`."""
    limit = None if args.all else args.limit
    found: list[T] = []
    page: str | None = None
    while True:
        missing = PAGE if limit is None or wanted else limit - len(found) + 1
        part = fetch(min(PAGE, missing), page)
        found += [item for item in part.items if wanted is None or wanted(item)]
        page = part.next
        if limit is not None and len(found) > limit:
            return Listed(tuple(found[:limit]), True)
        if not page:
            return Listed(tuple(found), False)


def ls_arguments(parser: ArgumentParser) -> None:
    """Arguments of `ls`."""
    parser.add_argument(
        "target",
        metavar="PROJECT | PROJECT/MODEL | REF",
        nargs="?",
        help="lists its models, its versions or its files; without it, the projects",
    )
    parser.add_argument(
        "--prefix", metavar="P", default="", help="only names, labels or paths that start with P"
    )
    parser.add_argument(
        "--open", action="store_true", help="of a model: versions that are not published yet"
    )
    parser.add_argument(
        "--held", action="store_true", help="of a model: versions that their verdict holds back"
    )
    parsing.lists(parser)
    parsing.reads(parser)


def ls(args: Namespace, context: Context) -> int:
    """Lists what the target holds."""
    target = None if args.target is None else targets.anything(args.target)
    of_model = isinstance(target, Reference) and not (target.version or target.checkpoint)
    if (args.open or args.held) and not of_model:
        raise InvalidRequest("--open and --held need a model: PROJECT/MODEL")
    if args.open and args.held:
        raise InvalidRequest("give --open or --held, not both")
    with context.registry(args) as registry:
        client = registry.client
        if target is None:
            _projects(args, context.screen, client)
        elif isinstance(target, str):
            _models(args, context.screen, client, target)
        elif of_model:
            _versions(args, context.screen, client, target)
        else:
            _files(args, context.screen, client, target)
    return 0


def checkpoint_ls_arguments(parser: ArgumentParser) -> None:
    """Arguments of `checkpoint ls`."""
    parser.add_argument("ref", metavar="REF", help="the version, such as PROJECT/MODEL@3")
    parser.add_argument(
        "--component", metavar="C", default="", help="only of this component (`-`: without one)"
    )
    parser.add_argument(
        "--step", metavar="A..B", default="", help="only these steps: 100..200, 100.. or ..200"
    )
    parser.add_argument("--name", metavar="N", default="", help="only those of this name")
    parsing.pairs_option(parser, "tag", parsing.tag, "only with this tag, such as kind=full")
    parser.add_argument(
        "--by", metavar="METRIC", default="", help="by this metric, the better end first"
    )
    parser.add_argument(
        "--order",
        choices=("newest", "oldest", "step", "max", "min"),
        default="",
        help="which come first (default: newest; with --step: step); max or min goes with --by",
    )
    parser.add_argument(
        "--held", action="store_true", help="those that their safety verdict holds back"
    )
    parsing.lists(parser)
    parsing.reads(parser)


def checkpoint_ls(args: Namespace, context: Context) -> int:
    """Lists the checkpoints of a version."""
    ref = targets.versioned(args.ref)
    tags = parsing.once("tag", args.tag)
    with context.registry(args) as registry:
        at = (ref.project, ref.model, targets.selector(ref))
        found = gather(
            lambda size, page: registry.client.checkpoints(
                *at,
                args.component,
                args.order,
                size,
                page,
                args.name,
                args.step,
                args.by,
                tags,
                "held" if args.held else "",
            ),
            args,
        )
    if not _as_json(args, context.screen, found, found.items):
        checkpoint_table(context.screen, found.items)
        _tell(context.screen, found, "checkpoint")
    return 0


def _projects(args: Namespace, screen: Screen, client: "Client") -> None:
    found = gather(client.projects, args, lambda p: p.name.lower().startswith(args.prefix.lower()))
    if _as_json(args, screen, found, found.items):
        return
    screen.table(
        ("PROJECT", "INBOX", "CREATED", "DESCRIPTION"),
        [
            (p.name, "open" if p.inbox else "closed", moment(p.created), _short(p.description))
            for p in found.items
        ],
    )
    _tell(screen, found, "project")


def _models(args: Namespace, screen: Screen, client: "Client", project: str) -> None:
    found = gather(lambda size, page: client.models(project, args.prefix, size, page), args)

    def newest(model: types.Model) -> types.Version | None:
        try:
            page = client.versions(project, model.name, limit=1)
        except NotFound:  # deleted since it was listed
            return None
        return page.items[0] if page.items else None

    with ThreadPoolExecutor(8) as pool:
        last = list(pool.map(newest, found.items))
    plain = [
        {**codec.encode(model), "last_version": codec.encode(version) if version else None}
        for model, version in zip(found.items, last, strict=True)
    ]
    if _as_json(args, screen, found, plain):
        return
    screen.table(
        ("MODEL", "LAST", "PUBLISHED", "ALIASES", "DESCRIPTION"),
        [
            (
                f"{model.project}/{model.name}",
                str(version.number) if version else "-",
                moment(version.published) if version else "",
                aliases_text(model),
                _short(model.description),
            )
            for model, version in zip(found.items, last, strict=True)
        ],
        "<><<<",
    )
    _tell(screen, found, "model")


def _versions(args: Namespace, screen: Screen, client: "Client", ref: Reference) -> None:
    state = "open" if args.open else "held" if args.held else "ready"
    found = gather(
        lambda size, page: client.versions(ref.project, ref.model, state, "newest", size, page),
        args,
        _starting(args.prefix, lambda version: version.label),
    )
    if _as_json(args, screen, found, found.items):
        return
    main = client.model(ref.project, ref.model).settings.main_metric if found.items else ""
    version_table(screen, found.items, main)
    _tell(screen, found, f"{state} version" if state != "ready" else "version")


def _files(args: Namespace, screen: Screen, client: "Client", ref: Reference) -> None:
    at = (ref.project, ref.model, targets.selector(ref))

    def fetch(size: int, page: str | None) -> types.FileList:
        if ref.checkpoint is None:
            return client.version_files(*at, size, page)
        return client.checkpoint_files(*at, ref.checkpoint, size, page)

    found = gather(fetch, args, _starting(args.prefix, lambda file: file.path))
    if _as_json(args, screen, found, found.items):
        return
    file_table(screen, found.items)
    _tell(screen, found, "file")


# Tables that other commands show too


def version_table(screen: Screen, versions: Sequence[types.Version], main: str = "") -> None:
    """Versions with the metrics that most of them have, the model's main metric first."""
    counts = Counter(name for version in versions for name in version.metrics)
    ranked = sorted(counts, key=lambda name: (name != main, -counts[name], name))[:COLUMNS]
    screen.table(
        (
            "VERSION",
            "LABEL",
            "ALIASES",
            "APPROVAL",
            "VERDICT",
            *ranked,
            "FILES",
            "SIZE",
            "PUBLISHED",
        ),
        [
            (
                str(v.number),
                v.label,
                ", ".join(v.aliases),
                v.approval.state,
                _verdict(v),
                *(number(v.metrics[m]) if m in v.metrics else "-" for m in ranked),
                str(v.files),
                human_size(v.size),
                moment(v.published) or v.state,
            )
            for v in versions
        ],
        "><<<<" + ">" * len(ranked) + ">><",
    )


def _verdict(found: types.Version | types.Checkpoint) -> str:
    return f"{found.verdict} (released)" if found.release.by else found.verdict


def checkpoint_table(
    screen: Screen, checkpoints: Sequence[types.Checkpoint], indent: str = ""
) -> None:
    """Checkpoints with the metrics that most of them have."""
    counts = Counter(name for c in checkpoints for name in c.metrics)
    ranked = sorted(counts, key=lambda name: (-counts[name], name))[:COLUMNS]
    screen.table(
        ("CHECKPOINT", "STEP", "COMPONENT", "NAME", "VERDICT", *ranked, "FILES", "SIZE", "CREATED"),
        [
            (
                str(c.number),
                str(c.step),
                c.component or "-",
                c.name or "-",
                _verdict(c),
                *(number(c.metrics[m]) if m in c.metrics else "-" for m in ranked),
                str(c.files),
                human_size(c.size),
                moment(c.created),
            )
            for c in checkpoints
        ],
        ">><<<" + ">" * len(ranked) + ">><",
        indent,
    )


def file_table(screen: Screen, files: Sequence[FileEntry]) -> None:
    """Files with size and the beginning of their digest."""
    screen.table(
        ("SIZE", "SHA256", "PATH"),
        [(human_size(f.size), f.sha256[:12], f.path) for f in files],
        "><<",
    )


def aliases_text(model: types.Model) -> str:
    """`production=3, staging=4`."""
    return ", ".join(f"{name}={target}" for name, target in sorted(model.aliases.items()))


def _as_json(args: Namespace, screen: Screen, found: Listed[Any], items: Sequence[Any]) -> bool:
    if args.json:
        screen.json({"items": items, "more": found.more})
    return bool(args.json)


def more_text(shown: int, noun: str) -> str:
    """What to say below a list that goes on."""
    return f"{plural(shown, noun)} shown; there are more (--limit N, --all)"


def _tell(screen: Screen, found: Listed[Any], noun: str) -> None:
    if not found.items:
        screen.remark(f"no {noun}s")
    elif found.more:
        screen.remark(more_text(len(found.items), noun))


def _starting(prefix: str, name: Callable[[T], str]) -> Callable[[T], bool] | None:
    return (lambda item: name(item).startswith(prefix)) if prefix else None


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 60 else line[:59] + "…"
