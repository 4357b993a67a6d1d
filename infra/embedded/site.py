"""`python -m infra.embedded.site`: the program behind `weighbridge site`, which renders and checks pages.

It reads the registry itself: the data folder of a server that is not running, or whatever the settings
in the environment name (`WEIGHBRIDGE_CATALOG` and the rest), if no folder is given.
"""

import argparse
import json
import os
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from infra.embedded import options
from weighbridge.contract.errors import InvalidRequest, RegistryError

if TYPE_CHECKING:
    from chalicelib.catalogue.checking import Findings
    from chalicelib.registry.stores import Stores

SHOWN = 50
"""Findings of a kind that are printed; `--json` prints them all."""


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """The arguments; argparse ends the process where they are malformed."""
    parser = argparse.ArgumentParser(prog="weighbridge site", allow_abbrev=False)
    parser.add_argument("what", choices=("build", "check"))
    parser.add_argument("--out", type=Path)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--repair", action="store_true")
    parser.add_argument("--json", action="store_true")
    return parser.parse_args(argv)


def main(argv: Sequence[str]) -> int:
    """Does what `argv` asks for; answers the exit code."""
    args = parse(argv)
    try:
        if args.what == "build" and args.out is None:
            raise InvalidRequest("say where to: --out FOLDER")
        if args.repair and args.out is not None:
            raise InvalidRequest("a folder is repaired by building it again: `site build --out`")
        with ExitStack() as parts:
            stores = opened(args.data, parts)
            return _build(stores, args.out) if args.what == "build" else _check(stores, args)
    except InvalidRequest as error:
        print(f"weighbridge site: {error.message}", file=sys.stderr)
        return 2
    except RegistryError as error:
        print(f"weighbridge site: {error.message}", file=sys.stderr)
        return 7


def opened(data: Path | None, parts: ExitStack) -> "Stores":
    """The registry of a data folder (none: of the environment); `parts` ends what was started for it."""
    from chalicelib import wiring

    if data is None and os.environ.get("WEIGHBRIDGE_CATALOG"):
        return wiring.stores()
    from chalicelib.settings import settings
    from infra.embedded import stack
    from infra.embedded.data_folder import DataFolder
    from infra.embedded.seaweed import SeaweedFS

    path = (data or options.default_data(os.environ)).absolute()
    if not (path / "catalog.sqlite").is_file():
        raise InvalidRequest(f"{path} holds no registry; name its data folder with --data")
    if not (path / "objects").is_dir():
        raise InvalidRequest(
            f"the files of {path} are in another store; put its settings (WEIGHBRIDGE_CATALOG, "
            "WEIGHBRIDGE_S3_ENDPOINT and the rest) into the environment, and leave out --data"
        )
    folder = DataFolder(path)
    parts.callback(folder.close)
    keys = folder.secrets()
    os.environ.update(stack.environment(options.Options(path), path, keys, ""))
    store = SeaweedFS(
        path / "objects", access_key=keys.s3_access_key, secret_key=keys.s3_secret_key
    )
    parts.enter_context(store)
    os.environ["WEIGHBRIDGE_S3_ENDPOINT"] = store.endpoint
    settings.cache_clear()
    made = wiring.build(settings())
    parts.callback(made.table.close)  # type: ignore[attr-defined]
    return made


def _build(stores: "Stores", out: Path) -> int:
    from chalicelib.catalogue import building
    from chalicelib.catalogue.registry_source import RegistrySource

    files = building.build(RegistrySource(stores), out)
    print(f"{len(files):,} files in {out}")
    return 0


def _check(stores: "Stores", args: argparse.Namespace) -> int:
    from chalicelib.catalogue import building, checking, drain
    from chalicelib.catalogue.publish import renderer
    from chalicelib.catalogue.registry_source import RegistrySource

    source, render = RegistrySource(stores), renderer()
    revision = source.now()
    if args.out is not None:
        if not (args.out / building.MARK).is_file():
            raise InvalidRequest(f"{args.out} is no folder that `site build` made")
        folder = checking.Folder(args.out)
        found = checking.check(folder, building.built(source, render), revision, True)
    else:
        drain.everything(stores)  # what waits to be rendered is late, not wrong
        found = _live(stores)
        if args.repair and not found.clean:
            _tell(found, as_json=False)
            checking.repair(source, stores.site, found, render)
            found = _live(stores)
    _tell(found, as_json=args.json)
    return 0 if found.clean else 1


def _live(stores: "Stores") -> "Findings":
    from chalicelib.catalogue import building, checking
    from chalicelib.catalogue.publish import renderer
    from chalicelib.catalogue.registry_source import RegistrySource

    source = RegistrySource(stores)
    revision = source.now()
    expected = building.stored(source, renderer())
    return checking.check(checking.Store(stores.site), expected, revision, False)


def _tell(found: "Findings", *, as_json: bool) -> None:
    if as_json:
        print(json.dumps({"clean": found.clean, **asdict(found)}, indent=2))
        return
    for word, keys in (
        ("missing", found.missing), ("stale", found.stale), ("stray", found.strays),
        ("broken", [f"{b.page} -> {b.link}" for b in found.broken]),
    ):  # fmt: skip
        for key in keys[:SHOWN]:
            print(f"{word:8}{json.dumps(key)[1:-1]}")
        if len(keys) > SHOWN:
            print(f"{word:8}and {len(keys) - SHOWN:,} more")
    wrong = len(found.missing) + len(found.stale) + len(found.strays) + len(found.broken)
    print(f"{found.pages:,} pages read; {f'{wrong:,} findings' if wrong else 'nothing is wrong'}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
