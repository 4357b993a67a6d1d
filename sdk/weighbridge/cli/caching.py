"""`cache ls`, `rm`, `verify` and `limit`: the files that pulls keep on this machine."""

from argparse import ArgumentParser, Namespace

from weighbridge import config
from weighbridge.cli.context import Context
from weighbridge.cli.screen import human_size, plural
from weighbridge.contract import digests
from weighbridge.transfer.cache import Cache


def _cache() -> Cache:
    return Cache(config.cache_folder(), config.cache_limit())


def _json(parser: ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON for programs")


def _dry(parser: ArgumentParser) -> None:
    _json(parser)
    parser.add_argument(
        "--dry-run", action="store_true", help="print what would be done, and do nothing"
    )


def ls_arguments(parser: ArgumentParser) -> None:
    """Arguments of `cache ls`."""
    _json(parser)


def ls(args: Namespace, context: Context) -> int:
    """Lists the kept files, the least recently used first."""
    kept = _cache().entries()
    total, limit = sum(entry.size for entry in kept), config.cache_limit()
    if args.json:
        items = [{"sha256": e.sha256, "size": e.size, "used": int(e.used)} for e in kept]
        context.screen.json({"items": items, "more": False, "size": total, "limit": limit})
        return 0
    if kept:
        rows = [(entry.sha256, human_size(entry.size)) for entry in kept]
        context.screen.table(("SHA-256", "SIZE"), rows, "<>")
    context.screen.line(
        f"{plural(len(kept), 'file')}, {human_size(total)} of {human_size(limit)} at most"
    )
    return 0


def rm_arguments(parser: ArgumentParser) -> None:
    """Arguments of `cache rm`."""
    parser.add_argument(
        "digests", metavar="SHA256", nargs="*", type=_digest, help="only these (default: all)"
    )
    _dry(parser)


def _digest(text: str) -> str:
    return digests.sha256(text)


def rm(args: Namespace, context: Context) -> int:
    """Removes kept files that nobody is reading."""
    cache = _cache()
    chosen = set(args.digests) or None
    if args.dry_run:
        doomed = [e for e in cache.entries() if chosen is None or e.sha256 in chosen]
        count, size = len(doomed), sum(entry.size for entry in doomed)
    else:
        count, size = cache.remove(chosen)
    if args.json:
        context.screen.json({"dry_run": args.dry_run, "files": count, "bytes": size})
    else:
        word = "would remove" if args.dry_run else "removed"
        context.screen.line(f"{word} {plural(count, 'file')}, {human_size(size)}")
    return 0


def verify_arguments(parser: ArgumentParser) -> None:
    """Arguments of `cache verify`."""
    _json(parser)


def verify(args: Namespace, context: Context) -> int:
    """Reads all kept files and removes the damaged ones."""
    read, wrong = _cache().verify()
    if args.json:
        context.screen.json({"files": read, "removed": [entry.sha256 for entry in wrong]})
        return 0
    for entry in wrong:
        context.screen.line(f"removed {entry.sha256}: its bytes had changed")
    context.screen.line(f"{plural(read, 'file')} read, {len(wrong)} damaged")
    return 0


def limit_arguments(parser: ArgumentParser) -> None:
    """Arguments of `cache limit`."""
    parser.add_argument(
        "size", metavar="SIZE", nargs="?", help="such as 50GiB; 0 keeps nothing (default: show)"
    )
    _dry(parser)


def limit(args: Namespace, context: Context) -> int:
    """Shows or sets how much is kept; what is over it is removed."""
    removed = 0
    now = config.cache_limit() if args.size is None else config.size(args.size)
    if args.size is not None and not args.dry_run:
        config.save_cache_limit(now)
        # $WEIGHBRIDGE_CACHE_LIMIT goes before what was stored just now.
        now = config.cache_limit()
        removed = Cache(config.cache_folder(), now).trim()
    if args.json:
        context.screen.json({"dry_run": args.dry_run, "limit": now, "removed_bytes": removed})
        return 0
    word = "would keep" if args.dry_run and args.size is not None else "keeps"
    also = f" (removed {human_size(removed)})" if removed else ""
    context.screen.line(f"{word} {human_size(now)} at most{also}")
    return 0
