"""`python -m infra.embedded.backup`: the program behind `weighbridge backup` and `weighbridge restore`."""

import argparse
import json
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path

from infra.embedded import opening
from weighbridge.contract.errors import (
    Conflict,
    IntegrityError,
    InvalidRequest,
    NotFound,
    RegistryError,
)

_CODES: tuple[tuple[type[RegistryError], int], ...] = (
    (InvalidRequest, 2), (NotFound, 4), (Conflict, 5), (IntegrityError, 6),
)  # fmt: skip


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """The arguments; argparse ends the process where they are malformed."""
    parser = argparse.ArgumentParser(prog="weighbridge backup", allow_abbrev=False)
    parser.add_argument("what", choices=("backup", "list", "restore", "verify"))
    parser.add_argument("place")
    parser.add_argument("--data", type=Path)
    parser.add_argument("--backup", default="")
    parser.add_argument("--json", action="store_true")
    return parser.parse_args(argv)


def main(argv: Sequence[str]) -> int:
    """Does what `argv` asks for; answers the exit code."""
    args = parse(argv)
    try:
        with ExitStack() as parts:
            return _run(args, parts)
    except RegistryError as error:
        print(f"weighbridge {args.what}: {error.message}", file=sys.stderr)
        return next((code for cls, code in _CODES if isinstance(error, cls)), 7)


def _run(args: argparse.Namespace, parts: ExitStack) -> int:
    from infra.embedded.backups import records, restoring, taking, vault

    records.check_name(args.backup)
    place = vault.opened(args.place, create=args.what == "backup")
    if args.what == "list":
        found = [records.chosen(place, name) for name in records.listed(place)]
        for backup in found:
            if not args.json:
                print(f"{backup.name}  {backup.items:,} items  {backup.objects:,} objects  "
                      f"{backup.bytes:,} bytes")  # fmt: skip
        if args.json:
            print(json.dumps([asdict(backup) for backup in found], indent=2))
        return 0
    if args.what == "verify":
        _told(args, restoring.verify(place, args.backup, _tell), {})
        return 0
    if args.what == "backup":
        stores = opening.stores(args.data, parts, running=True)
        made, objects, moved = taking.take(stores, place, _tell)
        _told(args, made, {"new_objects": objects, "new_bytes": moved})
        return 0
    records.chosen(place, args.backup)  # before a folder is made for nothing
    stores = opening.stores(args.data, parts, create=True)
    for bucket in (stores.blobs, stores.site):
        bucket.ensure_bucket()  # type: ignore[attr-defined]
    _told(args, restoring.restore(stores, place, args.backup, _tell), {})
    return 0


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _told(args: argparse.Namespace, backup: object, more: dict[str, int]) -> None:
    found = {**asdict(backup), **more}  # type: ignore[call-overload]
    if args.json:
        print(json.dumps(found, indent=2))
        return
    verb = {"backup": "taken", "restore": "restored", "verify": "whole"}[args.what]
    new = f", {more['new_objects']:,} objects ({more['new_bytes']:,} bytes) new" if more else ""
    print(
        f"{found['name']}: {verb}; {found['items']:,} items, {found['objects']:,} objects, "
        f"{found['bytes']:,} bytes{new}"
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
